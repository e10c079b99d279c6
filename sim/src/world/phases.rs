//! From a workload under faults to rest, and what must hold there.

use super::{Event, World};
use crate::client::Client;
use crate::frame::{ApiVersions, Codec, GroupVersions};
use crate::image::FileIds;
use crate::options::{ClientPlan, Crash, Role};
use crate::oracle::Checker;
use crate::stage::{MILLIS, Nanos};
use klamm_core::shard::Audit;

/// When a run that has not ended has failed.
pub(super) const END: Nanos = 600_000 * MILLIS;
/// A workload that has caused this many events has done enough.
const ENOUGH: u64 = 120_000;
/// How long each step to rest may take.
const PATIENCE: Nanos = 60_000 * MILLIS;
/// How often somebody looks.
const LOOK: Nanos = 5 * MILLIS;

/// How far the run has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The topics are created; faults go on already.
    Setup,
    /// The broker is stopped, and started anew with the logs that the run begins with.
    Plant { planted: bool },
    /// The workload and its faults go on.
    Safety { until: Nanos },
    /// Faults are over; clients finish what they began.
    Finish { since: Nanos },
    /// A fresh client appends to every partition and reads everything.
    Verify { since: Nanos, client: usize },
    /// Everything was read; who still waits must have a reason.
    Settle { since: Nanos },
    /// Clients are gone; the broker has to give everything back.
    Drain { since: Nanos },
    /// The broker was asked to stop.
    Stop { since: Nanos },
    /// The broker recovers what it left, and must leave it as it was.
    Again {
        since: Nanos,
        image: Vec<(String, Vec<u8>)>,
    },
    /// It has.
    Over,
}

impl Phase {
    /// Whether faults go on.
    pub(super) fn is_unsafe(&self) -> bool {
        matches!(self, Self::Setup | Self::Plant { .. } | Self::Safety { .. })
    }

    /// Whether the broker stops after every partition was used.
    pub(super) fn is_last_stop(&self) -> bool {
        matches!(self, Self::Stop { .. })
    }
}

/// Whether a shard holds nothing but the timers that look for old segments and for what to compact, and one of each
/// coordinator.
fn is_empty(audit: &Audit, coordinators: u32) -> bool {
    let nothing = Audit {
        timers: audit.timers.min(2 + coordinators as usize),
        ..Audit::default()
    };
    *audit == nothing
}

impl World {
    /// Looks whether the phase is over.
    pub(super) fn look(&mut self) {
        let now = self.stage.now();
        if matches!(self.phase, Phase::Setup | Phase::Plant { .. }) && now > self.options.safety {
            // Every fault has struck. One that lasts until somebody ends it, and keeps the broker from starting, must not
            // keep the workload from beginning.
            self.calm_down();
        }
        let next = match &self.phase {
            Phase::Setup => self.set_up(),
            Phase::Plant { planted: false } => {
                self.ask_to_stop();
                Phase::Plant { planted: false }
            }
            Phase::Plant { planted: true } if !self.serving() => Phase::Plant { planted: true },
            Phase::Plant { planted: true } => self.begin_work(),
            &Phase::Safety { until } if now < until && self.stage.trace.events() < ENOUGH => Phase::Safety { until },
            Phase::Safety { .. } => {
                self.begin_rest();
                Phase::Finish { since: now }
            }
            &Phase::Finish { since } => {
                let finished = self.serving() && self.clients.iter().all(Client::finished);
                if finished && Client::unshared(&self.clients).is_none() {
                    let client = self.add_verifier();
                    Phase::Verify { since: now, client }
                } else {
                    self.complain_after(since, "clients finish what they began");
                    Phase::Finish { since }
                }
            }
            &Phase::Verify { since, client } => {
                if self.clients[client].finished() {
                    self.oracle.end_read_back();
                    self.oracle.judge_history();
                    // What members have just asked for may have been done, though no answer came yet.
                    for client in &self.clients {
                        client.tell_unanswered(&mut self.oracle);
                    }
                    self.oracle.judge_registers();
                    Phase::Settle { since: now }
                } else {
                    self.complain_after(since, "everything is read back");
                    Phase::Verify { since, client }
                }
            }
            &Phase::Settle { since } => self.settled(since),
            &Phase::Drain { since } => self.drained(since),
            &Phase::Stop { since } => {
                self.complain_after(since, "the broker stops");
                Phase::Stop { since }
            }
            Phase::Again { since, image } => {
                let (since, image) = (*since, image.clone());
                self.recovered_again(since, image)
            }
            Phase::Over => Phase::Over,
        };
        self.phase = next;
        if self.phase != Phase::Over {
            self.stage.after(LOOK, Event::Look);
        }
    }

