//! What clients can make the broker hold.

mod common;

use common::{Connection, GRANTS, Scratch, frame, serve};
use klamm_net::{Broker, CloseKind, Exit, NetLimits};
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

/// Sends requests whose bodies fill memory, and a small one of `kind` between any two of them, until `bytes` came.
fn interleave(broker: &Broker, kind: u8, bytes: usize) {
    let (mut keeper, mut other) = (Connection::to(broker), Connection::to(broker));
    let filler = frame(b'E', &vec![b'f'; 50_000]);
    let small = frame(kind, &[b's'; 100]);
    for _ in 0..bytes / filler.len() {
        keeper.call(&small);
        assert_eq!(other.call(&filler).len(), 50_000);
    }
}

#[test]
fn what_is_kept_for_later_is_let_go_when_memory_runs_short() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 1 << 20,
        memory_bytes: 8 << 20,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    interleave(&broker, b'K', 48 << 20);
    assert!(broker.metrics().reclaims > 0, "nothing ever ran short");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn slabs_that_never_come_back_stop_nobody() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 1 << 20,
        memory_bytes: 8 << 20,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    interleave(&broker, b'P', 8 << 20);
    assert!(broker.metrics().slab_shortages > 0, "there was always a slab");
    let mut newcomer = Connection::to(&broker);
    let large = vec![b'l'; 900_000];
    assert_eq!(newcomer.call(&frame(b'E', &large)), large);
    assert_eq!(newcomer.call(&frame(b'E', b"small")), b"small");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn over_budget_a_connection_has_one_small_request_in_progress() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 64 << 10,
        memory_bytes: 0,
        ..NetLimits::default()
    };
    // Two slabs there are always; the quarter of the budget that is for slabs would not make one.
    let bound = limits.request_memory() / 4 * 3 + (512 << 10);
    let broker = serve(scratch.path(), 1, limits);
    let request = frame(b'Q', &[b'q'; 3000]);
    let mut witness = Connection::to(&broker);
    let mut connections: Vec<_> = (0..100).map(|_| Connection::to(&broker)).collect();
    for _ in 0..GRANTS {
        for connection in &mut connections {
            connection.send(&request);
        }
        assert_eq!(witness.call(&frame(b'E', b"others are served")), b"others are served");
        let held = broker.metrics().memory_bytes as usize;
        assert!(held <= bound + 101 * 4096, "{held} bytes of {bound}");
    }
    assert!(broker.metrics().memory_waits > 0, "the budget was never used up");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn requests_without_an_end_give_way_to_one_that_needs_their_memory() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 4 << 20,
        memory_bytes: 8 << 20,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut holder = Connection::to(&broker);
    for _ in 0..2 {
        holder.send(&frame(b'Q', &vec![b'q'; 5 << 19]));
    }
    let mut witness = Connection::to(&broker);
    let begun = |metrics: klamm_net::Snapshot| metrics.memory_bytes > 5 << 20;
    while !begun(broker.metrics()) {
        witness.call(&frame(b'E', b"in between"));
    }
    let mut honest = Connection::to(&broker);
    let large = vec![b'l'; (4 << 20) - 1];
    assert!(honest.call(&frame(b'E', &large)) == large);
    assert!(holder.is_closed());
    assert_eq!(broker.metrics().closed[CloseKind::Memory as usize], 1);
    assert_eq!(broker.stop(), Exit::Stopped);
}
