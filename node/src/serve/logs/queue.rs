//! Lines on their way to standard error.
//!
//! Invariant: what waits and the line that is being written are [`LIMIT`] bytes at most, but for the last words of the
//! process and the writer's own word of what was left out.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Bytes that are held at most; what comes while there are as many is left out.
const LIMIT: usize = 1 << 20;

/// Lines that wait for whoever reads them.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// The thread that writes.
    writer: OnceLock<ThreadId>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits, and nothing is being written.
    emptied: Condvar,
}

#[derive(Default, Debug)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    /// Of the lines that wait, and of the one that is being written.
    bytes: usize,
    /// A line was taken out and is not written yet.
    writing: bool,
    /// Lines left out since that was told last.
    left_out: u64,
}

impl Queue {
    /// A queue that a thread of its own writes to `sink`.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            waiting: Mutex::default(),
            writer: OnceLock::new(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("klamm-log".to_owned()).spawn(move || {
            // Told once.
            let _ = writer.writer.set(thread::current().id());
            writer.write_to(sink);
        })?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `line` written, unless too much waits.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes + line.len() > LIMIT && self.writer.get() != Some(&thread::current().id()) {
            waiting.left_out += 1;
            return;
        }
        self.add(waiting, line);
    }

    /// Has the last words of the process written, whatever waits.
    pub(super) fn push_last(&self, line: &[u8]) {
        self.add(self.lock(), line);
    }

    fn add(&self, mut waiting: MutexGuard<'_, Waiting>, line: &[u8]) {
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        self.filled.notify_one();
    }

    /// Waits until everything is written, or for as long as `patience`.
    pub(super) fn drain(&self, patience: Duration) {
        let unwritten = |waiting: &mut Waiting| !waiting.lines.is_empty() || waiting.writing;
        // Whether it is or not, nothing more can be done.
        let _ = self.emptied.wait_timeout_while(self.lock(), patience, unwritten);
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut since_told = 0;
        loop {
            let line = self.take();
            // Where a line cannot be written, nobody can be told.
            let _ = sink.write_all(&line);
            since_told += line.len();
            let left_out = self.left_out(since_told >= LIMIT);
            if left_out > 0 {
                since_told = 0;
                tracing::warn!(
                    left_out,
                    "log lines were left out: they came faster than they could be written"
                );
            }
            self.written(line.len());
        }
    }

    /// Waits for a line, and takes it.
    fn take(&self) -> Box<[u8]> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.writing = true;
                return line;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many lines were left out, to be told now: once much has been written since that was told last, or half of what
    /// may wait is gone.
    fn left_out(&self, long_ago: bool) -> u64 {
        let mut waiting = self.lock();
        if long_ago || waiting.bytes <= LIMIT / 2 {
            std::mem::take(&mut waiting.left_out)
        } else {
            0
        }
    }

    /// A line of so many bytes is no longer held.
    fn written(&self, bytes: usize) {
        let mut waiting = self.lock();
        waiting.writing = false;
        waiting.bytes -= bytes;
        if waiting.lines.is_empty() {
            self.emptied.notify_all();
        }
    }
}

/// Takes what a subscriber writes: each event in one go.
#[derive(Clone, Debug)]
pub(super) struct Lines(pub(super) Arc<Queue>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Queue};
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    const LONG: Duration = Duration::from_hours(1);

    /// Says what it writes, and writes only as often as it may.
    struct Slow {
        written: Sender<Vec<u8>>,
        may: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            if self.may.recv().is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let _ = self.written.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Waits until the writer has taken what waits.
    fn taken(queue: &Queue) {
        while !queue.lock().lines.is_empty() {
            std::thread::yield_now();
        }
    }

    /// The bytes that are held, and how many lines were left out.
    fn held(queue: &Queue) -> (usize, u64) {
        let waiting = queue.lock();
        (waiting.bytes, waiting.left_out)
    }

    #[test]
    fn lines_are_written_in_order_and_those_that_do_not_fit_are_left_out() {
        let (written, lines) = channel();
        let (allow, may) = channel();
        let queue = Queue::start(Slow { written, may }).expect("a thread");
        let large = vec![b'-'; LIMIT - 5];
        queue.push(b"first");
        taken(&queue);
        queue.push(&large);
        queue.push(b"left out: what is being written counts");
        assert_eq!(held(&queue), (LIMIT, 1));
        allow.send(()).expect("it waits");
        assert_eq!(lines.recv().expect("a line"), b"first");
        taken(&queue);
        queue.push(b"late!");
        queue.push(b"left out");
        queue.push_last(b"the last words");
        for expected in [&large[..], b"late!", b"the last words"] {
            allow.send(()).expect("it waits");
            assert_eq!(lines.recv().expect("a line"), expected);
        }
        queue.drain(LONG);
        assert_eq!(held(&queue), (0, 0), "all is told");
    }

    #[test]
    fn a_reader_that_is_gone_holds_nobody_up() {
        let (written, lines) = channel();
        let (allow, may) = channel();
        let queue = Queue::start(Slow { written, may }).expect("a thread");
        drop(allow);
        for _ in 0..100 {
            queue.push(b"to nobody");
            queue.drain(LONG);
        }
        assert!(lines.try_recv().is_err(), "nothing could be written");
        assert_eq!(queue.lock().bytes, 0);
    }
}
