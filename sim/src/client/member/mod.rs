//! A member of a group, of the classic protocol as consumers speak it: it finds its coordinator, joins, is handed a part,
//! reads its partitions from the committed offsets, commits how far it came, and says that it lives. Some leave, crash,
//! or are silent for too long, and some commit under a generation that is over.

mod answers;
mod assignor;

use super::{Hands, Wire};
use crate::frame::{CommitPart, EARLIEST, Fetch, FetchPart, GroupRequest, Joined, Request, Speaker, TopicRef};
use crate::options::{Habit, MemberPlan};
use crate::oracle::{Owned, lasts};
use crate::stage::{MILLIS, Nanos};
use std::collections::BTreeMap;

/// What comes next.
#[derive(Clone, PartialEq, Debug)]
enum Step {
    /// Learns the topics.
    Learn,
    Join,
    Sync(Box<Joined>),
    Consume,
    Leave,
    /// It does nothing, until then.
    Away(Nanos),
    /// It does nothing any more.
    Gone,
}

/// A partition that it reads.
#[derive(Clone, Debug)]
struct Reader {
    topic: TopicRef,
    partition: i32,
    from: From,
}

/// Where a reader goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum From {
    /// Where the group has committed.
    Committed,
    /// Where the log starts.
    Start,
    Offset(i64),
}

/// What it once was: a zombie commits under it.
#[derive(Clone, Debug)]
struct Past {
    speaker: Speaker,
    readers: Vec<Reader>,
}

/// How far it has come since all faults ended.
#[derive(Clone, Copy, Default, Debug)]
struct Rest {
    began: bool,
    heartbeats: u32,
    commits: u32,
}

#[derive(Debug)]
pub(super) struct Member {
    number: u32,
    plan: MemberPlan,
    step: Step,
    id: String,
    generation: i32,
    /// The process of the broker that its connection leads to.
    incarnation: u32,
    knows_coordinator: bool,
    /// The topics, with their numbers of partitions.
    topics: BTreeMap<String, (TopicRef, i32)>,
    readers: Vec<Reader>,
    past: Option<Past>,
    /// A request other than a heartbeat is under way.
    waiting: bool,
    /// A heartbeat is under way.
    beating: bool,
    next_at: Nanos,
    next_beat: Nanos,
    next_commit: Nanos,
    next_habit: Nanos,
    tokens: i64,
    rest: Rest,
}

/// How long a leader is waited for at most.
const LONGEST_REBALANCE_MS: i32 = 3000;

impl Member {
    pub(super) fn new(index: usize, plan: &MemberPlan) -> Self {
        Self {
            number: index as u32,
            plan: plan.clone(),
            step: Step::Learn,
            id: String::new(),
            generation: -1,
            incarnation: 0,
            knows_coordinator: false,
            topics: BTreeMap::new(),
            readers: Vec::new(),
            past: None,
            waiting: false,
            beating: false,
            next_at: 0,
            next_beat: 0,
            next_commit: 0,
            next_habit: 0,
            tokens: 0,
            rest: Rest::default(),
        }
    }

    pub(super) fn next_at(&self) -> Nanos {
        let beat = match self.step {
            Step::Consume if !self.beating => self.next_beat,
            _ => Nanos::MAX,
        };
        let next = if self.waiting { Nanos::MAX } else { self.next_at };
        beat.min(next)
    }

    /// Whether it has come to rest: with a part that it was told holds, and with a commit, where it has anything to
    /// commit.
    pub(super) fn finished(&self) -> bool {
        match self.step {
            Step::Gone => true,
            Step::Consume if self.plan.habit != Habit::Deserts => self.is_settled(),
            _ => false,
        }
    }

    fn is_settled(&self) -> bool {
        self.rest.heartbeats > 0 && (self.rest.commits > 0 || self.readers.is_empty())
    }

    /// The group, its generation and its own part, as long as it takes part.
    pub(super) fn part(&self) -> Option<(&MemberPlan, i32, Owned)> {
        if self.step != Step::Consume {
            return None;
        }
        let part = self.readers.iter();
        let part = part.map(|reader| (reader.topic.name.clone(), reader.partition));
        Some((&self.plan, self.generation, part.collect()))
    }

    pub(super) fn connected(&mut self, hands: &Hands<'_>) {
        self.incarnation = hands.incarnation;
        self.waiting = false;
        self.beating = false;
    }

    pub(super) fn disconnected(&mut self, hands: &mut Hands<'_>) {
        self.waiting = false;
        self.beating = false;
        self.knows_coordinator = hands.stage.draw.chance(1, 2);
    }

    fn speaker(&self) -> Speaker {
        Speaker {
            group: self.plan.group.clone(),
            member: self.id.clone(),
            instance: self.plan.instance.clone(),
            generation: self.generation,
        }
    }

