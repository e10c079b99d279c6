//! What a start makes of what the last run left: in good order, killed, or with a tail that is not whole.

use klamm_tests::Broker;
use klamm_tests::frame::{batch, is_stored};
use klamm_tests::record::Draw;
use std::fs;
use std::io::Write as _;

const TOPIC: &str = "kept";
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

/// A broker with one topic, and the batches that it must hold.
struct Keeper {
    broker: Broker,
    draw: Draw,
    kept: Vec<Vec<u8>>,
}

impl Keeper {
    fn start() -> Self {
        let broker = Broker::start();
        broker.create_topic(TOPIC, 1, &[("segment.bytes", "1048576")]);
        Self {
            broker,
            draw: Draw::new(9),
            kept: Vec::new(),
        }
    }

    fn append(&mut self, count: usize) {
        let mut connection = self.broker.connect();
        for _ in 0..count {
            let length = self.draw.below(60_000) as usize;
            let batch = batch(&[&self.draw.bytes(length)]);
            let told = connection.produce(TOPIC, 0, &batch).expect("Produce is answered");
            assert_eq!((told.error, told.base_offset), (0, self.kept.len() as i64));
            self.kept.push(batch);
        }
    }

    fn assert_kept(&self, after: &str) {
        let read = self.broker.connect().fetch_all(TOPIC, 0, self.kept.len() as i64);
        assert_eq!(read.len(), self.kept.len(), "batches after {after}");
        for (index, ((base_offset, read), sent)) in read.iter().zip(&self.kept).enumerate() {
            assert_eq!(*base_offset, index as i64, "after {after}");
            assert!(is_stored(read, sent), "batch {index} has changed after {after}");
        }
    }

    /// Demands that the files hold the kept batches and not a byte more.
    fn assert_files_hold_no_more(&self) {
        let length = |path: &std::path::PathBuf| fs::metadata(path).expect("a segment").len();
        let stored: u64 = self.broker.segments(TOPIC, 0).iter().map(length).sum();
        let sent: usize = self.kept.iter().map(Vec::len).sum();
        assert_eq!(stored, sent as u64, "bytes in the segments");
    }
}

#[test]
fn stops_in_good_order_keep_everything() {
    let mut keeper = Keeper::start();
    for round in 0..4 {
        keeper.append(40);
        assert!(keeper.broker.stop().success(), "{}", keeper.broker.output());
        keeper.broker.restart();
        keeper.assert_kept(&format!("stop {round}"));
    }
    assert!(keeper.broker.segments(TOPIC, 0).len() > 2, "the log has rolled");
    keeper.assert_files_hold_no_more();
}

#[test]
fn kills_in_a_row_keep_everything() {
    let mut keeper = Keeper::start();
    for round in 0..4 {
        keeper.append(40);
        keeper.broker.kill();
        keeper.broker.restart();
        keeper.broker.kill();
        keeper.broker.restart();
        keeper.assert_kept(&format!("kill {round}"));
    }
    keeper.assert_files_hold_no_more();
}

/// Whatever stands behind the last whole batch was never acknowledged, and goes.
#[test]
fn a_torn_tail_is_cut_off_and_nothing_else() {
    let mut keeper = Keeper::start();
    let mut next = batch(&[&[7; 5000]]);
    let tails = [
        vec![0; 4096],
        Draw::new(5).bytes(3000),
        next[..40].to_vec(),
        next[..next.len() - 1].to_vec(),
        {
            *next.last_mut().expect("a batch is not empty") ^= 1;
            next
        },
    ];
    for (number, mut tail) in tails.into_iter().enumerate() {
        keeper.append(10);
        keeper.broker.kill();
        if tail.len() >= 8 && number >= 2 {
            tail[..8].copy_from_slice(&(keeper.kept.len() as i64).to_be_bytes());
        }
        let segments = keeper.broker.segments(TOPIC, 0);
        let last = segments.last().expect("the log has a segment");
        let mut file = fs::File::options()
            .append(true)
            .open(last)
            .expect("the segment is there");
        file.write_all(&tail).expect("the tail is written");
        keeper.broker.restart();
        keeper.assert_kept(&format!("tail {number}"));
        keeper.append(1);
        keeper.assert_kept(&format!("an append behind tail {number}"));
        keeper.assert_files_hold_no_more();
    }
}

#[test]
fn topics_survive_a_kill_and_deleted_ones_stay_away() {
    let mut keeper = Keeper::start();
    keeper.append(5);
    keeper.broker.create_topic("short-lived", 2, &[]);
    let sound = batch(&[b"old"]);
    let mut connection = keeper.broker.connect();
    assert_eq!(
        connection
            .produce("short-lived", 1, &sound)
            .expect("Produce is answered")
            .error,
        0
    );
    assert_eq!(connection.delete_topic("short-lived"), 0);
    keeper.broker.create_topic("again", 1, &[]);
    keeper.broker.kill();
    keeper.broker.restart();
    keeper.assert_kept("a kill");
    let mut connection = keeper.broker.connect();
    let told = connection
        .produce("short-lived", 1, &sound)
        .expect("Produce is answered");
    assert_eq!(told.error, UNKNOWN_TOPIC_OR_PARTITION, "a deleted topic is gone");
    assert_eq!(
        connection
            .produce("again", 0, &sound)
            .expect("Produce is answered")
            .error,
        0
    );
    keeper.broker.create_topic("short-lived", 2, &[]);
    let (error, records) = connection.fetch("short-lived", 1, 0).expect("Fetch is answered");
    assert_eq!(
        (error, records.len()),
        (0, 0),
        "a topic that was created again is empty"
    );
    let told = connection
        .produce("short-lived", 1, &sound)
        .expect("Produce is answered");
    assert_eq!((told.error, told.base_offset), (0, 0));
}
