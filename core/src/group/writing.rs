//! What a coordinator writes: the records that groups decide on and offsets, and what follows once they are durable, or
//! could not be written.
//!
//! Invariants: one batch is on its way at a time; what depends on it is done, answered and shown once it is durable; after
//! a write that failed nothing is believed but the partition, which is read anew.

use super::ask::GroupAnswer;
use super::classic::{After, Group, Record};
use super::coordinator::{Coordinator, Outcome, State, View, Want, is_current};
use super::offsets::Committed;
use super::queue::{AT_ONCE, Then, first_of};
use super::reading::Ignored;
use super::record::{self, Extent};
use crate::bugs::bug;
use crate::marks::mark;
use crate::partition::Matter;
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::types::{ErrorCode, Now};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Debug;

impl<T: Copy + Debug> Coordinator<T> {
    /// Has the record written that decides on a group. What takes the group back, and what says no more than its
    /// generation, is written whatever size the topic allows; members that it does not allow are refused.
    pub(super) fn write(&mut self, name: &Arc<str>, record: Record, view: View<'_>, outcome: &mut Outcome<T>) {
        let group = &self.groups[name];
        let joining = matches!(group.storing.as_ref().map(|it| &it.after), Some(After::Joined));
        let records = match record {
            Record::Members if joining && bug!(GenerationNotDurable) => Some(Vec::new()),
            Record::Nothing => Some(Vec::new()),
            Record::Tombstone => return self.remove(name),
            Record::Members => {
                let whole = record::group(group, Extent::Members).ok().map(|pair| Vec::from([pair]));
                let fits = whole.filter(|records| self.queue.takes(records));
                // The generation is written in any case; without its members, who after a start have to join anew.
                fits.or_else(|| {
                    let small = joining || group.members.is_empty();
                    let pair = small.then(|| record::group(group, Extent::Generation).ok());
                    pair.flatten().map(|pair| Vec::from([pair]))
                })
            }
        };
        if let Some(records) = records {
            return self.queue.append(records, Then::Landed(Arc::clone(name)));
        }
        let text =
            format!("group {name}: its members do not fit one record of __consumer_offsets; they have to join anew");
        outcome.reports.push((Matter::GroupsLarge, text));
        self.with(name, view, outcome, Group::cannot_store);
    }

    /// Has a group removed with its offsets: in one batch, so that no half of it stays, unless that is too large; then piece
    /// by piece, itself last, so that what a crash leaves can be removed again.
    fn remove(&mut self, name: &Arc<str>) {
        let offsets = self.groups[name].offsets.iter();
        let gone = offsets.map(|(topic, partition, _)| (Arc::clone(topic), partition));
        let (gone, all) = first_of(tombstones(name, gone), AT_ONCE);
        let (mut records, offsets): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
        let group = Arc::clone(name);
        let then = if all {
            let itself = record::group_gone(name).ok();
            records.extend(itself.filter(|_| !bug!(GroupRecordOutlivesDeletion)));
            Then::Landed(group)
        } else {
            Then::Shrunk { group, offsets }
        };
        self.queue.append(records, then);
    }

    /// Hands the next batch to the log, if none is on its way.
    pub(super) fn hand_over(&mut self, view: View<'_>, outcome: &mut Outcome<T>) {
        while let Some(wave) = self.queue.next() {
            if wave.records.is_empty() {
                self.follow(wave.then, view, outcome);
                continue;
            }
            let batch = self.batch(&wave.records, view.now);
            self.queue.depart(wave.then);
            assert!(outcome.want.is_none(), "a coordinator wants one thing at a time");
            outcome.want = Some(Want::Append(batch));
            return;
        }
    }

