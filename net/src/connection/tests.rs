//! Random traffic through a socket and a disk that do as little at a time as they may.

use super::{Attempt, Census, Connection, Connections, Full, Outlet, Permit, Received, Response, Sending, Shared};
use crate::counters::Counters;
use crate::disk::{Cached, Disk, Filled, Unfilled, Work};
use crate::grumble::Grumble;
use crate::inbox::{Inbox, lock};
use crate::memory::{Memory, Slabs};
use crate::options::NetLimits;
use bytes::{BufMut, Bytes};
use klamm_core::config::ConnectionConfig;
use klamm_core::record::{BatchBuilder, Compression, HEADER_LEN, Level, Producer};
use klamm_core::shard::Input;
use klamm_core::storage::IoError;
use klamm_core::types::{
    Broken, Chain, ConnectionId, Content, FileId, FileRange, Flaw, Gaps, LeaderEpoch, Monotonic, Offset, OpId, Origin,
    Part, Seed, Timestamp,
};
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

/// What a client sent and got, and how unwilling its socket is.
struct Wire {
    seed: Seed,
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    /// Bytes it takes from who does not wait to be told so.
    room: usize,
}

struct Socket(Arc<Mutex<Wire>>);

impl Outlet for Socket {
    type Raw = Self;

    fn adopt(raw: Self) -> io::Result<Self> {
        Ok(raw)
    }

    fn poll_receive<B: BufMut>(&mut self, _cx: &mut Context<'_>, buffer: &mut B) -> Poll<io::Result<usize>> {
        assert!(buffer.has_remaining_mut(), "reading into no room looks like the end");
        let mut wire = lock(&self.0);
        if wire.incoming.is_empty() || wire.seed.chance(1, 4) {
            return Poll::Pending;
        }
        let most = buffer.remaining_mut().min(wire.incoming.len()) as u64;
        let some = if wire.seed.chance(1, 2) {
            most
        } else {
            wire.seed.within(1, most)
        } as usize;
        let bytes: Vec<u8> = wire.incoming.drain(..some).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(some))
    }

    fn poll_send(&mut self, _cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.0);
        if wire.seed.chance(1, 4) {
            return Poll::Pending;
        }
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(!bytes.is_empty(), "sending nothing looks like the end");
        let some = if wire.seed.chance(1, 2) {
            bytes.len()
        } else {
            wire.seed.within(1, bytes.len() as u64) as usize
        };
        wire.outgoing.extend_from_slice(&bytes[..some]);
        Poll::Ready(Ok(some))
    }

    fn send_now(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        let most = slices.first().map_or(0, |slice| slice.len()).min(wire.room);
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wire.room -= most;
        wire.outgoing.extend_from_slice(&slices[0][..most]);
        Ok(most)
    }

    fn finish(&mut self, _cx: &mut Context<'_>) {}
}

/// A file of a page cache that has some of it, some of the time.
struct Cache {
    seed: Mutex<Seed>,
    content: Vec<u8>,
    /// Where it was asked for what it did not have: the system reads that then, and whoever asked has to check it.
    missed: Mutex<BTreeSet<u64>>,
}

impl Cache {
    fn new(seed: Seed, content: &[u8]) -> Self {
        Self {
            seed: Mutex::new(seed),
            content: content.to_vec(),
            missed: Mutex::default(),
        }
    }
}

impl Disk for Cache {
    fn write_now(&self, _file: FileId, _position: u64, _pieces: &[&[u8]]) -> (u64, Option<IoError>) {
        panic!("connections write nothing")
    }

    fn read_cached(&self, _file: FileId, position: u64, window: &mut [u8]) -> Cached {
        let mut missed = lock(&self.missed);
        assert!(!missed.contains(&position), "what was not there is not asked for again");
        if lock(&self.seed).chance(1, 4) {
            missed.insert(position);
            return Cached::Elsewhere;
        }
        window.copy_from_slice(&self.content[position as usize..][..window.len()]);
        Cached::Read
    }

    fn submit(&self, _work: &mut Vec<Work>) {
        panic!("connections submit nothing")
    }
}

