//! The hand-over between threads under every order of their steps, as far as a few preemptions reach: nothing is lost,
//! nobody sleeps on. The sources are the driver's own; only what threads meet at is loom's. A lost wake is a deadlock
//! there, which fails the test.

#[path = "../src/bell.rs"]
mod bell;
#[path = "../src/inbox.rs"]
mod inbox;
#[path = "../src/disk/queue.rs"]
mod queue;

mod sync {
    use loom::sync::Condvar;
    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    use loom::thread::ThreadId;
    use std::sync::Arc;

    /// A thread that can be woken. Not loom's own, which forgets that it was woken while it waited for a lock.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread {
        id: ThreadId,
        place: Arc<(Mutex<bool>, Condvar)>,
    }

    loom::thread_local! {
        static CURRENT: Thread = Thread {
            id: loom::thread::current().id(),
            place: Arc::new((Mutex::new(false), Condvar::new())),
        };
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    impl Thread {
        pub(crate) fn id(&self) -> ThreadId {
            self.id
        }

        pub(crate) fn unpark(&self) {
            *self.place.0.lock().expect("no thread fails") = true;
            self.place.1.notify_one();
        }
    }

    pub(crate) fn park() {
        let this = current();
        let mut woken = this.place.0.lock().expect("no thread fails");
        while !*woken {
            woken = this.place.1.wait(woken).expect("no thread fails");
        }
        *woken = false;
    }
}

use bell::Bell;
use inbox::Inbox;
use loom::thread::spawn;
use queue::{Queue, Turn};
use std::sync::Arc;
use std::task::{Wake, Waker};
use sync::{Thread, current, park};

/// Wakes a thread as a runtime wakes a shard.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(current())))
}

/// Runs `scenario` in every order with up to `preemptions` of them.
fn check(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(scenario);
}

/// A shard's turns, as long as `more` holds: listen, take what came, sleep if nothing did.
fn turns<T>(inbox: &Inbox<T>, mut more: impl FnMut(T) -> bool) {
    let waker = waker();
    let mut taken = Vec::new();
    loop {
        inbox.set_reader(&waker);
        inbox.take(&mut taken);
        if taken.is_empty() {
            park();
        }
        for item in taken.drain(..) {
            if !more(item) {
                return;
            }
        }
    }
}

#[test]
fn an_inbox_loses_nothing_and_keeps_each_writers_order() {
    check(3, || {
        let inbox = Arc::new(Inbox::default());
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let inbox = Arc::clone(&inbox);
                spawn(move || {
                    inbox.push((writer, 0));
                    inbox.push_all(&mut vec![(writer, 1)]);
                })
            })
            .collect();
        let mut next = [0; 2];
        turns(&inbox, |(writer, item): (usize, u32)| {
            assert_eq!(item, next[writer]);
            next[writer] += 1;
            next.iter().sum::<u32>() < 4
        });
        for writer in writers {
            writer.join().expect("writers do not fail");
        }
    });
}

#[test]
fn a_bell_that_rings_while_it_is_answered_is_heard() {
    check(3, || {
        let ready = Arc::new(Inbox::default());
        let socket = Arc::new(Inbox::default());
        let bell = Arc::new(Bell::new(7, Arc::clone(&ready)));
        let client = spawn({
            let (bell, socket) = (Arc::clone(&bell), Arc::clone(&socket));
            move || {
                for byte in 0..2 {
                    socket.push(byte);
                    bell.wake_by_ref();
                }
            }
        });
        let (mut received, mut taken) = (0, Vec::new());
        turns(&ready, |place| {
            assert_eq!(place, 7);
            bell.answer();
            socket.take(&mut taken);
            received += taken.drain(..).count();
            received < 2
        });
        client.join().expect("the client does not fail");
    });
}

#[test]
fn disk_threads_carry_out_all_work_and_their_shard_hears_of_it() {
    check(2, || {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::new(Inbox::default());
        let threads: Vec<_> = (0..2).map(|_| spawn(disk_thread(&queue, &inbox))).collect();
        // The first answer calls forth more, as the end of a sync does.
        queue.put([0].into_iter());
        let mut answers = Vec::new();
        turns(&inbox, |answer| {
            answers.push(answer);
            if answer == 0 {
                queue.put([1, 2].into_iter());
            }
            answers.len() < 3
        });
        answers.sort_unstable();
        assert_eq!(answers, [0, 1, 2]);
        queue.close();
        for thread in threads {
            thread.join().expect("disk threads do not fail");
        }
    });
}

fn disk_thread(queue: &Arc<Queue<u32>>, inbox: &Arc<Inbox<u32>>) -> impl FnOnce() + use<> {
    let (queue, inbox) = (Arc::clone(queue), Arc::clone(inbox));
    move || {
        let mut done = None;
        loop {
            let turn = queue.next();
            if let Some(answer) = done.take() {
                inbox.push(answer);
            }
            match turn {
                Turn::Work(work) => done = Some(work),
                Turn::Sleep => park(),
                Turn::End => return,
            }
        }
    }
}
