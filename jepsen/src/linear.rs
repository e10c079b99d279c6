//! Linearizability of small objects: Wing and Gong's search with Lowe's memory of configurations seen, each object on its
//! own (P-compositionality: a history is linearizable exactly if its part about each object is). A configuration that
//! made use of more operations without an answer than another, and explained no more, leads nowhere else.
//!
//! Invariants: an operation whose outcome is unknown may take effect at any time after it began, or never; a search that
//! runs out of its budget is undecided, which is not a pass.

use std::collections::BTreeMap;

/// What an object is: its states, and which answers an operation may have in each.
pub trait Model {
    /// A state of the object.
    type State: Clone + Ord;
    /// What is asked of it.
    type Input: PartialEq;
    /// What it answers.
    type Output;

    /// The object at the beginning.
    fn start(&self) -> Self::State;

    /// Whether the operation only looks: it changes nothing, whatever the state and the answer, but what is known.
    fn only_looks(&self, input: &Self::Input) -> bool;

    /// The state after the operation, or `None` if it cannot be answered so. Without an output the operation took effect
    /// and nobody knows what it answered.
    fn step(&self, state: &Self::State, input: &Self::Input, output: Option<&Self::Output>) -> Option<Self::State>;
}

/// An operation: when it was asked, and when it was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call<K, I, O> {
    /// The object.
    pub object: K,
    /// When it was asked for.
    pub begin: u64,
    /// What was asked.
    pub input: I,
    /// When it was answered, not before `begin`, and what; `None` while nobody knows.
    pub answer: Option<(u64, O)>,
}

/// Whether a history can be explained by operations that take effect at one moment each, between question and answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Linearizability<K> {
    /// It can.
    Linearizable,
    /// It cannot. The history of this object has no explanation beyond so many of its operations.
    Violated {
        /// The object.
        object: K,
        /// The longest explanation found has this many of its operations.
        explained: usize,
        /// The place, in the history as it was given, of the answer that no explanation reaches.
        stuck: usize,
    },
    /// The search was given up.
    Undecided(K),
}

/// One end of an operation.
#[derive(Clone, Copy, Debug)]
struct Event {
    call: usize,
    is_answer: bool,
}

/// The events that are not explained yet, in their order, as a list that events are taken out of and put back into.
struct Events {
    all: Vec<Event>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each operation's events are; the second is missing while nobody knows its answer.
    places: Vec<(usize, Option<usize>)>,
}

impl Events {
    /// The list's head and its end is the place behind the last event.
    fn head(&self) -> usize {
        self.all.len()
    }

    fn new<K, I, O>(calls: &[&Call<K, I, O>]) -> Self {
        let mut timed = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let event = |is_answer| Event { call: index, is_answer };
            // A question asked at the moment of an answer counts as concurrent with it.
            timed.push((call.begin, false, event(false)));
            if let Some((end, _)) = &call.answer {
                timed.push((*end, true, event(true)));
            }
        }
        timed.sort_by_key(|&(at, is_answer, event)| (at, is_answer, event.call));
        let events: Vec<Event> = timed.into_iter().map(|(_, _, event)| event).collect();
        let count = events.len();
        let mut places = vec![(0, None); calls.len()];
        for (place, event) in events.iter().enumerate() {
            if event.is_answer {
                places[event.call].1 = Some(place);
            } else {
                places[event.call].0 = place;
            }
        }
        Self {
            all: events,
            next: (0..=count).map(|place| (place + 1) % (count + 1)).collect(),
            previous: (0..=count).map(|place| (place + count) % (count + 1)).collect(),
            places,
        }
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    fn relink(&mut self, place: usize) {
        let (before, after) = (self.previous[place], self.next[place]);
        self.next[before] = place;
        self.previous[after] = place;
    }

    /// The operation is explained.
    fn take(&mut self, call: usize) {
        let (question, answer) = self.places[call];
        self.unlink(question);
        if let Some(answer) = answer {
            self.unlink(answer);
        }
    }

    /// It is not, after all: undoes the last `take` that was not undone.
    fn put_back(&mut self, call: usize) {
        let (question, answer) = self.places[call];
        if let Some(answer) = answer {
            self.relink(answer);
        }
        self.relink(question);
    }
}

/// Some of the operations.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Calls(Vec<u64>);

impl Calls {
    fn none_of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn has(&self, call: usize) -> bool {
        self.0[call / 64] & (1 << (call % 64)) != 0
    }

    fn flip(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine & !theirs == 0)
    }
}

/// How far an explanation has come, and how far others have.
struct Progress<S> {
    /// Operations that it explains, and operations without an answer that it makes use of.
    explained: Calls,
    used: Calls,
    /// What was used where others had explained the same and come to the same state.
    seen: BTreeMap<(Calls, S), Vec<Calls>>,
}

impl<S: Clone + Ord> Progress<S> {
    fn new(count: usize) -> Self {
        Self {
            explained: Calls::none_of(count),
            used: Calls::none_of(count),
            seen: BTreeMap::new(),
        }
    }

    fn flip(&mut self, call: usize, answered: bool) {
        if answered {
            self.explained.flip(call);
        } else {
            self.used.flip(call);
        }
    }