fn shared(memory: usize) -> Shared {
    Shared {
        limits: NetLimits::default(),
        counters: Arc::new(Counters::default()),
        grumble: Grumble::default(),
        memory: Memory::new(memory),
        fills: Memory::new(1 << 20),
        slabs: Slabs::new(1 << 20),
        window: Vec::new(),
        pressed: false,
        short: false,
        now: Monotonic(0),
    }
}

fn permit() -> Permit {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let census = Census::new(ConnectionConfig::default(), 1);
    Permit::take(&Arc::new(census), address).expect("it is the first")
}

/// A table with one connection over a wire.
fn connect(seed: u64) -> (Connections<Socket>, ConnectionId, Arc<Mutex<Wire>>) {
    let wire = Arc::new(Mutex::new(Wire {
        seed: Seed::new(seed),
        incoming: VecDeque::new(),
        outgoing: Vec::new(),
        room: 0,
    }));
    let mut connections = Connections::new(Arc::new(Inbox::default()));
    let socket = Socket(Arc::clone(&wire));
    let id = connections.add(7, socket, "client".into(), permit(), Monotonic(0));
    (connections, id, wire)
}

/// A length that is often small and sometimes at a border of the buffers' sizes.
fn length(seed: &mut Seed) -> usize {
    let border = [
        4092,
        4096,
        17 << 10,
        68 << 10,
        256 << 10,
        272 << 10,
        1088 << 10,
        3 << 20,
    ];
    match seed.below(8) {
        0 => (border[seed.below(8) as usize] + seed.below(9)).saturating_sub(4) as usize,
        1 => seed.below(200_000) as usize,
        _ => seed.below(300) as usize,
    }
}

#[test]
fn frames_arrive_as_they_were_sent_however_they_come() {
    for number in 0..25 {
        let mut seed = Seed::new(number);
        let (mut connections, id, wire) = connect(number);
        let mut shared = shared(64 << 20);
        let mut expected = VecDeque::new();
        for _ in 0..60 {
            let frame = vec![seed.next_u64() as u8; length(&mut seed)];
            let mut wire = lock(&wire);
            wire.incoming.extend((frame.len() as u32).to_be_bytes());
            wire.incoming.extend(&frame);
            expected.push_back(frame);
        }
        let mut granted = 0;
        // The core keeps some frames for a while; in some seeds more than all slabs together.
        let most_kept = if seed.chance(1, 2) { 20 } else { 60 };
        let mut kept: VecDeque<(Bytes, Vec<u8>)> = VecDeque::new();
        while !expected.is_empty() {
            let connection = connections.get(id).expect("it is connected");
            if seed.chance(1, 2) {
                let frames = seed.below(5) as u32;
                granted += frames;
                connection.grant(frames);
            }
            let mut inputs = VecDeque::new();
            let received = connection.receive(&mut shared, &mut inputs);
            assert!(matches!(received, Received::Idle | Received::Again), "{received:?}");
            for input in inputs {
                let Input::Frame { connection, frame } = input else {
                    panic!("not a frame: {input:?}");
                };
                assert_eq!(connection, id);
                granted = granted.checked_sub(1).expect("no more frames come than are granted");
                let sent = expected.pop_front().expect("no more frames come than were sent");
                kept.push_back((frame, sent));
            }
            while kept.len() > seed.below(most_kept) as usize {
                let (frame, sent) = kept.pop_front().expect("it is not empty");
                assert!(frame == sent, "seed {number}: a frame of {} bytes changed", sent.len());
            }
        }
        for (frame, sent) in kept {
            assert!(frame == sent, "seed {number}: a frame of {} bytes changed", sent.len());
        }
        assert_eq!(
            shared.memory.used(),
            0,
            "seed {number}: nothing is left, nothing is held"
        );
    }
}

