//! A command-line client that reads as a group's member until it is ended, and writes what it reads as it comes.

use super::Scratch;
use crate::record::Stored;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A member at work; killed when dropped, as a client that crashes.
pub(super) struct Follower {
    child: Child,
    records: Receiver<Stored>,
    errors: Scratch,
}

impl Follower {
    /// Starts `command`; `parse` reads a record of what it writes, or ends at its end.
    pub(super) fn start(
        mut command: Command,
        parse: impl Fn(&mut dyn BufRead) -> Option<Stored> + Send + 'static,
    ) -> Self {
        let errors = Scratch::new("errors");
        let sink = fs::File::create(errors.path()).expect("a file for errors");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(sink).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{}: {error}; run ci/install", command.get_program().display()));
        let mut output: BufReader<ChildStdout> = BufReader::new(child.stdout.take().expect("the output is piped"));
        let (sender, records) = channel();
        std::thread::spawn(move || {
            while let Some(stored) = parse(&mut output) {
                if sender.send(stored).is_err() {
                    return;
                }
            }
        });
        Self { child, records, errors }
    }

    /// What was read since this was last called.
    pub(super) fn drain(&mut self) -> Vec<Stored> {
        let ended = self.child.try_wait().expect("it is a child");
        let told = || fs::read_to_string(self.errors.path()).unwrap_or_default();
        assert!(ended.is_none(), "a member ended by itself: {ended:?}\n{}", told());
        self.records.try_iter().collect()
    }

    /// Has it leave its group.
    pub(super) fn leave(mut self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(
            status.expect("kill runs").success(),
            "the member was gone before it was to leave"
        );
        self.child.wait().expect("the member ends");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // After `leave` it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
