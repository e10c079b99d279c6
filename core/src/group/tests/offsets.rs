//! What committed offsets hold in memory, and its bound.

use super::{GROUP, Log, Scene, commit, id};
use crate::config::GroupConfig;
use crate::group::queue::AT_ONCE;
use crate::group::{Budgets, CommitAsk, CommitOffset, GroupAnswer, GroupAsk};
use crate::types::{ErrorCode, TopicId, Uuid};
use alloc::format;
use alloc::vec::Vec;

fn scene(offsets_max_bytes: u64) -> Scene {
    Scene::with(GroupConfig {
        offsets_max_bytes,
        offsets_retention_ms: 1_000_000,
        ..GroupConfig::default()
    })
}

/// Commits an offset of a partition, and keeps so many bytes with it.
fn keep(scene: &mut Scene, group: &str, partition: i32, bytes: usize) -> ErrorCode {
    let mut ask = commit("", -1, partition, 5);
    ask.offsets[0].metadata = id(&"m".repeat(bytes));
    let part = scene.commit_of(group, ask);
    scene.committed(part)
}

fn held(scene: &Scene) -> usize {
    scene.budgets.offsets.held()
}

/// Commits offsets of new groups until no more are taken; their names.
fn fill(scene: &mut Scene) -> Vec<alloc::string::String> {
    let mut taken = Vec::new();
    loop {
        let group = format!("group {}", taken.len());
        match keep(scene, &group, 0, 10) {
            ErrorCode::None => taken.push(group),
            code => {
                assert_eq!(code, ErrorCode::InvalidCommitOffsetSize, "nobody tries that again");
                return taken;
            }
        }
    }
}

#[test]
fn at_the_bound_no_further_offset_is_taken_and_those_that_are_there_move_on() {
    const ALLOWED: u64 = 50_000;
    let mut scene = scene(ALLOWED);
    let groups = fill(&mut scene);
    assert!((10..40).contains(&groups.len()), "{} groups", groups.len());
    assert!(held(&scene) as u64 <= ALLOWED);
    let listed = scene.listed();
    assert_eq!(listed.len(), groups.len(), "who was refused has left nothing behind");
    for group in &groups {
        assert_eq!(keep(&mut scene, group, 0, 10), ErrorCode::None);
        assert_eq!(keep(&mut scene, group, 0, 3), ErrorCode::None);
        assert_eq!(keep(&mut scene, group, 0, 4000), ErrorCode::InvalidCommitOffsetSize);
    }
    assert_eq!(scene.reports.len(), 1, "{:?}", scene.reports);
    assert!(scene.reports[0].contains("group.offsets.max.bytes"));
}

#[test]
fn of_one_request_what_fits_is_taken() {
    let mut scene = scene(3000);
    let each = |partition| commit("", -1, partition, 5).offsets.remove(0);
    let ask = CommitAsk {
        offsets: (0..4).map(each).collect(),
        ..commit("", -1, 0, 5)
    };
    let part = scene.commit_of(GROUP, ask);
    let (taken, refused) = (ErrorCode::None, ErrorCode::InvalidCommitOffsetSize);
    assert_eq!(
        scene.answer(part),
        GroupAnswer::Committed(Vec::from([taken, taken, refused, refused]))
    );
    assert_eq!(
        [0, 1, 2, 3].map(|it| scene.offset(GROUP, it)),
        [Some(5), Some(5), None, None]
    );
}

#[test]
fn what_is_on_its_way_counts() {
    let mut scene = scene(3000);
    scene.log = Log::Held;
    let first = scene.commit_of("first", commit("", -1, 0, 5));
    let second = scene.commit_of("second", commit("", -1, 0, 5));
    assert_eq!(scene.committed(second), ErrorCode::InvalidCommitOffsetSize);
    let reserved = held(&scene);
    assert!(reserved > 0 && scene.waits(first));
    scene.let_through();
    assert_eq!((scene.committed(first), held(&scene)), (ErrorCode::None, reserved));
    scene.log = Log::Full;
    let lost = scene.commit_of("first", commit("", -1, 1, 5));
    assert_eq!(scene.committed(lost), ErrorCode::NotCoordinator);
    assert_eq!(held(&scene), reserved, "what was not written holds nothing");
}

#[test]
fn deletions_expiry_and_topics_that_go_give_back_what_was_held() {
    let mut scene = scene(50_000);
    let groups = fill(&mut scene);
    let full = held(&scene);
    let delete = scene.ask_of(&groups[0], GroupAsk::Delete);
    assert_eq!(scene.answer(delete), GroupAnswer::Deleted(ErrorCode::None));
    assert!(held(&scene) < full);
    assert_eq!(keep(&mut scene, "another", 0, 10), ErrorCode::None);
    let wanted = Vec::from([(id("orders"), 0)]);
    let delete = scene.ask_of(&groups[1], GroupAsk::DeleteOffsets(wanted));
    let deleted = GroupAnswer::OffsetsDeleted(Ok(Vec::from([ErrorCode::None])));
    assert_eq!(scene.answer(delete), deleted);
    assert_eq!(keep(&mut scene, "one more", 0, 10), ErrorCode::None);
    scene.pass(3_000_000);
    assert_eq!((held(&scene), scene.listed().len()), (0, 0), "they expired");
    assert_eq!(fill(&mut scene).len(), groups.len());
    scene.delete_topic(1);
    assert_eq!(held(&scene), 0);
}

