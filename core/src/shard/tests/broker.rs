//! A driver of a few shards: everything is carried out in order and at once, but for what a test holds back.

use crate::config::{BrokerConfig, ConnectionConfig};
use crate::controller::{ControllerAnswer, ControllerRequest};
use crate::partition::LogJob;
use crate::session::{Answer, Ask};
use crate::shard::{Audit, CloseReason, Effect, Effects, Halt, Input, Mail, Report, Shard, Task};
use crate::storage::tests::disk::Disk;
use crate::storage::{FileOp, IoValue, run_to_end};
use crate::types::{ConnectionId, ListenerName, Monotonic, Now, Offset, OpId, Origin, Part, ShardId, Timestamp};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The operation under which the test itself asks.
const TEST: OpId = OpId {
    slot: u32::MAX,
    generation: u32::MAX,
};

/// What a test keeps from being carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hold {
    Nothing,
    Writes,
    Syncs,
    Tasks,
    /// Tasks that open compressed batches.
    Opening,
    /// Compactions.
    Compaction,
    Responses,
    /// Publications to other shards.
    Publications,
}

/// One client connection, as the driver sees it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shard: usize,
    pub(super) granted: u32,
    pub(super) received: VecDeque<Bytes>,
    pub(super) closed: Option<CloseReason>,
    pub(super) gone: bool,
}

/// The memory of a frame, as long as somebody has a slice of it.
struct Received {
    bytes: Bytes,
    _kept: Arc<()>,
}

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A broker process, and the disk that outlives it.
pub(super) struct Broker {
    pub(super) config: BrokerConfig,
    pub(super) disk: Disk,
    pub(super) shards: Vec<Shard>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) serving: usize,
    pub(super) halted: Vec<Option<Halt>>,
    pub(super) reports: Vec<String>,
    /// What the driver was last told of connections.
    pub(super) connections_bound: Option<ConnectionConfig>,
    pub(super) hold: Hold,
    /// Where ranges of files are read from that responses are made of.
    pub(super) reads_from: Origin,
    pub(super) now: Now,
    pub(super) correlation: i32,
    held: VecDeque<(usize, Effect)>,
    /// Cloned for each frame that was handed over and is kept.
    frames: Arc<()>,
    /// What the controller answered the test itself.
    decided: Option<ControllerAnswer>,
    inbox: VecDeque<(usize, Input)>,
    next_connection: u64,
    starts: u64,
}

impl Broker {
    /// A broker on an empty disk that serves with `shards` shards.
    pub(super) fn start(shards: u16) -> Self {
        Self::start_with(shards, BrokerConfig::default())
    }

    pub(super) fn start_with(shards: u16, config: BrokerConfig) -> Self {
        let mut broker = Self::boot(shards, config, Disk::default());
        broker.run();
        assert_eq!(broker.serving, usize::from(shards), "{:?}", broker.halted);
        broker
    }

    /// A process on `disk` that has only just begun.
    pub(super) fn boot(shards: u16, config: BrokerConfig, disk: Disk) -> Self {
        let mut broker = Self {
            config,
            disk,
            shards: Vec::new(),
            connections: BTreeMap::new(),
            serving: 0,
            halted: Vec::new(),
            reports: Vec::new(),
            connections_bound: None,
            hold: Hold::Nothing,
            reads_from: Origin::Cache,
            now: Now {
                monotonic: Monotonic(1),
                wall: Timestamp(1_700_000_000_000),
            },
            correlation: 0,
            held: VecDeque::new(),
            frames: Arc::default(),
            decided: None,
            inbox: VecDeque::new(),
            next_connection: 0,
            starts: 0,
        };
        broker.begin(shards);
        broker
    }

    fn begin(&mut self, shards: u16) {
        self.starts += 1;
        let config = Arc::new(self.config.clone());
        let seed = |id: u16| self.starts * 100 + u64::from(id);
        self.shards = (0..shards)
            .map(|id| Shard::new(ShardId(id), shards, &config, seed(id)))
            .collect();
        self.halted = self.shards.iter().map(|_| None).collect();
        self.inbox = (0..self.shards.len()).map(|shard| (shard, Input::Start)).collect();
        self.connections.clear();
        self.held.clear();
        self.serving = 0;
    }

