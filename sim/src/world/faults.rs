//! What goes wrong, when its time comes.

use super::earlier::EarlierBlocks;
use super::{Event, Process, World};
use crate::client::Client;
use crate::disk::{Disk, Flip, Hearers};
use crate::draw::Draw;
use crate::link::LinkId;
use crate::options::{Crash, Fault, Small};
use crate::oracle::{Damage, is_of_a_partition, is_only_noted};
use crate::stage::{MILLIS, Nanos};
use klamm_core::shard::Input;

/// How often a bit is drawn until one suits.
const ROT_DRAWS: u32 = 100;

/// How long it is until memory runs short: at once, or long after the next process has found the pages.
pub(super) fn draw_eviction(draw: &mut Draw) -> Nanos {
    draw.spread(1, 2000) * MILLIS
}

impl World {
    /// A fault begins.
    pub(super) fn strike(&mut self, fault: Fault) {
        if !self.phase.is_unsafe() {
            return;
        }
        self.note_fault(&|| format!("fault: {fault:?}"));
        let now = self.stage.now();
        match fault {
            Fault::Crash { crash, after_effects } => {
                if self.process.is_some() && self.crash.is_none() {
                    self.crash = Some((crash, after_effects));
                }
            }
            Fault::Restart => self.ask_to_stop(),
            Fault::FailSync(failure) => self.weather.fail_sync = Some(failure),
            Fault::FailNameSync(names) => self.weather.fail_name_sync = Some(names),
            Fault::FailWriteBack(hearers) => self.fail_write_back(hearers),
            Fault::FullDisk { spare, lasts } => {
                self.disk.set_capacity(Some(self.disk.used() + spare));
                self.stage.after(lasts, Event::RoomAgain);
            }
            Fault::SlowDisk { lasts } => {
                self.weather.slow_until = now + lasts;
                self.weather.hit("slow disk");
            }
            Fault::StuckDisk { lasts } => {
                self.weather.stuck_until = now + lasts;
                self.weather.hit("stuck disk");
            }
            Fault::FailWrite => self.weather.fail_write = true,
            Fault::UnreadableSector => _ = self.disk.lose_sector(|_| true, &mut self.stage.draw),
            Fault::Rot => _ = self.rot(|_, _| true),
            Fault::HeaderRot => _ = self.rot(Damage::is_outside_the_crc),
            Fault::NotedRot => self.rot_below_a_note(),
            Fault::EarlierBlocks { pairs } => self.weather.earlier = Some(EarlierBlocks::new(pairs)),
            Fault::Spoil(small, how) => self.weather.spoil = Some((small, how)),
            Fault::CompactedRot => self.weather.rot_compacted = true,
            Fault::MisdirectWrite => self.weather.misdirect_write = true,
            Fault::NoDescriptors { lasts } => self.weather.no_descriptors_until = now + lasts,
            Fault::ShortOfMemory => self.run_short_of_memory(),
            Fault::WallStep(millis) => self.step_wall(millis),
            Fault::Reset => {
                if let Some(link) = self.some_link() {
                    self.links.reset(&mut self.stage, &self.options.delays, link);
                    self.weather.hit("connection reset");
                }
            }
            Fault::HalfOpen => {
                let client = self.stage.draw.index(self.clients.len());
                if self.clients[client].link().is_some() {
                    self.with_client(client, Client::vanish);
                    self.weather.hit("half-open connection");
                }
            }
            Fault::Stall { lasts } => {
                let shard = self.stage.draw.index(usize::from(self.options.shards));
                self.stall(shard, now + lasts);
                self.weather.hit("stalled shard");
            }
            Fault::SlowLink { lasts } => {
                if let Some(link) = self.some_link() {
                    self.links.slow(link, now + lasts);
                    self.weather.hit("slow link");
                }
            }
        }
    }

    fn step_wall(&mut self, millis: i64) {
        self.wall += millis;
        let serving = self.process.as_ref().is_some_and(Process::is_serving);
        self.oracle.wall_stepped(self.wall, serving);
        self.weather.hit("step of the wall clock");
    }

