//! What the device holds of groups at the moment an answer leaves the broker: a generation, a part or a commit that is
//! answered must stand there.

use super::records::{Said, read};
use super::{Checker, Oracle};
use crate::batch::Batch;
use crate::disk::{Disk, InodeId};
use crate::frame::{Api, Codec, GroupRequest, GroupResponse, Request, Response};
use crate::link::LinkId;
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
        while let Ok(batch) = Batch::parse(&file.bytes[progress.read.min(file.bytes.len())..]) {
            for said in batch.open().records().filter_map(|record| read(&record)) {
                self.take(said);
            }
            progress.read += batch.size;
        }
        self.files.insert(file.inode, progress);
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Offset { group, metadata } => _ = self.tokens.insert((group, metadata)),
            Said::Group {
                group,
                generation,
                members,
            } => {
                let known = self.generations.entry((group, generation)).or_default();
                for (member, part) in members {
                    known.entry(member).or_default().insert(part);
                }
            }
            Said::Gone { .. } => {}
        }
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
        if matches!(
            request,
            GroupRequest::Join { .. } | GroupRequest::Sync { .. } | GroupRequest::Commit { .. }
        ) {
            let expected = Expected {
                codec,
                version,
                request: request.clone(),
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
        if let Some((checker, text)) = self.groups.device.missing(&expected.request, &response) {
            self.violate(checker, text);
        }
    }
}