    fn batch(&self, records: &[record::RecordPair], now: Now) -> Bytes {
        let build = |compression| {
            let mut builder = BatchBuilder::new(compression, Level::Default, Producer::Plain);
            for (key, value) in records {
                builder.append(now.wall, Some(key), value.as_deref(), &[]);
            }
            builder.build()
        };
        // A build without a codec writes what every build reads.
        let batch = build(self.config.groups.offsets_compression).or_else(|_| build(crate::record::Compression::None));
        batch.expect("a batch of bounded size is built").to_bytes()
    }

    /// The batch that was handed over is durable, or was refused.
    pub fn appended(&mut self, result: Result<(), ErrorCode>, view: View<'_>, outcome: &mut Outcome<T>) {
        let then = self.queue.arrive();
        match result {
            Ok(()) => {
                self.writing.worked();
                self.pause = None;
                self.follow(then, view, outcome);
            }
            Err(code) => self.fail(code, then, view.now, outcome),
        }
        if self.state == State::Active && self.queue.is_idle() {
            // What was too much at once.
            self.forget_stale(view);
        }
        if self.state != State::Loading {
            self.hand_over(view, outcome);
        }
    }

    /// Does what was to follow from records that are durable now.
    fn follow(&mut self, then: Vec<Then<T>>, view: View<'_>, outcome: &mut Outcome<T>) {
        for then in then {
            match then {
                Then::Landed(name) => self.landed(&name, view, outcome),
                Then::Committed {
                    group,
                    offsets,
                    reply,
                    charge,
                } => {
                    drop(charge);
                    self.apply(&group, offsets, view);
                    outcome.answers.extend(reply);
                    self.settle(&group, view, outcome);
                }
                Then::Forgotten { group, offsets, reply } => {
                    self.drop_offsets(&group, &offsets);
                    outcome.answers.extend(reply);
                    self.settle(&group, view, outcome);
                }
                Then::Shrunk { group, offsets } => {
                    self.drop_offsets(&group, &offsets);
                    self.remove(&group);
                }
                Then::Fetch { group, ask, part } => self.tell(part, &group, &ask, view, outcome),
            }
        }
    }

    /// Offsets are durably gone.
    fn drop_offsets(&mut self, name: &Arc<str>, offsets: &[(Arc<str>, i32)]) {
        if let Some(group) = self.groups.get_mut(name) {
            for (topic, partition) in offsets {
                group.offsets.remove(topic, *partition, &self.offset_budget);
            }
        }
    }

    fn landed(&mut self, name: &Arc<str>, view: View<'_>, outcome: &mut Outcome<T>) {
        let removed = self.groups.get(name).is_some_and(Group::is_being_removed);
        self.with(name, view, outcome, |group, work| {
            group.landed(work);
            if removed {
                group.disarm(work);
            }
        });
        if removed && let Some(group) = self.groups.remove(name) {
            assert!(
                group.offsets.in_flight() == 0,
                "{name} is removed while offsets are committed"
            );
            for (part, ask, charge) in group.held {
                drop(charge);
                self.ask_group(part, name, ask, view, outcome);
                self.settle(name, view, outcome);
            }
        }
        self.settle(name, view, outcome);
    }

    /// Offsets are durable.
    fn apply(&mut self, name: &Arc<str>, offsets: Vec<(Arc<str>, i32, Committed)>, view: View<'_>) {
        let Some(group) = self.groups.get_mut(name) else {
            panic!("offsets were committed for {name}, which is gone");
        };
        group.offsets.arrive();
        for (topic, partition, committed) in offsets {
            // A topic that was deleted meanwhile: nobody is told of its offset any more, and a start drops it.
            if is_current(&committed, &topic, view.image) {
                let at = (&topic, partition);
                group.offsets.insert(name, at, committed, &self.offset_budget);
            }
        }
    }

    /// The error that is answered while nothing is written, because that failed more than once in a row.
    pub(super) fn paused(&self, now: Now) -> Option<ErrorCode> {
        let (_, code) = self.pause.filter(|(until, _)| *until > now.monotonic)?;
        mark!(GroupWritesPaused);
        Some(code)
    }

