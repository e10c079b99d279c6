//! Files and the operations on them, as the core asks for them and a driver carries them out.

use crate::types::{Fault, FileId, LogDirectoryId, ShardId};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A file or directory inside a log directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath {
    /// The log directory.
    pub directory: LogDirectoryId,
    /// The path below it, with `/` between names; empty for the log directory itself.
    pub relative: Arc<str>,
}

impl FilePath {
    /// The path `relative` below `directory`.
    pub fn new(directory: LogDirectoryId, relative: &str) -> Self {
        Self {
            directory,
            relative: Arc::from(relative),
        }
    }

    /// The entry `name` of this directory.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        if self.relative.is_empty() {
            return Self::new(self.directory, name);
        }
        Self::new(self.directory, &alloc::format!("{}/{name}", self.relative))
    }

    /// The directory that holds this entry; the log directory itself is its own parent.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parent = self.relative.rsplit_once('/').map_or("", |(parent, _)| parent);
        Self::new(self.directory, parent)
    }

    /// The last name of the path.
    pub fn name(&self) -> &str {
        self.relative.rsplit_once('/').map_or(&*self.relative, |(_, name)| name)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.directory, self.relative)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.relative.is_empty() { "." } else { &self.relative })
    }
}

/// How a file is opened. Every descriptor can read and write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// The file must be there.
    Existing,
    /// The file must not be there yet.
    CreateNew,
    /// The file is created, or emptied when it is there.
    CreateOrEmpty,
}

/// A contiguous piece of a write, in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A batch header, stamped by the core.
    Header([u8; 61]),
    /// Anything else, usually the rest of the batch as it came from the socket.
    Body(Bytes),
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Header(bytes) => bytes,
            Self::Body(bytes) => bytes,
        }
    }
}

/// One operation on the disk. Operations on one [`FileId`] are carried out in the order they were emitted; others in
/// any order.
#[derive(Clone, Debug)]
pub enum FileOp {
    /// Binds `file` to a descriptor of `path`. Answers [`IoValue::Opened`].
    Open {
        /// The id that later operations use.
        file: FileId,
        /// Which file.
        path: FilePath,
        /// What may and must be there.
        mode: OpenMode,
    },
    /// Releases the descriptor of `file`. Never asked for while bytes of it are unsynced: a write error would be lost
    /// with the descriptor.
    Close {
        /// The file.
        file: FileId,
    },
    /// Writes all pieces one after the other. Done means all bytes were taken; after an error any prefix may have been.
    Write {
        /// The file.
        file: FileId,
        /// Where the first byte goes.
        position: u64,
        /// The bytes, in order.
        pieces: Vec<Piece>,
    },
    /// Reads up to `length` bytes; fewer only at the end of the file. Answers [`IoValue::Bytes`].
    Read {
        /// The file.
        file: FileId,
        /// The first byte wanted.
        position: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// Has the page cache forget a range that turned out to be rotten, or that nobody checked: whoever reads it next asks the
    /// device. Advice: what was not written back stays, and so may anything else.
    Forget {
        /// The file.
        file: FileId,
        /// The first byte.
        position: u64,
        /// How many bytes.
        length: u64,
    },
    /// Cuts or extends the file to `size` bytes.
    Truncate {
        /// The file.
        file: FileId,
        /// The size after it.
        size: u64,
    },
    /// `fdatasync` of each file. Covers what was done before it was emitted; later operations on the files need not wait
    /// for it.
    Sync {
        /// The files.
        files: Vec<FileId>,
    },
    /// `syncfs` of the file system that holds the log directory: every file and every name in it.
    SyncAll {
        /// The log directory.
        directory: LogDirectoryId,
        /// Whose descriptor of the directory it goes through: the system tells each descriptor once that it could not write
        /// something back, and whoever shared one would take that news from the others.
        by: ShardId,
    },
    /// `fsync` of a directory: makes creates, renames and removals in it durable.
    SyncDirectory {
        /// The directory.
        path: FilePath,
    },
    /// Creates a directory; done when it is there already.
    CreateDirectory {
        /// The directory.
        path: FilePath,
    },
    /// Renames a file, replacing what `to` names.
    Rename {
        /// The file as it is called.
        from: FilePath,
        /// The file as it is to be called, in the same log directory.
        to: FilePath,
    },
    /// Removes a file; done when there is none.
    Remove {
        /// The file.
        path: FilePath,
    },
    /// Removes a directory and everything below it; done when there is none.
    RemoveTree {
        /// The directory, never the log directory itself.
        path: FilePath,
    },
    /// Lists a directory, sorted by name. Answers [`IoValue::Entries`].
    List {
        /// The directory.
        path: FilePath,
    },
    /// Tells the room of the file system that holds the log directory. Answers [`IoValue::Volume`].
    Volume {
        /// The log directory.
        directory: LogDirectoryId,
    },
    /// Takes the exclusive lock on `path`, creating the file, and keeps it while the process lives.
    Lock {
        /// The lock file.
        path: FilePath,
    },
}

/// Whether an entry of a directory is a file or a directory itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file and its size in bytes.
    File(u64),
    /// A directory.
    Directory,
    /// Anything else: a link, a socket, a device.
    Other,
}

/// An entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryEntry {
    /// Its name; one that is not UTF-8 is shown with replacement characters.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What a successful operation answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IoValue {
    /// It is done.
    Done,
    /// The file is open.
    Opened {
        /// Its size in bytes.
        size: u64,
    },
    /// The bytes read.
    Bytes(Bytes),
    /// The entries listed.
    Entries(Vec<DirectoryEntry>),
    /// The log directory and its room.
    Volume(Volume),
}

/// A log directory, and the room of the file system that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// The absolute path of the log directory, for people.
    pub path: String,
    /// Bytes in all.
    pub total: u64,
    /// Bytes that the process may still write.
    pub usable: u64,
}

/// Why an operation failed, as far as the core acts on the difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoErrorKind {
    /// No space or quota left; it may clear.
    NoSpace,
    /// No such file or directory.
    NotFound,
    /// The file is there already.
    AlreadyExists,
    /// The process may not do this.
    PermissionDenied,
    /// Another process holds the lock.
    Locked,
    /// Too many open files.
    TooManyOpenFiles,
    /// Anything else the device or the system reports.
    Device,
}

/// A failed operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IoError {
    /// What the core distinguishes.
    pub kind: IoErrorKind,
    /// The operation and the system's own words, for people.
    pub text: String,
}

impl IoError {
    /// What it means for whatever needed the operation: a shortage passes, anything else is the device's.
    pub fn fault(&self) -> Fault {
        match self.kind {
            IoErrorKind::NoSpace => Fault::NoSpace,
            IoErrorKind::TooManyOpenFiles => Fault::NoDescriptors,
            _ => Fault::Device(self.text.clone()),
        }
    }
}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The one answer to a [`FileOp`].
pub type IoResult = Result<IoValue, IoError>;
