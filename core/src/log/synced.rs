//! How far a log was synced, noted between checkpoints: a file of a few bytes, which is not synced itself.
//!
//! A kill leaves the note in the page cache; a power cut may take it back to what it said before, or take it away. So
//! there are times when it says too little, and none when it says too much. Recovery cuts nothing off below it: what it
//! finds bad there was durable, and is damage. Without it, all that one process wrote behind the last checkpoint could
//! only be taken for a torn tail.
//!
//! Layout, big-endian: magic `KLMSYNC` and version; the offset below which everything was synced, i64; CRC-32C u32.
//!
//! Invariants:
//! - an offset is noted once everything below it was synced, names too, and never where acknowledgements do not wait for
//!   that;
//! - the note never goes back;
//! - whatever becomes of it, the log goes on: it decides what a later recovery may believe, nothing else. One that could not
//!   be written is written with the next tick, whether or not anything became durable since.

use super::machine::{Log, Phase};
use crate::bugs::bug;
use crate::config::FlushMode;
use crate::storage::codec::{DecodeError, Decoder, Encoder};
use crate::storage::{FileOp, FilePath, IoErrorKind, IoResult, Job, Next, OpenMode, Piece, Storage};
use crate::types::{FileId, Offset};

const MAGIC: [u8; 8] = *b"KLMSYNC\x01";

/// Bytes of the file.
pub(super) const BYTES: u32 = 20;

fn encode(end: Offset) -> alloc::vec::Vec<u8> {
    let mut encoder = Encoder::new(MAGIC, 8);
    encoder.i64(end.0);
    encoder.seal()
}

/// The offset that the file notes.
pub(super) fn decode(bytes: &[u8]) -> Result<Offset, DecodeError> {
    let mut decoder = Decoder::open(MAGIC, bytes)?;
    let end = Offset(decoder.i64()?);
    decoder.end()?;
    Ok(end)
}

/// What a log knows of its note.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Noted {
    /// Bytes that became durable since it was written.
    bytes: u64,
    /// It is to be written for whatever became durable.
    wanted: bool,
    /// What was to be noted last was not.
    owed: bool,
    /// It is being written.
    pub(super) writing: bool,
}

impl Noted {
    /// So many more bytes of the log are durable.
    pub(super) fn grown(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

/// How it went to note how far a log is synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoteEnd {
    /// The file says so.
    Written,
    /// It may say anything.
    Failed,
}

/// The job that notes how far a log is synced.
#[derive(Debug)]
pub struct NoteSynced {
    end: Offset,
    file: FileId,
    path: FilePath,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    /// It was there before.
    Opened,
    Created,
    Written,
    Closed(NoteEnd),
}

impl NoteSynced {
    fn open(&mut self, step: Step, mode: OpenMode) -> Next<NoteEnd> {
        self.step = step;
        Next::Io(FileOp::Open {
            file: self.file,
            path: self.path.clone(),
            mode,
        })
    }
}

impl Job for NoteSynced {
    type Outcome = NoteEnd;

    fn resume(&mut self, done: IoResult) -> Next<NoteEnd> {
        match (self.step, done) {
            (Step::Begin, _) => self.open(Step::Opened, OpenMode::Existing),
            (Step::Opened, Err(error)) if error.kind == IoErrorKind::NotFound => {
                self.open(Step::Created, OpenMode::CreateNew)
            }
            (Step::Opened | Step::Created, Ok(_)) => {
                self.step = Step::Written;
                Next::Io(FileOp::Write {
                    file: self.file,
                    position: 0,
                    pieces: alloc::vec![Piece::Body(encode(self.end).into())],
                })
            }
            (Step::Written, done) => {
                self.step = Step::Closed(done.map_or(NoteEnd::Failed, |_| NoteEnd::Written));
                Next::Io(FileOp::Close { file: self.file })
            }
            (Step::Opened | Step::Created, Err(_)) => Next::Done(NoteEnd::Failed),
            (Step::Closed(end), _) => Next::Done(end),
        }
    }
}

impl Log {
    /// Wants the note written, however little became durable since the last one. To be called now and then.
    pub fn want_note(&mut self) {
        self.noted.wanted = true;
    }

    /// The job that notes how far the log is synced, if that is due. One at a time; to be asked after each event.
    pub fn note_synced(&mut self, storage: &mut Storage) -> Option<NoteSynced> {
        let noted = &mut self.noted;
        let due = noted.bytes >= self.config.note_bytes || (noted.wanted && (noted.bytes > 0 || noted.owed));
        let ready = match self.phase {
            Phase::Open => true,
            // Once for all.
            Phase::Closing => self.durable.offset == self.end,
            Phase::Failed | Phase::Deleted => false,
        };
        if noted.writing || !due || !ready || self.config.flush != FlushMode::Fsync {
            return None;
        }
        *noted = Noted {
            writing: true,
            ..Noted::default()
        };
        storage.hold(self.id);
        let end = if bug!(SyncedNotedEarly) {
            self.end
        } else {
            self.durable.offset
        };
        Some(NoteSynced {
            end,
            file: storage.few_files().next(),
            path: self.place.synced(),
            step: Step::Begin,
        })
    }

    /// Whether a log that is being closed is noted to its end first: the manifest is gone once a start has read it, and a
    /// crash may come before the log was opened.
    pub(super) fn is_to_be_noted(&self) -> bool {
        self.noted.wanted && self.noted.bytes > 0 && self.config.flush == FlushMode::Fsync
    }

    /// The note was written, or not.
    pub fn synced_noted(&mut self, end: NoteEnd, storage: &mut Storage) {
        assert!(self.noted.writing, "a note that nobody asked for");
        self.noted.writing = false;
        self.noted.owed = end == NoteEnd::Failed;
        storage.let_go(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_noted_or_nothing() {
        let bytes = encode(Offset(1 << 40));
        assert_eq!(bytes.len(), BYTES as usize);
        assert_eq!(decode(&bytes), Ok(Offset(1 << 40)));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&broken).is_err(), "bit {bit}");
        }
    }
}
