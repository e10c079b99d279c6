//! Many connections, their ends, and the broker's.

mod common;

use common::{Connection, GRANTS, Scratch, Tester, frame, options, range, serve};
use klamm_core::shard::{Effect, Effects, Halt, Input};
use klamm_core::types::{Fault, Monotonic, Now};
use klamm_net::{Broker, CloseKind, Exit, Machine, NetLimits, StartError};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Waits until the broker has come so far; a test that waits for ever shows nothing.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("this never came: {what}");
}

#[test]
fn thousands_of_connections_are_served_by_all_shards() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 3, NetLimits::default());
    let mut connections: Vec<_> = (0..3000).map(|_| Connection::to(&broker)).collect();
    for (i, connection) in connections.iter_mut().enumerate() {
        connection.send(&frame(b'E', &(i as u32).to_be_bytes()));
    }
    for (i, connection) in connections.iter_mut().enumerate() {
        assert_eq!(connection.receive(), (i as u32).to_be_bytes());
    }
    assert_eq!(broker.metrics().connections_open, 3000);
    drop(connections);
    eventually("all connections are gone", || broker.metrics().connections_open == 0);
    assert_eq!(broker.metrics().closed[CloseKind::Client as usize], 3000);
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_make_room_when_they_go() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_connections: 2,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut first = Connection::to(&broker);
    assert_eq!(first.call(&frame(b'E', b"1")), b"1");
    let mut second = Connection::to(&broker);
    assert_eq!(second.call(&frame(b'E', b"2")), b"2");
    assert!(
        Connection::to(&broker).is_closed(),
        "two are all that the process can have"
    );
    drop(first);
    eventually("the first is gone", || broker.metrics().connections_open == 1);
    assert_eq!(Connection::to(&broker).call(&frame(b'E', b"3")), b"3");
    assert_eq!(broker.metrics().connections_refused, 1);
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn where_nobody_more_is_let_in_idle_connections_give_way_the_silent_ones_first() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_connections: 3,
        idle_gives_way: Duration::ZERO,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut busy = Connection::to(&broker);
    busy.send(&frame(b'H', b""));
    let mut idle = Connection::to(&broker);
    assert_eq!(idle.call(&frame(b'E', b"1")), b"1");
    let mut silent = Connection::to(&broker);
    eventually("all are there", || broker.metrics().connections_open == 3);
    assert!(Connection::to(&broker).is_closed(), "three are enough");
    assert!(silent.is_closed(), "it never asked for anything");
    assert_eq!(idle.call(&frame(b'E', b"2")), b"2");
    let mut third = Connection::to(&broker);
    assert_eq!(third.call(&frame(b'E', b"3")), b"3");
    assert!(Connection::to(&broker).is_closed());
    assert!(idle.is_closed(), "it has been idle longer than the third");
    assert_eq!(broker.metrics().closed[CloseKind::Idle as usize], 2);
    assert_eq!(third.call(&frame(b'E', b"4")), b"4");
    assert_eq!(broker.stop(), Exit::Stopped);
    assert_eq!(busy.receive(), b"stopped");
}

#[test]
fn a_connection_that_was_not_idle_for_long_gives_way_to_nobody() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        max_connections: 1,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut first = Connection::to(&broker);
    assert_eq!(first.call(&frame(b'E', b"1")), b"1");
    assert!(Connection::to(&broker).is_closed());
    assert_eq!(first.call(&frame(b'E', b"2")), b"2");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn who_comes_is_held_to_the_bounds_that_hold_then() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 2, NetLimits::default());
    let mut first = Connection::to(&broker);
    assert_eq!(first.call(&frame(b'L', &1_u32.to_be_bytes())), b"");
    assert!(Connection::to(&broker).is_closed(), "one from an address is enough now");
    assert_eq!(first.call(&frame(b'L', &2_u32.to_be_bytes())), b"");
    let mut second = Connection::to(&broker);
    assert_eq!(second.call(&frame(b'E', b"2")), b"2");
    assert_eq!(first.call(&frame(b'L', &1_u32.to_be_bytes())), b"");
    assert_eq!(second.call(&frame(b'E', b"still here")), b"still here");
    assert_eq!(broker.metrics().connections_refused, 1);
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_disconnect_drops_the_reply_and_not_the_write() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 1, NetLimits::default());
    // Within the grants: all of it is read before the end of the connection is.
    for _ in 0..50 {
        let mut connection = Connection::to(&broker);
        connection.send(&frame(b'W', &[1; 1000]).repeat(GRANTS as usize));
    }
    eventually("everything is written", || {
        broker.metrics().bytes_written == 50 * 1000 * u64::from(GRANTS)
    });
    assert_eq!(broker.stop(), Exit::Stopped);
    assert_eq!(
        std::fs::read(scratch.path().join("data-0")).expect("it was written"),
        vec![1; 400_000]
    );
}

