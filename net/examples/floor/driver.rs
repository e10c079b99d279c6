//! The driver with a machine that appends every frame to one file, syncs in rounds and answers, or sends ranges of it.

use crate::{Load, cpu, report, touch};
use bytes::{Buf, Bytes};
use klamm_core::shard::{CloseReason, Effect, Effects, Halt, Input};
use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
use klamm_core::types::{ConnectionId, Content, FileId, FileRange, LogDirectoryId, Monotonic, Now, OpId, Part};
use klamm_net::{Broker, BrokerOptions, Machine, NetLimits, bind};
use rustix::time::ClockId;
use std::collections::BTreeMap;
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::spawn;

const FILE: FileId = FileId(1);

/// Requests of one connection in progress.
const PIPELINE: usize = 16;

/// Bytes of one answer with records.
const ANSWER: u32 = 1 << 20;

enum Purpose {
    Open,
    Write(ConnectionId),
    Sync(Vec<ConnectionId>),
    Respond(ConnectionId),
}

/// Appends frames that begin with 0; answers others with a range of the file at the position they give.
struct Appender {
    sync: bool,
    next: u32,
    ops: BTreeMap<OpId, Purpose>,
    open: Vec<ConnectionId>,
    size: u64,
    /// Who waits for the next round.
    waiting: Vec<ConnectionId>,
    syncing: bool,
}

impl Appender {
    fn op(&mut self, purpose: Purpose) -> OpId {
        let op = OpId {
            slot: self.next,
            generation: 0,
        };
        self.next += 1;
        self.ops.insert(op, purpose);
        op
    }

    fn respond(&mut self, connection: ConnectionId, part: Part, effects: &mut Effects) {
        let length = Bytes::copy_from_slice(&(part.len() as u32).to_be_bytes());
        let op = self.op(Purpose::Respond(connection));
        let parts = vec![Part::Inline(length), part];
        effects.push(Effect::Respond { connection, op, parts });
    }

    fn frame(&mut self, connection: ConnectionId, mut frame: Bytes, effects: &mut Effects) {
        if frame.first() != Some(&0) {
            frame.advance(1);
            let range = FileRange {
                file: FILE,
                position: frame.get_u64(),
                length: ANSWER,
            };
            self.respond(connection, Part::Range(range, Content::Opaque), effects);
            return;
        }
        let position = self.size;
        self.size += frame.len() as u64;
        let op = self.op(Purpose::Write(connection));
        let io = FileOp::Write {
            file: FILE,
            position,
            pieces: vec![Piece::Body(frame)],
        };
        effects.push(Effect::Io { op, io });
    }

    /// Begins a round for all who wait, unless one runs.
    fn round(&mut self, effects: &mut Effects) {
        if !self.sync {
            for connection in std::mem::take(&mut self.waiting) {
                self.respond(connection, Part::Inline(Bytes::from_static(b"done")), effects);
            }
        } else if !self.syncing && !self.waiting.is_empty() {
            self.syncing = true;
            let waiting = std::mem::take(&mut self.waiting);
            let op = self.op(Purpose::Sync(waiting));
            effects.push(Effect::Io {
                op,
                io: FileOp::Sync { files: vec![FILE] },
            });
        }
    }

    fn completed(&mut self, op: OpId, effects: &mut Effects) {
        match self.ops.remove(&op) {
            Some(Purpose::Open) => effects.push(Effect::Serve),
            Some(Purpose::Write(connection)) => {
                self.waiting.push(connection);
                self.round(effects);
            }
            Some(Purpose::Sync(waiting)) => {
                self.syncing = false;
                for connection in waiting {
                    self.respond(connection, Part::Inline(Bytes::from_static(b"done")), effects);
                }
                self.round(effects);
            }
            Some(Purpose::Respond(connection)) => effects.push(Effect::Grant { connection, frames: 1 }),
            None => {}
        }
    }
}

