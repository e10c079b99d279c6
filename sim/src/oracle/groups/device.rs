//! What the device holds of groups at the moment an answer leaves the broker: a generation, a part or a commit that is
//! answered must stand there, and so must a deletion; a group that comes behind one begins at its first generation.

use super::records::{Said, read};
use super::{Checker, Oracle};
use crate::batch::Batch;
use crate::disk::{Disk, InodeId};
use crate::frame::{Api, Codec, GroupRequest, GroupResponse, Request, Response};
use crate::link::LinkId;
use crate::stage::Nanos;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// How the topic of groups begins in the name of a partition's directory.
pub(super) const DIRECTORY: &str = "__consumer_offsets-";

/// A request whose answer is yet to leave the broker.
#[derive(Debug)]
struct Expected {
    codec: Codec,
    version: i16,
    request: GroupRequest,
    sent_at: Nanos,
    /// Where the last record of the group itself stood that was known then.
    behind: i64,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug)]
struct Progress {
    rewrites: u64,
    read: usize,
}

/// The parts that records gave to each member of a generation.
type Parts = BTreeMap<String, BTreeSet<Vec<u8>>>;

/// What was seen on the device so far, and what is expected to be there.
#[derive(Default, Debug)]
pub(super) struct Device {
    expected: BTreeMap<(LinkId, i32), Expected>,
    files: BTreeMap<InodeId, Progress>,
    /// Commits, by group and token.
    tokens: BTreeSet<(String, String)>,
    /// The members of each generation, with the parts that a record gave them.
    generations: BTreeMap<(String, i32), Parts>,
    /// What the records of each group itself say, by their offsets: its generation, or that it is gone.
    groups: BTreeMap<String, BTreeMap<i64, Option<i32>>>,
    /// What the last record of each offset says, and where it stands: a token, or that it is gone.
    offsets: BTreeMap<(String, String, i32), (i64, Option<String>)>,
    /// What is wrong with the records themselves.
    problem: Option<String>,
}

impl Device {
    /// A power cut or a new process may have changed what the files hold.
    pub(super) fn forget_process(&mut self) {
        self.expected.clear();
        self.files.clear();
    }

    /// Reads what is new.
    fn refresh(&mut self, disk: &Disk) {
        for directory in disk.durable_names("").unwrap_or_default() {
            if !directory.starts_with(DIRECTORY) {
                continue;
            }
            for name in disk.durable_names(directory).unwrap_or_default() {
                if name.strip_suffix(".log").is_some() {
                    self.refresh_file(disk, &format!("{directory}/{name}"));
                }
            }
        }
    }

    fn refresh_file(&mut self, disk: &Disk, path: &str) {
        let Some(file) = disk.durable_file(path) else { return };
        let fresh = Progress {
            rewrites: file.rewrites,
            read: 0,
        };
        let mut progress = self.files.get(&file.inode).copied().unwrap_or(fresh);
        if progress.rewrites != file.rewrites {
            progress = fresh;
        }
        while let Ok(batch) = Batch::parse(&file.bytes[progress.read.min(file.claimed)..file.claimed]) {
            for record in batch.open().records() {
                if let Some(said) = read(&record) {
                    self.take(record.offset, said);
                }
            }
            progress.read += batch.size;
        }
        self.files.insert(file.inode, progress);
    }

    fn take(&mut self, at: i64, said: Said) {
        match said {
            Said::Offset {
                group,
                topic,
                partition,
                metadata,
            } => {
                if let Some(token) = &metadata {
                    self.tokens.insert((group.clone(), token.clone()));
                }
                let last = self.offsets.entry((group, topic, partition)).or_insert((-1, None));
                if at >= last.0 {
                    *last = (at, metadata);
                }
            }
            Said::Group {
                group,
                generation,
                members,
            } => {
                self.stands(&group, at, Some(generation));
                let known = self.generations.entry((group, generation)).or_default();
                for (member, part) in members {
                    known.entry(member).or_default().insert(part);
                }
            }
            Said::Gone { group } => self.stands(&group, at, None),
        }
    }

    /// A record of the group itself: behind one that says that it is gone, its generations begin anew.
    fn stands(&mut self, group: &str, at: i64, generation: Option<i32>) {
        let records = self.groups.entry(group.to_owned()).or_default();
        let before = records.range(..at).next_back();
        if let (Some((_, None)), Some(late)) = (before, generation.filter(|&it| it > 1)) {
            self.problem = Some(format!(
                "{group}, which was deleted, begins anew with generation {late}"
            ));
        }
        records.insert(at, generation);
    }

    /// Where the last record of the group itself stands.
    fn end_of(&self, group: &str) -> i64 {
        let records = self.groups.get(group);
        records
            .and_then(|records| records.keys().next_back().copied())
            .unwrap_or(-1)
    }

