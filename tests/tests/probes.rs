//! What a supervisor asks over HTTP is answered, whoever else is there.

use klamm_tests::{Broker, Options};
use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

fn start() -> (Broker, String) {
    let broker = Broker::start_with(Options {
        metrics: true,
        ..Options::default()
    });
    let address = broker.metrics_address().expect("it serves metrics");
    (broker, address)
}

#[test]
fn silent_visitors_do_not_keep_a_probe_waiting() {
    let (broker, address) = start();
    let silent: Vec<_> = (0..300)
        .map(|_| TcpStream::connect(&address).expect("it listens"))
        .collect();
    // Not one of them has gone by itself: the first are closed to make room.
    assert_eq!(broker.metric("klamm_ready"), 1);
    let patience = Some(Duration::from_mins(1));
    for mut visitor in silent {
        visitor.set_read_timeout(patience).expect("it is a socket");
        let mut rest = Vec::new();
        // Closed or reset, and without waiting for its client.
        let closed = visitor.read_to_end(&mut rest);
        let timed_out = closed.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "a silent visitor stays");
    }
    assert_eq!(broker.metric("klamm_ready"), 1);
}
