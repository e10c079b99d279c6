//! All deadlines of a shard: a hierarchical timing wheel (Varghese and Lauck) of 1 ms ticks.
//!
//! Invariants:
//! - a timer never fires before its deadline, and fires at the first call that reaches it, up to the call's limit;
//! - arming and cancelling cost O(1); a key is good for one timer only.

use crate::types::Monotonic;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// 64^7 ms are 139 years.
const LEVELS: usize = 7;
const NANOS_PER_TICK: u64 = 1_000_000;
const NIL: u32 = u32::MAX;

/// Names an armed timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimerKey {
    slot: u32,
    generation: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    Listed { level: u8, slot: u8 },
    Due,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    tick: u64,
    previous: u32,
    next: u32,
    place: Place,
    reason: Option<T>,
}

/// The wheel. `T` is what a timer is for.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    /// Every tick before this one was looked at.
    tick: u64,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    due: VecDeque<TimerKey>,
    armed: usize,
}

impl<T> Wheel<T> {
    pub(super) const fn new() -> Self {
        Self {
            tick: 0,
            heads: [[NIL; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            entries: Vec::new(),
            free: Vec::new(),
            due: VecDeque::new(),
            armed: 0,
        }
    }

    /// How many timers are armed.
    pub(super) const fn len(&self) -> usize {
        self.armed
    }

    /// Fires `reason` at `at`, or at the next call when that is past.
    pub(super) fn arm(&mut self, at: Monotonic, reason: T) -> TimerKey {
        let tick = at.0.div_ceil(NANOS_PER_TICK);
        let index = self.free.pop().unwrap_or_else(|| {
            let entry = Entry {
                generation: 0,
                tick: 0,
                previous: NIL,
                next: NIL,
                place: Place::Free,
                reason: None,
            };
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        entry.tick = tick;
        entry.reason = Some(reason);
        let key = TimerKey {
            slot: index,
            generation: entry.generation,
        };
        self.link(index);
        self.armed += 1;
        key
    }

    /// Disarms a timer; `None` when it has fired or was disarmed before.
    pub(super) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        if self.entries.get(key.slot as usize)?.generation != key.generation {
            return None;
        }
        if let Place::Listed { .. } = self.entries[key.slot as usize].place {
            self.unlink(key.slot);
        }
        self.release(key.slot)
    }

    /// Hands out at most `limit` timers that are due at `now`, earliest first.
    pub(super) fn fire(&mut self, now: Monotonic, limit: usize, fired: &mut Vec<T>) {
        self.advance(now.0 / NANOS_PER_TICK);
        let mut left = limit;
        while left > 0
            && let Some(key) = self.due.pop_front()
        {
            if self.entries[key.slot as usize].generation == key.generation
                && let Some(reason) = self.release(key.slot)
            {
                fired.push(reason);
                left -= 1;
            }
        }
    }

    /// When [`fire`](Self::fire) should be called at the latest: no timer is due before it. `None` when none is armed.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        if !self.due.is_empty() {
            return Some(Monotonic(self.tick * NANOS_PER_TICK));
        }
        self.next_slot().map(|(_, _, tick)| Monotonic(tick * NANOS_PER_TICK))
    }

    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.place = Place::Free;
        self.free.push(index);
        self.armed -= 1;
        entry.reason.take()
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick.max(self.tick);
        let differing = (tick ^ self.tick) | (SLOTS as u64 - 1);
        let level = ((differing.ilog2() / BITS) as usize).min(LEVELS - 1);
        let slot = (tick >> (BITS * level as u32)) as usize & (SLOTS - 1);
        let head = self.heads[level][slot];
        let entry = &mut self.entries[index as usize];
        entry.previous = NIL;
        entry.next = head;
        entry.place = Place::Listed {
            level: level as u8,
            slot: slot as u8,
        };
        if head != NIL {
            self.entries[head as usize].previous = index;
        }
        self.heads[level][slot] = index;
        self.occupied[level] |= 1 << slot;
    }

    fn unlink(&mut self, index: u32) {
        let Entry {
            previous, next, place, ..
        } = self.entries[index as usize];
        let Place::Listed { level, slot } = place else { return };
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        if previous != NIL {
            self.entries[previous as usize].next = next;
            return;
        }
        self.heads[level as usize][slot as usize] = next;
        if next == NIL {
            self.occupied[level as usize] &= !(1 << slot);
        }
    }

