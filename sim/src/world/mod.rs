//! One run: a broker of a few shards on a simulated disk, clock and network, the clients that use it, the faults that
//! hit it, and the oracle that watches.
//!
//! A run has two halves. While it is *unsafe*, the workload and its faults go on; then all faults stop, the broker is
//! started anew, and within a bounded time everything must come to rest and be read back.

mod ailments;
mod disk_queue;
mod earlier;
mod faults;
mod phases;
mod process;
mod wire;

use crate::client::{Client, Hands};
use crate::disk::Disk;
use crate::draw::Draw;
use crate::link::{End, LinkId, Links};
use crate::options::{Crash, Options, Role};
use crate::oracle::{Checker, Oracle, Violation};
use crate::report::{Report, Verdict};
use crate::stage::{MILLIS, Nanos, Stage};
use crate::trace::Trace;
use bytes::Bytes;
use disk_queue::Weather;
use klamm_core::shard::Input;
use klamm_core::storage::IoResult;
use klamm_core::types::{Monotonic, Now, Timestamp};
use phases::Phase;
use process::Process;

/// One thing on the agenda.
#[derive(Debug)]
pub(crate) enum Event {
    /// The broker's process starts.
    Boot,
    /// A shard takes what lies in its inbox.
    Turn { incarnation: u32, shard: usize },
    /// A shard's deadline may have come.
    Tick { incarnation: u32, shard: usize },
    /// Something reaches a shard's inbox.
    Deliver {
        incarnation: u32,
        shard: usize,
        input: Box<Input>,
    },
    /// A disk operation takes effect, or a sync ends.
    Disk { incarnation: u32, op: u64 },
    /// A task goes on.
    Task {
        incarnation: u32,
        task: u64,
        result: IoResult,
    },
    /// The next response of a connection is handed to the kernel.
    Respond { incarnation: u32, link: LinkId },
    /// A connection is accepted.
    Connect { link: LinkId },
    /// Bytes reach the other end.
    Bytes { link: LinkId, to: End, bytes: Bytes },
    /// An end learns that the connection is gone.
    Broken { link: LinkId, end: End },
    /// A client's alarm.
    Wake { client: usize },
    /// A fault begins.
    Fault { index: usize },
    /// The disk has room again.
    RoomAgain,
    /// Clean pages leave the page cache.
    Evict,
    /// Somebody looks whether the phase is over.
    Look,
}

/// A run that has not ended by then runs in circles.
const MOST_EVENTS: u64 = 3_000_000;

/// How a run is carried out; the result does not depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RunOptions {
    /// Keep a line per event.
    pub trace: bool,
    /// Let the run depend on this machine's clock: the proof that the determinism check works.
    pub planted_nondeterminism: bool,
}

/// Everything of one run.
pub(crate) struct World {
    options: Options,
    stage: Stage<Event>,
    disk: Disk,
    weather: Weather,
    process: Option<Process>,
    incarnation: u32,
    links: Links,
    clients: Vec<Client>,
    oracle: Oracle,
    report: Report,
    phase: Phase,
    /// What the wall clock shows beyond the time that has passed.
    wall: i64,
    /// The broker crashes once it has caused this many more effects.
    crash: Option<(Crash, u64)>,
    /// The client that reads everything after the second recovery.
    second_verifier: Option<usize>,
    /// The client that creates the topics.
    setup: usize,
}

impl World {
    pub(crate) fn new(options: Options, run: RunOptions) -> Self {
        let mut draw = Draw::new(options.seed ^ 0x5EED_0F70_1D0F_A150);
        if run.planted_nondeterminism {
            draw = Draw::new(options.seed ^ u64::from(std::process::id()));
        }
        let stage = Stage::new(draw, Trace::new(run.trace));
        let clients = options.clients.iter().enumerate();
        let clients = clients
            .map(|(index, plan)| Client::new(index, plan, &options))
            .collect();
        let mut oracle = Oracle::new(
            options.broker.flush,
            options.broker.topic_defaults.timestamp_type,
            options.retention(),
        );
        let compacted = options.topics.iter();
        let rules = compacted.filter_map(|topic| Some((topic.name.clone(), topic.compaction?)));
        oracle.set_compaction(rules.collect());
        oracle.set_group_retention(options.group_retention());
        Self {
            stage,
            disk: Disk::new(),
            weather: Weather::default(),
            process: None,
            incarnation: 0,
            links: Links::default(),
            clients,
            oracle,
            report: Report::default(),
            phase: Phase::Setup,
            wall: options.wall,
            crash: None,
            second_verifier: None,
            setup: 0,
            options,
        }
    }

    /// Runs to the verdict.
    pub(crate) fn run(mut self) -> (Verdict, Vec<String>) {
        self.stage.at(0, Event::Boot);
        for (index, &(at, _)) in self.options.faults.iter().enumerate() {
            self.stage.at(at, Event::Fault { index });
        }
        self.setup = self.add_client(Role::Setup);
        self.stage.at(1, Event::Look);
        // Nothing of the run is used after a panic but what explains it.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run_events()));
        if let Err(panic) = ended {
            self.oracle
                .violate(Checker::Assertion, crate::panics::message(panic.as_ref()));
        }
        self.verdict()
    }

    fn run_events(&mut self) {
        while self.oracle.violation().is_none() && self.phase != Phase::Over {
            let Some(event) = self.stage.next(phases::END) else {
                let text = format!("the run did not end: {:?}", self.phase);
                self.oracle.violate(Checker::Liveness, text);
                break;
            };
            if self.stage.trace.events() > MOST_EVENTS {
                let text = format!("something goes on without end: {:?}", self.phase);
                self.oracle.violate(Checker::Liveness, text);
                break;
            }
            self.oracle.set_now(self.stage.now());
            self.note(&event);
            self.happen(event);
        }
    }

