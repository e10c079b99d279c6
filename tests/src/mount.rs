//! A file system of its own for a test, small or read-only.

use crate::client::Scratch;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A tmpfs, unmounted when dropped. Only root can mount one; without it the test fails and says so.
pub struct Mount(Scratch);

impl Mount {
    /// Mounts a tmpfs with `options` of mount(8).
    pub fn tmpfs(options: &str) -> Self {
        let folder = Scratch::new("mount");
        fs::create_dir_all(folder.path()).expect("a folder");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "klamm"])
            .arg(folder.path())
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "a tmpfs cannot be mounted: this test needs root"
        );
        Self(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A broker that has not ended yet may still hold it; lazily it goes once nobody does.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}