#[test]
fn a_start_counts_what_it_reads_and_refuses_none_of_it() {
    let mut scene = scene(50_000);
    let groups = fill(&mut scene);
    let full = held(&scene);
    scene.restart();
    assert_eq!(held(&scene), full);
    scene.config.groups.offsets_max_bytes = 0;
    scene.budgets = Budgets::new(&scene.config.groups);
    scene.restart();
    assert_eq!(held(&scene), full);
    for group in &groups {
        assert_eq!(scene.offset(group, 0), Some(5));
        assert_eq!(keep(&mut scene, group, 0, 10), ErrorCode::None);
        assert_eq!(keep(&mut scene, group, 1, 0), ErrorCode::InvalidCommitOffsetSize);
    }
}

/// A group whose name is so long that a few of its offsets are more than a batch takes back; how many it has.
fn long_group(scene: &mut Scene, name: &str, topics: u8) -> usize {
    for number in 0..topics {
        scene.create_topic(&format!("topic {number}"), 100 + number);
        let mut ask = commit("", -1, 0, 5);
        let offset = ask.offsets.remove(0);
        ask.offsets = (0..4)
            .map(|partition| CommitOffset {
                topic: id(&format!("topic {number}")),
                id: TopicId(Uuid([100 + number; 16])),
                partition,
                ..offset.clone()
            })
            .collect();
        let part = scene.commit_of(name, ask);
        let taken = alloc::vec![ErrorCode::None; 4];
        assert_eq!(scene.answer(part), GroupAnswer::Committed(taken));
    }
    4 * usize::from(topics)
}

#[test]
fn a_group_too_large_for_a_batch_goes_piece_by_piece_and_what_a_crash_leaves_can_go_too() {
    let name = "n".repeat(32_000);
    let mut scene = scene(100 << 20);
    let count = long_group(&mut scene, &name, 140);
    assert!(count * name.len() > AT_ONCE, "one batch is enough");
    scene.log = Log::Held;
    let asked = scene.ask_of(&name, GroupAsk::Delete);
    assert!(scene.is_appending() && scene.waits(asked));
    scene.crash_after_write();
    scene.log = Log::Prompt;
    scene.restart();
    assert_eq!(scene.listed().len(), 1, "it was not removed, and nobody was told so");
    let before = scene.batches.len();
    let asked = scene.ask_of(&name, GroupAsk::Delete);
    assert_eq!(scene.answer(asked), GroupAnswer::Deleted(ErrorCode::None));
    assert!(scene.batches[before..].iter().all(|batch| batch.len() <= AT_ONCE));
    assert_eq!((scene.listed().len(), held(&scene)), (0, 0));
    scene.restart();
    assert_eq!((scene.listed().len(), held(&scene)), (0, 0));
}

#[test]
fn a_write_that_fails_between_two_pieces_is_told_and_tried_again() {
    let name = "n".repeat(32_000);
    let mut scene = scene(100 << 20);
    long_group(&mut scene, &name, 140);
    scene.log = Log::Held;
    let asked = scene.ask_of(&name, GroupAsk::Delete);
    scene.log = Log::Full;
    scene.let_through();
    assert_eq!(scene.answer(asked), GroupAnswer::Deleted(ErrorCode::NotCoordinator));
    assert_eq!(scene.listed().len(), 1);
    let asked = scene.ask_of(&name, GroupAsk::Delete);
    assert_eq!(scene.answer(asked), GroupAnswer::Deleted(ErrorCode::None));
    assert_eq!((scene.listed().len(), held(&scene)), (0, 0));
}

#[test]
fn more_offsets_than_one_batch_takes_back_stay() {
    const TOPICS: u8 = 155;
    let name = "n".repeat(32_767);
    let mut scene = scene(100 << 20);
    let count = long_group(&mut scene, &name, TOPICS);
    let each = |number: u8| (0..4).map(move |partition| (id(&format!("topic {number}")), partition));
    let full = held(&scene);
    let delete = |topics| GroupAsk::DeleteOffsets((0..topics).flat_map(each).collect());
    let asked = scene.ask_of(&name, delete(TOPICS));
    let large = GroupAnswer::OffsetsDeleted(Err(ErrorCode::UnknownServerError));
    assert_eq!((scene.answer(asked), held(&scene)), (large, full));
    let asked = scene.ask_of(&name, delete(100));
    let all = GroupAnswer::OffsetsDeleted(Ok(alloc::vec![ErrorCode::None; 400]));
    assert_eq!(scene.answer(asked), all, "whatever size the topic allows");
    assert!(count > 400 && held(&scene) < full);
}

#[test]
fn offsets_of_a_gone_topic_go_batch_by_batch() {
    let name = "n".repeat(32_767);
    let mut scene = scene(100 << 20);
    long_group(&mut scene, &name, 155);
    // All at once, as a start finds them.
    for number in 0..155 {
        scene.remove_topic(100 + number);
    }
    let before = scene.batches.len();
    scene.restart();
    assert_eq!((scene.listed().len(), held(&scene)), (0, 0));
    assert!(scene.batches[before..].iter().all(|batch| batch.len() <= AT_ONCE));
}