    fn note(&mut self, event: &Event) {
        let now = self.stage.now();
        let draws = self.stage.draw.digest();
        let (kind, detail) = match event {
            Event::Boot => (1, 0),
            Event::Turn { shard, .. } => (2, *shard as u64),
            Event::Tick { shard, .. } => (3, *shard as u64),
            Event::Deliver { shard, .. } => (4, *shard as u64),
            Event::Disk { op, .. } => (5, *op),
            Event::Task { task, .. } => (6, *task),
            Event::Respond { link, .. } => (7, link.0),
            Event::Connect { link } => (8, link.0),
            Event::Bytes { link, .. } => (9, link.0),
            Event::Broken { link, .. } => (10, link.0),
            Event::Wake { client } => (11, *client as u64),
            Event::Fault { index } => (12, *index as u64),
            Event::RoomAgain => (13, 0),
            Event::Look => (14, 0),
            Event::Evict => (15, 0),
        };
        self.stage.trace.event(now, draws, kind);
        self.stage.trace.word(detail);
        if let Event::Bytes { bytes, .. } = event {
            self.stage.trace.bytes(bytes);
        }
        self.stage.trace.line(now, || describe(event));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Boot => self.boot(),
            Event::Turn { incarnation, shard } if incarnation == self.incarnation => self.turn(shard),
            Event::Tick { incarnation, shard } if incarnation == self.incarnation => self.tick(shard),
            Event::Deliver {
                incarnation,
                shard,
                input,
            } if incarnation == self.incarnation => {
                self.deliver(shard, *input);
            }
            Event::Disk { incarnation, op } if incarnation == self.incarnation => self.run_disk(op),
            Event::Task {
                incarnation,
                task,
                result,
            } if incarnation == self.incarnation => {
                self.resume_task(task, result);
            }
            Event::Respond { incarnation, link } if incarnation == self.incarnation => self.send_response(link),
            // Meant for a process that is gone.
            Event::Turn { .. }
            | Event::Tick { .. }
            | Event::Deliver { .. }
            | Event::Disk { .. }
            | Event::Task { .. }
            | Event::Respond { .. } => {}
            Event::Connect { link } => self.accept(link),
            Event::Bytes { link, to, bytes } => self.arrive(link, to, &bytes),
            Event::Broken { link, end } => self.broken(link, end),
            Event::Wake { client } => self.with_client(client, Client::wake),
            Event::Fault { index } => {
                let (_, fault) = self.options.faults[index];
                self.strike(fault);
            }
            Event::RoomAgain => self.disk.set_capacity(None),
            Event::Evict => self.evict(),
            Event::Look => self.look(),
        }
    }

    /// Lets a client act.
    fn with_client(&mut self, index: usize, act: impl FnOnce(&mut Client, &mut Hands<'_>)) {
        let serving = self.process.as_ref().is_some_and(Process::is_serving);
        let working = self.phase.is_unsafe();
        let mut hands = Hands {
            stage: &mut self.stage,
            links: &mut self.links,
            oracle: &mut self.oracle,
            options: &self.options,
            serving,
            incarnation: self.incarnation,
            working,
        };
        act(&mut self.clients[index], &mut hands);
    }

    /// Both clocks, as a step of the broker sees them.
    fn clocks(&self) -> Now {
        let monotonic = self.stage.now();
        Now {
            monotonic: Monotonic(monotonic),
            wall: Timestamp(self.wall + (monotonic / MILLIS) as i64),
        }
    }

    fn note_fault(&mut self, what: &dyn Fn() -> String) {
        let now: Nanos = self.stage.now();
        self.stage.trace.line(now, || format!("        {}", what()));
    }
}

/// An event, for people.
fn describe(event: &Event) -> String {
    match event {
        Event::Bytes { link, to, bytes } => format!("{} bytes of connection {} reach the {to:?}", bytes.len(), link.0),
        Event::Deliver { shard, input, .. } => {
            let mut text = format!("{input:?}");
            if text.len() > 300 {
                let end = (0..=300).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
                text.truncate(end);
            }
            format!("shard {shard} is delivered {text}")
        }
        other => format!("{other:?}"),
    }
}

impl World {
    fn verdict(mut self) -> (Verdict, Vec<String>) {
        for (path, bytes) in self.disk.files() {
            self.stage.trace.bytes(path.as_bytes());
            self.stage.trace.bytes(bytes);
        }
        if self.stage.trace.is_told() {
            let now = self.stage.now();
            for line in self.oracle.describe_logs(&self.disk) {
                self.stage.trace.line(now, || line);
            }
        }
        let judged = self.oracle.judged.iter();
        self.report.versions = std::mem::take(&mut self.oracle.versions);
        self.report.judged = judged.map(|(checker, &count)| (checker.name(), count)).collect();
        let report = self.report.finish(
            &self.oracle.counts,
            &self.oracle.answers,
            &self.weather.victims,
            &self.stage,
        );
        if self.oracle.violation().is_none()
            && let Some(text) = report.idleness(&self.options)
        {
            self.oracle.violate(Checker::Idle, text);
        }
        let violation = self
            .oracle
            .violation()
            .map(|Violation { checker, text }| (*checker, text.clone()));
        let verdict = Verdict {
            seed: self.options.seed,
            hash: self.stage.trace.hash(),
            violation,
            report,
        };
        (verdict, self.stage.trace.into_lines())
    }
}
