//! Kafka's own generated classes read the bytes of our messages as the same values and write them back as the same
//! bytes; and from the same values they write the bytes that we do.

use klamm_core::wire::Reader;
use klamm_core::wire::reflect::{Value, for_random_messages};
use klamm_tests::wire::codecs;
use klamm_tests::wire::json::{AS_KAFKA_READS, AS_KAFKA_WRITES, to_json};
use klamm_tests::wire::oracle::Oracle;

const CASES: u32 = 40;

fn fields(message: Value) -> Vec<(&'static str, Value)> {
    let Value::Struct(fields) = message else {
        panic!("a message is a structure")
    };
    fields
}

#[test]
fn kafka_reads_our_bytes_as_the_same_values_and_writes_them_back() {
    let mut kafka = Oracle::start();
    for codec in codecs() {
        let name = codec.schema.name();
        for_random_messages(codec, CASES, |version, message| {
            let bytes = codec.encode(&message, version).unwrap();
            let (written, values) = kafka
                .bytes(name, version, &bytes)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(written, bytes, "{name} of version {version}");
            let message = fields(codec.complete(&message));
            assert_eq!(
                to_json(codec.schema.body, &message, version, AS_KAFKA_WRITES),
                values,
                "{name} {version}"
            );
        });
    }
}

#[test]
fn kafka_writes_the_same_values_as_bytes_that_we_read() {
    let mut kafka = Oracle::start();
    for codec in codecs() {
        let name = codec.schema.name();
        for_random_messages(codec, CASES, |version, message| {
            let message = codec.complete(&message);
            let values = to_json(codec.schema.body, &fields(message.clone()), version, AS_KAFKA_READS);
            let bytes = kafka
                .json(name, version, &values)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(
                bytes,
                codec.encode(&message, version).unwrap(),
                "{name} of version {version}"
            );
            let mut reader = Reader::new(bytes.into());
            assert_eq!(
                codec.decode(&mut reader, version),
                Ok(message),
                "{name} of version {version}"
            );
            assert_eq!(reader.remaining(), 0);
        });
    }
}
