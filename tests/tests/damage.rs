//! What an operator learns of logs that lost something: from the log lines of a start, from metrics, and what he can do.

use klamm_tests::frame::{batch, is_stored};
use klamm_tests::{Broker, Options};
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::thread::sleep;
use std::time::Duration;

const TOPIC: &str = "kept";
const OFFLINE: &str = "klamm_partitions_offline{reason=\"damage\"}";
const DAMAGE: &str = "klamm_disk_faults_total{kind=\"damage\"}";
const WITHHELD: &str = "klamm_batches_withheld_total{reason=\"header\"}";
const KAFKA_STORAGE_ERROR: i16 = 56;

/// A broker with two partitions of so many batches each, and those batches.
fn filled(count: u8) -> (Broker, Vec<Vec<u8>>) {
    let broker = Broker::start_with(Options {
        metrics: true,
        ..Options::default()
    });
    broker.create_topic(TOPIC, 2, &[]);
    let kept: Vec<_> = (0..count).map(|i| batch(&[&[i; 5000]])).collect();
    let mut connection = broker.connect();
    for partition in 0..2 {
        for batch in &kept {
            let told = connection
                .produce(TOPIC, partition, batch)
                .expect("Produce is answered");
            assert_eq!(told.error, 0);
        }
    }
    (broker, kept)
}

fn assert_kept(broker: &Broker, partition: i32, kept: &[Vec<u8>]) {
    let read = broker.connect().fetch_all(TOPIC, partition, kept.len() as i64);
    assert_eq!(read.len(), kept.len());
    assert!(read.iter().zip(kept).all(|((_, read), sent)| is_stored(read, sent)));
}

fn await_offline(broker: &Broker, count: u64) {
    let mut looks = (0..600).map(|_| {
        sleep(Duration::from_millis(50));
        broker.metric(OFFLINE)
    });
    assert!(looks.any(|now| now == count), "{}", broker.output());
}

#[test]
fn a_partition_whose_directory_is_gone_is_told_of_at_the_start_and_comes_back_with_it() {
    let (mut broker, kept) = filled(3);
    assert!(broker.stop().success(), "{}", broker.output());
    let folder = broker.partition_folder(TOPIC, 0);
    let aside = broker.log_dir().with_extension("aside");
    fs::rename(&folder, &aside).expect("it can be moved");
    broker.restart();
    // Nobody has asked for the partition yet.
    await_offline(&broker, 1);
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let said = broker.output();
    for words in [
        format!("directories of partitions are gone that were there at the last stop, with records in them: {name}"),
        format!("{TOPIC}-0: taken offline"),
        format!("remove {name}/lost"),
    ] {
        assert!(said.contains(&words), "no {words:?} in\n{said}");
    }
    let mut connection = broker.connect();
    let (error, _) = connection.fetch(TOPIC, 0, 0).expect("Fetch is answered");
    assert_eq!(error, KAFKA_STORAGE_ERROR);
    assert_kept(&broker, 1, &kept);

    // As the log line says: what is missing is put back, and the mark goes.
    assert!(broker.stop().success(), "{}", broker.output());
    fs::remove_dir_all(&folder).expect("the mark's folder can be removed");
    fs::rename(&aside, &folder).expect("it can be moved");
    broker.restart();
    assert_kept(&broker, 0, &kept);
    assert_eq!((broker.metric(OFFLINE), broker.metric(DAMAGE)), (0, 0));
}

#[test]
fn a_batch_that_is_not_the_one_due_is_counted_as_withheld() {
    let (mut broker, kept) = filled(20);
    // After a clean stop the log is opened without a look at its batches.
    assert!(broker.stop().success(), "{}", broker.output());
    let segment = broker.segments(TOPIC, 0).remove(0);
    let mut file = fs::File::options()
        .read(true)
        .write(true)
        .open(&segment)
        .expect("it is there");
    let second: u64 = kept[0].len() as u64;
    // The base offset, which no CRC covers.
    file.seek(SeekFrom::Start(second + 7)).expect("it is as long");
    let mut byte = [0];
    file.read_exact(&mut byte).expect("it is as long");
    file.seek(SeekFrom::Start(second + 7)).expect("it is as long");
    file.write_all(&[byte[0] ^ 64]).expect("it can be written");
    drop(file);
    broker.restart();
    assert_eq!((broker.metric(WITHHELD), broker.metric(DAMAGE)), (0, 0));
    assert!(broker.connect().fetch(TOPIC, 0, 0).is_err(), "the connection is closed");
    // It is counted once it is known to the partition's shard.
    let mut looks = (0..600).map(|_| {
        sleep(Duration::from_millis(50));
        (broker.metric(WITHHELD), broker.metric(DAMAGE))
    });
    assert!(looks.any(|now| now == (1, 1)));
    assert_eq!(broker.metric(OFFLINE), 0, "what is sound is served");
    assert_kept(&broker, 1, &kept);
}
