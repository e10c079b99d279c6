//! Work of many disk reads or much CPU, moved to where the I/O is.

use super::{FileOp, IoError, IoErrorKind, IoResult, IoValue};

/// A sans-I/O machine that a driver runs to its end: on a disk thread over blocking calls, in the simulator an event a
/// step. It works on sealed files or on new files of its own, so nothing else sees it half done.
pub trait Job: Send {
    /// What it brings home.
    type Outcome;

    /// Takes the answer to the operation asked for last ([`IoValue::Done`] at the start and after
    /// [`Next::Later`]) and says what comes next. Not called again after [`Next::Done`].
    fn resume(&mut self, done: IoResult) -> Next<Self::Outcome>;
}

/// What a job wants next.
#[derive(Debug)]
pub enum Next<T> {
    /// Carry out this operation and resume with its answer.
    Io(FileOp),
    /// It cannot go on now: let others run for a millisecond or more, then resume with [`IoValue::Done`].
    Later,
    /// It is finished.
    Done(T),
}

impl<T> Next<T> {
    /// The same, with the outcome wrapped.
    pub fn map<U>(self, wrap: impl FnOnce(T) -> U) -> Next<U> {
        match self {
            Self::Io(op) => Next::Io(op),
            Self::Later => Next::Later,
            Self::Done(outcome) => Next::Done(wrap(outcome)),
        }
    }
}

/// How often a job still asks again for what was not begun because the process had too many open files: for a second at
/// least, in which other jobs end, and connections do.
#[derive(Debug)]
pub(crate) struct Patience(u32);

impl Patience {
    pub(crate) const fn new() -> Self {
        Self(1000)
    }

    /// Whether the error is of that kind, and the operation is worth asking for once more.
    pub(crate) fn covers(&mut self, error: &IoError) -> bool {
        let again = error.kind == IoErrorKind::TooManyOpenFiles && self.0 > 0;
        self.0 -= u32::from(again);
        again
    }
}

/// Runs a job to its end over a function that carries out operations at once.
pub fn run_to_end<J: Job>(job: &mut J, mut perform: impl FnMut(FileOp) -> IoResult) -> J::Outcome {
    let mut done = Ok(IoValue::Done);
    loop {
        match job.resume(done) {
            Next::Io(op) => done = perform(op),
            Next::Later => done = Ok(IoValue::Done),
            Next::Done(outcome) => return outcome,
        }
    }
}