    /// Once the topics are there, the workload begins.
    fn set_up(&mut self) -> Phase {
        if !self.clients[self.setup].finished() {
            return Phase::Setup;
        }
        let setup = self.setup;
        self.with_client(setup, Client::retire);
        if self.options.images.is_empty() {
            self.begin_work()
        } else {
            Phase::Plant { planted: false }
        }
    }

    fn begin_work(&mut self) -> Phase {
        for client in 0..self.options.clients.len() {
            self.stage.after(1, Event::Wake { client });
        }
        Phase::Safety {
            until: self.stage.now() + self.options.safety,
        }
    }

    fn serving(&self) -> bool {
        self.process.as_ref().is_some_and(super::Process::is_serving)
    }

    fn complain_after(&mut self, since: Nanos, what: &str) {
        if self.stage.now() > since + PATIENCE {
            let unfinished = self.clients.iter().find(|client| !client.finished());
            let who = unfinished.map(|client| format!("; {}", client.describe()));
            let group = Client::unshared(&self.clients).map(|group| format!("; {group}"));
            let who = who.or(group).unwrap_or_default();
            let serving = if self.serving() { "serves" } else { "does not serve" };
            let holds: Vec<String> = self.audits().iter().map(|audit| format!("{audit:?}")).collect();
            let text = format!(
                "after all faults ended, it takes too long until {what}; the broker {serving}, its shards hold {}{who}",
                holds.join(", ")
            );
            self.oracle.violate(Checker::Liveness, text);
        }
    }

    /// All faults stop, and the broker is started anew.
    fn begin_rest(&mut self) {
        self.calm_down();
        match self.options.last_crash {
            Some(crash) => self.crash_now(crash),
            None if self.process.is_none() => self.want_boot(),
            None if self.options.calm => {}
            None => self.ask_to_stop(),
        }
    }

    /// A process that ended starts again after a while.
    pub(super) fn process_ended(&mut self) {
        match self.phase {
            Phase::Stop { .. } => {
                self.oracle.final_check(&self.disk);
                self.oracle.check_remains(&self.disk);
                // Whatever is not durable now belongs to logs that nobody opened since an earlier crash.
                self.disk.forget_earlier();
                self.disk.power_cut(&mut self.stage.draw);
                let since = self.stage.now();
                let image = self.image();
                self.phase = Phase::Again { since, image };
                self.boot();
            }
            Phase::Again { .. } => {}
            Phase::Plant { planted: false } => {
                self.plant();
                self.phase = Phase::Plant { planted: true };
                self.want_boot();
            }
            _ => self.want_boot(),
        }
    }

    /// The broker is down: the logs that the run begins with come onto the disk.
    fn plant(&mut self) {
        self.disk.set_capacity(None);
        let wall = self.clocks().wall.0;
        let mut files = FileIds::default();
        let forerunners = self.oracle.deleted_ids();
        for image in &self.options.images {
            image.plant(&mut self.disk, &mut self.oracle, &self.options, wall, &mut files);
            for &id in forerunners.iter().filter(|_| image.predecessor) {
                let name = &self.options.topics[image.topic].name;
                image.plant_remains(&mut self.disk, name, id, wall, &mut files);
                self.weather.hit("remains of a deleted topic");
            }
        }
    }

    fn want_boot(&mut self) {
        if self.process.is_none() {
            let delay = self.stage.draw.within(MILLIS / 10, self.options.restart);
            self.stage.after(delay, Event::Boot);
        }
    }

    /// The records on the disk, without what a start may renew.
    fn image(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.disk.files().into_iter();
        let logs = files.filter(|(path, bytes)| {
            path.strip_suffix(".log").is_some() && !path.starts_with("__") && !bytes.is_empty()
        });
        logs.map(|(path, bytes)| (path, bytes.to_vec())).collect()
    }

    pub(super) fn add_client(&mut self, role: Role) -> usize {
        let index = self.clients.len();
        let plan = ClientPlan {
            role,
            codec: Codec::Own,
            versions: ApiVersions {
                produce: 13,
                fetch: 18,
                list_offsets: 10,
                metadata: 13,
                create_topics: 7,
                delete_topics: 6,
                init_producer_id: 5,
                groups: GroupVersions::LATEST,
            },
            timeout: 20_000 * MILLIS,
        };
        self.clients.push(Client::new(index, &plan, &self.options));
        self.stage.after(1, Event::Wake { client: index });
        index
    }

