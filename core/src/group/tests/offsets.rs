//! What committed offsets hold in memory, and its bound.

use super::{GROUP, Log, Scene, commit, id};
use crate::config::GroupConfig;
use crate::group::{Budgets, CommitAsk, GroupAnswer, GroupAsk};
use crate::types::ErrorCode;
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
