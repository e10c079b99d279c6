//! Rows about consumer groups: every record is read once, by whoever has its partition then.

use crate::cells::{Cell, Lent, Row, until};
use klamm_tests::Client;
use klamm_tests::client::{Member, Produce};
use klamm_tests::record::{self, Record, Stored, expected};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "a group of three: members join, leave and crash",
        run: changing,
    },
    Row {
        name: "static members come back to their partitions",
        run: constant,
    },
    Row {
        name: "commit, and resume there",
        run: resume,
    },
    Row {
        name: "list and describe groups",
        run: described,
    },
    Row {
        name: "delete a group",
        run: deleted,
    },
];

const PARTITIONS: i32 = 6;
/// More than a cell's few members can bring a group to.
const MOST_GENERATIONS: i32 = 100;
/// Records of a batch that is sent at once.
const BATCH: usize = 60;

/// A topic, the group that reads it, and all that was sent so far.
struct Group<'a> {
    cell: &'a Cell<'a>,
    topic: String,
    name: String,
    sent: Vec<Record>,
}

/// What one member read of a batch.
type Share = Vec<Stored>;

impl<'a> Group<'a> {
    fn new(cell: &'a Cell<'a>) -> Self {
        Self {
            cell,
            topic: cell.topic(PARTITIONS, &[]),
            name: cell.name("group"),
            sent: Vec::new(),
        }
    }

