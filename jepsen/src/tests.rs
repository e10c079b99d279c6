//! Each anomaly with a history that has it, and a near miss that has not.

use crate::{Anomaly, History, Key, Message, Op, Outcome, Process, Value, check};

fn send(process: u32, value: u32, offset: i64) -> Op {
    Op::Send {
        process: Process(process),
        key: Key(0),
        value: Value(value),
        outcome: Outcome::Acknowledged(offset),
    }
}

fn unknown(process: u32, value: u32) -> Op {
    Op::Send {
        process: Process(process),
        key: Key(0),
        value: Value(value),
        outcome: Outcome::Unknown,
    }
}

fn poll(process: u32, messages: &[(i64, u32)]) -> Op {
    let message = |&(offset, value)| Message {
        key: Key(0),
        offset,
        value: Value(value),
    };
    Op::Poll {
        process: Process(process),
        messages: messages.iter().map(message).collect(),
    }
}

fn anomalies(ops: Vec<Op>) -> Vec<Anomaly> {
    let history = History {
        ops,
        polled_to_the_end: true,
    };
    check(&history).into_iter().map(|finding| finding.anomaly).collect()
}

#[test]
fn a_plain_history_is_fine() {
    let ops = vec![
        send(0, 0, 0),
        send(0, 1, 1),
        poll(1, &[(0, 0), (1, 1)]),
        poll(2, &[(0, 0)]),
    ];
    assert_eq!(anomalies(ops), []);
    assert_eq!(check(&History::default()), []);
}

#[test]
fn two_values_at_one_offset_are_inconsistent_and_one_seen_twice_is_not() {
    let seen_twice = [send(0, 0, 5), poll(1, &[(5, 0)]), poll(2, &[(5, 0)])];
    assert_eq!(anomalies(seen_twice.to_vec()), []);
    let two = [poll(1, &[(5, 0)]), poll(2, &[(5, 1)])];
    assert_eq!(anomalies(two.to_vec()), [Anomaly::InconsistentOffsets]);
}

#[test]
fn a_value_at_two_offsets_is_a_duplicate_and_two_values_at_two_are_not() {
    let ops = |second| vec![send(0, 0, 0), poll(1, &[(0, 0), (1, second)])];
    assert_eq!(anomalies(ops(1)), []);
    assert_eq!(anomalies(ops(0)), [Anomaly::Duplicate]);
}

#[test]
fn an_acknowledged_value_passed_by_every_poll_is_lost_and_an_unknown_one_is_not() {
    let lost = [send(0, 0, 0), send(0, 1, 1), poll(1, &[(1, 1)])];
    assert_eq!(anomalies(lost.to_vec()), [Anomaly::LostWrite]);
    let maybe = [unknown(0, 0), send(0, 1, 1), poll(1, &[(1, 1)])];
    assert_eq!(anomalies(maybe.to_vec()), []);
}

#[test]
fn an_acknowledged_value_beyond_all_polls_is_unseen_only_if_they_reached_the_end() {
    let ops = vec![send(0, 0, 0), send(0, 1, 1), poll(1, &[(0, 0)])];
    assert_eq!(anomalies(ops.clone()), [Anomaly::Unseen]);
    let early = History {
        ops,
        polled_to_the_end: false,
    };
    assert_eq!(check(&early), []);
}

#[test]
fn polls_of_a_process_go_forward_until_it_is_assigned_anew() {
    let polls = |between: Option<Op>| {
        let mut ops = vec![send(0, 0, 0), send(0, 1, 1), poll(1, &[(0, 0), (1, 1)])];
        ops.extend(between);
        ops.push(poll(1, &[(0, 0)]));
        ops
    };
    assert_eq!(anomalies(polls(None)), [Anomaly::NonmonotonicPoll]);
    assert_eq!(anomalies(polls(Some(Op::Assign { process: Process(1) }))), []);
    let within = [send(0, 0, 0), poll(1, &[(0, 0), (0, 0)])];
    assert_eq!(anomalies(within.to_vec()), [Anomaly::NonmonotonicPoll]);
}

#[test]
fn a_poll_may_jump_over_offsets_that_hold_nothing_and_over_no_others() {
    let hole = [send(0, 0, 0), send(0, 2, 2), poll(1, &[(0, 0), (2, 2)])];
    assert_eq!(anomalies(hole.to_vec()), []);
    let skip = [
        send(0, 0, 0),
        poll(2, &[(0, 0), (1, 1), (2, 2)]),
        poll(1, &[(0, 0)]),
        poll(1, &[(2, 2)]),
    ];
    assert_eq!(anomalies(skip.to_vec()), [Anomaly::PollSkip]);
}

#[test]
fn later_sends_of_a_process_lie_behind_earlier_ones_and_those_of_others_need_not() {
    let polls = poll(2, &[(0, 1), (1, 0)]);
    assert_eq!(anomalies(vec![send(0, 0, 1), send(1, 1, 0), polls.clone()]), []);
    assert_eq!(
        anomalies(vec![send(0, 0, 1), send(0, 1, 0), polls]),
        [Anomaly::NonmonotonicSend]
    );
}

#[test]
fn logs_do_not_mix() {
    let other = Op::Send {
        process: Process(0),
        key: Key(1),
        value: Value(1),
        outcome: Outcome::Acknowledged(0),
    };
    let read = Op::Poll {
        process: Process(1),
        messages: vec![
            Message {
                key: Key(0),
                offset: 3,
                value: Value(0),
            },
            Message {
                key: Key(1),
                offset: 0,
                value: Value(1),
            },
        ],
    };
    assert_eq!(anomalies(vec![send(0, 0, 3), other, read]), []);
}

#[test]
fn offsets_near_the_ends_of_their_range_take_no_more_room_than_others() {
    let far = i64::from(i32::MAX) * 4;
    let ops = vec![send(0, 0, far), send(0, 1, far + 1), poll(1, &[(far, 0), (far + 1, 1)])];
    assert_eq!(anomalies(ops), []);
}
