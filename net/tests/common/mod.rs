//! A small machine for the driver to drive, and a client of it.
//!
//! The machine checks its driver: every operation is answered exactly once, no frame comes without a grant, nothing of
//! a connection comes after its end. Any breach panics, which ends the broker with [`Exit::Panicked`].
#![allow(dead_code, reason = "each test file uses its share of this module")]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use klamm_core::config::ConnectionConfig;
use klamm_core::shard::{CloseReason, Effect, Effects, Halt, Input};
use klamm_core::storage::{FileOp, FilePath, IoResult, IoValue, OpenMode, Piece};
use klamm_core::types::{
    ConnectionId, Content, FileId, FileRange, ListenerName, LogDirectoryId, Monotonic, Now, OpId, Part, ShardId,
};
use klamm_net::{BoundListener, Broker, BrokerOptions, Machine, NetLimits, bind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How many frames of a connection may be in progress.
pub(crate) const GRANTS: u32 = 8;

/// What an operation was for.
#[derive(Debug)]
enum Purpose {
    Open,
    Write { connection: ConnectionId, position: u64 },
    Sync { connection: ConnectionId, position: u64 },
    Respond { connection: ConnectionId },
}

#[derive(Default, Debug)]
struct Client {
    /// Frames it may still deliver.
    grants: u32,
    /// Requests without an answer until the end.
    held: u32,
    /// Bytes that are to leave of each response, the oldest first.
    leaving: VecDeque<u64>,
}

/// The machine. Requests begin with a letter: `E` echoes; `W` appends its body to the shard's file and answers with
/// the position once that is synced; `R`, a position and a length answer with that range of the shard's file; `H` is
/// held until the broker stops, then answered; `K` is answered at once and kept until memory runs short, `P` for good;
/// `Q` is kept until its connection ends, and answered as `H` is; `C` closes.
pub(crate) struct Tester {
    id: ShardId,
    next: u32,
    ops: BTreeMap<OpId, Purpose>,
    clients: BTreeMap<ConnectionId, Client>,
    gone: BTreeSet<ConnectionId>,
    size: u64,
    kept: Vec<Bytes>,
    pinned: Vec<Bytes>,
    queued: BTreeMap<ConnectionId, Vec<Bytes>>,
    /// Bytes of responses that were told to have left before the rest of them.
    pub(crate) told: Arc<AtomicU64>,
    stopping: bool,
    stopped: bool,
}

impl Tester {
    pub(crate) fn new(id: ShardId) -> Self {
        Self {
            id,
            next: 0,
            ops: BTreeMap::new(),
            clients: BTreeMap::new(),
            gone: BTreeSet::new(),
            size: 0,
            kept: Vec::new(),
            pinned: Vec::new(),
            queued: BTreeMap::new(),
            told: Arc::default(),
            stopping: false,
            stopped: false,
        }
    }

    pub(crate) fn file(id: ShardId) -> FileId {
        FileId(u64::from(id.0) + 1)
    }

    fn op(&mut self, purpose: Purpose) -> OpId {
        let op = OpId {
            slot: self.next,
            generation: 1,
        };
        self.next += 1;
        self.ops.insert(op, purpose);
        op
    }

    fn respond(&mut self, connection: ConnectionId, body: Vec<Part>, effects: &mut Effects) {
        let length: usize = body.iter().map(Part::len).sum();
        let mut parts = vec![Part::Inline(Bytes::copy_from_slice(&(length as u32).to_be_bytes()))];
        parts.extend(body);
        if let Some(client) = self.clients.get_mut(&connection) {
            client.leaving.push_back(4 + length as u64);
        }
        let op = self.op(Purpose::Respond { connection });
        effects.push(Effect::Respond { connection, op, parts });
    }

    fn request(&mut self, connection: ConnectionId, mut frame: Bytes, effects: &mut Effects) {
        let client = self
            .clients
            .get_mut(&connection)
            .expect("frames come between connect and disconnect");
        client.grants = client.grants.checked_sub(1).expect("frames come only as granted");
        let file = Self::file(self.id);
        match frame.get_u8() {
            b'E' => self.respond(connection, vec![Part::Inline(frame)], effects),
            b'W' => {
                let position = self.size;
                self.size += frame.len() as u64;
                let op = self.op(Purpose::Write { connection, position });
                let io = FileOp::Write {
                    file,
                    position,
                    pieces: vec![Piece::Body(frame)],
                };
                effects.push(Effect::Io { op, io });
            }
            b'R' => {
                let (position, length) = (frame.get_u64(), frame.get_u32());
                let range = FileRange { file, position, length };
                self.respond(connection, vec![Part::Range(range, Content::Opaque)], effects);
            }
            b'H' => client.held += 1,
            b'K' => {
                self.kept.push(frame);
                self.respond(connection, vec![Part::Inline(Bytes::from_static(b"kept"))], effects);
            }
            b'P' => {
                self.pinned.push(frame);
                self.respond(connection, vec![Part::Inline(Bytes::from_static(b"pinned"))], effects);
            }
            b'Q' => {
                client.held += 1;
                self.queued.entry(connection).or_default().push(frame);
            }
            b'L' => {
                let bounds = ConnectionConfig {
                    most_of_one: frame.get_u32(),
                    ..ConnectionConfig::default()
                };
                effects.push(Effect::Connections(Box::new(bounds)));
                self.respond(connection, Vec::new(), effects);
            }
            b'C' => {
                let reason = CloseReason::MalformedRequest(String::from("asked for"));
                effects.push(Effect::Close { connection, reason });
            }
            other => panic!("no such request: {other}"),
        }
    }

    fn completed(&mut self, op: OpId, result: &IoResult, effects: &mut Effects) {
        let file = Self::file(self.id);
        match self.ops.remove(&op).expect("operations complete once") {
            Purpose::Open => {
                assert!(matches!(result, Ok(IoValue::Opened { .. })), "{result:?}");
                effects.push(Effect::Serve);
            }
            Purpose::Write { connection, position } => {
                assert_eq!(*result, Ok(IoValue::Done));
                let op = self.op(Purpose::Sync { connection, position });
                effects.push(Effect::Io {
                    op,
                    io: FileOp::Sync { files: vec![file] },
                });
            }
            Purpose::Sync { connection, position } => {
                assert_eq!(*result, Ok(IoValue::Done));
                let body = Bytes::copy_from_slice(&position.to_be_bytes());
                self.respond(connection, vec![Part::Inline(body)], effects);
            }
            Purpose::Respond { .. } => panic!("a response completes as sent"),
        }
    }

    fn shutdown(&mut self, effects: &mut Effects) {
        self.stopping = true;
        let clients: Vec<_> = self.clients.iter().map(|(id, client)| (*id, client.held)).collect();
        for (connection, held) in clients {
            for _ in 0..held {
                self.respond(connection, vec![Part::Inline(Bytes::from_static(b"stopped"))], effects);
            }
        }
    }

    /// Closes connections that have nothing in progress, and stops once there is none.
    fn wind_down(&mut self, effects: &mut Effects) {
        if !self.stopping || self.stopped {
            return;
        }
        for &connection in self.clients.keys() {
            effects.push(Effect::Close {
                connection,
                reason: CloseReason::Shutdown,
            });
        }
        if self.ops.is_empty() && self.clients.is_empty() {
            self.stopped = true;
            effects.push(Effect::Halt(Halt::Stopped));
        }
    }
}

impl Machine for Tester {
    fn step(&mut self, _now: Now, input: Input, effects: &mut Effects) {
        match input {
            Input::Start => {
                let op = self.op(Purpose::Open);
                let path = FilePath::new(LogDirectoryId(0), &format!("data-{}", self.id));
                let io = FileOp::Open {
                    file: Self::file(self.id),
                    path,
                    mode: OpenMode::CreateOrEmpty,
                };
                effects.push(Effect::Io { op, io });
            }
            Input::Connected { connection, .. } => {
                let client = Client {
                    grants: GRANTS,
                    ..Client::default()
                };
                assert!(self.clients.insert(connection, client).is_none());
                assert!(!self.gone.contains(&connection), "ids are never reused");
                effects.push(Effect::Grant {
                    connection,
                    frames: GRANTS,
                });
            }
            Input::Frame { connection, frame } => self.request(connection, frame, effects),
            Input::Disconnected { connection } => {
                assert!(self.clients.remove(&connection).is_some(), "a connection ends once");
                self.gone.insert(connection);
                self.queued.remove(&connection);
            }
            Input::Progress { connection, bytes } => {
                let client = self.clients.get_mut(&connection);
                let left = client.and_then(|client| client.leaving.front_mut());
                let left = left.expect("what leaves in part was to be sent");
                assert!((1..*left).contains(&bytes), "the rest of a response is told as its end");
                *left -= bytes;
                self.told.fetch_add(bytes, Ordering::Relaxed);
            }
            Input::Sent { op } => {
                let Some(Purpose::Respond { connection }) = self.ops.remove(&op) else {
                    panic!("responses are sent once");
                };
                if let Some(client) = self.clients.get_mut(&connection) {
                    client.grants += 1;
                    client.leaving.pop_front();
                    effects.push(Effect::Grant { connection, frames: 1 });
                }
            }
            Input::Io { op, result } => self.completed(op, &result, effects),
            Input::Reclaim => self.kept.clear(),
            Input::Shutdown => self.shutdown(effects),
            // It lacks nothing.
            Input::Hurry => {}
            Input::Tick | Input::Task { .. } | Input::Mail { .. } | Input::Broken { .. } => {
                panic!("nobody asked for this")
            }
        }
        self.wind_down(effects);
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }
}

/// A directory that is removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "klamm-net-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Options for a broker on a free port of the loopback interface.
pub(crate) fn options(directory: &Path, shards: u16, limits: NetLimits) -> BrokerOptions {
    BrokerOptions {
        listeners: vec![BoundListener {
            name: ListenerName::default(),
            socket: bind(([127, 0, 0, 1], 0).into()).expect("a port is free"),
        }],
        log_directory: directory.to_path_buf(),
        shards,
        config: Arc::default(),
        limits,
        seed: 1,
    }
}

/// A broker of [`Tester`]s that serves.
pub(crate) fn serve(directory: &Path, shards: u16, limits: NetLimits) -> Broker {
    let broker = Broker::start_with(options(directory, shards, limits), |id, _| Tester::new(id)).expect("it starts");
    broker.ready().expect("it serves");
    broker
}

/// A request frame with its prefix.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(5 + body.len());
    frame.put_u32(body.len() as u32 + 1);
    frame.put_u8(kind);
    frame.extend_from_slice(body);
    frame
}

/// A request for a range of the shard's file.
pub(crate) fn range(position: u64, length: u32) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u64(position);
    body.put_u32(length);
    frame(b'R', &body)
}

/// A connection to a broker.
pub(crate) struct Connection(pub(crate) TcpStream);

impl Connection {
    pub(crate) fn to(broker: &Broker) -> Self {
        let stream = TcpStream::connect(broker.addresses()[0]).expect("it listens");
        // A test that waits for ever shows nothing.
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .expect("the time is not zero");
        stream.set_nodelay(true).expect("it is a TCP connection");
        Self(stream)
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the connection is open");
    }

    #[track_caller]
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("the connection is open")
    }

    pub(crate) fn try_receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut prefix = [0; 4];
        self.0.read_exact(&mut prefix)?;
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    #[track_caller]
    pub(crate) fn call(&mut self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        self.receive()
    }

    /// Whether the broker closes it, without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
            || self
                .try_receive()
                .is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock)
    }
}