#[test]
fn connections_that_end_during_disk_operations_do_no_harm() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        write_now_bytes: 0,
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 2, limits);
    for round in 0..200_u32 {
        let mut connection = Connection::to(&broker);
        let requests = [
            frame(b'W', &[2; 5000]),
            frame(b'E', b"x"),
            range(0, 5000),
            frame(b'W', &[3; 10]),
        ]
        .concat();
        connection.send(&requests[..requests.len() - round as usize % 7]);
    }
    eventually("all connections are gone", || broker.metrics().connections_open == 0);
    let mut last = Connection::to(&broker);
    assert_eq!(last.call(&frame(b'E', b"still here")), b"still here");
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_stop_answers_what_is_in_progress_and_what_was_held() {
    let scratch = Scratch::new();
    let broker = serve(scratch.path(), 2, NetLimits::default());
    let mut held: Vec<_> = (0..10).map(|_| Connection::to(&broker)).collect();
    for connection in &mut held {
        assert_eq!(connection.call(&frame(b'E', b"here")), b"here");
        connection.send(&frame(b'H', b""));
    }
    eventually("the requests are there", || broker.metrics().frames == 20);
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let mut connection = Connection::to(&broker);
            std::thread::spawn(move || {
                let mut acknowledged = Vec::new();
                loop {
                    // The broker may go at any point; what it acknowledged counts.
                    if std::io::Write::write_all(&mut connection.0, &frame(b'W', &[7; 100])).is_err() {
                        return acknowledged;
                    }
                    match connection.try_receive() {
                        Ok(position) => acknowledged.push(u64::from_be_bytes(position.try_into().expect("8 bytes"))),
                        Err(_) => return acknowledged,
                    }
                }
            })
        })
        .collect();
    eventually("some writes are done", || broker.metrics().bytes_written > 50_000);
    assert_eq!(broker.stop(), Exit::Stopped);
    for mut connection in held {
        assert_eq!(connection.receive(), b"stopped");
        assert!(connection.is_closed());
    }
    let sizes = [0, 1].map(|shard| {
        std::fs::metadata(scratch.path().join(format!("data-{shard}")))
            .expect("it was created")
            .len()
    });
    for writer in writers {
        let acknowledged = writer.join().expect("a writer ends with its connection");
        assert!(!acknowledged.is_empty());
        assert!(
            acknowledged
                .iter()
                .all(|position| position + 100 <= sizes[0].max(sizes[1]))
        );
    }
}

#[test]
fn a_client_that_takes_nothing_is_closed_and_keeps_nobody_waiting() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        send_stall: Duration::from_millis(300),
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut writer = Connection::to(&broker);
    writer.call(&frame(b'W', &vec![5; 4 << 20]));
    let mut idle = Connection::to(&broker);
    for _ in 0..GRANTS {
        idle.send(&range(0, 4 << 20));
    }
    assert_eq!(
        Connection::to(&broker).call(&frame(b'E', b"others are served")),
        b"others are served"
    );
    eventually("it is closed", || {
        broker.metrics().closed[CloseKind::Stalled as usize] == 1
    });
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn what_a_slow_client_takes_is_told_before_its_socket_says_that_there_is_room() {
    let scratch = Scratch::new();
    let told = Arc::new(AtomicU64::new(0));
    let machine = |id, _| {
        let mut machine = Tester::new(id);
        machine.told = Arc::clone(&told);
        machine
    };
    let broker = Broker::start_with(options(scratch.path(), 1, NetLimits::default()), machine).expect("it starts");
    broker.ready().expect("it serves");
    let mut slow = Connection::to(&broker);
    slow.call(&frame(b'W', &vec![5; 16 << 20]));
    slow.send(&range(0, 16 << 20));
    eventually("its socket is full", || {
        let sent = broker.metrics().bytes_out;
        std::thread::sleep(Duration::from_millis(50));
        sent > 100_000 && broker.metrics().bytes_out == sent
    });
    // So little that what is free of the socket's buffer is not the third of it at which it says so.
    let before = told.load(Ordering::Relaxed);
    let mut some = vec![0; 256 << 10];
    std::io::Read::read_exact(&mut slow.0, &mut some).expect("there is more");
    eventually("it is told", || told.load(Ordering::Relaxed) > before);
    drop(slow);
    assert_eq!(broker.stop(), Exit::Stopped);
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_client_that_reads_slowly() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        stop_patience: Duration::from_millis(300),
        ..NetLimits::default()
    };
    let broker = serve(scratch.path(), 1, limits);
    let mut slow = Connection::to(&broker);
    slow.call(&frame(b'W', &vec![5; 8 << 20]));
    for _ in 0..GRANTS {
        slow.send(&range(0, 8 << 20));
    }
    eventually("it is being sent something", || broker.metrics().bytes_out > 100_000);
    let reader = std::thread::spawn(move || {
        let (mut read, mut some) = (0, vec![0; 100 << 10]);
        while let Ok(bytes @ 1..) = std::io::Read::read(&mut slow.0, &mut some) {
            read += bytes;
            std::thread::sleep(Duration::from_millis(20));
        }
        read
    });
    assert_eq!(broker.stop(), Exit::Stopped);
    let read = reader.join().expect("it reads to the end");
    assert!(read < (8 << 20) * GRANTS as usize, "{read} bytes: all of it");
}

