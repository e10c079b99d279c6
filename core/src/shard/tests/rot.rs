//! Bits of a batch that rot where it rests, and readers that are served straight from the file.

use super::broker::Broker;
use super::client::{batch, fetch_request, only, values};
use crate::config::{BrokerConfig, Limits, TopicConfig};
use crate::record::{HEADER_LEN, split};
use crate::shard::Counters;
use crate::types::{ConnectionId, ErrorCode, Origin};
use crate::wire::message::fetch::PartitionData;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Batches of two records each.
const BATCHES: usize = 6;
/// The one that rots.
const ROTTEN: usize = 3;

/// Every batch is an entry of the index, and none is in memory: ranges are planned without a look at the file.
fn from_file(index_interval_bytes: u32) -> BrokerConfig {
    let limits = Limits {
        tail_cache_bytes: 0,
        ..Limits::default()
    };
    let topic_defaults = TopicConfig {
        index_interval_bytes,
        ..TopicConfig::default()
    };
    BrokerConfig {
        topic_defaults,
        limits,
        ..BrokerConfig::default()
    }
}

fn filled(index_interval_bytes: u32) -> (Broker, ConnectionId, String) {
    let mut broker = Broker::start_with(2, from_file(index_interval_bytes));
    let client = broker.connect(0);
    broker.create(client, "orders", 1);
    for i in 0..BATCHES {
        let values = [format!("{i}-a"), format!("{i}-b")];
        let produced = broker.produce(client, "orders", 0, batch(&[&values[0], &values[1]]));
        assert_eq!(produced, (0, i as i64 * 2));
    }
    let is_log = |path: &String| path.starts_with("orders-0") && path.strip_suffix(".log").is_some();
    let path = broker.disk.files().into_iter().find(is_log).expect("it was written");
    (broker, client, path)
}

/// What a client gets at `offset` that connects again when its connection is closed; and how often it had to.
fn fetch(broker: &mut Broker, client: &mut ConnectionId, offset: i64) -> (PartitionData, usize) {
    for closed in 0..3 {
        broker.send(*client, &fetch_request("orders", &[(0, offset)], 0), 12);
        if let Some(response) = broker.receive(*client, 12) {
            return (only(response), closed);
        }
        assert!(broker.connections[client].gone, "it is answered, or closed");
        *client = broker.connect(closed % 2);
    }
    panic!("the connection is closed again and again at offset {offset}")
}

/// The batches as they were synced.
fn batches(file: &[u8]) -> Vec<Bytes> {
    let all = split(&Bytes::copy_from_slice(file));
    all.map(|batch| batch.expect("it is whole").to_bytes()).collect()
}

/// Reads on from `offset` as far as a client gets whose own look at the CRC holds, and why it gets no further. All it gets
/// is what was synced at that offset.
fn read(broker: &mut Broker, client: &mut ConnectionId, mut offset: i64, synced: &[Bytes]) -> (i64, i16) {
    loop {
        let (data, _) = fetch(broker, client, offset);
        let bytes = data.records.bytes().expect("a client got bytes");
        if data.error_code != 0 || bytes.is_empty() {
            return (offset, data.error_code);
        }
        for batch in split(&bytes) {
            let Ok(batch) = batch.and_then(|batch| batch.check_crc().map(|()| batch)) else {
                return (offset, ErrorCode::CorruptMessage.code());
            };
            assert_eq!(
                batch.to_bytes(),
                synced[offset as usize / 2],
                "what is served at {offset}"
            );
            offset += 2;
        }
    }
}

const END: i64 = BATCHES as i64 * 2;
const BEFORE: i64 = ROTTEN as i64 * 2;

#[test]
fn each_bit_of_a_header_that_rots_is_found_before_its_batch_is_served_from_the_file() {
    for interval in [1, 1 << 20] {
        let (mut broker, mut client, path) = filled(interval);
        let whole = broker.disk.file(&path).expect("it is there").to_vec();
        let synced = batches(&whole);
        let at: usize = synced[..ROTTEN].iter().map(Bytes::len).sum();
        for bit in 0..HEADER_LEN * 8 {
            broker.disk.spoil(&path, |bytes| bytes[at + bit / 8] ^= 1 << (bit % 8));
            let found = read(&mut broker, &mut client, 0, &synced);
            assert_eq!(found.0, BEFORE, "bit {bit}: what stands before it is served");
            let refused = ErrorCode::KafkaStorageError.code();
            // From byte 17 on it is the client's CRC that reveals it, or the broker sees it too.
            assert!(
                found.1 == refused || (bit / 8 >= 17 && found.1 == ErrorCode::CorruptMessage.code()),
                "bit {bit}: {found:?}"
            );
            if interval == 1 {
                let beyond = read(&mut broker, &mut client, BEFORE + 2, &synced);
                assert_eq!(beyond, (END, 0), "bit {bit}: what stands behind it is served");
            }
            broker.disk.spoil(&path, |bytes| bytes.clone_from(&whole));
            let again = read(&mut broker, &mut client, 0, &synced);
            assert_eq!(again, (END, 0), "bit {bit}: what is sound again is served");
        }
        broker.stop();
        broker.assert_stopped();
    }
}

