//! The search against hand-made histories, and against every order there is on thousands of small random ones.

use super::{Call, Linearizability, Model, Register, RegisterInput, linearizable};

type Op = Call<u8, RegisterInput, Option<i64>>;

fn write(begin: u64, end: u64, value: i64) -> Op {
    Call {
        object: 0,
        begin,
        input: RegisterInput::Write(value),
        answer: Some((end, None)),
    }
}

fn read(begin: u64, end: u64, found: i64) -> Op {
    Call {
        object: 0,
        begin,
        input: RegisterInput::Read,
        answer: Some((end, Some(found))),
    }
}

fn unknown(begin: u64, value: i64) -> Op {
    Call {
        answer: None,
        ..write(begin, begin, value)
    }
}

const BUDGET: u64 = 1_000_000;

fn holds(history: &[Op]) -> bool {
    match linearizable(&Register, history, BUDGET) {
        Linearizability::Linearizable => true,
        Linearizability::Violated { .. } => false,
        Linearizability::Undecided(_) => panic!("a small history is decided"),
    }
}

#[test]
fn a_read_sees_the_last_write_that_was_answered() {
    assert!(holds(&[write(0, 1, 5), read(2, 3, 5)]));
    assert!(!holds(&[write(0, 1, 4), write(2, 3, 5), read(4, 5, 4)]));
}

#[test]
fn concurrent_writes_take_effect_in_either_order_but_in_one() {
    let writes = [write(0, 10, 1), write(0, 10, 2)];
    for last in [1, 2] {
        assert!(holds(&[writes.to_vec(), vec![read(11, 12, last)]].concat()));
    }
    let changing = vec![read(11, 12, 1), read(13, 14, 2)];
    assert!(!holds(&[writes.to_vec(), changing].concat()));
}

#[test]
fn a_write_without_an_answer_takes_effect_late_or_never_but_not_before_it_began() {
    let unanswered = unknown(5, 7);
    assert!(holds(&[write(0, 1, 3), unanswered.clone(), read(8, 9, 3)]));
    assert!(holds(&[
        write(0, 1, 3),
        unanswered.clone(),
        read(8, 9, 3),
        read(10, 11, 7)
    ]));
    assert!(!holds(&[
        write(0, 1, 3),
        unanswered.clone(),
        read(8, 9, 7),
        read(10, 11, 3)
    ]));
    assert!(!holds(&[read(1, 2, 7), unanswered]));
}

#[test]
fn objects_are_judged_on_their_own_and_the_one_that_fails_is_named() {
    let mut other = read(2, 3, 9);
    other.object = 1;
    let history = [write(0, 1, 5), other, read(2, 3, 5)];
    let verdict = linearizable(&Register, &history, BUDGET);
    let expected = Linearizability::Violated {
        object: 1,
        explained: 0,
        stuck: 1,
    };
    assert_eq!(verdict, expected);
}

#[test]
fn a_search_without_budget_is_undecided() {
    let verdict = linearizable(&Register, &[write(0, 1, 5), read(2, 3, 5)], 1);
    assert_eq!(verdict, Linearizability::Undecided(0));
}

#[test]
fn a_long_history_of_few_clients_is_judged_within_a_small_budget() {
    let mut history = Vec::new();
    for round in 0..2000 {
        let at = round * 10;
        history.push(write(at, at + 8, round as i64));
        history.push(unknown(at + 1, -(round as i64) - 1));
        history.push(read(at + 9, at + 9, round as i64));
    }
    assert_eq!(
        linearizable(&Register, &history, 100_000),
        Linearizability::Linearizable
    );
}

#[test]
fn many_operations_without_an_answer_are_no_subsets_to_try() {
    let mut history: Vec<Op> = (0..80).map(|index| unknown(0, index % 2)).collect();
    history.extend((0..40).map(|at| read(at * 10 + 1, at * 10 + 2, at as i64 % 2)));
    assert_eq!(linearizable(&Register, &history, 10_000), Linearizability::Linearizable);
    history.push(read(500, 501, 2));
    let verdict = linearizable(&Register, &history, 10_000);
    assert!(
        matches!(verdict, Linearizability::Violated { stuck: 120, .. }),
        "{verdict:?}"
    );
}

/// Small draws of their own.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn random_history(draw: &mut Draw) -> Vec<Op> {
    let one = |draw: &mut Draw| {
        let begin = draw.below(12);
        let end = begin + draw.below(8);
        let value = draw.below(3) as i64;
        match draw.below(5) {
            0 | 1 => write(begin, end, value),
            2 => unknown(begin, value),
            _ => read(begin, end, value),
        }
    };
    (0..=draw.below(6)).map(|_| one(draw)).collect()
}

/// Tries every order of every subset that has all answered operations.
fn brute_force(history: &[Op], done: &mut Vec<usize>, state: Option<i64>) -> bool {
    let open = |index: &usize| !done.contains(index);
    let mut left = (0..history.len()).filter(open);
    if left.clone().all(|index| history[index].answer.is_none()) {
        return true;
    }
    let candidates: Vec<usize> = left.by_ref().collect();
    candidates.iter().any(|&next| {
        let ended_before = |other: &usize| {
            let answer = history[*other].answer.as_ref();
            *other != next && answer.is_some_and(|&(end, _)| end < history[next].begin)
        };
        if candidates.iter().any(ended_before) {
            return false;
        }
        let output = history[next].answer.as_ref().map(|(_, output)| output);
        Register
            .step(&state, &history[next].input, output)
            .is_some_and(|after| {
                done.push(next);
                let found = brute_force(history, done, after);
                done.pop();
                found
            })
    })
}

#[test]
fn the_search_agrees_with_every_order_on_small_random_histories() {
    let mut draw = Draw(7);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..8000 {
        let history = random_history(&mut draw);
        let expected = brute_force(&history, &mut Vec::new(), None);
        assert_eq!(holds(&history), expected, "{history:?}");
        if expected {
            good += 1;
        } else {
            bad += 1;
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} good ones, {bad} bad ones");
}
