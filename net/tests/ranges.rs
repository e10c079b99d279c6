//! Responses whose bytes are still in a file: cached, not cached, cut short.

mod common;

use common::{Connection, Scratch, frame, range, serve};
use klamm_net::{Broker, CloseKind, Exit, NetLimits};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::path::Path;

const BYTES: usize = 3 << 20;

/// Fills the shard's file with bytes that tell their places.
fn fill(broker: &Broker) -> Vec<u8> {
    let content: Vec<u8> = (0..BYTES / 4).flat_map(|i| (i as u32).to_be_bytes()).collect();
    let mut connection = Connection::to(broker);
    for piece in content.chunks(1 << 20) {
        connection.call(&frame(b'W', piece));
    }
    content
}

/// Takes the shard's file out of the page cache. It is synced, so nothing stands in the way.
fn forget(directory: &Path) {
    let file = File::open(directory.join("data-0")).expect("the machine opened it");
    fadvise(&file, 0, None, Advice::DontNeed).expect("a file takes advice");
}

#[test]
fn cached_ranges_are_sent_as_they_are() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let content = fill(&broker);
    let mut connection = Connection::to(&broker);
    for (start, length) in [(0, 1), (5, 100), (1000, 300_000), (0, BYTES), (BYTES - 1, 1)] {
        let answer = connection.call(&range(start as u64, length as u32));
        assert!(answer == content[start..start + length], "{length} bytes from {start}");
    }
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn ranges_that_are_not_cached_are_read_by_disk_threads() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let content = fill(&broker);
    let mut connection = Connection::to(&broker);
    // Advice is only advice: pages that somebody just looks at stay.
    for _ in 0..100 {
        forget(scratch.path());
        assert!(connection.call(&range(8, BYTES as u32 - 8)) == content[8..]);
        if broker.metrics().fills > 0 {
            break;
        }
    }
    assert!(broker.metrics().fills > 0, "the page cache never let go of anything");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn many_clients_share_the_memory_for_uncached_reads() {
    let scratch = Scratch::new();
    let broker = serve(
        scratch.path(),
        1,
        NetLimits {
            fills: 1,
            ..NetLimits::default()
        },
    );
    let content = fill(&broker);
    forget(scratch.path());
    let mut connections: Vec<_> = (0..20).map(|_| Connection::to(&broker)).collect();
    for connection in &mut connections {
        connection.send(&range(0, BYTES as u32));
    }
    for connection in &mut connections {
        assert!(connection.receive() == content);
    }
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn responses_keep_their_order_when_one_has_to_be_read() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let content = fill(&broker);
    forget(scratch.path());
    let mut connection = Connection::to(&broker);
    let requests = [
        frame(b'E', b"before"),
        range(2 << 20, 1000),
        frame(b'E', b"after"),
        range(4, 4),
        range(0, 0),
    ];
    connection.send(&requests.concat());
    assert_eq!(connection.receive(), b"before");
    assert!(connection.receive() == content[2 << 20..][..1000]);
    assert_eq!(connection.receive(), b"after");
    assert_eq!(connection.receive(), content[4..8]);
    assert_eq!(connection.receive(), b"");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_file_that_is_too_short_closes_the_connection_and_is_never_padded() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let content = fill(&broker);
    for cached in [true, false] {
        if !cached {
            forget(scratch.path());
        }
        let mut connection = Connection::to(&broker);
        connection.send(&range(BYTES as u64 - 10, 20));
        let mut received = Vec::new();
        let end = std::io::Read::read_to_end(&mut connection.0, &mut received);
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(received[..4], [0, 0, 0, 20]);
        assert_eq!(received[4..], content[BYTES - 10..]);
    }
    assert_eq!(broker.metrics().closed[CloseKind::Unsendable as usize], 2);
    assert_eq!(broker.stop(), Exit::Stopped);
}