/// Ends at once with what it is told.
struct Ending(Halt);

impl Machine for Ending {
    fn step(&mut self, _now: Now, input: Input, effects: &mut Effects) {
        if matches!(input, Input::Start) {
            effects.push(Effect::Halt(self.0.clone()));
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }
}

/// Serves, and stops only when it is hurried.
struct Lacking;

impl Machine for Lacking {
    fn step(&mut self, _now: Now, input: Input, effects: &mut Effects) {
        match input {
            Input::Start => effects.push(Effect::Serve),
            Input::Hurry => effects.push(Effect::Halt(Halt::Unclean(String::from("it lacks room")))),
            _ => {}
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }
}

#[test]
fn a_stop_that_waits_for_no_client_is_hurried_all_the_same() {
    let scratch = Scratch::new();
    let limits = NetLimits {
        stop_patience: Duration::from_millis(50),
        ..NetLimits::default()
    };
    let broker = Broker::start_with(options(scratch.path(), 2, limits), |_, _| Lacking).expect("it begins");
    assert_eq!(broker.ready(), Ok(()));
    assert_eq!(broker.stop(), Exit::Unclean(String::from("it lacks room")));
}

#[test]
fn a_broker_that_may_not_start_says_why_and_listens_no_more() {
    for (halt, exit) in [
        (
            Halt::Refused(String::from("not ours")),
            Exit::Refused(String::from("not ours")),
        ),
        (
            Halt::Fault(Fault::NoSpace),
            Exit::Fault(String::from("no space left on the device")),
        ),
    ] {
        let scratch = Scratch::new();
        let options = options(scratch.path(), 2, NetLimits::default());
        let broker = Broker::start_with(options, |_, _| Ending(halt.clone())).expect("its threads start");
        assert_eq!(broker.ready(), Err(exit.clone()));
        assert_eq!(broker.wait(), exit);
        eventually("nobody listens", || TcpStream::connect(broker.addresses()[0]).is_err());
    }
}

#[test]
fn a_panic_ends_the_broker() {
    struct Panicking;
    impl Machine for Panicking {
        fn step(&mut self, _now: Now, _input: Input, _effects: &mut Effects) {
            panic!("this is meant to be");
        }

        fn next_deadline(&self) -> Option<Monotonic> {
            None
        }
    }
    let scratch = Scratch::new();
    let broker = Broker::start_with(options(scratch.path(), 1, NetLimits::default()), |_, _| Panicking);
    assert_eq!(broker.expect("its threads start").wait(), Exit::Panicked);
}

#[test]
fn a_log_directory_that_cannot_be_is_an_error_with_its_path() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    std::fs::write(&file, b"").expect("it is writable");
    let started = Broker::start_with(options(&file.join("below"), 1, NetLimits::default()), |id, _| {
        Tester::new(id)
    });
    let Err(StartError::LogDirectory { path, .. }) = started else {
        panic!("a file has nothing below it");
    };
    assert_eq!(path, file.join("below"));
}

#[test]
fn ticks_come_at_their_deadlines() {
    /// Asks for ten ticks, each a little later, then stops.
    struct Ticking {
        next: Option<Monotonic>,
        ticks: u32,
    }
    impl Machine for Ticking {
        fn step(&mut self, now: Now, input: Input, effects: &mut Effects) {
            if let Input::Tick = input {
                let due = self.next.expect("a tick was asked for");
                assert!(now.monotonic >= due, "a tick came early");
                self.ticks += 1;
            }
            self.next = Some(now.monotonic.plus_millis(u64::from(self.ticks)));
            if self.ticks == 10 {
                effects.push(Effect::Halt(Halt::Stopped));
            }
        }

        fn next_deadline(&self) -> Option<Monotonic> {
            self.next
        }
    }
    let scratch = Scratch::new();
    let ticking = |_, _| Ticking { next: None, ticks: 0 };
    let broker = Broker::start_with(options(scratch.path(), 2, NetLimits::default()), ticking).expect("it starts");
    assert_eq!(broker.wait(), Exit::Stopped);
}
