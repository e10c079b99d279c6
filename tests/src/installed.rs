//! Where the binaries and clients are that the tests run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The binary that `KLAMM_BIN` names, or else the release binary, built if it is not up to date.
pub fn klamm() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(given) = std::env::var_os("KLAMM_BIN") {
            return PathBuf::from(given);
        }
        build(Command::new(env!("CARGO")).args(["build", "--release", "-p", "klamm"]));
        target().join("release/klamm")
    })
}

/// A binary in which `KLAMM_BUG` switches on a deliberate bug, built if it is not up to date.
pub fn klamm_with_bugs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let own_target = target().join("bugs");
        let mut cargo = Command::new(env!("CARGO"));
        build(
            cargo
                .args(["build", "-p", "klamm", "--target-dir"])
                .arg(&own_target)
                .env("RUSTFLAGS", "--cfg klamm_bugs"),
        );
        own_target.join("debug/klamm")
    })
}

fn build(cargo: &mut Command) {
    let output = cargo.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Where `ci/install` puts the clients.
pub fn clients() -> PathBuf {
    target().join("clients")
}

/// The file `name` among the clients that `ci/install` installs.
pub fn client(name: &str) -> PathBuf {
    let path = clients().join(name);
    assert!(path.exists(), "{} is missing: run ci/install", path.display());
    path
}
