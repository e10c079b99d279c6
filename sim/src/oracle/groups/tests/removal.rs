//! What goes, goes for a reason and for good.

use super::{Told, commit, oracle, owned, speaker};
use crate::disk::Disk;
use crate::frame::{Committed, GroupRequest, GroupResponse, Request, Response, Speaker, TopicRef};
use crate::oracle::Checker;
use crate::stage::MILLIS;

fn deletion() -> GroupRequest {
    GroupRequest::Delete {
        group: "group".to_owned(),
        version: 2,
    }
}

fn deletion_of_offsets() -> GroupRequest {
    let topic = TopicRef {
        name: "topic".to_owned(),
        id: [1; 16],
    };
    GroupRequest::DeleteOffsets {
        group: "group".to_owned(),
        parts: vec![(topic, 0)],
    }
}

impl Told {
    /// A deletion that is sent and answered at once.
    fn deletes(&mut self, millis: u64, request: &GroupRequest, error: i16) {
        let answer = match request {
            GroupRequest::DeleteOffsets { parts, .. } => {
                let gone = Committed {
                    topic: parts[0].0.clone(),
                    partition: 0,
                    error,
                };
                let parts = Some(gone).filter(|_| error == 0).into_iter().collect();
                GroupResponse::OffsetsDeleted { error, parts }
            }
            _ => GroupResponse::Deleted { error },
        };
        let request = Request::Group(request.clone());
        self.at(millis)
            .heard(&request, millis * MILLIS, &Response::Group(answer));
    }
}

/// A commit by nobody's member.
fn loose(offset: i64, token: i64) -> GroupRequest {
    let GroupRequest::Commit { offsets, .. } = commit(-1, offset, token) else {
        panic!("a commit is one");
    };
    let speaker = Speaker {
        member: String::new(),
        ..speaker("", -1)
    };
    GroupRequest::Commit { speaker, offsets }
}

#[test]
fn what_was_deleted_does_not_come_back() {
    for request in [deletion(), deletion_of_offsets()] {
        let after = |error, offset, token| {
            let mut told = Told(oracle());
            told.commits(1, &loose(7, 1), 0);
            told.deletes(3, &request, error);
            told.is_told(5, offset, token);
            told.judged()
        };
        assert_eq!(after(0, 7, 1), Some(Checker::GroupOffsets), "{request:?}");
        assert_eq!(after(0, -1, 0), None);
        assert_eq!(after(68, 7, 1), None, "it was refused");
        assert_eq!(after(68, -1, 0), Some(Checker::GroupOffsets));
        assert_eq!(after(16, 7, 1), None, "nobody knows");
        let mut told = Told(oracle());
        told.commits(1, &loose(7, 1), 0);
        told.deletes(3, &request, 16);
        told.is_told(5, -1, 0);
        told.is_told(6, 7, 1);
        let expected = Some(Checker::GroupOffsets);
        assert_eq!(told.judged(), expected, "nobody knows, but not both");
    }
}

#[test]
fn a_group_that_is_not_there_has_no_offsets() {
    let after = |deleted: bool| {
        let mut told = Told(oracle());
        told.commits(1, &loose(7, 1), 0);
        if deleted {
            told.deletes(3, &deletion(), 0);
        }
        told.deletes(5, &deletion(), 69);
        told.judged()
    };
    assert_eq!(after(true), None);
    assert_eq!(after(false), Some(Checker::GroupOffsets));
}

#[test]
fn nothing_expires_early_whatever_the_wall_clock_says_and_a_start_believes_it() {
    let missing = |millis, steps: bool, starts: bool| {
        let mut told = Told(oracle());
        told.0.set_group_retention(Some(100));
        told.at(0).process_started(1000);
        told.commits(1, &loose(7, 1), 0);
        if steps {
            told.at(10).wall_stepped(90_000, true);
        }
        if starts {
            told.at(20).process_started(90_000);
        }
        told.is_told(millis, -1, 0);
        told.judged()
    };
    assert_eq!(missing(50, false, false), Some(Checker::GroupOffsets));
    assert_eq!(missing(50, true, false), Some(Checker::GroupOffsets), "a step");
    assert_eq!(missing(50, true, true), None, "a step, and a start");
    assert_eq!(missing(102, false, false), None, "its time has passed");
    let mut told = Told(oracle());
    told.0.set_group_retention(Some(100));
    told.at(0).process_started(1000);
    told.commits(1, &loose(7, 1), 0);
    told.is_told(150, -1, 0);
    told.is_told(160, 7, 1);
    assert_eq!(told.judged(), Some(Checker::GroupOffsets), "it came back");
}

#[test]
fn while_members_live_no_offset_of_theirs_expires() {
    let missing = |heard: &[u64]| {
        let mut told = Told(oracle());
        told.0.set_group_retention(Some(100));
        told.at(0).process_started(1000);
        told.joins(1, "a", 1, "a", &["a"]);
        told.commits(2, &commit(1, 7, 1), 0);
        told.syncs(3, 0, ("a", 1), &[0]);
        for &millis in heard {
            told.lives(millis, 0, ("a", 1), 1);
        }
        told.is_told(200, -1, 0);
        told.judged()
    };
    assert_eq!(missing(&[]), None);
    assert_eq!(missing(&[80, 140]), Some(Checker::GroupOffsets));
    assert_eq!(missing(&[150]), None, "nobody was heard of for long enough before");
}

