//! What goes wrong in a run, and when.

use super::{Crash, Fault, Names, Options, Small};
use crate::disk::{Hearers, Spoil, SyncFailure};
use crate::draw::Draw;
use crate::stage::{MILLIS, Nanos};
use klamm_core::config::FlushMode;

/// Which kinds of fault a run has: each is in or out on its own.
pub(super) fn draw(draw: &mut Draw, safety: Nanos) -> Vec<(Nanos, Fault)> {
    let mut faults = Vec::new();
    let mut add = |draw: &mut Draw, one_in: u64, most: u64, make: &dyn Fn(&mut Draw) -> Fault| {
        if draw.chance(1, one_in) {
            for _ in 0..draw.within(1, most) {
                let at = draw.within(20 * MILLIS, safety);
                let fault = make(draw);
                faults.push((at, fault));
            }
        }
    };
    let crash = |crash| {
        move |draw: &mut Draw| Fault::Crash {
            crash,
            after_effects: draw.spread(0, 200),
        }
    };
    let lasts = |draw: &mut Draw| draw.spread(1, 400) * MILLIS;
    add(draw, 2, 5, &crash(Crash::Kill));
    add(draw, 2, 5, &crash(Crash::PowerCut));
    add(draw, 3, 3, &|_| Fault::Restart);
    add(draw, 4, 2, &|draw| Fault::FailSync(draw_sync_failure(draw)));
    add(draw, 4, 4, &|draw| {
        Fault::FailWriteBack(draw.pick(&[Hearers::All, Hearers::First]))
    });
    add(draw, 4, 3, &|draw| Fault::FullDisk {
        spare: draw.spread(0, 20_000),
        lasts: lasts(draw),
    });
    add(draw, 4, 3, &|draw| Fault::SlowDisk { lasts: lasts(draw) });
    add(draw, 4, 3, &|draw| Fault::StuckDisk { lasts: lasts(draw) });
    add(draw, 8, 1, &|_| Fault::FailWrite);
    add(draw, 5, 3, &|_| Fault::UnreadableSector);
    add(draw, 8, 2, &|_| Fault::Rot);
    add(draw, 6, 3, &|_| Fault::HeaderRot);
    add(draw, 10, 1, &|_| Fault::MisdirectWrite);
    add(draw, 5, 2, &|draw| Fault::NoDescriptors { lasts: lasts(draw) });
    add(draw, 3, 4, &|draw| Fault::WallStep(draw_wall_step(draw)));
    add(draw, 2, 25, &|_| Fault::Reset);
    add(draw, 4, 4, &|_| Fault::HalfOpen);
    add(draw, 3, 6, &|draw| Fault::Stall { lasts: lasts(draw) });
    add(draw, 4, 3, &|draw| Fault::SlowLink { lasts: lasts(draw) });
    faults.sort_by_key(|&(at, _)| at);
    faults
}

/// Memory runs short now and then in a third of the runs with faults.
pub(super) fn draw_shortage(options: &mut Options) {
    let mut draw = Draw::new(options.seed ^ 0x3E30_12EC_1A11_0057);
    if options.calm || !draw.chance(1, 3) {
        return;
    }
    for _ in 0..draw.within(1, 20) {
        let at = draw.within(20 * MILLIS, options.safety);
        options.faults.push((at, Fault::ShortOfMemory));
    }
    options.faults.sort_by_key(|&(at, _)| at);
}

/// What strikes rarely where it is left to chance, and is aimed for that: each kind in one run of a few, on its own.
pub(super) fn draw_rare(options: &mut Options) {
    let mut draw = Draw::new(options.seed ^ 0x7A3E_51D2_90C4_0B6F);
    if options.calm {
        return;
    }
    let fsync = options.broker.flush == FlushMode::Fsync;
    let mut add = |one_in: u64, most: u64, suits: bool, make: &dyn Fn(&mut Draw) -> Fault| {
        let times = if draw.chance(1, one_in) {
            draw.within(1, most)
        } else {
            0
        };
        for _ in 0..times {
            let (at, fault) = (draw.within(20 * MILLIS, options.safety), make(&mut draw));
            if suits {
                options.faults.push((at, fault));
            }
        }
    };
    // With `flush=os` nothing is noted.
    add(6, 3, fsync, &|_| Fault::NotedRot);
    let names = [Names::Any, Names::NewSegment, Names::NewSegment];
    add(4, 2, true, &|draw| Fault::FailNameSync(draw.pick(&names)));
    add(5, 3, true, &draw_spoil);
    add(12, 1, fsync, &|_| Fault::CompactedRot);
    add(6, 1, fsync, &|draw| Fault::EarlierBlocks {
        pairs: draw.within(1, 4) as u32,
    });
    options.faults.sort_by_key(|&(at, _)| at);
}

/// Whether a page cache that has this fault still keeps what it took, which is all that `flush=os` relies on.
pub(super) fn promised_by_page_cache(fault: &Fault) -> bool {
    !matches!(
        fault,
        Fault::FailSync(_) | Fault::FailWriteBack(_) | Fault::Rot | Fault::HeaderRot | Fault::MisdirectWrite
    )
}

fn draw_sync_failure(draw: &mut Draw) -> SyncFailure {
    draw.pick(&[
        SyncFailure::CleanUntilEvicted,
        SyncFailure::RevertedAtOnce,
        SyncFailure::SizeWithoutData,
        SyncFailure::StaysDirty,
    ])
}

/// A checkpoint keeps its name: that alone tells that a log may begin behind offset 0.
fn draw_spoil(draw: &mut Draw) -> Fault {
    let small = draw.pick(&[Small::Checkpoint, Small::Checkpoint, Small::Note, Small::Manifest]);
    let how = draw.pick(&[Spoil::Torn, Spoil::Empty, Spoil::Missing, Spoil::Rotten, Spoil::Rotten]);
    let stays = small == Small::Checkpoint && how == Spoil::Missing;
    Fault::Spoil(small, if stays { Spoil::Rotten } else { how })
}

fn draw_wall_step(draw: &mut Draw) -> i64 {
    let year = 365 * 24 * 3_600_000;
    let width = draw.spread(1, 3 * year) as i64;
    if draw.chance(1, 2) { width } else { -width }
}
