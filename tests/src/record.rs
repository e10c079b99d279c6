//! Records as a test sends them and as a client read them back, and the JSON in which drivers exchange them.

use serde_json::{Value, json};
use std::fmt::Write as _;

/// A record that a producer is to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The partition it goes to.
    pub partition: i32,
    /// `CreateTime`, in milliseconds.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers in order; names may repeat.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record that a consumer read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Where it stood in its partition.
    pub offset: i64,
    /// What it held.
    pub record: Record,
}

impl Record {
    /// As drivers are given it.
    pub fn to_json(&self) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(name, value)| json!([name, hex_or_null(value.as_deref())]))
            .collect();
        json!({
            "partition": self.partition,
            "timestamp": self.timestamp,
            "key": hex_or_null(self.key.as_deref()),
            "value": hex_or_null(self.value.as_deref()),
            "headers": headers,
        })
    }

    /// As drivers tell it.
    pub fn from_json(told: &Value) -> Self {
        let header = |pair: &Value| {
            let name = pair[0].as_str().expect("a header has a name");
            (name.to_owned(), bytes_or_null(&pair[1]))
        };
        let headers = told["headers"].as_array().expect("records have headers");
        Self {
            partition: i32::try_from(number(told, "partition")).expect("partitions are 32 bits"),
            timestamp: number(told, "timestamp"),
            key: bytes_or_null(&told["key"]),
            value: bytes_or_null(&told["value"]),
            headers: headers.iter().map(header).collect(),
        }
    }
}

impl Stored {
    /// As drivers tell it.
    pub fn from_json(told: &Value) -> Self {
        Self {
            offset: number(told, "offset"),
            record: Record::from_json(told),
        }
    }

    /// As drivers tell it.
    pub fn to_json(&self) -> Value {
        let mut told = self.record.to_json();
        told["offset"] = self.offset.into();
        told
    }
}

fn number(told: &Value, name: &str) -> i64 {
    told[name]
        .as_i64()
        .unwrap_or_else(|| panic!("no {name} in {told:.200}"))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).expect("a hexadecimal digit") as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn hex_or_null(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| hex(bytes).into())
}

fn bytes_or_null(told: &Value) -> Option<Vec<u8>> {
    told.as_str().map(unhex)
}

/// Numbers that look random and are the same in every run (splitmix64).
pub struct Draw(u64);

impl Draw {
    /// A sequence that follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// `length` bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..words).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A time in 2023; timestamps of records lie around it, and not in order.
pub const SOME_TIME: i64 = 1_700_000_000_000;

/// `count` records of all kinds over `partitions`: null and empty keys and values, repeated and null headers, disordered
/// times, sizes from nothing to some kilobytes, some that compress and some that do not.
pub fn mixed(seed: u64, count: usize, partitions: u64) -> Vec<Record> {
    let mut draw = Draw::new(seed);
    (0..count).map(|_| any_record(&mut draw, partitions)).collect()
}

fn any_record(draw: &mut Draw, partitions: u64) -> Record {
    let length = [0, 1, 10, 100, 1000, 5000][draw.below(6) as usize];
    let names = ["a", "a", "", "trace-id", "gr\u{fc}\u{df}e", "\u{1f30a}"];
    Record {
        partition: draw.below(partitions) as i32,
        timestamp: SOME_TIME - 500_000 + draw.below(1_000_000) as i64,
        key: any_bytes(draw, 20),
        value: any_bytes(draw, length),
        headers: (0..draw.below(4))
            .map(|_| {
                (
                    names[draw.below(names.len() as u64) as usize].to_owned(),
                    any_bytes(draw, 9),
                )
            })
            .collect(),
    }
}

fn any_bytes(draw: &mut Draw, most: u64) -> Option<Vec<u8>> {
    let length = draw.below(most + 1) as usize;
    match draw.below(4) {
        0 => None,
        1 => Some(vec![b'x'; length]),
        _ => Some(draw.bytes(length)),
    }
}

/// One record of each size, from one byte to a megabyte.
pub fn sizes(seed: u64) -> Vec<Record> {
    let mut draw = Draw::new(seed);
    [1, 2, 127, 128, 16_383, 16_384, 65_536, 262_144, 1_000_000]
        .map(|length| Record {
            partition: 0,
            timestamp: SOME_TIME + length as i64,
            key: None,
            value: Some(draw.bytes(length)),
            headers: Vec::new(),
        })
        .to_vec()
}

/// `count` records of `length` bytes of printable text, each different, for clients that read lines.
pub fn text(seed: u64, count: usize, length: usize) -> Vec<Record> {
    let mut draw = Draw::new(seed);
    (0..count)
        .map(|index| {
            let value: String = hex(&draw.bytes(length.div_ceil(2)));
            Record {
                partition: 0,
                timestamp: SOME_TIME + index as i64,
                key: Some(format!("key-{index}").into_bytes()),
                value: Some(value.into_bytes()),
                headers: Vec::new(),
            }
        })
        .collect()
}

/// What partition `partition` holds when `records` were sent to it in order and nothing else was.
pub fn expected(records: &[Record], partition: i32) -> Vec<Stored> {
    let own = records.iter().filter(|record| record.partition == partition);
    own.zip(0..)
        .map(|(record, offset)| Stored {
            offset,
            record: record.clone(),
        })
        .collect()
}

/// Demands that a client read exactly what was sent, and says where it first differs.
pub fn assert_same(what: &str, read: &[Stored], sent: &[Stored]) {
    for (read, sent) in read.iter().zip(sent) {
        assert!(
            read == sent,
            "{what}: at offset {} was sent\n{:.500}\nand read\n{:.500}",
            sent.offset,
            format!("{sent:?}"),
            format!("{read:?}")
        );
    }
    assert_eq!(read.len(), sent.len(), "{what}: number of records");
}
