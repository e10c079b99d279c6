//! Where shards run.

use crate::lifecycle::Guard;
use std::io;
use std::thread::{Builder, JoinHandle};

/// The stack of a shard's thread, in bytes.
const STACK: usize = 2 << 20;

/// The spawner seam: runs a shard's future. Its implementation for production is [`OsThreads`].
pub trait Spawner {
    /// Waits for the end of what was spawned.
    type Handle: Send;

    /// Runs the future that `make` makes, alone on a runtime of its own, under `name`. `make` is called inside that
    /// runtime.
    fn spawn<F, T>(&self, name: String, make: F) -> io::Result<Self::Handle>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static;

    /// Waits for the end of one.
    fn join(&self, handle: Self::Handle);
}

/// A thread of the operating system with a current-thread runtime for each.
#[derive(Clone, Copy, Default, Debug)]
pub struct OsThreads;

impl Spawner for OsThreads {
    type Handle = JoinHandle<()>;

    fn spawn<F, T>(&self, name: String, make: F) -> io::Result<Self::Handle>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        // One poll of the single task is a turn. The sockets are looked at after each that sleeps, and after every other
        // that does not: with an interval of one, the runtime would look twice before it sleeps.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(2)
            .build()?;
        Builder::new().name(name).stack_size(STACK).spawn(move || {
            runtime.block_on(async move {
                // A task of its own is woken without a system call, unlike the future that is blocked on.
                if let Err(error) = tokio::spawn(tokio::task::coop::unconstrained(make())).await
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            });
        })
    }

    fn join(&self, handle: Self::Handle) {
        // A panic has been noted by the guard of the thread.
        let _ = handle.join();
    }
}

/// Runs `future` and ends the broker if it panics.
pub(crate) async fn guarded(guard: Guard, future: impl Future<Output = ()>) {
    future.await;
    drop(guard);
}
