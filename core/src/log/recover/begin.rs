//! The beginning of a recovery: what the manifest says, or the directory shows.

use super::{FoundSegment, Listed, Recover, Source, Step, Turn};
use crate::bugs::bug;
use crate::log::place::FileKind;
use crate::log::synced;
use crate::storage::{DirectoryEntry, EntryKind, FileIds, FileOp, Next, OpenMode};
use crate::types::{Fault, Offset};
use alloc::format;

impl Recover {
    pub(super) fn begin(&mut self) -> Turn {
        let Source::Clean(entry) = &self.source else {
            let path = self.place.path.clone();
            return self.io(Step::Listed, FileOp::List { path });
        };
        let ends = entry.segments.iter().skip(1).map(|next| next.base).chain([entry.end]);
        let listed = entry.segments.iter().zip(ends).map(|(segment, end)| Listed {
            stem: segment.stem(end),
            size: segment.size,
            peak: segment.peak,
            began: segment.began,
            clean_to: segment.clean_to,
        });
        self.listed = listed.collect();
        self.there = !self.listed.is_empty();
        let last = self.last_to_know();
        let known = self.listed.iter().enumerate();
        let known = known.filter(|&(place, segment)| segment.size > 0 || Some(place) == last);
        self.checkpoints = known.map(|(_, segment)| segment.stem).collect();
        self.trust_all_but_last()
    }

    /// The segment whose checkpoint says what is known of the log at its end: the last that holds anything; where retention
    /// left nothing, the last.
    fn last_to_know(&self) -> Option<usize> {
        let held = self.listed.iter().rposition(|segment| segment.size > 0);
        held.or(self.listed.len().checked_sub(1))
    }

    /// After a clean stop, only the last segment that there is something to know of is looked at.
    pub(super) fn trust_all_but_last(&mut self) -> Turn {
        let Source::Clean(entry) = &self.source else {
            unreachable!("only a clean start trusts")
        };
        let end = entry.end;
        let last = self.last_to_know();
        for (place, segment) in self.listed.iter().enumerate() {
            if Some(place) == last {
                break;
            }
            self.done.push(FoundSegment {
                base: segment.stem.base,
                end: self.listed.get(place + 1).map_or(end, |next| next.stem.base),
                size: segment.size,
                peak: segment.peak,
                began: segment.began,
                checkpointed: segment.size,
                proven: false,
                cleaning: segment.stem.cleaning,
                clean_to: segment.clean_to,
            });
        }
        self.at = self.done.len();
        self.state.segment.end = self.listed.get(self.at).map_or(end, |segment| segment.stem.base);
        self.next_segment()
    }

    /// The manifest does not agree with what is there: the start was not so clean.
    pub(super) fn distrust(&mut self) -> Turn {
        let files = core::mem::replace(&mut self.files, FileIds::none());
        let place = self.place.clone();
        let promised = match &self.source {
            Source::Clean(entry) => entry.end,
            Source::Directory => self.promised,
        };
        *self = Self {
            promised,
            ..Self::new(place, Source::Directory, self.settings.clone(), files)
        };
        self.begin()
    }

    pub(super) fn list(&mut self, entries: &[DirectoryEntry]) -> Turn {
        let mut noted = false;
        for entry in entries {
            let kind = FileKind::of(&entry.name);
            let EntryKind::File(size) = entry.kind else {
                if !matches!(kind, FileKind::Temporary | FileKind::Foreign) {
                    let path = self.place.path.join(&entry.name);
                    let text =
                        format!("{path} is no regular file, and what such a file would say of the log is unknown");
                    return Next::Done(Err(Fault::Corruption(text)));
                }
                continue;
            };
            match kind {
                FileKind::Segment(stem) => self.listed.push(Listed {
                    stem,
                    size,
                    peak: None,
                    began: self.settings.wall,
                    clean_to: stem.base,
                }),
                FileKind::Checkpoint(stem) => {
                    self.checkpoints.insert(stem);
                }
                FileKind::Start(start) => drop(self.marks.insert(start)),
                FileKind::Temporary => self.remove.push(self.place.path.join(&entry.name)),
                FileKind::Lost => return self.was_lost(),
                FileKind::Synced => noted = true,
                FileKind::Foreign => {}
            }
        }
        if let Err(fault) = self.supersede() {
            return Next::Done(Err(fault));
        }
        // Segments are removed only once a later one has a checkpoint, or was cleaned: without any, nothing was removed, and
        // a log that does not begin at 0 lost its first segment before that was durable. But for one that begins no later than
        // it was to begin: what was before had been durable, and was deleted.
        self.proven = !self.checkpoints.is_empty() || self.listed.iter().any(|listed| listed.stem.cleaning.is_some());
        let marked = self.marks.last().copied().unwrap_or_default();
        let first = self
            .listed
            .first()
            .filter(|first| self.proven || first.stem.base <= marked);
        self.state.segment.end = first.map_or(Offset::ZERO, |first| first.stem.base);
        if noted { self.open_note() } else { self.sync_names() }
    }

    pub(super) fn open_note(&mut self) -> Turn {
        self.file = self.files.next();
        let open = FileOp::Open {
            file: self.file,
            path: self.place.synced(),
            mode: OpenMode::Existing,
        };
        self.io(Step::NoteOpened, open)
    }

    pub(super) fn read_note(&mut self) -> Turn {
        let read = FileOp::Read {
            file: self.file,
            position: 0,
            length: synced::BYTES,
        };
        self.io(Step::NoteRead, read)
    }

    /// A note that is torn, or was never written, says nothing.
    pub(super) fn take_note(&mut self, bytes: &[u8]) -> Turn {
        let noted = synced::decode(bytes).unwrap_or(Offset::ZERO);
        if !bug!(CutBelowNote) {
            self.promised = self.promised.max(noted);
        }
        self.close(self.file, Step::NoteClosed)
    }

    /// Makes the names found durable, before anything says that they are.
    pub(super) fn sync_names(&mut self) -> Turn {
        if bug!(RecoverWithoutSync) {
            return self.next_segment();
        }
        let path = self.place.path.clone();
        self.io(Step::NamesSynced, FileOp::SyncDirectory { path })
    }
}
