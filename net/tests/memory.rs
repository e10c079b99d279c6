//! What clients can make the broker hold.

mod common;

use common::{Connection, Scratch, frame, serve};
use klamm_net::{CloseKind, Exit, NetLimits};
use std::io::Write;

#[test]
fn a_claim_costs_nothing_until_bytes_arrive() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    let mut connections: Vec<_> = (0..1000).map(|_| Connection::to(&broker)).collect();
    let mut claim = (100_u32 << 20).to_be_bytes().to_vec();
    claim.extend_from_slice(&[b'E'; 1000]);
    for connection in &mut connections {
        connection.send(&claim);
    }
    let mut witness = Connection::to(&broker);
    while broker.metrics().bytes_in < 1000 * claim.len() as u64 {
        assert_eq!(witness.call(&frame(b'E', b"others are served")), b"others are served");
    }
    assert!(
        broker.metrics().memory_bytes < 8 << 20,
        "{}",
        broker.metrics().memory_bytes
    );
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn many_large_frames_at_once_all_complete_or_are_refused_and_none_is_stuck() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 4 << 20,
        memory_bytes: 8 << 20,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let body = vec![b'y'; (4 << 20) - 1];
    let clients: Vec<_> = (0..12)
        .map(|_| {
            let mut connection = Connection::to(&broker);
            let body = body.clone();
            std::thread::spawn(move || {
                let sent = connection.0.write_all(&frame(b'E', &body));
                sent.and_then(|()| connection.try_receive())
                    .is_ok_and(|answer| answer == body)
            })
        })
        .collect();
    let answered = clients
        .into_iter()
        .map(|client| client.join().expect("it ends"))
        .filter(|ok| *ok)
        .count();
    assert!(answered > 0);
    let refused = broker.metrics().closed[CloseKind::Memory as usize] as usize;
    assert_eq!(answered + refused, 12);
    assert_eq!(broker.stop(), Exit::Stopped);
}