    /// The driver has all shards let go of what they keep.
    fn run_short_of_memory(&mut self) {
        if self.process.is_some() {
            self.weather.hit("memory that ran short");
            for shard in 0..usize::from(self.options.shards) {
                self.deliver(shard, Input::Reclaim);
            }
        }
    }

    /// The system writes pages back, and fails.
    fn fail_write_back(&mut self, hearers: Hearers) {
        let draw = &mut self.stage.draw;
        if self.disk.fail_write_back(hearers, |count| draw.index(count)) {
            self.weather.hit("failed write-back");
            let after = draw_eviction(draw);
            self.stage.after(after, Event::Evict);
        }
    }

    /// Memory runs short, and what a failed write-back left in the page cache leaves it, or some of it does.
    pub(super) fn evict(&mut self) {
        let draw = &mut self.stage.draw;
        let all = draw.chance(1, 2);
        if self.disk.evict(|| all || draw.chance(1, 2)) {
            self.weather.hit("eviction of what was not written back");
        }
    }

    /// A link that is whole, if there is one.
    fn some_link(&mut self) -> Option<LinkId> {
        let links = self.links.whole();
        (!links.is_empty()).then(|| links[self.stage.draw.index(links.len())])
    }

    /// What only a log's note says to be synced is a small part of what may rot, and a recovery has to tell it from a torn
    /// tail: so a crash follows.
    fn rot_below_a_note(&mut self) {
        if self.rot(is_only_noted) {
            self.weather.hit("bit rot below a note");
            if self.process.is_some() && self.crash.is_none() {
                let crash = self.stage.draw.pick(&[Crash::Kill, Crash::Kill, Crash::PowerCut]);
                self.crash = Some((crash, self.stage.draw.spread(0, 60)));
            }
        }
    }

    /// A bit that was synced flips, in a log or in what speaks of it, where it `suits`; whether one did.
    fn rot(&mut self, suits: impl Fn(&Disk, &Flip) -> bool) -> bool {
        let draws = (0..ROT_DRAWS).find_map(|_| {
            let flip = self.disk.draw_flip(is_of_a_partition, &mut self.stage.draw);
            flip.filter(|flip| suits(&self.disk, flip))
        });
        let Some(flip) = draws else { return false };
        self.note_fault(&|| format!("{flip:?}"));
        self.weather.hit("bit rot");
        let damage = Damage::of_flip(&self.disk, &flip);
        self.disk.flip(&flip);
        self.oracle.damaged(damage);
        true
    }

    /// While no process runs, one of the files that say what logs hold is spoiled. It costs a scan and nothing else.
    pub(super) fn spoil(&mut self) {
        let Some((small, how)) = self.weather.spoil else { return };
        let (suffix, victim) = match small {
            Small::Checkpoint => (".checkpoint", "spoiled checkpoint"),
            Small::Note => ("/synced", "spoiled note"),
            Small::Manifest => ("manifest", "spoiled manifest"),
        };
        let suits = |path: &str| path.strip_suffix(suffix).is_some();
        if let Some(path) = self.disk.spoil(how, suits, &mut self.stage.draw) {
            self.weather.spoil = None;
            self.weather.hit(victim);
            self.note_fault(&|| format!("{path} is spoiled: {how:?}"));
        }
    }

    /// Asks the broker to stop; it starts again once it has.
    pub(super) fn ask_to_stop(&mut self) {
        let shards = usize::from(self.options.shards);
        let Some(process) = &mut self.process else { return };
        if std::mem::replace(&mut process.stopping, true) {
            return;
        }
        for shard in 0..shards {
            self.deliver(shard, Input::Shutdown);
        }
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm_down(&mut self) {
        self.crash = None;
        self.weather.fail_sync = None;
        self.weather.fail_name_sync = None;
        self.weather.fail_write = false;
        self.weather.misdirect_write = false;
        self.weather.rot_compacted = false;
        self.weather.earlier = None;
        self.weather.spoil = None;
        self.weather.no_descriptors_until = 0;
        self.disk.find_sectors();
        self.weather.slow_until = 0;
        self.weather.stuck_until = 0;
        self.disk.set_capacity(None);
    }
}