    /// Every partition that its group shares.
    fn partitions(&self) -> Owned {
        let topics = self.topics.iter();
        topics
            .flat_map(|(name, (_, count))| (0..*count).map(|partition| (name.clone(), partition)))
            .collect()
    }

    pub(super) fn step(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if !hands.working && !self.rest.began {
            self.rest = Rest {
                began: true,
                ..Rest::default()
            };
        }
        match self.step {
            Step::Gone => self.next_at = Nanos::MAX,
            Step::Away(until) if now < until => self.next_at = until,
            Step::Away(_) => self.step = Step::Learn,
            Step::Consume if !self.beating && now >= self.next_beat => {
                self.beating = true;
                self.next_beat = now + self.plan.heartbeat;
                let request = GroupRequest::Heartbeat(self.speaker());
                say(wire, hands, request);
            }
            _ => {}
        }
        if self.waiting || now < self.next_at || matches!(self.step, Step::Gone | Step::Away(_)) {
            return;
        }
        self.next_at = now + hands.stage.draw.within(MILLIS / 2, self.plan.pause);
        if !self.knows_coordinator && self.step != Step::Learn {
            let group = self.plan.group.clone();
            return self.ask(wire, hands, GroupRequest::Find { group });
        }
        match &self.step {
            Step::Learn if self.plan.late > 0 => {
                self.next_at = now + std::mem::take(&mut self.plan.late);
            }
            Step::Learn => {
                self.waiting = true;
                let topics = self.plan.topics.clone();
                wire.send(hands, Request::Metadata { topics }, 0);
            }
            Step::Join => self.join(wire, hands),
            Step::Sync(joined) => {
                let joined = joined.clone();
                self.sync(wire, hands, &joined);
            }
            Step::Consume => self.consume(wire, hands),
            Step::Leave => {
                let request = GroupRequest::Leave(self.speaker());
                hands.oracle.member_asks(wire.index, &self.speaker(), hands.incarnation);
                self.ask(wire, hands, request);
            }
            Step::Away(_) | Step::Gone => {}
        }
    }

    fn ask(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, request: GroupRequest) {
        self.waiting = true;
        say(wire, hands, request);
    }

    fn join(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let speaker = self.speaker();
        hands.oracle.member_asks(wire.index, &speaker, hands.incarnation);
        let metadata = assignor::subscription(&self.plan.topics);
        let protocols = self.plan.protocols.iter();
        let request = GroupRequest::Join {
            speaker,
            session_ms: self.plan.session_ms,
            rebalance_ms: self.plan.rebalance_ms,
            protocols: protocols.map(|name| (name.clone(), metadata.clone())).collect(),
        };
        self.ask(wire, hands, request);
    }

    fn sync(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, joined: &Joined) {
        let leads = joined.leader == joined.member && !joined.skip_assignment && !joined.members.is_empty();
        let assignments = if leads {
            assignor::deal(&joined.members, &self.partitions(), &mut hands.stage.draw)
        } else {
            Vec::new()
        };
        let request = GroupRequest::Sync {
            speaker: self.speaker(),
            protocol: joined.protocol.clone(),
            assignments,
            patience_ms: LONGEST_REBALANCE_MS,
        };
        self.ask(wire, hands, request);
    }

    /// It has its part: it reads, commits, looks up what is committed, and gives in to its habit.
    fn consume(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let now = hands.stage.now();
        if self.follows_habit(wire, hands) {
            return;
        }
        if let Some(past) = self.past.take_if(|_| hands.stage.draw.chance(1, 3)) {
            return self.commit(wire, hands, past.speaker, &past.readers);
        }
        let committed: Vec<_> = self.wanted(From::Committed);
        if !committed.is_empty() || hands.stage.draw.chance(1, 12) {
            let parts = if committed.is_empty() {
                let all = self.topics.values();
                all.flat_map(|(topic, count)| (0..*count).map(|partition| (topic.clone(), partition)))
                    .collect()
            } else {
                committed
            };
            let request = GroupRequest::Fetch {
                group: self.plan.group.clone(),
                parts,
                stable: hands.stage.draw.chance(1, 2),
            };
            return self.ask(wire, hands, request);
        }
        let mut lost = self.wanted(From::Start);
        if !lost.is_empty() {
            let (topic, partition) = lost.swap_remove(hands.stage.draw.index(lost.len()));
            self.waiting = true;
            let request = Request::ListOffsets {
                topic,
                partitions: vec![partition],
                timestamp: EARLIEST,
            };
            return wire.send(hands, request, 0);
        }
        if self.readers.is_empty() {
            return;
        }
        if now >= self.next_commit {
            self.next_commit = now + self.plan.commit_every;
            let readers = self.readers.clone();
            return self.commit(wire, hands, self.speaker(), &readers);
        }
        self.fetch(wire, hands);
    }