    /// The process dies; the page cache stays. Another one starts.
    pub(super) fn kill(&mut self, shards: u16) {
        self.disk.kill();
        self.restart(shards);
    }

    /// The power goes, and comes back.
    pub(super) fn power_cut(&mut self, shards: u16) {
        self.disk.power_cut();
        self.restart(shards);
    }

    fn restart(&mut self, shards: u16) {
        self.disk.history.clear();
        self.reports.clear();
        self.hold = Hold::Nothing;
        self.begin(shards);
        self.run();
        assert_eq!(self.serving, usize::from(shards), "{:?}", self.halted);
    }

    /// Asks every shard to stop, and lets it happen.
    pub(super) fn stop(&mut self) {
        (0..self.shards.len()).for_each(|shard| self.inbox.push_back((shard, Input::Shutdown)));
        self.run();
    }

    /// The stop has waited for long enough.
    pub(super) fn hurry(&mut self) {
        (0..self.shards.len()).for_each(|shard| self.inbox.push_back((shard, Input::Hurry)));
        self.run();
    }

    /// A clean stop leaves nothing behind; then the next process starts.
    pub(super) fn stop_and_start(&mut self, shards: u16) {
        self.stop();
        self.assert_stopped();
        self.disk.kill();
        self.restart(shards);
    }

    pub(super) fn assert_stopped(&self) {
        for (shard, halted) in self.shards.iter().zip(&self.halted) {
            assert_eq!(*halted, Some(Halt::Stopped), "{:?}", shard.audit());
            let left = Audit {
                timers: 0,
                ..shard.audit()
            };
            assert_eq!(left, Audit::default(), "nothing is held after a stop");
        }
    }

    /// Carries out everything that can be.
    pub(super) fn run(&mut self) {
        let mut effects = Effects::new();
        let mut steps = 0;
        while let Some((shard, input)) = self.next_input() {
            steps += 1;
            assert!(steps < 2_000_000, "it never comes to rest: {input:?}");
            self.shards[shard].step(self.now, input, &mut effects);
            for effect in effects.drain().collect::<Vec<_>>() {
                if self.is_held(&effect) {
                    self.held.push_back((shard, effect));
                } else {
                    self.carry_out(shard, effect);
                }
            }
        }
    }

    /// What happened next; at rest, a tick for a shard whose turn left something over.
    fn next_input(&mut self) -> Option<(usize, Input)> {
        let left_over = || self.shards.iter().position(Shard::has_left_over);
        self.inbox.pop_front().or_else(|| Some((left_over()?, Input::Tick)))
    }

    /// Whose responses are held back, in the order emitted.
    pub(super) fn held_responses(&self) -> Vec<ConnectionId> {
        let connection = |(_, effect): &(usize, Effect)| match effect {
            Effect::Respond { connection, .. } => Some(*connection),
            _ => None,
        };
        self.held.iter().filter_map(connection).collect()
    }

    /// Carries out the oldest response to `connection` that is held back.
    pub(super) fn let_one_go(&mut self, connection: ConnectionId) {
        let to = |(_, effect): &(usize, Effect)| matches!(effect, Effect::Respond { connection: to, .. } if *to == connection);
        let at = self.held.iter().position(to).expect("a response is held back");
        let (shard, effect) = self.held.remove(at).expect("it was found there");
        self.carry_out(shard, effect);
        self.run();
    }

    /// The client takes so many bytes of the oldest response to it, and not the rest.
    pub(super) fn take_some(&mut self, connection: ConnectionId, bytes: u64) {
        let shard = self.connections[&connection].shard;
        self.inbox.push_back((shard, Input::Progress { connection, bytes }));
        self.run();
    }

