//! What a note of how far a log is synced is good for: damage below it is not taken for a torn tail.

use super::bench::{Bench, CHECKPOINT, batch};
use super::recovery::{FIRST, filled, one_segment, producer};
use crate::config::{FlushMode, Limits};
use crate::log::{LogConfig, Source};
use crate::types::{Fault, Offset};
use alloc::vec::Vec;

/// A log that noted how far it was synced after each of its batches, and nothing else.
fn noted(count: i32) -> Bench {
    let config = LogConfig {
        note_bytes: 1,
        ..one_segment()
    };
    filled(config, count)
}

#[test]
fn what_is_bad_below_the_note_is_damage_and_is_left_as_it_is() {
    let pristine = noted(4);
    let path = pristine.path(FIRST);
    let whole = pristine.disk.file(&path).expect("it was written").to_vec();
    for at in (0..whole.len()).step_by(7) {
        let mut bench = noted(4);
        bench.disk.spoil(&path, |bytes| bytes[at] ^= 4);
        let spoiled = bench.disk.file(&path).map(<[u8]>::to_vec);
        for _ in 0..2 {
            let refused = bench.recover(Source::Directory);
            assert!(matches!(refused, Err(Fault::Corruption(_))), "byte {at}: {refused:?}");
            assert_eq!(
                bench.disk.file(&path).map(<[u8]>::to_vec),
                spoiled,
                "nothing is cut off"
            );
            assert_eq!(bench.disk.open_files(), 0);
            bench.disk.power_cut();
        }
    }
    for cut in 0..whole.len() {
        let mut bench = noted(4);
        bench.disk.spoil(&path, |bytes| bytes.truncate(cut));
        let refused = bench.recover(Source::Directory);
        assert!(matches!(refused, Err(Fault::Corruption(_))), "{cut} bytes: {refused:?}");
    }
}

#[test]
fn whoever_gives_up_what_is_lost_goes_on_with_what_is_whole() {
    let mut bench = noted(4);
    let path = bench.path(FIRST);
    let length = bench.disk.file(&path).map_or(0, <[u8]>::len) / 4;
    bench.disk.spoil(&path, |bytes| bytes[2 * length + 70] ^= 1);
    bench
        .recover(Source::Directory)
        .expect_err("what was synced is damaged");
    let Err(Fault::Corruption(text)) = bench.recover(Source::Directory) else {
        panic!("it is refused for good")
    };
    for name in ["lost", "synced"] {
        let file = bench.path(name);
        assert!(text.contains(&file), "{text}");
        bench.disk.lose(&file);
    }
    bench.restart();
    assert_eq!(bench.log.end(), Offset(4));
}

#[test]
fn behind_the_note_or_without_one_a_bad_batch_is_a_torn_tail() {
    let note = |bench: &Bench| bench.path("synced");
    let mut older = noted(2);
    let old = older.disk.file(&note(&older)).expect("it was written").to_vec();
    older.append(batch(2, 30, producer(4), 4));
    older.settle();
    let mut rotten = older.disk.file(&note(&older)).expect("it was written").to_vec();
    let torn = rotten[..9].to_vec();
    rotten[12] ^= 1;
    let notes = [
        ("older", old),
        ("empty", Vec::new()),
        ("torn", torn),
        ("rotten", rotten),
    ];
    for (how, says) in notes {
        let mut bench = Bench::new();
        bench.disk = older.disk.clone();
        let (path, note) = (bench.path(FIRST), note(&bench));
        bench.disk.spoil(&note, |bytes| bytes.clone_from(&says));
        bench
            .disk
            .spoil(&path, |bytes| *bytes.last_mut().expect("records") ^= 1);
        let report = bench.restart();
        assert!(report.bytes_truncated > 0, "{how}");
        assert_eq!(bench.log.end(), Offset(4), "{how}");
    }
}

#[test]
fn without_fsync_nothing_is_noted() {
    let config = LogConfig {
        note_bytes: 1,
        flush: FlushMode::Os,
        ..one_segment()
    };
    let mut bench = Bench::with(config, Limits::default(), FlushMode::Os);
    bench.append(batch(2, 30, producer(0), 1));
    bench.log.want_note();
    bench.settle();
    assert_eq!(bench.disk.file(&bench.path("synced")), None);
}

#[test]
fn little_is_noted_only_when_it_is_wanted() {
    let mut bench = filled(one_segment(), 2);
    assert_eq!(bench.disk.file(&bench.path("synced")), None);
    bench.log.want_note();
    bench.settle();
    assert!(bench.disk.file(&bench.path("synced")).is_some());
    bench.disk.spoil(&bench.path(FIRST), |bytes| bytes.truncate(70));
    assert!(matches!(bench.recover(Source::Directory), Err(Fault::Corruption(_))));
}

#[test]
fn a_note_that_could_not_be_written_is_written_with_the_next_tick() {
    let mut bench = filled(one_segment(), 2);
    for room in [Some(0), Some(7), None] {
        bench.disk.room = room;
        bench.log.want_note();
        bench.settle();
        let note = bench.disk.file(&bench.path("synced")).map(<[u8]>::len);
        assert_eq!(note, Some(room.unwrap_or(20)), "once a tick");
        assert!(
            bench.log.note_synced(&mut bench.storage).is_none(),
            "not before the next tick"
        );
    }
    bench.log.want_note();
    assert!(bench.log.note_synced(&mut bench.storage).is_none(), "it was written");
    bench.disk.spoil(&bench.path(FIRST), |bytes| bytes.truncate(70));
    assert!(matches!(bench.recover(Source::Directory), Err(Fault::Corruption(_))));
}

#[test]
fn what_the_manifest_said_is_known_after_it_is_gone() {
    let mut bench = filled(one_segment(), 3);
    assert_eq!(bench.disk.file(&bench.path("synced")), None, "little became durable");
    let entry = bench.close();
    // The next start takes the manifest into account, cannot open the log, and ends.
    for name in bench.disk.files().iter().filter(|name| name.ends_with(CHECKPOINT)) {
        bench.disk.lose(name);
    }
    bench
        .disk
        .spoil(&bench.path(FIRST), |bytes| *bytes.last_mut().expect("records") ^= 1);
    let refused = bench.recover(Source::Directory);
    assert!(matches!(refused, Err(Fault::Corruption(_))), "{entry:?}: {refused:?}");
}
