//! Lines on their way to standard error.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that wait at most; what comes while there are as many is left out.
const LIMIT: usize = 1 << 20;

/// Lines that wait for whoever reads them.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Something waits.
    filled: Condvar,
    /// Nothing waits, and nothing is being written.
    emptied: Condvar,
}

#[derive(Default, Debug)]
struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// Lines taken out and not written yet.
    writing: usize,
    /// Lines left out since that was told last.
    left_out: u64,
}

impl Queue {
    /// A queue that a thread of its own writes to `sink`.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            waiting: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("klamm-log".to_owned())
            .spawn(move || writer.write_to(sink))?;
        Ok(queue)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `line` written, unless too much waits.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes + line.len() > LIMIT {
            waiting.left_out += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.into());
        self.filled.notify_one();
    }

    /// Waits until everything is written, or for as long as `patience`.
    pub(super) fn drain(&self, patience: Duration) {
        let unwritten = |waiting: &mut Waiting| !waiting.lines.is_empty() || waiting.writing > 0;
        // Whether it is or not, nothing more can be done.
        let _ = self.emptied.wait_timeout_while(self.lock(), patience, unwritten);
    }

    fn write_to(&self, mut sink: impl Write) {
        loop {
            let (lines, left_out) = self.take();
            for line in lines {
                // Where a line cannot be written, nobody can be told.
                let _ = sink.write_all(&line);
            }
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    "log lines were left out: they came faster than they could be written"
                );
            }
            let mut waiting = self.lock();
            waiting.writing = 0;
            if waiting.lines.is_empty() {
                self.emptied.notify_all();
            }
        }
    }

    /// Waits for lines, and takes them; with how many were left out.
    fn take(&self) -> (VecDeque<Box<[u8]>>, u64) {
        let nothing = |waiting: &mut Waiting| waiting.lines.is_empty();
        let mut waiting = self
            .filled
            .wait_while(self.lock(), nothing)
            .unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut waiting.lines);
        waiting.bytes = 0;
        waiting.writing = lines.len();
        (lines, std::mem::take(&mut waiting.left_out))
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

    #[test]
    fn lines_are_written_in_order_and_those_that_do_not_fit_are_left_out() {
        let (written, lines) = channel();
        let (allow, may) = channel();
        let queue = Queue::start(Slow { written, may }).expect("a thread");
        queue.push(b"first");
        allow.send(()).expect("it waits");
        assert_eq!(lines.recv().expect("a line"), b"first");
        let large = vec![b'-'; LIMIT];
        for _ in 0..3 {
            queue.push(&large);
        }
        let waiting = queue.lock();
        assert!(waiting.bytes <= LIMIT, "{} bytes wait", waiting.bytes);
        assert!(waiting.left_out >= 1, "one is being written, and one waits at most");
        drop(waiting);
        allow.send(()).expect("it waits");
        assert_eq!(lines.recv().expect("a line"), large);
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
