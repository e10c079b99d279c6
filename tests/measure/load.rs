//! The load, the same for every broker: rebalances of one large group, and a storm of many.
//!
//! Invariant: the clock runs from the first request of what is measured to the last member's answer; connections are
//! open by then, and the broker has done the same before, so that neither it nor its Java machine begins cold.

use crate::member::{Group, Line, Member, TOPIC, is_coordinated};
use klamm_core::wire::Text;
use klamm_core::wire::message::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use klamm_tests::frame::Connection;
use klamm_tests::usage::{cpu, resident_bytes};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Members of the large group.
const LARGE: usize = 50;
/// Times that one of them leaves and comes back: before anything is measured, and measured.
const WARM_ROUNDS: u32 = 150;
const ROUNDS: u32 = 150;
/// Groups of the storm, and members of each.
const GROUPS: usize = 1000;
const EACH: usize = 10;
/// As Java's consumer does by default.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
const HEARTBEATS: usize = 3;

/// How often is asked whether a group is coordinated, and the pause in between.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// What was measured: names and values, in the order of the table.
pub(crate) type Figures = Vec<(&'static str, String)>;

/// A broker under load.
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) pid: u32,
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is the time that a broker takes"
)]
fn now() -> Instant {
    Instant::now()
}

/// Puts the broker under all of the load.
pub(crate) fn run(target: &Target) -> Figures {
    let names: Vec<String> = (0..GROUPS).map(|group| format!("storm-{group}")).collect();
    prepare(target, &names);
    let mut figures = rebalances(target);
    figures.extend(storm(target, names));
    figures
}

/// Makes the topic, and waits until every group is coordinated.
fn prepare(target: &Target, names: &[String]) {
    let mut connection = Connection::open(&target.address).expect("the broker accepts");
    assert_eq!(
        connection.create_topic(TOPIC, LARGE as i32, &[]),
        0,
        "creation of {TOPIC}"
    );
    let mut line = Line::open(&target.address);
    settle("a coordinator", || {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![Text::from("large")],
            ..FindCoordinatorRequest::default()
        };
        line.send(&request, 4);
        let told: FindCoordinatorResponse = line.receive(4);
        told.coordinators.iter().all(|it| it.error_code == 0)
    });
    for name in names.iter().map(String::as_str).chain(["large"]) {
        settle(name, || is_coordinated(&mut line, name));
    }
}

fn settle(what: &str, mut reached: impl FnMut() -> bool) {
    for _ in 0..LOOKS {
        if reached() {
            return;
        }
        thread::sleep(PAUSE);
    }
    panic!("{what} does not come about");
}

/// One member after the other leaves a group of 50 and comes back.
fn rebalances(target: &Target) -> Figures {
    let members = (0..LARGE).map(|_| Member::new(&target.address)).collect();
    let mut group = Group::new(String::from("large"), members);
    group.form();
    let mut round = |leaving: &mut Vec<Duration>, joining: &mut Vec<Duration>| {
        let begun = now();
        let member = group.go_on_without_one();
        leaving.push(begun.elapsed());
        let begun = now();
        group.go_on_with(member);
        joining.push(begun.elapsed());
    };
    for _ in 0..WARM_ROUNDS {
        round(&mut Vec::new(), &mut Vec::new());
    }
    let (mut leaving, mut joining) = (Vec::new(), Vec::new());
    let before = cpu(target.pid);
    for _ in 0..ROUNDS {
        round(&mut leaving, &mut joining);
    }
    let used = cpu(target.pid).saturating_sub(before);
    vec![
        ("a member leaves a group of 50: median (worst), ms", spread(leaving)),
        ("a member joins it again: median (worst), ms", spread(joining)),
        (
            "CPU of the broker a rebalance, ms",
            format!("{:.2}", millis(used / (2 * ROUNDS))),
        ),
    ]
}

/// Many groups do everything at once.
fn storm(target: &Target, names: Vec<String>) -> Figures {
    let before = resident_bytes(target.pid);
    let connect = |name| Group::new(name, (0..EACH).map(|_| Member::new(&target.address)).collect());
    let mut groups: Vec<Group> = names.into_iter().map(connect).collect();
    let connected = resident_bytes(target.pid);
    let formed = together(target, &mut groups, |_, group| group.form());
    let held = resident_bytes(target.pid);
    let beaten = together(target, &mut groups, |place, group| {
        for _ in 0..HEARTBEATS {
            // Clients that were started one after the other do not all beat at once.
            thread::sleep(HEARTBEAT_INTERVAL * place as u32 / GROUPS as u32);
            group.beat();
            thread::sleep(HEARTBEAT_INTERVAL * (GROUPS - place) as u32 / GROUPS as u32);
        }
    });
    let committed = together(target, &mut groups, |_, group| group.commit(1));
    let shrunk = together(target, &mut groups, |_, group| drop(group.go_on_without_one()));
    let megabytes = |bytes: u64| (bytes / 1_000_000).to_string();
    let memory = [before, connected, held].map(megabytes).join(", ");
    vec![
        (
            "10,000 members join 1,000 groups: until the last has its part, s",
            formed.all(),
        ),
        ("… CPU of the broker, s", formed.cpu()),
        (
            "… resident memory before connections, with them, with members, MB",
            memory,
        ),
        ("their 30,000 heartbeats within 9 s: CPU of the broker, s", beaten.cpu()),
        (
            "their 10,000 commits at once: until the last is answered, s",
            committed.all(),
        ),
        ("… CPU of the broker, s", committed.cpu()),
        (
            "a member of each of the 1,000 leaves: until the last has its part, s",
            shrunk.all(),
        ),
        ("… CPU of the broker, s", shrunk.cpu()),
    ]
}

/// What many groups took together.
struct Took {
    all: Duration,
    cpu: Duration,
}

impl Took {
    fn all(&self) -> String {
        format!("{:.2}", self.all.as_secs_f64())
    }

    fn cpu(&self) -> String {
        format!("{:.2}", self.cpu.as_secs_f64())
    }
}

/// Has every group do the same at once, each on a thread.
fn together(target: &Target, groups: &mut [Group], act: impl Fn(usize, &mut Group) + Sync) -> Took {
    let (ready, start) = (Barrier::new(groups.len() + 1), Barrier::new(groups.len() + 1));
    let (begun, before) = thread::scope(|scope| {
        for (place, group) in groups.iter_mut().enumerate() {
            let (act, ready, start) = (&act, &ready, &start);
            scope.spawn(move || {
                ready.wait();
                start.wait();
                act(place, group);
            });
        }
        ready.wait();
        // Before the first is let go: behind a thousand threads on few cores this one has its turn when most is done.
        let begun = (now(), cpu(target.pid));
        start.wait();
        begun
    });
    Took {
        all: begun.elapsed(),
        cpu: cpu(target.pid).saturating_sub(before),
    }
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let worst = times.last().copied().unwrap_or_default();
    format!("{:.1} ({:.1})", millis(times[times.len() / 2]), millis(worst))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