#[test]
fn a_deleted_group_begins_anew_and_has_none_of_its_members() {
    let mut told = Told(oracle());
    told.joins(1, "a", 5, "a", &["a"]);
    told.deletes(20, &deletion(), 0);
    told.joins(30, "b", 1, "b", &["b"]);
    told.syncs(35, 1, ("b", 1), &[0]);
    assert_eq!(told.found(), None);
    told.commits(40, &commit(1, 7, 1), 0);
    assert_eq!(told.found(), Some(Checker::Generations), "a is no member any more");

    let mut told = Told(oracle());
    told.joins(1, "a", 5, "a", &["a"]);
    told.deletes(20, &deletion(), 68);
    told.joins(30, "b", 1, "b", &["b"]);
    assert_eq!(told.found(), Some(Checker::Generations), "it was not deleted");

    let mut told = Told(oracle());
    told.joins(1, "a", 5, "a", &["a"]);
    told.at(20).unheard(&Request::Group(deletion()), 10 * MILLIS);
    told.joins(30, "b", 1, "b", &["b"]);
    assert_eq!(told.found(), None, "it may have been");

    let mut told = Told(oracle());
    told.joins(1, "a", 5, "a", &["a"]);
    told.at(10).group_sending(&deletion());
    told.joins(30, "b", 1, "b", &["b"]);
    assert_eq!(told.found(), None, "it was, and the answer is on its way");
}

#[test]
fn a_group_with_members_keeps_them_and_what_they_use() {
    for (request, checker) in [
        (deletion(), Checker::Generations),
        (deletion_of_offsets(), Checker::GroupOffsets),
    ] {
        for (millis, expected) in [(50, Some(checker)), (111, None)] {
            let mut told = super::owned();
            told.deletes(millis, &request, 0);
            assert_eq!(told.found(), expected, "at {millis}, the last sign of life was at 10");
        }
    }
}

#[test]
fn an_empty_group_expires_with_its_last_offset_and_at_once_without_any() {
    let anew = |retention: Option<u64>, commits: bool, millis: u64| {
        let mut told = Told(oracle());
        told.0.set_group_retention(retention);
        told.at(0).process_started(1000);
        told.joins(1, "a", 5, "a", &["a"]);
        if commits {
            told.commits(4, &commit(5, 7, 1), 0);
        }
        told.joins(millis, "b", 1, "b", &["b"]);
        told.found()
    };
    assert_eq!(anew(Some(100), true, 30), Some(Checker::Generations));
    assert_eq!(anew(Some(100), true, 130), None);
    assert_eq!(anew(Some(100), false, 30), None);
    assert_eq!(anew(None, false, 130), Some(Checker::Generations), "nothing expires");
}

#[test]
fn a_list_shows_nothing_of_what_it_lacks_while_groups_cannot_be_read() {
    let left_out = |notes: &[(u64, usize, u64)], (begin, answered): (u64, u64)| {
        let mut told = Told(oracle());
        told.commits(1, &loose(7, 1), 0);
        for &(millis, shard, count) in notes {
            told.at(millis).groups_unread(shard, count);
        }
        let group = "group".to_owned();
        told.at(answered)
            .groups_not_listed([&group].into_iter(), begin * MILLIS);
        told.is_told(90, 7, 1);
        told.judged()
    };
    let wrong = Some(Checker::GroupOffsets);
    assert_eq!(left_out(&[], (20, 30)), wrong, "it was there before and after");
    assert_eq!(left_out(&[(10, 0, 1)], (20, 30)), None, "nobody can read it");
    assert_eq!(
        left_out(&[(10, 0, 1), (25, 0, 0)], (20, 30)),
        None,
        "nor could when it was asked for"
    );
    assert_eq!(
        left_out(&[(10, 0, 1), (15, 0, 0)], (20, 30)),
        wrong,
        "it was read before that"
    );
    assert_eq!(
        left_out(&[(10, 0, 1), (15, 1, 0)], (20, 30)),
        None,
        "another shard's were"
    );
}

#[test]
fn a_list_leaves_out_no_group_with_members_but_one_that_cannot_be_read() {
    let left_out = |unread: &[(u64, u64)], begin: u64, listed: bool| {
        let mut told = owned();
        for &(millis, count) in unread {
            told.at(millis).groups_unread(0, count);
        }
        let group = "group".to_owned();
        let absent = Some(&group).filter(|_| !listed);
        told.at(50).groups_not_listed(absent.into_iter(), begin * MILLIS);
        told.found()
    };
    let wrong = Some(Checker::Generations);
    assert_eq!(left_out(&[], 40, false), wrong, "it has a member all the time");
    assert_eq!(left_out(&[], 40, true), None, "it is listed");
    assert_eq!(
        left_out(&[], 4, false),
        None,
        "the member had no part yet when it was asked"
    );
    assert_eq!(left_out(&[(30, 1)], 40, false), None, "nobody can read it");
    assert_eq!(
        left_out(&[(30, 1), (45, 0)], 40, false),
        None,
        "nor could when it was asked"
    );
    assert_eq!(
        left_out(&[(30, 1), (35, 0)], 40, false),
        wrong,
        "it was read before that"
    );
    let mut told = owned();
    told.at(30).groups_unread(0, 1);
    told.at(50).group_missing("group", 40 * MILLIS);
    assert_eq!(
        told.found(),
        wrong,
        "whoever asks for it by name is told that it cannot be read"
    );
}

#[test]
fn what_a_process_could_not_read_is_no_excuse_of_the_next() {
    let mut told = Told(oracle());
    told.commits(1, &loose(7, 1), 0);
    told.at(10).groups_unread(0, 1);
    told.at(15).after_crash(&Disk::new(), false);
    let group = "group".to_owned();
    told.at(30).groups_not_listed([&group].into_iter(), 20 * MILLIS);
    told.is_told(90, 7, 1);
    assert_eq!(told.judged(), Some(Checker::GroupOffsets));
}
