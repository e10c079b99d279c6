//! The memory of the whole process under unfinished frames. A test of its own process, so that no other test's memory
//! counts.

mod common;

use common::{Connection, Scratch, frame, serve};
use klamm_net::{CloseKind, Exit, NetLimits};
use std::io::Write;

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("every process has one");
    let kilobytes = line.split_whitespace().nth(1).expect("a number follows");
    kilobytes.parse::<usize>().expect("it is a number") << 10
}

#[test]
fn a_thousand_unfinished_frames_stay_within_the_budget_and_block_nobody() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_request_bytes: 8 << 20,
        memory_bytes: 16 << 20,
        ..NetLimits::default()
    };
    let bound = limits.request_memory();
    let broker = serve(scratch.path(), 1, limits);
    let before = resident();
    let mut connections: Vec<_> = (0..1000).map(|_| Connection::to(&broker)).collect();
    let head = (8_u32 << 20).to_be_bytes();
    let piece = vec![b'E'; 64 << 10];
    let mut witness = Connection::to(&broker);
    let mut highest = 0;
    for connection in &mut connections {
        connection.send(&head);
        connection.0.set_nonblocking(true).expect("it is a socket");
    }
    for _ in 0..40 {
        for connection in &mut connections {
            // It may be full, or closed to make room: how much goes through does not matter.
            let _ = connection.0.write_all(&piece);
        }
        assert_eq!(witness.call(&frame(b'E', b"others are served")), b"others are served");
        highest = highest.max(broker.metrics().memory_bytes as usize);
    }
    // The smallest buffers are had over budget, one a connection.
    assert!(highest <= bound + 1000 * 4096, "{highest} bytes of {bound}");
    assert!(broker.metrics().memory_waits > 0, "the budget was never used up");
    // Beside the budget: buffers kept for reuse, the smallest buffers, the sockets' and this test's own memory.
    let slack = (16 << 20) + 1000 * 4096 + (8 << 20);
    let after = resident();
    assert!(after < before + bound + slack, "{before} bytes before, {after} after");
    // A large frame completes all the same: those that send nothing give way.
    let large = vec![b'x'; (8 << 20) - 1];
    let mut honest = Connection::to(&broker);
    assert!(honest.call(&frame(b'E', &large)) == large);
    assert!(broker.metrics().closed[CloseKind::Memory as usize] > 0);
    assert_eq!(broker.stop(), Exit::Stopped);
}