impl Machine for Appender {
    fn step(&mut self, _now: Now, input: Input, effects: &mut Effects) {
        match input {
            Input::Start => {
                let op = self.op(Purpose::Open);
                let path = FilePath::new(LogDirectoryId(0), "driver");
                let io = FileOp::Open {
                    file: FILE,
                    path,
                    mode: OpenMode::CreateOrEmpty,
                };
                effects.push(Effect::Io { op, io });
            }
            Input::Connected { connection, .. } => {
                self.open.push(connection);
                effects.push(Effect::Grant {
                    connection,
                    frames: PIPELINE as u32,
                });
            }
            Input::Frame { connection, frame } => self.frame(connection, frame, effects),
            Input::Io { op, .. } | Input::Sent { op } => self.completed(op, effects),
            Input::Disconnected { connection } => self.open.retain(|open| *open != connection),
            Input::Shutdown => {
                for &connection in &self.open {
                    effects.push(Effect::Close {
                        connection,
                        reason: CloseReason::Shutdown,
                    });
                }
                effects.push(Effect::Halt(Halt::Stopped));
            }
            Input::Tick | Input::Task { .. } | Input::Mail { .. } | Input::Reclaim | Input::Broken { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }
}

/// Sends `request` over and over, `PIPELINE` at a time, until `count` are answered; answers the CPU time it took.
fn client(mut stream: TcpStream, request: &[u8], count: usize) -> Result<f64> {
    let mut reader = stream.try_clone()?;
    let before = cpu(ClockId::ThreadCPUTime);
    let mut window = vec![0; 256 << 10];
    let mut sent = 0;
    for answered in 0..count {
        while sent < count.min(answered + PIPELINE) {
            stream.write_all(request)?;
            sent += 1;
        }
        let mut prefix = [0; 4];
        reader.read_exact(&mut prefix)?;
        let mut left = u32::from_be_bytes(prefix) as usize;
        while left > 0 {
            let step = left.min(window.len());
            left -= reader.read(&mut window[..step])?;
        }
    }
    Ok(cpu(ClockId::ThreadCPUTime) - before)
}

/// Has one client do its work and reports what everything but the client took.
fn measure(name: &str, load: Load, broker: &Broker, request: Vec<u8>, count: usize) -> Result<()> {
    let stream = TcpStream::connect(broker.addresses()[0])?;
    stream.set_nodelay(true)?;
    let before = cpu(ClockId::ProcessCPUTime);
    let client = spawn(move || client(stream, &request, count));
    let taken = client
        .join()
        .unwrap_or_else(|_| Err(Error::other("the client panicked")))?;
    report(name, load, cpu(ClockId::ProcessCPUTime) - before - taken);
    Ok(())
}

fn start(directory: &Path, sync: bool) -> Result<Broker> {
    let options = BrokerOptions {
        listeners: vec![bind(([127, 0, 0, 1], 0).into())?],
        log_directory: directory.to_path_buf(),
        shards: 1,
        config: Arc::default(),
        limits: NetLimits::default(),
        seed: 0,
    };
    let appender = |_, _| Appender {
        sync,
        next: 0,
        ops: BTreeMap::new(),
        open: Vec::new(),
        size: 0,
        waiting: Vec::new(),
        syncing: false,
    };
    let broker = Broker::start_with(options, appender).map_err(Error::other)?;
    broker.ready().map_err(|exit| Error::other(exit.to_string()))?;
    Ok(broker)
}

/// Measures the driver in, with and without sync, and out.
pub(crate) fn run(load: Load, directory: &Path) -> Result<()> {
    let mut append = (load.batch as u32).to_be_bytes().to_vec();
    append.resize(4 + load.batch, 0);
    for (name, sync) in [
        ("driver: receive, write, answer", false),
        ("driver: receive, write, sync, answer", true),
    ] {
        let broker = start(directory, sync)?;
        touch(load, directory)?;
        measure(name, load, &broker, append.clone(), load.bytes / load.batch)?;
        if sync {
            let mut fetch = 9_u32.to_be_bytes().to_vec();
            fetch.push(1);
            fetch.extend_from_slice(&0_u64.to_be_bytes());
            measure(
                "driver: send from a cached file",
                load,
                &broker,
                fetch,
                load.bytes / ANSWER as usize,
            )?;
            let counters = broker.metrics();
            println!(
                "{} turns, {} writes, {} syncs",
                counters.turns,
                counters.writes_now + counters.writes_queued,
                counters.syncs
            );
        }
        broker.stop();
        std::fs::remove_file(directory.join("driver"))?;
    }
    Ok(())
}