    /// An offset of the group, of this topic and partition or of any, whose last record is of a commit that came before.
    fn held_still(
        &self,
        group: &str,
        of: Option<(&str, i32)>,
        came_before: impl Fn(i64) -> bool,
    ) -> Option<(String, i32)> {
        let from = (group.to_owned(), String::new(), i32::MIN);
        let records = self.offsets.range(from..).take_while(|((name, ..), _)| name == group);
        let mut named = records.filter(|((_, topic, partition), _)| of.is_none_or(|of| of == (topic, *partition)));
        let held = named.find(|(_, (_, token))| {
            let token = token.as_ref().and_then(|token| token.parse().ok());
            token.is_some_and(&came_before)
        });
        held.map(|((_, topic, partition), _)| (topic.clone(), *partition))
    }

    /// What the answer says that the device does not hold.
    fn missing(&self, request: &GroupRequest, response: &GroupResponse) -> Option<(Checker, String)> {
        match (request, response) {
            (GroupRequest::Join { speaker, .. }, GroupResponse::Joined(joined)) if joined.error == 0 => {
                let generation = (speaker.group.clone(), joined.generation);
                let held = self.generations.get(&generation);
                let is_there = held.is_some_and(|members| members.contains_key(&joined.member));
                (!is_there).then(|| {
                    let text = format!(
                        "{} was told generation {} of {}, and the device does not hold it",
                        joined.member, joined.generation, speaker.group
                    );
                    (Checker::Generations, text)
                })
            }
            (GroupRequest::Sync { speaker, .. }, GroupResponse::Synced { error: 0, assignment }) => {
                let generation = (speaker.group.clone(), speaker.generation);
                let held = self.generations.get(&generation);
                let parts = held.and_then(|members| members.get(&speaker.member));
                let is_there = parts.is_some_and(|parts| parts.contains(&assignment[..]));
                (!is_there).then(|| {
                    let text = format!(
                        "{} was told its part in generation {} of {}, and the device does not hold it",
                        speaker.member, speaker.generation, speaker.group
                    );
                    (Checker::OneOwner, text)
                })
            }
            (GroupRequest::Commit { speaker, offsets }, GroupResponse::Committed(answers)) => {
                let lacks = offsets.iter().find(|offset| {
                    let answered = answers.iter().find(|answer| {
                        let same = answer.topic.name == offset.topic.name || answer.topic.id == offset.topic.id;
                        same && answer.partition == offset.partition
                    });
                    let key = (speaker.group.clone(), offset.token.to_string());
                    answered.is_some_and(|answer| answer.error == 0) && !self.tokens.contains(&key)
                })?;
                let text = format!(
                    "{}: the commit of offset {} for {}-{} was answered, and the device does not hold it",
                    speaker.group, lacks.offset, lacks.topic.name, lacks.partition
                );
                Some((Checker::GroupOffsets, text))
            }
            _ => None,
        }
    }

    /// What a deletion that is answered has left on the device; `came_before` tells commits that were answered before it was
    /// asked for.
    fn left(
        &self,
        expected: &Expected,
        response: &GroupResponse,
        came_before: impl Fn(i64) -> bool,
    ) -> Option<(Checker, String)> {
        let (group, held) = match (&expected.request, response) {
            (GroupRequest::Delete { group, .. }, GroupResponse::Deleted { error: 0 }) => {
                (group, self.held_still(group, None, came_before))
            }
            (GroupRequest::DeleteOffsets { group, .. }, GroupResponse::OffsetsDeleted { error: 0, parts }) => {
                let gone = parts.iter().filter(|part| part.error == 0);
                let mut held = gone.filter_map(|part| {
                    self.held_still(group, Some((part.topic.name.as_str(), part.partition)), &came_before)
                });
                (group, held.next())
            }
            _ => return None,
        };
        if let Some((topic, partition)) = held {
            let text = format!(
                "{group}: the deletion of its offset for {topic}-{partition} was answered, and the device holds it still"
            );
            return Some((Checker::GroupOffsets, text));
        }
        let records = self.groups.get(group);
        let gone = records.is_some_and(|it| it.range(expected.behind + 1..).any(|(_, said)| said.is_none()));
        let whole = matches!(expected.request, GroupRequest::Delete { .. });
        (whole && !gone).then(|| {
            let text = format!("{group}: its deletion was answered, and the device does not hold it");
            (Checker::Generations, text)
        })
    }
}

impl Oracle {
    /// A request of a member was sent whose answer promises something.
    pub(crate) fn expect_group(
        &mut self,
        link: LinkId,
        correlation: i32,
        codec: Codec,
        version: i16,
        request: &GroupRequest,
    ) {
        let group = match request {
            GroupRequest::Join { speaker, .. }
            | GroupRequest::Sync { speaker, .. }
            | GroupRequest::Commit { speaker, .. } => Some(&speaker.group),
            GroupRequest::Delete { group, .. } | GroupRequest::DeleteOffsets { group, .. } => Some(group),
            _ => None,
        };
        if let Some(group) = group {
            let expected = Expected {
                codec,
                version,
                request: request.clone(),
                sent_at: self.now,
                behind: self.groups.device.end_of(group),
            };
            self.groups.device.expected.insert((link, correlation), expected);
        }
    }

