//! Touches memory and gives it back, so that what is measured next does not pay for the first touch.
//!
//! Under a hypervisor a page that nobody used for a while has to be backed anew by the host, and whoever touches it first
//! waits for that and is charged for it: several times what a broker spends on the bytes that it puts there. Both kinds
//! are held at once, so that as much is touched as both take: pages of files, and of a process.

use super::some_size;
use crate::failure::{Failure, Outcome};
use clap::Args;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes written in one go.
const STEP: usize = 1 << 20;

/// How much to touch.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Bytes of files, and as many of memory
    #[arg(short = 'n', long, default_value = "1GB", value_parser = some_size)]
    total: u64,
    /// Where the file is made; it is removed at the end
    #[arg(long, default_value = ".")]
    directory: PathBuf,
}

/// Runs `klamm bench prime`.
pub(crate) fn run(args: &Arguments) -> Outcome {
    let path = args.directory.join(format!("klamm-prime-{}", std::process::id()));
    let touched = touch(&path, args.total);
    // Whatever happened, the file goes; it may not be there.
    let _ = std::fs::remove_file(&path);
    touched.map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn touch(path: &Path, total: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let mut memory = Vec::new();
    let mut left = total;
    while left > 0 {
        let step = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
        memory.push(vec![0xa5; step]);
        if let Some(touched) = memory.last() {
            file.write_all(touched)?;
        }
        left -= step as u64;
    }
    Ok(())
}
