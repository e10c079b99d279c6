//! An allocator that counts, so that a test can say how much memory something takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes allocated and not freed by this thread, and the most of them so far.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counting each thread's bytes. Install it with `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

fn count(change: impl FnOnce(usize) -> usize) {
    // A thread that ends may free after its counter is gone.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|held| held.wrapping_add(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|held| held.wrapping_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work`, and says how many bytes this thread held at the most beyond those it held before. Wrong without the
/// [`CountingAllocator`], for which it panics.
pub fn most_during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let probe = HELD.get().0;
    let allocated = Box::new([0u8; 64]);
    assert_ne!(HELD.get().0, probe, "the counting allocator is not installed");
    drop(allocated);
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = work();
    (result, HELD.get().1.saturating_sub(before))
}

/// Runs `work`, and says how many bytes more this thread holds after it, in what it returns. As wrong as [`most_during`]
/// without the [`CountingAllocator`].
pub fn held_after<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get().0;
    let (result, _) = most_during(work);
    (result, HELD.get().0.saturating_sub(before))
}

/// How many bytes decoding a frame may take: what [`Reader`](klamm_core::wire::Reader) allows its arrays, and the
/// few hundred bytes that sharing the frame and the message itself take.
pub fn decode_bound(frame: usize) -> usize {
    8 * frame + 64 * 1024 + 512
}