    fn is_held(&self, effect: &Effect) -> bool {
        match (self.hold, effect) {
            (Hold::Syncs, Effect::Io { io, .. }) => matches!(io, FileOp::Sync { .. } | FileOp::SyncAll { .. }),
            (Hold::Writes, Effect::Io { io, .. }) => matches!(io, FileOp::Write { .. }),
            (Hold::Compaction, Effect::Task { task, .. }) => matches!(task, Task::Log(LogJob::Compact(_))),
            (Hold::Opening, Effect::Task { task, .. }) => matches!(task, Task::Log(LogJob::Validate(_))),
            (Hold::Publications, Effect::Mail { mail, .. }) => matches!(mail, Mail::Publish(_)),
            (Hold::Tasks, Effect::Task { .. }) | (Hold::Responses, Effect::Respond { .. }) => true,
            _ => false,
        }
    }

    /// Carries out what was held back, and from now on everything.
    pub(super) fn let_go(&mut self) {
        self.let_go_but(Hold::Nothing);
    }

    /// Carries out what was held back, but for what is to be held back from now on.
    pub(super) fn let_go_but(&mut self, hold: Hold) {
        self.hold = hold;
        for (shard, effect) in core::mem::take(&mut self.held) {
            if self.is_held(&effect) {
                self.held.push_back((shard, effect));
            } else {
                self.carry_out(shard, effect);
            }
        }
        self.run();
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Io { op, io } => {
                let result = self.disk.perform(&io);
                self.inbox.push_back((shard, Input::Io { op, result }));
            }
            Effect::Task { op, mut task } => {
                let outcome = run_to_end(&mut task, |io| self.disk.perform(&io));
                self.inbox.push_back((shard, Input::Task { op, outcome }));
            }
            Effect::Respond { connection, op, parts } => self.respond(shard, connection, op, parts),
            Effect::Mail {
                mail: Mail::Answer { op: TEST, answer },
                ..
            } => match answer {
                Answer::Controller(decided) => self.decided = Some(decided),
                other => panic!("the controller answers {other:?}"),
            },
            Effect::Mail { to, mail } => {
                let from = ShardId(shard as u16);
                self.inbox.push_back((usize::from(to.0), Input::Mail { from, mail }));
            }
            Effect::Grant { connection, frames } => {
                if let Some(it) = self.connections.get_mut(&connection) {
                    it.granted += frames;
                }
            }
            Effect::Close { connection, reason } => {
                let it = self.connections.get_mut(&connection).expect("what is closed was open");
                assert!(it.closed.is_none(), "{connection} is closed twice: {reason:?}");
                it.closed = Some(reason);
                self.disconnect(connection);
            }
            Effect::Serve => self.serving += 1,
            Effect::Connections(bounds) => self.connections_bound = Some(*bounds),
            Effect::Report(Report::Info(text) | Report::Warning(text)) => self.reports.push(text),
            Effect::Halt(halt) => {
                let before = self.halted[shard].replace(halt);
                assert!(before.is_none(), "a shard halts once");
            }
        }
    }

    /// Puts a request to the controller as if the second shard did.
    pub(super) fn decide(&mut self, request: ControllerRequest) -> ControllerAnswer {
        let (op, watch, seen) = (TEST, None, Offset::ZERO);
        let ask = Ask::Controller(request);
        let mail = Mail::Ask { op, watch, seen, ask };
        let from = ShardId(1);
        self.inbox.push_back((0, Input::Mail { from, mail }));
        self.run();
        self.decided.take().expect("it is answered at once")
    }

    fn respond(&mut self, shard: usize, connection: ConnectionId, op: OpId, parts: Vec<Part>) {
        let mut frame = Vec::new();
        for part in parts {
            match part {
                Part::Inline(bytes) => frame.extend_from_slice(&bytes),
                Part::Range(range, mut content) => {
                    let (file, position, length) = (range.file, range.position, range.length);
                    let read = self.disk.perform(&FileOp::Read { file, position, length });
                    let Ok(IoValue::Bytes(bytes)) = read else {
                        panic!("a leased range is readable: {read:?}")
                    };
                    assert_eq!(bytes.len(), length as usize, "a range is there in full");
                    if let Err(broken) = content.pass(&bytes, self.reads_from) {
                        self.inbox.push_back((shard, Input::Broken { file, broken }));
                        self.inbox.push_back((shard, Input::Sent { op }));
                        return self.disconnect(connection);
                    }
                    frame.extend_from_slice(&bytes);
                }
            }
        }
        let claimed = u32::from_be_bytes(*frame.first_chunk().expect("a frame has a length"));
        assert_eq!(claimed as usize, frame.len() - 4);
        if let Some(it) = self.connections.get_mut(&connection) {
            it.received.push_back(Bytes::from(frame).slice(4..));
        }
        self.inbox.push_back((shard, Input::Sent { op }));
    }

    /// A client connects, and its connection goes to `shard`.
    pub(super) fn connect(&mut self, shard: usize) -> ConnectionId {
        self.connect_to(shard, ListenerName::DEFAULT)
    }

    /// A client connects to a listener, and its connection goes to `shard`.
    pub(super) fn connect_to(&mut self, shard: usize, listener: &str) -> ConnectionId {
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        self.connections.insert(
            connection,
            Connection {
                shard,
                granted: 0,
                received: VecDeque::new(),
                closed: None,
                gone: false,
            },
        );
        let peer = format!("client {connection}").to_string();
        let input = Input::Connected {
            connection,
            peer,
            listener: ListenerName::new(listener),
        };
        self.inbox.push_back((shard, input));
        self.run();
        connection
    }

    /// The connection ends, whoever ended it.
    pub(super) fn disconnect(&mut self, connection: ConnectionId) {
        let it = self.connections.get_mut(&connection).expect("it was connected");
        if !core::mem::replace(&mut it.gone, true) {
            self.inbox.push_back((it.shard, Input::Disconnected { connection }));
        }
    }

    /// Hands a frame over, without its length.
    pub(super) fn frame(&mut self, connection: ConnectionId, frame: Bytes) {
        let it = self.connections.get_mut(&connection).expect("it is connected");
        assert!(it.granted > 0, "a client sends no more than it may");
        it.granted -= 1;
        if !it.gone {
            let frame = Bytes::from_owner(Received {
                bytes: frame,
                _kept: Arc::clone(&self.frames),
            });
            self.inbox.push_back((it.shard, Input::Frame { connection, frame }));
        }
    }

    /// How many frames are kept alive, in whole or by a slice.
    pub(super) fn kept_frames(&self) -> usize {
        Arc::strong_count(&self.frames) - 1
    }

    /// Memory for frames runs short.
    pub(super) fn reclaim(&mut self) {
        (0..self.shards.len()).for_each(|shard| self.inbox.push_back((shard, Input::Reclaim)));
        self.run();
    }

    /// Time passes; every timer fires at its time.
    pub(super) fn pass(&mut self, millis: u64) {
        let until = self.now.monotonic.plus_millis(millis);
        let wall = self.now.wall.0 + millis as i64;
        loop {
            let next = (0..self.shards.len())
                .filter_map(|at| Some((self.shards[at].next_deadline()?, at)))
                .min();
            let Some((deadline, shard)) = next.filter(|&(deadline, _)| deadline <= until) else {
                break;
            };
            self.now.monotonic = self.now.monotonic.max(deadline);
            self.inbox.push_back((shard, Input::Tick));
            self.run();
        }
        self.now = Now {
            monotonic: until,
            wall: Timestamp(wall),
        };
    }

    pub(super) fn reported(&self, text: &str) -> bool {
        self.reports.iter().any(|report| report.contains(text))
    }

    /// What a topic says itself, as the controller's shard knows it.
    pub(super) fn topic_setting(&self, topic: &str, key: &str) -> Option<String> {
        let topic = self.shards[0].view.image.topic_named(topic)?;
        topic.config.get(key).cloned()
    }
}