    /// Takes the operation in, and says whether that may lead where nothing has led yet: not if another came as far
    /// with less.
    fn try_with(&mut self, call: usize, answered: bool, after: &S) -> bool {
        self.flip(call, answered);
        let others = self.seen.entry((self.explained.clone(), after.clone())).or_default();
        let new = !others.iter().any(|other| other.is_within(&self.used));
        if new {
            others.push(self.used.clone());
        } else {
            self.flip(call, answered);
        }
        new
    }
}

/// For each operation without an answer, the last before it that asks the same and has none either. They are as good as
/// each other, so the earlier is made use of first: else a search would try every subset of them.
fn twins<I: PartialEq, K, O>(calls: &[&Call<K, I, O>]) -> Vec<Option<usize>> {
    let unanswered = |&call: &usize| calls[call].answer.is_none();
    let mut order: Vec<usize> = (0..calls.len()).filter(unanswered).collect();
    order.sort_by_key(|&call| calls[call].begin);
    let mut twins = vec![None; calls.len()];
    for (place, &call) in order.iter().enumerate() {
        let mut before = order[..place].iter().rev();
        twins[call] = before.find(|&&other| calls[other].input == calls[call].input).copied();
    }
    twins
}

/// Judges a history, each object on its own, within so many steps of the search each.
pub fn linearizable<M, K>(model: &M, history: &[Call<K, M::Input, M::Output>], budget: u64) -> Linearizability<K>
where
    M: Model,
    K: Clone + Ord,
{
    let mut objects: BTreeMap<&K, Vec<usize>> = BTreeMap::new();
    for (index, call) in history.iter().enumerate() {
        objects.entry(&call.object).or_default().push(index);
    }
    for (object, places) in objects {
        let calls: Vec<_> = places.iter().map(|&place| &history[place]).collect();
        match explain(model, &calls, budget) {
            Search::Explained => {}
            Search::Stuck { explained, call } => {
                return Linearizability::Violated {
                    object: object.clone(),
                    explained,
                    stuck: places[call],
                };
            }
            Search::GivenUp => return Linearizability::Undecided(object.clone()),
        }
    }
    Linearizability::Linearizable
}

enum Search {
    Explained,
    Stuck { explained: usize, call: usize },
    GivenUp,
}

/// The search for one object.
fn explain<M: Model, K>(model: &M, calls: &[&Call<K, M::Input, M::Output>], budget: u64) -> Search {
    let mut events = Events::new(calls);
    let twins = twins(calls);
    let mut answers_left = calls.iter().filter(|call| call.answer.is_some()).count();
    let mut progress = Progress::new(calls.len());
    let mut state = model.start();
    let mut path: Vec<(usize, M::State)> = Vec::new();
    let mut best = (0, 0);
    let mut at = events.next[events.head()];
    for _ in 0..budget {
        if answers_left == 0 {
            return Search::Explained;
        }
        let event = (at != events.head()).then(|| events.all[at]);
        if let Some(Event { call, is_answer: false }) = event {
            let output = calls[call].answer.as_ref().map(|(_, output)| output);
            let first = twins[call].is_none_or(|twin| progress.used.has(twin));
            let after = model.step(&state, &calls[call].input, output).filter(|after| {
                // What nobody heard an answer to need not be explained: it is of use where it changes something.
                output.is_some() || first && *after != state
            });
            match after {
                Some(after) if progress.try_with(call, output.is_some(), &after) => {
                    path.push((call, std::mem::replace(&mut state, after)));
                    answers_left -= usize::from(output.is_some());
                    events.take(call);
                    at = events.next[events.head()];
                }
                _ => at = events.next[at],
            }
            continue;
        }
        // An answer of an operation that is not explained: one before it must be explained otherwise.
        if let Some(event) = event.filter(|_| path.len() >= best.0) {
            best = (path.len(), event.call);
        }
        // A look that the state agreed with could take effect where it did: elsewhere it explains nothing more.
        loop {
            let Some((call, before)) = path.pop() else {
                return Search::Stuck {
                    explained: best.0,
                    call: best.1,
                };
            };
            events.put_back(call);
            let answered = calls[call].answer.is_some();
            progress.flip(call, answered);
            answers_left += usize::from(answered);
            at = events.next[events.places[call].0];
            let settled = before == state && model.only_looks(&calls[call].input);
            state = before;
            if !settled {
                break;
            }
        }
    }
    Search::GivenUp
}

/// A register: it holds what was written last.
#[derive(Clone, Copy, Default, Debug)]
pub struct Register;

/// What is asked of a [`Register`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegisterInput {
    /// Hold this.
    Write(i64),
    /// What is held?
    Read,
}

impl Model for Register {
    type State = Option<i64>;
    type Input = RegisterInput;
    /// What a read found; `None` of a write.
    type Output = Option<i64>;

    fn start(&self) -> Option<i64> {
        None
    }

    fn only_looks(&self, input: &RegisterInput) -> bool {
        *input == RegisterInput::Read
    }

    fn step(&self, state: &Option<i64>, input: &RegisterInput, output: Option<&Option<i64>>) -> Option<Option<i64>> {
        match (input, output) {
            (RegisterInput::Write(value), _) => Some(Some(*value)),
            (RegisterInput::Read, Some(found)) => (found == state).then_some(*state),
            (RegisterInput::Read, None) => Some(*state),
        }
    }
}

#[cfg(test)]
mod tests;