#[test]
fn a_reader_that_comes_back_is_refused_and_not_cut_off_again() {
    let (mut broker, mut client, path) = filled(1);
    broker.disk.spoil(&path, |bytes| bytes[7] ^= 1);
    let (data, closed) = fetch(&mut broker, &mut client, 0);
    assert_eq!((data.error_code, closed), (ErrorCode::KafkaStorageError.code(), 1));
    assert!(broker.reported("is not the one that was synced; it was not sent"));
    let (data, closed) = fetch(&mut broker, &mut client, 0);
    assert_eq!((data.error_code, closed), (ErrorCode::KafkaStorageError.code(), 0));
    let (data, closed) = fetch(&mut broker, &mut client, 2);
    assert_eq!((values(&data)[0].as_str(), closed), ("1-a", 0));
    assert_eq!(broker.produce(client, "orders", 0, batch(&["more"])), (0, END));
}

fn count(broker: &Broker, what: impl Fn(&Counters) -> u64) -> u64 {
    broker.shards.iter().map(|shard| what(&shard.counters())).sum()
}

#[test]
fn a_byte_that_rots_anywhere_in_a_batch_is_found_before_what_the_device_holds_is_served() {
    for interval in [1, 1 << 20] {
        let (mut broker, mut client, path) = filled(interval);
        broker.reads_from = Origin::Device;
        let whole = broker.disk.file(&path).expect("it is there").to_vec();
        let synced = batches(&whole);
        let at: usize = synced[..ROTTEN].iter().map(Bytes::len).sum();
        for byte in 0..synced[ROTTEN].len() {
            broker.disk.spoil(&path, |bytes| bytes[at + byte] ^= 0x20);
            let refused = (BEFORE, ErrorCode::KafkaStorageError.code());
            assert_eq!(read(&mut broker, &mut client, 0, &synced), refused, "byte {byte}");
            // A look-up goes from header to header, and none leads around one that rotted.
            if interval == 1 || byte >= 17 {
                let beyond = read(&mut broker, &mut client, BEFORE + 2, &synced);
                assert_eq!(beyond, (END, 0), "byte {byte}: what stands behind it is served");
            }
            broker.disk.spoil(&path, |bytes| bytes.clone_from(&whole));
            let again = read(&mut broker, &mut client, 0, &synced);
            assert_eq!(again, (END, 0), "byte {byte}: what is sound again is served");
        }
        broker.stop();
        broker.assert_stopped();
    }
}

#[test]
fn what_rotted_is_counted_by_what_revealed_it() {
    let (mut broker, mut client, path) = filled(1);
    broker.reads_from = Origin::Device;
    let whole = broker.disk.file(&path).expect("it is there").to_vec();
    broker
        .disk
        .spoil(&path, |bytes| *bytes.last_mut().expect("records") ^= 1);
    let last = END - 2;
    for reads in 1..3 {
        fetch(&mut broker, &mut client, last);
        let counted = [
            count(&broker, |counters| counters.damaged_bodies),
            count(&broker, |counters| counters.damaged_headers),
            count(&broker, |counters| counters.damaged_reads),
        ];
        assert_eq!(counted, [1, 0, reads], "the batch once, and each read that it cost");
    }
    assert!(broker.reported("does not have its CRC any more; it was not sent"));
    broker.disk.spoil(&path, |bytes| bytes.clone_from(&whole));
    broker.disk.spoil(&path, |bytes| bytes[7] ^= 1);
    fetch(&mut broker, &mut client, 0);
    assert_eq!(count(&broker, |counters| counters.damaged_headers), 1);
    assert_eq!(count(&broker, |counters| counters.damaged_bodies), 1);
}

#[test]
fn a_look_up_tells_of_rot_that_it_reads_and_was_not_looking_for() {
    let (mut broker, mut client, path) = filled(1 << 20);
    let whole = broker.disk.file(&path).expect("it is there").to_vec();
    let synced = batches(&whole);
    let at: usize = synced[..=ROTTEN].iter().map(Bytes::len).sum();
    broker.disk.spoil(&path, |bytes| bytes[at - 1] ^= 1);
    // From here on the page cache has it, and nobody else looks at more than its header.
    let beyond = read(&mut broker, &mut client, BEFORE + 2, &synced);
    assert_eq!(beyond, (END, 0));
    let refused = (BEFORE, ErrorCode::KafkaStorageError.code());
    assert_eq!(read(&mut broker, &mut client, 0, &synced), refused);
}