    /// Nothing more will be answered on the connection.
    pub(in crate::oracle) fn forget_group_link(&mut self, link: LinkId) {
        self.groups.device.expected.retain(|&(other, _), _| other != link);
    }

    /// A response to a member leaves the broker.
    pub(in crate::oracle) fn group_response_leaves(
        &mut self,
        disk: &Disk,
        link: LinkId,
        correlation: i32,
        frame: &Bytes,
    ) {
        let Some(expected) = self.groups.device.expected.remove(&(link, correlation)) else {
            return;
        };
        let api = Request::Group(expected.request.clone()).api();
        let body = frame.slice(4..);
        // A frame that cannot be read is reported where the client reads it.
        let decoded = expected.codec.decode(api, expected.version, &body);
        let Ok((_, Response::Group(response))) = decoded else {
            return;
        };
        debug_assert!(matches!(api, Api::Group(_)), "only members are expected here");
        if !self.fsync {
            return;
        }
        self.groups.device.refresh(disk);
        self.counts.groups.checked_on_device += 1;
        let device = &mut self.groups.device;
        if let Some(text) = device.problem.take() {
            self.violate(Checker::Generations, text);
            return;
        }
        let offsets = &self.groups.offsets;
        let came_before = |token| offsets.was_committed(token, expected.sent_at);
        let missing = device.missing(&expected.request, &response);
        let wrong = missing.or_else(|| device.left(&expected, &response, came_before));
        if let Some((checker, text)) = wrong {
            self.violate(checker, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Device, Expected, Said};
    use crate::frame::{Codec, Committed, GroupRequest, GroupResponse, TopicRef};
    use crate::oracle::Checker;
    use std::collections::BTreeMap;

    fn offset(token: Option<&str>) -> Said {
        Said::Offset {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            metadata: token.map(str::to_owned),
        }
    }

    fn group(generation: i32) -> Said {
        Said::Group {
            group: "g".to_owned(),
            generation,
            members: BTreeMap::new(),
        }
    }

    fn gone() -> Said {
        let group = "g".to_owned();
        Said::Gone { group }
    }

    /// What the answer to a deletion, asked for behind the first records, lacks; only token 1 was committed before.
    fn judged(first: Vec<Said>, then: Vec<Said>, whole: bool) -> Option<Checker> {
        let mut device = Device::default();
        let behind = first.len() as i64;
        for (at, said) in first.into_iter().chain(then).enumerate() {
            device.take(at as i64, said);
        }
        let topic = TopicRef {
            name: "t".to_owned(),
            id: [1; 16],
        };
        let name = "g".to_owned();
        let (request, response) = if whole {
            let request = GroupRequest::Delete {
                group: name,
                version: 0,
            };
            (request, GroupResponse::Deleted { error: 0 })
        } else {
            let parts = vec![Committed {
                topic: topic.clone(),
                partition: 0,
                error: 0,
            }];
            let asked = vec![(topic, 0)];
            let request = GroupRequest::DeleteOffsets {
                group: name,
                parts: asked,
            };
            (request, GroupResponse::OffsetsDeleted { error: 0, parts })
        };
        let expected = Expected {
            codec: Codec::Own,
            version: 0,
            request,
            sent_at: 0,
            behind: behind - 1,
        };
        let left = device.left(&expected, &response, |token| token == 1);
        left.map(|(checker, _)| checker)
    }

    #[test]
    fn a_deletion_that_is_answered_stands_on_the_device() {
        let held = || vec![group(3), offset(Some("1"))];
        let offsets = Some(Checker::GroupOffsets);
        assert_eq!(judged(held(), vec![], true), offsets);
        assert_eq!(judged(held(), vec![offset(None)], true), Some(Checker::Generations));
        assert_eq!(judged(held(), vec![offset(None), gone()], true), None);
        assert_eq!(
            judged(vec![gone()], vec![], true),
            Some(Checker::Generations),
            "an earlier one"
        );
        assert_eq!(judged(held(), vec![], false), offsets);
        assert_eq!(judged(held(), vec![offset(None)], false), None);
        assert_eq!(judged(held(), vec![offset(Some("2"))], false), None, "it came later");
    }

    #[test]
    fn generations_begin_anew_behind_a_deletion_and_nowhere_else() {
        let wrong = |records: Vec<Said>| {
            let mut device = Device::default();
            for (at, said) in records.into_iter().enumerate() {
                device.take(at as i64, said);
            }
            device.problem.is_some()
        };
        assert!(wrong(vec![group(3), gone(), group(4)]));
        assert!(!wrong(vec![group(3), gone(), group(1), group(2)]));
        assert!(!wrong(vec![group(3), group(4)]));
    }
}