    fn add_verifier(&mut self) -> usize {
        self.oracle.begin_read_back();
        self.add_client(Role::Verifier {
            appends: true,
            max_bytes: 1 << 20,
        })
    }

    /// Fetches that wait have had the time to be woken.
    fn settled(&mut self, since: Nanos) -> Phase {
        let now = self.stage.now();
        let in_doubt = self.clients.iter().any(|client| client.is_in_doubt(now));
        if in_doubt || self.clients.iter().any(Client::waits_long) && now < since + 350 * MILLIS {
            return Phase::Settle { since };
        }
        for index in 0..self.clients.len() {
            self.with_client(index, Client::judge_wait);
        }
        self.close_clients();
        Phase::Drain { since: now }
    }

    fn close_clients(&mut self) {
        for index in 0..self.clients.len() {
            self.with_client(index, Client::retire);
        }
    }

    /// Clients are gone: the broker must have given everything back.
    fn drained(&mut self, since: Nanos) -> Phase {
        let idle = self
            .process
            .as_ref()
            .is_some_and(|process| process.peers.is_empty() && process.on_disk() == 0);
        if !idle {
            self.complain_after(since, "connections and disk operations end");
            return Phase::Drain { since };
        }
        // Retention and compaction look through the logs now and then, and then have something in hand; groups find out that a
        // member is gone; and the end of a sync that flush.ms asked for may be on its way to its shard.
        let coordinators = self.options.broker.groups.offsets_partitions;
        let busy = !self.audits().iter().all(|audit| is_empty(audit, coordinators));
        let patience = match (busy, self.options.removes() || self.options.has_groups()) {
            (true, true) => 30_000 * MILLIS,
            (true, false) => 250 * MILLIS,
            (false, _) => 50 * MILLIS,
        };
        if self.stage.now() < since + patience {
            return Phase::Drain { since };
        }
        self.audit();
        let now = self.stage.now();
        self.ask_to_stop();
        Phase::Stop { since: now }
    }

    fn audits(&self) -> Vec<Audit> {
        let process = self.process.as_ref();
        process.map_or_else(Vec::new, super::Process::audits)
    }

    /// Without clients and work a shard holds nothing but the timers that look for old segments and for what to compact.
    fn audit(&mut self) {
        for (shard, audit) in self.audits().into_iter().enumerate() {
            self.oracle.judging(Checker::Bounds);
            if !is_empty(&audit, self.options.broker.groups.offsets_partitions) {
                let text = format!("shard {shard} still holds {audit:?} when there are no clients");
                self.oracle.violate(Checker::Bounds, text);
            }
        }
    }

    /// The second recovery is done; the records must stand as they stood.
    fn recovered_again(&mut self, since: Nanos, image: Vec<(String, Vec<u8>)>) -> Phase {
        if !self.serving() {
            self.complain_after(since, "the broker serves again");
            return Phase::Again { since, image };
        }
        match self.verifier_again() {
            Some(true) => {}
            Some(false) => {
                self.complain_after(since, "everything is read back again");
                return Phase::Again { since, image };
            }
            None => {
                self.oracle.begin_read_back();
                let max_bytes = self.stage.draw.pick(&[1 << 20, 6000, 2000]);
                let index = self.add_client(Role::Verifier {
                    appends: false,
                    max_bytes,
                });
                self.second_verifier = Some(index);
                return Phase::Again { since, image };
            }
        }
        self.oracle.end_read_back();
        self.crash_now(Crash::Kill);
        let after = self.image();
        // Retention goes on: segments may be gone. So does compaction: what it makes is judged when it does. Nothing else
        // may have changed.
        let removes = self.options.removes();
        let explained = |file: &(String, Vec<u8>)| image.contains(file) || self.oracle.is_compacted(&file.0);
        let same = after == image || removes && after.iter().all(explained);
        if !same {
            let text = "recovering a second time changed the records on the disk".to_owned();
            self.oracle.violate(Checker::Recovery, text);
        }
        Phase::Over
    }

    fn verifier_again(&self) -> Option<bool> {
        self.second_verifier.map(|index| self.clients[index].finished())
    }
}
