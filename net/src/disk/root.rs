//! The log directory and its open files.
//!
//! Invariants: a path is resolved below the log directory or refused. The directory itself stays open, once
//! for each shard, so that `syncfs` tells every shard of each write-back that failed since the start: the system says it
//! once a descriptor (Linux 5.8 and later). A descriptor lives until its last user is done
//! with it, whatever the table says.

use klamm_core::storage::{FilePath, IoError, IoErrorKind};
use klamm_core::types::{FileId, ShardId};
use rustix::fs::fsync;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// An open file and its name, for people.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) path: FilePath,
}

/// A log directory with its descriptors.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    /// The directory itself, by shard.
    directories: Vec<File>,
    files: RwLock<BTreeMap<FileId, Arc<OpenFile>>>,
    /// Locked files; the locks go with the descriptors.
    pub(crate) locks: Mutex<Vec<File>>,
}

impl Root {
    /// Opens the directory `path` for `shards` shards, creating it durably if it is not there.
    pub(crate) fn open(path: &Path, shards: u16) -> io::Result<Self> {
        create_durably(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            directories: (0..shards).map(|_| File::open(path)).collect::<io::Result<_>>()?,
            files: RwLock::default(),
            locks: Mutex::default(),
        })
    }

    /// The shard's own descriptor of the directory.
    pub(crate) fn directory(&self, shard: ShardId) -> Result<&File, IoError> {
        let directory = self.directories.get(usize::from(shard.0));
        directory.ok_or_else(|| IoError {
            kind: IoErrorKind::NotFound,
            text: format!("the log directory is not open for shard {shard}"),
        })
    }

    /// Where `path` is in the file system.
    pub(crate) fn resolve(&self, path: &FilePath) -> Result<PathBuf, IoError> {
        let relative = &*path.relative;
        if relative.is_empty() {
            return Ok(self.path.clone());
        }
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if !relative.split('/').all(plain) {
            return Err(IoError {
                kind: IoErrorKind::PermissionDenied,
                text: format!("{relative:?} is not a path below the log directory"),
            });
        }
        Ok(self.path.join(relative))
    }

    /// Binds `file`; replaces what it was bound to.
    pub(crate) fn bind(&self, file: FileId, open: OpenFile) {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.insert(file, Arc::new(open));
    }

    /// The open file that `file` is bound to.
    pub(crate) fn file(&self, file: FileId) -> Result<Arc<OpenFile>, IoError> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(&file).cloned().ok_or_else(|| not_open(file))
    }

    /// Unbinds `file`.
    pub(crate) fn release(&self, file: FileId) -> Result<Arc<OpenFile>, IoError> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        files.remove(&file).ok_or_else(|| not_open(file))
    }
}

/// Has the directory `path`, by a name that survives a power cut: whoever made it, this or a start before that was killed,
/// may not have synced that.
fn create_durably(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return match File::open(parent) {
            Ok(parent) => sync_names(&parent),
            // Then somebody else made it, for us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        };
    }
    create_durably(parent)?;
    std::fs::create_dir(path)?;
    sync_names(&File::open(parent)?)
}

/// `fsync` of a directory. Not even an interrupted one is tried again, as the standard library would: whether the first one
/// lost something could no longer be told.
pub(super) fn sync_names(directory: &File) -> io::Result<()> {
    fsync(directory).map_err(io::Error::from)
}

fn not_open(file: FileId) -> IoError {
    IoError {
        kind: IoErrorKind::NotFound,
        text: format!("file {} is not open", file.0),
    }
}

/// An error of the system as the core knows it; `what` says what was tried on which file.
pub(crate) fn io_error(error: &io::Error, what: &str) -> IoError {
    let kind = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => IoErrorKind::NoSpace,
        Some(Errno::NOENT) => IoErrorKind::NotFound,
        Some(Errno::EXIST) => IoErrorKind::AlreadyExists,
        Some(Errno::PERM | Errno::ACCESS | Errno::ROFS) => IoErrorKind::PermissionDenied,
        Some(Errno::WOULDBLOCK) => IoErrorKind::Locked,
        Some(Errno::MFILE | Errno::NFILE) => IoErrorKind::TooManyOpenFiles,
        _ => IoErrorKind::Device,
    };
    IoError {
        kind,
        text: format!("{what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Root, io_error};
    use klamm_core::storage::{FilePath, IoErrorKind};
    use klamm_core::types::LogDirectoryId;
    use std::io;

    #[test]
    fn paths_stay_below_the_log_directory() {
        let path = std::env::temp_dir()
            .join(format!("klamm-root-{}", std::process::id()))
            .join("a/b");
        let root = Root::open(&path, 1).expect("the directory can be created");
        let resolve = |relative| root.resolve(&FilePath::new(LogDirectoryId(0), relative));
        assert_eq!(resolve(""), Ok(path.clone()));
        assert_eq!(resolve("topic-0.x/00.log"), Ok(path.join("topic-0.x/00.log")));
        for outside in ["..", "a/../b", "/etc", "a//b", "a/", ".", "a\0b"] {
            let error = resolve(outside).expect_err("it leads elsewhere");
            assert_eq!(error.kind, IoErrorKind::PermissionDenied);
        }
        std::fs::remove_dir_all(path.ancestors().nth(2).expect("two levels were added")).expect("it is ours");
    }

    #[test]
    fn errors_keep_what_the_core_acts_on() {
        let kind = |code| io_error(&io::Error::from_raw_os_error(code), "write").kind;
        assert_eq!(kind(28), IoErrorKind::NoSpace);
        assert_eq!(kind(122), IoErrorKind::NoSpace);
        assert_eq!(kind(2), IoErrorKind::NotFound);
        assert_eq!(kind(17), IoErrorKind::AlreadyExists);
        assert_eq!(kind(13), IoErrorKind::PermissionDenied);
        assert_eq!(kind(11), IoErrorKind::Locked);
        assert_eq!(kind(24), IoErrorKind::TooManyOpenFiles);
        assert_eq!(kind(5), IoErrorKind::Device);
    }
}