    fn wanted(&self, from: From) -> Vec<(TopicRef, i32)> {
        let readers = self.readers.iter().filter(|reader| reader.from == from);
        readers.map(|reader| (reader.topic.clone(), reader.partition)).collect()
    }

    fn fetch(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) {
        let parts = self.readers.iter().filter_map(|reader| match reader.from {
            From::Offset(offset) => Some(FetchPart {
                topic: reader.topic.clone(),
                partition: reader.partition,
                leader_epoch: -1,
                offset,
                max_bytes: self.plan.max_bytes,
            }),
            From::Committed | From::Start => None,
        });
        let fetch = Fetch {
            max_wait_ms: hands.stage.draw.pick(&[0, 0, 5, 20]),
            min_bytes: 1,
            max_bytes: self.plan.max_bytes,
            session_id: 0,
            session_epoch: -1,
            parts: parts.collect(),
        };
        self.waiting = true;
        wire.send(hands, Request::Fetch(fetch), 0);
    }

    fn commit(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, speaker: Speaker, readers: &[Reader]) {
        let mut offsets = Vec::new();
        for reader in readers {
            if let From::Offset(offset) = reader.from {
                self.tokens += 1;
                offsets.push(CommitPart {
                    topic: reader.topic.clone(),
                    partition: reader.partition,
                    offset,
                    token: (i64::from(self.number) << 32) | self.tokens,
                });
            }
        }
        if !offsets.is_empty() {
            self.ask(wire, hands, GroupRequest::Commit { speaker, offsets });
        }
    }

    /// Whether it does something else than to consume.
    fn follows_habit(&mut self, wire: &mut Wire, hands: &mut Hands<'_>) -> bool {
        let now = hands.stage.now();
        if self.plan.habit == Habit::Deserts && self.rest.began && self.is_settled() {
            self.end(wire, hands, Step::Gone);
            return true;
        }
        if !hands.working || now < self.next_habit {
            return false;
        }
        self.next_habit = now + hands.stage.draw.within(1, self.plan.habit_every);
        let session = self.plan.session_ms as u64 * MILLIS;
        match self.plan.habit {
            Habit::Stays | Habit::Deserts => return false,
            Habit::Leaves => {
                self.step = Step::Leave;
                self.next_at = now + 1;
            }
            Habit::Crashes => {
                let until = now + hands.stage.draw.within(MILLIS, session * 2);
                self.end(wire, hands, Step::Away(until));
            }
            Habit::Stalls => {
                self.next_at = now + hands.stage.draw.within(session / 2, session * 2);
                self.next_beat = self.next_at + hands.stage.draw.within(0, 20) * MILLIS;
                self.next_habit = self.next_at + self.plan.habit_every;
            }
        }
        true
    }

    /// Its process ends, and knows nothing any more when it comes back.
    fn end(&mut self, wire: &mut Wire, hands: &mut Hands<'_>, then: Step) {
        hands.oracle.member_gone(wire.index, &self.plan.group);
        wire.hang_up(hands);
        self.forget();
        self.past = None;
        self.id.clear();
        self.step = then;
        self.knows_coordinator = false;
    }

    /// It owns nothing any more, but remembers what it was.
    fn forget(&mut self) {
        if self.generation >= 0 && !self.readers.is_empty() {
            self.past = Some(Past {
                speaker: self.speaker(),
                readers: std::mem::take(&mut self.readers),
            });
        }
        self.readers.clear();
        self.waiting = false;
        self.beating = false;
        self.rest.heartbeats = 0;
        self.rest.commits = 0;
    }

    fn lasts(&self) -> Nanos {
        lasts(self.plan.session_ms, self.plan.rebalance_ms)
    }
}

fn say(wire: &mut Wire, hands: &mut Hands<'_>, request: GroupRequest) {
    hands.oracle.group_sending(&request);
    wire.send(hands, Request::Group(request), 0);
}

/// What is wrong with the groups as their live members see them: each must share all its partitions out to them.
pub(super) fn unshared<'a>(members: impl Iterator<Item = &'a Member>) -> Option<String> {
    let mut groups: BTreeMap<&str, (Owned, Owned, Vec<i32>)> = BTreeMap::new();
    for member in members {
        let Some((plan, generation, part)) = member.part() else {
            continue;
        };
        let (all, shared, generations) = groups.entry(&plan.group).or_default();
        all.extend(member.partitions());
        shared.extend(part);
        generations.push(generation);
    }
    groups.into_iter().find_map(|(name, (all, shared, generations))| {
        let one = generations.iter().all(|generation| *generation == generations[0]);
        let lacks = all.difference(&shared).next();
        (!one || lacks.is_some()).then(|| format!("{name}, in generations {generations:?}, gives {lacks:?} to nobody"))
    })
}