    fn join(&self, session_ms: u32, instance: Option<&str>) -> Lent<'a> {
        let mut member = self.cell.actor();
        let how = Member { session_ms, instance };
        member.subscribe(&self.topic, &self.name, how).expect("a member joins");
        member
    }

    /// Waits until the group is stable with so many members.
    fn settle(&self, members: u64) {
        until("the group is stable", || {
            let told = self
                .cell
                .ground
                .by(Client::Java, |java| java.describe_group(&self.name));
            told.is_ok_and(|(state, count)| state == "stable" && count == members)
        });
    }

    /// Sends a batch to all partitions; Kafka's own client does, since not every client chooses partitions.
    fn send(&mut self) -> Vec<Stored> {
        let mut batch = record::text(self.sent.len() as u64, BATCH, 30);
        for (index, record) in batch.iter_mut().enumerate() {
            record.partition = index as i32 % PARTITIONS;
        }
        let before: Vec<usize> = (0..PARTITIONS)
            .map(|partition| expected(&self.sent, partition).len())
            .collect();
        let told = self
            .cell
            .ground
            .by(Client::Java, |java| java.produce(&self.topic, &batch, Produce::plain()));
        told.expect("records are sent");
        self.sent.extend(batch);
        let new = |partition: i32| expected(&self.sent, partition).split_off(before[partition as usize]);
        (0..PARTITIONS).flat_map(new).collect()
    }

    /// Has the members read until they have as much as was sent; demands that this is exactly `sent`, and that no
    /// partition was read by two.
    fn collect(&self, members: &mut [&mut Lent<'a>], sent: &[Stored]) -> Vec<Share> {
        let mut shares = vec![Share::new(); members.len()];
        until("all records are read", || {
            for (member, share) in members.iter_mut().zip(&mut shares) {
                share.extend(member.drain().expect("a member reads"));
            }
            shares.iter().map(Vec::len).sum::<usize>() >= sent.len()
        });
        let mut read: Vec<Stored> = shares.iter().flatten().cloned().collect();
        read.sort_by_key(|stored| (stored.record.partition, stored.offset));
        self.cell.assert_read(&read, sent);
        let mut owner = BTreeMap::new();
        for (member, share) in shares.iter().enumerate() {
            for stored in share {
                let first = *owner.entry(stored.record.partition).or_insert(member);
                assert_eq!(first, member, "partition {} was read by two", stored.record.partition);
            }
        }
        shares
    }

    /// The generation that all members are in.
    fn generation(&self) -> i32 {
        let mut connection = self.cell.connect();
        let members = connection.members(&self.name);
        let mut is = |generation: i32| {
            let codes = members
                .iter()
                .map(|(id, _)| connection.heartbeat(&self.name, generation, id));
            codes.filter(|code| *code == 0).count() == members.len()
        };
        (1..MOST_GENERATIONS)
            .find(|generation| is(*generation))
            .expect("the group has a generation")
    }

    /// Sends a batch, and has the members read and commit it; each must have had a part of it.
    fn exchange(&mut self, members: &mut [&mut Lent<'a>]) -> Vec<Share> {
        let sent = self.send();
        let shares = self.collect(members, &sent);
        assert!(
            shares.iter().all(|share| !share.is_empty()),
            "a member had nothing to read"
        );
        self.commit(members);
        shares
    }

    /// Has the members commit, and waits until all that was sent is committed, as another client sees it.
    fn commit(&self, members: &mut [&mut Lent<'a>]) {
        if !self.cell.client.carries().commits_by_itself {
            for member in members {
                member.commit().expect("a member commits");
            }
        }
        let ends: BTreeMap<i32, i64> = (0..PARTITIONS)
            .map(|partition| (partition, expected(&self.sent, partition).len() as i64))
            .collect();
        until("all is committed", || {
            let told = self
                .cell
                .ground
                .by(Client::Java, |java| java.committed(&self.topic, &self.name));
            told.is_ok_and(|told| told == ends)
        });
    }
}

fn changing(cell: &Cell<'_>) {
    const SESSION_MS: u32 = 6000;
    let mut group = Group::new(cell);
    let mut one = group.join(SESSION_MS, None);
    group.settle(1);
    group.exchange(&mut [&mut one]);
    let mut two = group.join(SESSION_MS, None);
    let mut three = group.join(SESSION_MS, None);
    group.settle(3);
    group.exchange(&mut [&mut one, &mut two, &mut three]);
    two.leave().expect("a member leaves");
    drop(two);
    group.settle(2);
    group.exchange(&mut [&mut one, &mut three]);
    if cell.client.carries().commits_by_itself {
        three.crash();
        group.settle(1);
        group.exchange(&mut [&mut one]);
        return;
    }
    // What the crashed member had read and not committed is read again, by who has its partitions then.
    let sent = group.send();
    let shares = group.collect(&mut [&mut one, &mut three], &sent);
    one.commit().expect("a member commits");
    three.crash();
    group.settle(1);
    let lost: BTreeSet<i32> = shares[1].iter().map(|stored| stored.record.partition).collect();
    let again: Vec<Stored> = sent
        .into_iter()
        .filter(|stored| lost.contains(&stored.record.partition))
        .collect();
    assert!(!again.is_empty(), "the crashed member had nothing to read");
    group.collect(&mut [&mut one], &again);
    group.exchange(&mut [&mut one]);
}

/// A static member that crashed and comes back within its session has its partitions again, and so have the others: no
/// generation begins.
fn constant(cell: &Cell<'_>) {
    const SESSION_MS: u32 = 60_000;
    let mut group = Group::new(cell);
    let mut one = group.join(SESSION_MS, Some("one"));
    let mut two = group.join(SESSION_MS, Some("two"));
    let mut three = group.join(SESSION_MS, Some("three"));
    group.settle(3);
    let partitions = |shares: &[Share]| -> Vec<BTreeSet<i32>> {
        let of = |share: &Share| share.iter().map(|stored| stored.record.partition).collect();
        shares.iter().map(of).collect()
    };
    let before = partitions(&group.exchange(&mut [&mut one, &mut two, &mut three]));
    let generation = group.generation();
    three.crash();
    let mut three = group.join(SESSION_MS, Some("three"));
    let after = partitions(&group.exchange(&mut [&mut one, &mut two, &mut three]));
    assert_eq!(before, after, "the partitions of the members");
    assert_eq!(group.generation(), generation, "the group's generation");
    for member in [&mut one, &mut two, &mut three] {
        member.leave().expect("a member ends");
    }
}

fn resume(cell: &Cell<'_>) {
    let mut group = Group::new(cell);
    let mut first = group.join(30_000, None);
    group.exchange(&mut [&mut first]);
    first.leave().expect("a member leaves");
    drop(first);
    let sent = group.send();
    let mut second = group.join(30_000, None);
    group.collect(&mut [&mut second], &sent);
    if !cell.client.carries().commits_by_itself {
        // It did not commit: the next one reads the same.
        second.leave().expect("a member leaves");
        drop(second);
        second = group.join(30_000, None);
        group.collect(&mut [&mut second], &sent);
    }
    group.commit(&mut [&mut second]);
    if !cell.client.carries().text_only {
        let told = second.committed(&group.topic, &group.name).expect("commits are told");
        assert_eq!(told, (0..PARTITIONS).map(|partition| (partition, 20)).collect());
    }
    second.leave().expect("a member leaves");
}

fn described(cell: &Cell<'_>) {
    let mut group = Group::new(cell);
    let (mut admin, mut member) = (cell.actor(), group.join(30_000, None));
    group.settle(1);
    group.exchange(&mut [&mut member]);
    assert!(admin.list_groups().expect("groups are listed").contains(&group.name));
    let told = admin.describe_group(&group.name).expect("a group is described");
    assert_eq!(told, (String::from("stable"), 1));
    member.leave().expect("a member leaves");
    until("the group is empty", || {
        admin
            .describe_group(&group.name)
            .is_ok_and(|told| told == (String::from("empty"), 0))
    });
}

/// A group with members is not deleted; an empty one is, with what it committed.
fn deleted(cell: &Cell<'_>) {
    let mut group = Group::new(cell);
    let (mut admin, mut member) = (cell.actor(), group.join(30_000, None));
    group.settle(1);
    group.exchange(&mut [&mut member]);
    admin.delete_group(&group.name).expect_err("the group has a member");
    member.leave().expect("a member leaves");
    until("the group is deleted", || admin.delete_group(&group.name).is_ok());
    assert!(!admin.list_groups().expect("groups are listed").contains(&group.name));
    let left = cell
        .ground
        .by(Client::Java, |java| java.committed(&group.topic, &group.name));
    assert!(left.is_ok_and(|left| left.is_empty()), "nothing of the group is left");
}