    /// The first occupied slot: its level, its place, and the first tick it stands for. The lowest occupied level has
    /// it: a timer lies on a higher one only while a higher group of bits still has to turn.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = BITS * level as u32;
        let here = (self.tick >> shift) as u32 & (SLOTS as u32 - 1);
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) as usize & (SLOTS - 1);
        let turn = self.tick >> (shift + BITS) << (shift + BITS);
        let tick = turn + ((slot as u64) << shift);
        debug_assert!(tick + (1 << shift) > self.tick, "a slot left behind");
        Some((level, slot, tick.max(self.tick)))
    }

    fn advance(&mut self, to: u64) {
        while let Some((level, slot, tick)) = self.next_slot() {
            if tick > to {
                break;
            }
            self.tick = tick;
            let mut index = core::mem::replace(&mut self.heads[level][slot], NIL);
            self.occupied[level] &= !(1 << slot);
            let first_due = self.due.len();
            while index != NIL {
                let next = self.entries[index as usize].next;
                if level == 0 {
                    let entry = &mut self.entries[index as usize];
                    entry.place = Place::Due;
                    self.due.push_back(TimerKey {
                        slot: index,
                        generation: entry.generation,
                    });
                } else {
                    self.link(index);
                }
                index = next;
            }
            // A list is last in, first out; timers of one tick fire in the order they were armed.
            self.due.make_contiguous()[first_due..].reverse();
        }
        self.tick = self.tick.max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::Wheel;
    use crate::types::{Monotonic, Seed};
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    fn at(millis: u64) -> Monotonic {
        Monotonic(0).plus_millis(millis)
    }

    #[test]
    fn a_wheel_agrees_with_a_sorted_map() {
        for run in 0..50 {
            let mut seed = Seed::new(run);
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<u64, (u64, super::TimerKey)> = BTreeMap::new();
            let mut now = 0;
            for id in 0..2000 {
                let far = 1 << seed.within(0, 34);
                let deadline = now + seed.below(far);
                model.insert(id, (deadline, wheel.arm(at(deadline), id)));
                if seed.chance(1, 4) {
                    let victim = seed.below(id + 1);
                    let removed = model.remove(&victim);
                    if let Some((_, key)) = removed {
                        assert_eq!(wheel.cancel(key), Some(victim));
                        assert_eq!(wheel.cancel(key), None);
                    }
                }
                let step = 1 << seed.within(0, 32);
                now += if seed.chance(1, 3) { seed.below(step) } else { 0 };
                let mut fired = Vec::new();
                wheel.fire(at(now), usize::MAX, &mut fired);
                let mut expected: Vec<_> = model
                    .iter()
                    .filter(|(_, (due, _))| *due <= now)
                    .map(|(&id, _)| id)
                    .collect();
                model.retain(|_, (due, _)| *due > now);
                fired.sort_unstable();
                expected.sort_unstable();
                assert_eq!(fired, expected, "run {run}, now {now}");
                assert_eq!(wheel.len(), model.len());
                let first = model.values().map(|(due, _)| at(*due)).min();
                assert!(wheel.next_deadline() <= first && wheel.next_deadline().is_some() == first.is_some());
            }
        }
    }

    #[test]
    fn a_tick_fires_at_most_its_limit_and_asks_for_another() {
        let mut wheel = Wheel::new();
        (0..10).for_each(|id| {
            wheel.arm(at(5), id);
        });
        let mut fired = Vec::new();
        wheel.fire(at(9), 4, &mut fired);
        assert_eq!(fired, [0, 1, 2, 3]);
        assert!(wheel.next_deadline() <= Some(at(9)));
        wheel.fire(at(9), usize::MAX, &mut fired);
        assert_eq!(fired, (0..10).collect::<Vec<_>>());
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_timer_does_not_fire_a_tick_early() {
        let mut wheel = Wheel::new();
        wheel.arm(Monotonic(1_500_000), ());
        let mut fired = Vec::new();
        wheel.fire(Monotonic(1_999_999), usize::MAX, &mut fired);
        assert!(fired.is_empty());
        wheel.fire(Monotonic(2_000_000), usize::MAX, &mut fired);
        assert_eq!(fired.len(), 1);
    }
}
