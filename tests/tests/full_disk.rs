//! A disk that is full: the append is refused with `KAFKA_STORAGE_ERROR`, what was acknowledged stays, and once there is
//! room the same process takes records again.

use klamm_tests::frame::{Connection, batch, is_stored};
use klamm_tests::mount::Mount;
use klamm_tests::record::Draw;
use klamm_tests::{Broker, Options};
use std::fs;
use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

const TOPIC: &str = "full";
const KAFKA_STORAGE_ERROR: i16 = 56;

/// A file system of its own, small enough to fill.
struct SmallDisk(Mount);

impl SmallDisk {
    /// Takes all room but some 250 KB: two batches still fit, the third is cut off in its middle.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.path().join("ballast")).expect("a file");
        let part = vec![1; 64 << 10];
        let mut written = 0;
        while ballast.write_all(&part).is_ok() {
            written += part.len() as u64;
        }
        ballast.set_len(written - (256 << 10)).expect("it can be cut");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.path().join("ballast")).expect("the ballast is there");
    }
}

/// Appends batches until one is refused or `most` are in; returns the error code, 0 for none.
fn append(connection: &mut Connection, draw: &mut Draw, kept: &mut Vec<Vec<u8>>, most: usize) -> i16 {
    for _ in 0..most {
        let batch = batch(&[&draw.bytes(100_000)]);
        let told = connection.produce(TOPIC, 0, &batch).expect("Produce is answered");
        if told.error != 0 {
            return told.error;
        }
        assert_eq!(
            told.base_offset,
            kept.len() as i64,
            "no offset is given twice or left out"
        );
        kept.push(batch);
    }
    0
}

/// The log has to look at what it holds before it takes more, so the first try may still be refused.
fn assert_appends_again(connection: &mut Connection, draw: &mut Draw, kept: &mut Vec<Vec<u8>>) {
    let mut tries = (0..600).map(|_| {
        sleep(Duration::from_millis(50));
        append(connection, draw, kept, 5)
    });
    assert!(
        tries.any(|error| error == 0),
        "there is room, and appends are still refused"
    );
}

fn assert_kept(broker: &Broker, kept: &[Vec<u8>]) {
    let read = broker.connect().fetch_all(TOPIC, 0, kept.len() as i64);
    assert_eq!(read.len(), kept.len(), "number of batches");
    for (index, ((base_offset, read), sent)) in read.iter().zip(kept).enumerate() {
        assert_eq!(*base_offset, index as i64);
        assert!(is_stored(read, sent), "batch {index} has changed");
    }
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_without_a_restart() {
    let disk = SmallDisk(Mount::tmpfs("size=32m"));
    let log_dir = Some(disk.0.path().join("data"));
    let mut broker = Broker::start_with(Options {
        log_dir,
        metrics: true,
        ..Options::default()
    });
    broker.create_topic(TOPIC, 1, &[]);
    let no_space = "klamm_disk_faults_total{kind=\"no_space\"}";
    assert_eq!(broker.metric(no_space), 0);
    let (mut draw, mut kept) = (Draw::new(3), Vec::new());
    let mut connection = broker.connect();
    assert_eq!(append(&mut connection, &mut draw, &mut kept, 5), 0);
    for round in 0..3 {
        disk.fill();
        let error = append(&mut connection, &mut draw, &mut kept, 100);
        assert_eq!(error, KAFKA_STORAGE_ERROR, "round {round}: the full disk is told");
        assert_kept(&broker, &kept);
        disk.make_room();
        assert_appends_again(&mut connection, &mut draw, &mut kept);
        assert_kept(&broker, &kept);
    }
    assert!(!broker.has_ended(), "{}", broker.output());
    assert!(broker.metric(no_space) >= 3, "each round met the full disk");
    broker.kill();
    broker.restart();
    assert_kept(&broker, &kept);
}
