//! The jobs a shard hands to disk threads, as one type, so that drivers run them without knowing them.

use crate::storage::{IoResult, Job, Next};

/// A job of any kind.
#[derive(Debug)]
pub enum Task {}

/// What a [`Task`] brings home.
#[derive(Debug)]
pub enum TaskOutcome {}

impl Job for Task {
    type Outcome = TaskOutcome;

    fn resume(&mut self, _done: IoResult) -> Next<TaskOutcome> {
        match *self {}
    }
}