#[test]
fn responses_leave_whole_and_in_order_however_they_go() {
    let mut told = 0;
    for number in 0..25 {
        let mut seed = Seed::new(number);
        let (mut connections, id, wire) = connect(number);
        let mut shared = shared(1 << 20);
        let content: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let cache = Cache::new(seed.fork(), &content);
        let (mut expected, mut lengths) = (Vec::new(), Vec::new());
        let connection = connections.get(id).expect("it is connected");
        for slot in 0..30 {
            let before = expected.len();
            let mut parts = Vec::new();
            for _ in 0..seed.below(6) {
                if seed.chance(1, 2) {
                    let bytes = vec![seed.next_u64() as u8; seed.below(3000) as usize];
                    expected.extend_from_slice(&bytes);
                    parts.push(Part::Inline(Bytes::from(bytes)));
                } else {
                    let position = seed.below(900_000);
                    let length = seed.within(1, 100_000) as u32;
                    expected.extend_from_slice(&content[position as usize..][..length as usize]);
                    let range = FileRange {
                        file: FileId(1),
                        position,
                        length,
                    };
                    parts.push(Part::Range(range, Content::Opaque));
                }
            }
            lengths.push((expected.len() - before) as u64);
            let op = OpId { slot, generation: 0 };
            connection.outgoing.push(Response::new(op, parts), Monotonic(0));
        }
        let mut inputs = VecDeque::new();
        loop {
            match connection.send(&cache, &mut shared, &mut inputs) {
                Sending::Done => break,
                Sending::Blocked | Sending::Again => {}
                Sending::Fill(range) => {
                    let (_, filled) = fill(connection, &mut seed, &content, range);
                    assert_eq!(filled, Ok(()), "nobody looks at these bytes");
                }
                end @ (Sending::Ended(_) | Sending::Broken(..)) => panic!("seed {number}: {end:?}"),
            }
        }
        assert!(lock(&wire).outgoing == expected, "seed {number}: other bytes went out");
        let (mut sent, mut begun) = (Vec::new(), 0);
        for input in inputs {
            match input {
                Input::Sent { op } => {
                    sent.push(op.slot);
                    begun = 0;
                }
                Input::Progress { connection, bytes } => {
                    begun += bytes;
                    let whole = lengths[sent.len()];
                    assert!(connection == id && begun < whole, "{begun} of {whole}");
                    told += 1;
                }
                other => panic!("nothing else comes of sending: {other:?}"),
            }
        }
        assert_eq!(sent, (0..30).collect::<Vec<_>>(), "seed {number}");
    }
    assert!(told > 0, "some left in part");
}

/// Reads some of what the page cache does not have, as a disk thread does; where, and what came of it.
fn fill(
    connection: &mut Connection<Socket>,
    seed: &mut Seed,
    file: &[u8],
    range: FileRange,
) -> (Range<usize>, Result<(), (FileId, Unfilled)>) {
    let mut content = connection.outgoing.lend();
    if let Some((from, length)) = content.unchecked() {
        let again = &file[from as usize..][..length as usize];
        again.chunks(1000).for_each(|piece| content.catch_up(piece));
    }
    let read = range.position as usize..(range.position + seed.within(1, u64::from(range.length))) as usize;
    let passed = content.pass(&file[read.clone()], Origin::Device);
    let bytes = passed.map(|()| Bytes::copy_from_slice(&file[read.clone()]));
    let bytes = bytes.map_err(Unfilled::Broken);
    (read, connection.outgoing.filled(Filled { content, bytes }))
}

/// What became of a range of batches.
struct SentBatches {
    /// What the client got.
    got: Vec<u8>,
    /// The bytes of the file that came from the device, in the order that they were read.
    from_device: Vec<Range<usize>>,
    broken: Option<Broken>,
}

/// Batches of a log, one behind the other, and where each begins.
fn batches(seed: &mut Seed) -> (Vec<u8>, Vec<(u64, Offset)>) {
    let (mut bytes, mut places, mut next) = (Vec::new(), Vec::new(), Offset(1000));
    for _ in 0..12 {
        places.push((bytes.len() as u64, next));
        let mut builder = BatchBuilder::new(Compression::None, Level::default(), Producer::Plain);
        for _ in 0..seed.within(1, 3) {
            let value = vec![7; length(seed) % 100_000];
            builder.append(Timestamp(5), None, Some(&value), &[]);
        }
        let mut batch = builder.build().expect("it has records");
        batch.stamp(next, LeaderEpoch(3));
        next = batch.header().next_offset();
        bytes.extend_from_slice(&batch.to_bytes());
    }
    places.push((bytes.len() as u64, next));
    (bytes, places)
}

