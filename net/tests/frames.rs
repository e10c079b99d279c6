//! Frames from real sockets: whole, in pieces, many at once, too large.

mod common;

use common::{Connection, Scratch, frame, serve};
use klamm_net::{CloseKind, Exit, NetLimits};

#[test]
fn a_frame_is_answered() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let mut connection = Connection::to(&broker);
    assert_eq!(connection.call(&frame(b'E', b"hello")), b"hello");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let mut connection = Connection::to(&broker);
    for round in 0..3_u8 {
        let body = vec![round; 50];
        for byte in frame(b'E', &body) {
            connection.send(&[byte]);
        }
        assert_eq!(connection.receive(), body);
    }
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn pipelined_frames_are_answered_in_order_and_only_as_granted() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 2, NetLimits::default());
    let mut connection = Connection::to(&broker);
    let requests: Vec<u8> = (0..5000_u32)
        .flat_map(|i| frame(b'E', &i.to_be_bytes().repeat(1 + i as usize % 7)))
        .collect();
    let mut sender = Connection(connection.0.try_clone().expect("descriptors are left"));
    let sending = std::thread::spawn(move || sender.send(&requests));
    for i in 0..5000_u32 {
        assert_eq!(connection.receive(), i.to_be_bytes().repeat(1 + i as usize % 7));
    }
    sending.join().expect("all was sent");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn frames_of_all_sizes_arrive_whole() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let mut connection = Connection::to(&broker);
    for size in [
        0,
        1,
        4091,
        4092,
        4096,
        70_000,
        262_139,
        262_144,
        1 << 20,
        (1 << 20) + 200,
        5_000_000,
        0,
        33_000_000,
    ] {
        let body: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let mut sender = Connection(connection.0.try_clone().expect("descriptors are left"));
        let request = [frame(b'E', &body), frame(b'E', b"next")].concat();
        let sending = std::thread::spawn(move || sender.send(&request));
        assert!(
            connection.receive() == body,
            "a frame of {size} bytes came back changed"
        );
        assert_eq!(connection.receive(), b"next");
        sending.join().expect("all was sent");
    }
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_frame_beyond_the_limit_closes_its_connection() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 1000,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut connection = Connection::to(&broker);
    assert_eq!(connection.call(&frame(b'E', &[1; 999])).len(), 999);
    connection.send(&frame(b'E', &[1; 1000])[..8]);
    assert!(connection.is_closed());
    let mut negative = Connection::to(&broker);
    negative.send(&[0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(negative.is_closed());
    assert_eq!(Connection::to(&broker).call(&frame(b'E', b"still here")), b"still here");
    assert_eq!(broker.metrics().closed[CloseKind::Oversize as usize], 2);
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn the_core_may_close_a_connection() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let mut connection = Connection::to(&broker);
    connection.send(&[frame(b'E', b"first"), frame(b'C', b""), frame(b'E', b"never")].concat());
    assert_eq!(connection.receive(), b"first");
    assert!(connection.is_closed());
    assert_eq!(broker.stop(), Exit::Stopped);
}
