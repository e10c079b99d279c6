//! The frames that other tests write by hand are what real clients take them for.

use klamm_tests::client::Actor;
use klamm_tests::frame::{batch, is_stored};
use klamm_tests::{Broker, Client};

#[test]
fn hand_made_frames_are_sound() {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("frames", 1, &[]);
    let mut connection = broker.connect();
    let values: [&[u8]; 4] = [b"one", b"", &[0xff; 1000], b"four"];
    let mut sent = Vec::new();
    for at in [0..2, 2..3, 3..4] {
        let batch = batch(&values[at.clone()]);
        let told = connection.produce("frames", 0, &batch).expect("Produce is answered");
        assert_eq!((told.error, told.base_offset), (0, at.start as i64));
        sent.push(batch);
    }
    let read = connection.fetch_all("frames", 0, 4);
    assert_eq!(
        read.iter().map(|(base_offset, _)| *base_offset).collect::<Vec<_>>(),
        [0, 2, 3]
    );
    assert!(read.iter().zip(&sent).all(|((_, read), sent)| is_stored(read, sent)));
    for client in [Client::Confluent, Client::Java] {
        let read = Actor::start(client, &broker.address()).read_partition("frames", 0, 4);
        let read = read.expect("records are read");
        let read: Vec<&[u8]> = read
            .iter()
            .map(|stored| stored.record.value.as_deref().expect("a value"))
            .collect();
        assert_eq!(read, values);
    }
}