/// Sends `content`, a range of batches that begin and end at these places.
fn send_batches(seed: &mut Seed, content: &[u8], places: &[(u64, Offset)]) -> SentBatches {
    let (mut connections, id, wire) = connect(seed.next_u64());
    let cache = Cache::new(seed.fork(), content);
    let (start, end) = (places[0], *places.last().expect("a range has two ends"));
    let chain = Chain::new(start, end, Gaps::None, vec![(LeaderEpoch(3), Offset(0))]);
    let range = FileRange {
        file: FileId(1),
        position: start.0,
        length: (end.0 - start.0) as u32,
    };
    let part = Part::Range(range, Content::Batches(Box::new(chain)));
    let connection = connections.get(id).expect("it is connected");
    let op = OpId { slot: 0, generation: 0 };
    connection.outgoing.push(Response::new(op, vec![part]), Monotonic(0));
    let mut shared = shared(1 << 20);
    let mut from_device = Vec::new();
    let broken = loop {
        match connection.send(&cache, &mut shared, &mut VecDeque::new()) {
            Sending::Done => break None,
            Sending::Blocked | Sending::Again => {}
            Sending::Fill(range) => {
                let (read, filled) = fill(connection, seed, content, range);
                from_device.push(read);
                match filled {
                    Ok(()) => {}
                    Err((_, Unfilled::Broken(broken))) => break Some(broken),
                    Err((_, unreadable)) => panic!("{unreadable:?}"),
                }
            }
            Sending::Broken(_, broken) => break Some(broken),
            Sending::Ended(kind) => panic!("{kind:?}"),
        }
    };
    let got = lock(&wire).outgoing.clone();
    SentBatches {
        got,
        from_device,
        broken,
    }
}

#[test]
fn batches_of_a_file_leave_whole_however_they_go() {
    for number in 0..25 {
        let mut seed = Seed::new(number);
        let (content, places) = batches(&mut seed);
        let sent = send_batches(&mut seed, &content, &places[2..]);
        assert_eq!(sent.broken, None, "seed {number}");
        assert!(
            sent.got == content[places[2].0 as usize..],
            "seed {number}: other bytes went out"
        );
    }
}

/// Base offset, length, leader epoch and magic: what Kafka's CRC leaves out, besides the CRC itself.
const OUTSIDE_THE_CRC: std::ops::Range<usize> = 0..17;

#[test]
fn a_bit_that_rotted_in_a_header_outside_of_the_crc_is_never_sent() {
    for byte in OUTSIDE_THE_CRC {
        for bit in 0..8 {
            let mut seed = Seed::new((byte * 8 + bit) as u64);
            let (mut content, places) = batches(&mut seed);
            let rotten = 3 + seed.below(7) as usize;
            let at = places[rotten].0 as usize;
            content[at + byte] ^= 1 << bit;
            let SentBatches { got, broken, .. } = send_batches(&mut seed, &content, &places[1..]);
            let broken = broken.expect("it is found");
            let found = places
                .iter()
                .position(|&place| place == (broken.position, broken.offset));
            let found = found.expect("it is found where a batch begins");
            assert!(
                found == rotten || found + 1 == rotten,
                "byte {byte}, bit {bit}: found at {found}, is at {rotten}"
            );
            let sent = places[1].0 as usize + got.len();
            // A length is found to be wrong by what stands behind it.
            let most = if (8..12).contains(&byte) {
                content.len() - 1
            } else {
                at + HEADER_LEN - 1
            };
            assert!(
                sent <= most,
                "byte {byte}, bit {bit}: {sent} bytes of the file went out"
            );
        }
    }
}

#[test]
fn a_batch_that_rotted_is_never_sent_whole_if_any_of_it_came_from_the_device() {
    let mut found = 0;
    for number in 0..200 {
        let mut seed = Seed::new(number);
        let (mut content, places) = batches(&mut seed);
        let rotten = 1 + seed.below(10) as usize;
        let batch = places[rotten].0 as usize..places[rotten + 1].0 as usize;
        let at = seed.within(batch.start as u64 + HEADER_LEN as u64, batch.end as u64 - 1) as usize;
        content[at] ^= 1 << seed.below(8);
        let sent = send_batches(&mut seed, &content, &places[1..]);
        let from_device = sent
            .from_device
            .iter()
            .any(|read| read.start < batch.end && batch.start < read.end);
        let Some(broken) = sent.broken else {
            assert!(!from_device, "seed {number}: byte {at} came from the device and rotted");
            continue;
        };
        found += 1;
        assert_eq!((broken.position, broken.offset), places[rotten], "seed {number}");
        assert_eq!(broken.flaw, Flaw::Crc, "seed {number}");
        let end = places[1].0 as usize + sent.got.len();
        assert!(end < batch.end, "seed {number}: {} bytes went out", sent.got.len());
    }
    assert!((40..200).contains(&found), "{found} of 200 came from the device");
}

