//! An allocator that counts, so that a test can say how much memory something takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNTED: Cell<Counted> = const { Cell::new(Counted { held: 0, most: 0, total: 0 }) };
}

/// Bytes of this thread.
#[derive(Clone, Copy)]
struct Counted {
    /// Allocated and not freed.
    held: usize,
    /// The most of them so far.
    most: usize,
    /// All that were allocated.
    total: usize,
}

/// What work took, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spent {
    /// Held at the most beyond what was held before.
    pub most: usize,
    /// Allocated in all, freed or not.
    pub total: usize,
}

/// The system's allocator, counting each thread's bytes. Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

fn count(allocated: usize, freed: usize) {
    // A thread that ends may free after its counter is gone.
    let _ = COUNTED.try_with(|counted| {
        let Counted { held, most, total } = counted.get();
        let held = held.wrapping_add(allocated).wrapping_sub(freed);
        counted.set(Counted {
            held,
            most: most.max(held),
            total: total.wrapping_add(allocated),
        });
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work`, and says what it took of this thread's memory. Wrong without the [`CountingAllocator`], for which it panics.
pub fn spent_during<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let probe = COUNTED.get().total;
    drop(std::hint::black_box(Box::new([0u8; 64])));
    assert_ne!(COUNTED.get().total, probe, "the counting allocator is not installed");
    let before = COUNTED.get();
    COUNTED.set(Counted {
        most: before.held,
        ..before
    });
    let result = work();
    let after = COUNTED.get();
    let spent = Spent {
        most: after.most.saturating_sub(before.held),
        total: after.total.wrapping_sub(before.total),
    };
    (result, spent)
}

/// Runs `work`, and says how many bytes this thread held at the most beyond those it held before. As wrong as
/// [`spent_during`] without the [`CountingAllocator`].
pub fn most_during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (result, spent) = spent_during(work);
    (result, spent.most)
}

/// Runs `work`, and says how many bytes more this thread holds after it, in what it returns. As wrong as
/// [`spent_during`] without the [`CountingAllocator`].
pub fn held_after<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = COUNTED.get().held;
    let (result, _) = spent_during(work);
    (result, COUNTED.get().held.saturating_sub(before))
}

/// How many bytes decoding a frame may take: what [`Reader`](klamm_core::wire::Reader) allows its arrays, and the
/// few hundred bytes that sharing the frame and the message itself take.
pub fn decode_bound(frame: usize) -> usize {
    (8 * frame + 64 * 1024).min(64 << 20) + 512
}

/// What opening a batch whose records may have `bound` bytes may take, besides the state of a codec: three times the bound at
/// once, as room doubles while records come out and is copied then, and four times in all.
pub fn open_bound(bound: usize) -> Spent {
    const CODEC: usize = 256 << 10;
    Spent {
        most: 3 * bound + CODEC,
        total: 4 * bound + CODEC,
    }
}