    /// A write failed: whoever waits is told so, and the partition says what holds.
    fn fail(&mut self, code: ErrorCode, then: Vec<Then<T>>, now: Now, outcome: &mut Outcome<T>) {
        let told = seen_by_clients(code);
        self.refuse_all(told, then, outcome);
        if self.state == State::Stopped {
            return;
        }
        mark!(GroupsReadAnew);
        self.writing.failed();
        let pause_ms = self.writing.pause_ms(1, &self.config.groups);
        self.pause = (pause_ms > 0).then(|| (now.monotonic.plus_millis(pause_ms), told));
        let until = if pause_ms > 0 {
            format!(", and nothing is written for {pause_ms} ms")
        } else {
            String::new()
        };
        let text = format!("a record could not be written ({code}); the groups are read anew{until}");
        outcome.reports.push((Matter::GroupsWritten, text));
        self.read_anew(State::Loading, outcome);
    }

    /// Tells everybody who waits that nothing came of it.
    pub(super) fn refuse_all(&mut self, code: ErrorCode, mut then: Vec<Then<T>>, outcome: &mut Outcome<T>) {
        then.extend(self.queue.give_up());
        for then in then {
            match then {
                Then::Committed { reply, .. } | Then::Forgotten { reply, .. } => {
                    outcome
                        .answers
                        .extend(reply.map(|(part, answer)| (part, refused(answer, code))));
                }
                Then::Fetch { part, .. } => outcome.answers.push((part, GroupAnswer::Offsets(Err(code)))),
                Then::Landed(_) | Then::Shrunk { .. } => {}
            }
        }
        self.let_go(code, outcome);
    }

    /// Forgets everything, and reads the partition from its beginning.
    pub(super) fn read_anew(&mut self, state: State, outcome: &mut Outcome<T>) {
        self.groups.clear();
        self.deadlines.clear();
        self.ignored = Ignored::default();
        self.state = state;
        outcome.want = Some(Want::Start);
    }

    /// Answers everybody who waits.
    pub(super) fn let_go(&mut self, code: ErrorCode, outcome: &mut Outcome<T>) {
        for group in self.groups.values_mut() {
            group.release(code, &mut outcome.answers);
        }
    }

    /// Has tombstones written for offsets, whatever size the topic allows; whether for all of them: where that is too much at
    /// once, the others are to be found again.
    pub(super) fn forget(&mut self, name: &Arc<str>, offsets: Vec<(Arc<str>, i32)>) -> bool {
        let (gone, all) = first_of(tombstones(name, offsets.into_iter()), AT_ONCE);
        for (piece, offsets) in self.queue.pieces(gone) {
            let then = Then::Forgotten {
                group: Arc::clone(name),
                offsets,
                reply: None,
            };
            self.queue.append(piece, then);
        }
        all
    }
}

/// The records that take offsets of a group back, each made when it is asked for.
pub(super) fn tombstones(
    group: &str,
    offsets: impl Iterator<Item = (Arc<str>, i32)>,
) -> impl Iterator<Item = (record::RecordPair, (Arc<str>, i32))> {
    offsets.filter_map(move |(topic, partition)| {
        let record = record::offset_gone(group, &topic, partition).ok()?;
        Some((record, (topic, partition)))
    })
}

/// An answer that was to say that all is well.
fn refused(answer: GroupAnswer, code: ErrorCode) -> GroupAnswer {
    match answer {
        GroupAnswer::Committed(codes) => GroupAnswer::Committed(alloc::vec![code; codes.len()]),
        GroupAnswer::OffsetsDeleted(_) => GroupAnswer::OffsetsDeleted(Err(code)),
        GroupAnswer::Deleted(_) => GroupAnswer::Deleted(code),
        other => other,
    }
}

/// What clients are told when a record could not be written, so that they look for their coordinator and try again
/// (`CoordinatorOperationExceptionHelper`).
const fn seen_by_clients(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        // No client of a group knows what to do about a size.
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}