#[test]
fn what_is_not_sent_is_reported_at_the_end() {
    let (mut connections, id, _wire) = connect(1);
    let connection = connections.get(id).expect("it is connected");
    for slot in 0..3 {
        let op = OpId { slot, generation: 0 };
        connection.outgoing.push(
            Response::new(op, vec![Part::Inline(Bytes::from_static(b"x"))]),
            Monotonic(0),
        );
    }
    let mut connection = connections.remove(id).expect("it is connected");
    assert_eq!(
        connection.outgoing.abandon().map(|op| op.slot).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(connections.get(id).is_none());
}

#[test]
fn a_place_is_used_again_and_its_id_is_not() {
    let (mut connections, first, wire) = connect(1);
    assert!(connections.remove(first).is_some());
    let second = connections.add(8, Socket(wire), "client".into(), permit(), Monotonic(0));
    assert_ne!(first, second);
    assert!(connections.get(first).is_none() && connections.get(second).is_some());
    assert_eq!(connections.answer(0), Some(second));
    assert_eq!(connections.answer(1), None);
}

#[test]
fn permits_are_bounded_in_all_and_by_address_and_come_back() {
    let bounds = ConnectionConfig {
        most: 3,
        most_of_one: 2,
        ..ConnectionConfig::default()
    };
    let census = Arc::new(Census::new(bounds.clone(), 4));
    let take = |last| Permit::take(&census, IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
    let first = take(1);
    let second = take(1);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(take(1).err(), Some(Full::OfAddress), "two from one address are enough");
    let third = take(2);
    assert!(third.is_ok());
    assert_eq!(take(3).err(), Some(Full::InAll), "three in all are enough");
    assert_eq!(take(1).err(), Some(Full::OfAddress));
    drop(first);
    let again = take(1);
    assert!(again.is_ok());
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    census.bound(ConnectionConfig {
        most: 9,
        most_of: [(IpAddr::V4(Ipv4Addr::LOCALHOST), 3)].into(),
        ..bounds.clone()
    });
    let fourth = Permit::take(&census, IpAddr::V6(mapped));
    assert!(fourth.is_ok(), "this address may come more often now");
    assert!(
        take(1).is_err() && take(3).is_err(),
        "four are all that the process can have"
    );
    census.bound(ConnectionConfig { most: 1, ..bounds });
    drop((second, third, again));
    assert!(take(2).is_err(), "the one that is left is all that may be");
    drop(fourth);
    assert!(take(2).is_ok());
}

#[test]
fn who_looks_whether_a_client_takes_anything_does_not_wait_for_its_socket() {
    let (mut connections, id, wire) = connect(1);
    let disk = Cache::new(Seed::new(1), b"");
    let (mut shared, mut inputs) = (shared(1 << 20), VecDeque::new());
    let connection = connections.get(id).expect("it is open");
    let op = OpId { slot: 1, generation: 0 };
    let part = Part::Inline(Bytes::from_static(b"a response"));
    connection.outgoing.push(Response::new(op, vec![part]), Monotonic(0));
    connection.outgoing.attempt = Attempt::Now;
    shared.now = Monotonic(5);
    assert_eq!(connection.send(&disk, &mut shared, &mut inputs), Sending::Blocked);
    assert_eq!(connection.outgoing.progress, Monotonic(0));
    lock(&wire).room = 3;
    assert_eq!(connection.send(&disk, &mut shared, &mut inputs), Sending::Blocked);
    assert_eq!(
        (connection.outgoing.progress, &*lock(&wire).outgoing),
        (Monotonic(5), &b"a r"[..])
    );
    lock(&wire).room = 100;
    assert_eq!(connection.send(&disk, &mut shared, &mut inputs), Sending::Done);
    assert!(matches!(inputs.pop_front(), Some(Input::Progress { connection, bytes: 3 }) if connection == id));
    assert!(matches!(inputs.pop_front(), Some(Input::Sent { op: sent }) if sent == op));
}
