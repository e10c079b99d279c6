//! A partition of `__consumer_offsets` that cannot be read, or not be written, for a while; and records in it that nobody
//! would have written.

use super::{GROUP, Log, Scene, commit, consumer, id, leave_ask, load};
use crate::group::ask::{FetchAsk, HeartbeatAsk, Stability};
use crate::group::record::{self, RecordPair};
use crate::group::{GroupAnswer, GroupAsk, JoinAsk, Joined, Loaded, Protocol, StateName, SyncAsk};
use crate::record::build::{BatchBuilder, Producer};
use crate::record::codec::Level;
use crate::record::{Batch, Compression, split};
use crate::types::{ErrorCode, Fault, Seed, Timestamp};
use crate::wire::Text;
use crate::wire::coordinator::{Key, encode_value};
use crate::wire::message::group_records::{GroupMetadataKey, GroupMetadataValue, MemberMetadata};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

type Pair = (Option<Bytes>, Option<Bytes>);

fn batch(records: &[Pair]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None, Level::Default, Producer::Plain);
    for (key, value) in records {
        builder.append(Timestamp(1_700_000_000_000), key.as_deref(), value.as_deref(), &[]);
    }
    builder.build().unwrap().to_bytes()
}

fn pair((key, value): RecordPair) -> Pair {
    (Some(key), value)
}

/// The records of a batch, one by one.
fn pairs(of: &Bytes) -> Vec<Pair> {
    let mut all = Vec::new();
    for it in split(of) {
        let opened = it.unwrap().open(1 << 20).unwrap();
        let bytes = opened.bytes();
        for record in opened.records() {
            let record = record.unwrap();
            let own = |part: Option<&[u8]>| part.map(|part| bytes.slice_ref(part));
            all.push((own(record.key), own(record.value)));
        }
    }
    all
}

/// The answers to everything that may be asked of a group.
fn codes(scene: &mut Scene, member: &Joined) -> Vec<ErrorCode> {
    let asks = [
        GroupAsk::Join(consumer("", &["range"])),
        GroupAsk::Sync(super::sync_ask(member, &[])),
        GroupAsk::Heartbeat(HeartbeatAsk {
            member: member.member.clone(),
            instance: None,
            generation: member.generation,
        }),
        leave_ask(&[&member.member]),
        GroupAsk::Commit(commit(&member.member, member.generation, 0, 9)),
        GroupAsk::Fetch(FetchAsk {
            wanted: None,
            stability: Stability::AsItIs,
        }),
        GroupAsk::Describe,
        GroupAsk::Delete,
        GroupAsk::DeleteOffsets(Vec::from([(id("orders"), 0)])),
    ];
    let asked: Vec<_> = asks.into_iter().map(|ask| scene.ask(ask)).collect();
    asked.into_iter().map(|part| code(&scene.answer(part))).collect()
}

fn code(answer: &GroupAnswer) -> ErrorCode {
    match answer {
        GroupAnswer::Joined(Err(refusal)) => refusal.code,
        GroupAnswer::Synced(Err(code))
        | GroupAnswer::Alive(code)
        | GroupAnswer::Left(Err(code))
        | GroupAnswer::Offsets(Err(code))
        | GroupAnswer::Described(Err(code))
        | GroupAnswer::Deleted(code)
        | GroupAnswer::OffsetsDeleted(Err(code)) => *code,
        GroupAnswer::Committed(codes) => codes[0],
        _ => ErrorCode::None,
    }
}

/// Everything that a client is told while the groups cannot be read.
const REFUSED: [ErrorCode; 9] = [ErrorCode::NotCoordinator; 9];

#[test]
fn a_batch_that_cannot_be_read_refuses_the_groups_until_it_can_be_and_is_tried_ever_more_rarely() {
    let mut scene = Scene::new();
    let members = scene.stable(2);
    let part = scene.commit(&members[0].member, 1, 7);
    assert_eq!(scene.committed(part), ErrorCode::None);
    let sound = scene.batches[1].clone();
    let mut rotten = sound.to_vec();
    *rotten.last_mut().unwrap() ^= 1;
    scene.batches[1] = Bytes::from(rotten);
    scene.restart();
    assert!(scene.coordinator.is_unread());
    scene.reads = 0;
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        assert_eq!(codes(&mut scene, &members[0]), REFUSED);
        assert_eq!(scene.coordinator.list(), Err(ErrorCode::NotCoordinator));
        let before = scene.reads;
        scene.pass(seconds * 1000 - 1);
        assert_eq!(scene.reads, before, "not before {seconds} s");
        scene.pass(1);
        assert_eq!(scene.reads, before + 1, "after {seconds} s");
    }
    assert!(
        scene.reports[0].contains("the batch of group records at offset"),
        "{:?}",
        scene.reports
    );
    assert_eq!(scene.appends, 3, "nothing is written where nothing can be read");
    scene.batches[1] = sound;
    scene.pass(30_000);
    assert!(!scene.coordinator.is_unread());
    for it in &members {
        assert_eq!(scene.heartbeat(&it.member, 1), ErrorCode::None);
    }
    assert_eq!(scene.offset(GROUP, 0), Some(7));
    assert!(scene.reports.last().unwrap().contains("served again, after 9 reads"));
    scene.read(Err(Fault::NoSpace));
    assert_eq!(
        scene.state(),
        Ok(StateName::Stable),
        "nobody waits for that read any more"
    );
}

#[test]
fn a_client_is_told_the_same_while_the_partition_is_tried_again() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    scene.batches[0] = Bytes::from_static(b"none of ours");
    scene.restart();
    scene.now.monotonic = scene.now.monotonic.plus_millis(1000);
    let outcome = scene.act(super::Coordinator::fire);
    assert_eq!(outcome.want, Some(super::Want::Start));
    assert_eq!(codes(&mut scene, &members[0]), REFUSED, "others are listed meanwhile");
    assert_eq!(scene.coordinator.list(), Err(ErrorCode::NotCoordinator));
}

#[test]
fn a_record_that_is_not_what_its_key_says_brings_no_older_generation_back() {
    let mut scene = Scene::new();
    let members = scene.gather(2);
    let (leader, follower) = (&members[0], &members[1]);
    scene.sync(follower, &[]);
    scene.sync(leader, &[]);
    let part = scene.commit(&leader.member, 1, 7);
    assert_eq!(scene.committed(part), ErrorCode::None);
    let sound = scene.batches.clone();
    for which in 1..sound.len() {
        let (key, value) = pairs(&sound[which]).remove(0);
        let (key, value) = (key.unwrap(), value.unwrap());
        let later = Bytes::from([&[0, 99], &value[2..]].concat());
        let garbage = [
            (Some(key.clone()), Some(later)),
            (Some(key.clone()), Some(value.slice(..value.len() / 2))),
            (Some(key.clone()), Some(Bytes::new())),
            (Some(key.slice(..key.len() - 1)), Some(value.clone())),
            (Some(Bytes::new()), Some(value.clone())),
        ];
        for record in garbage {
            scene.batches[which] = batch(&[record]);
            scene.restart();
            assert_eq!(codes(&mut scene, leader), REFUSED);
            let told = scene.reports.pop().unwrap();
            assert!(told.contains("the group record at offset 0"), "{told}");
        }
        scene.batches.clone_from(&sound);
        scene.restart();
        assert_eq!(scene.heartbeat(&leader.member, 1), ErrorCode::None, "it is sound again");
    }
}

#[test]
fn records_of_other_kinds_are_passed_over_and_reported_once() {
    let mut scene = Scene::new();
    let members = scene.stable(1);
    let value = Some(Bytes::from_static(b"\0\0anything"));
    let other = (Some(Bytes::from_static(b"\0\x11\0\x01g")), value.clone());
    let strays = [batch(&[other.clone(), (None, value)]), transactional(&batch(&[other]))];
    scene.batches.extend(strays);
    scene.restart();
    assert_eq!(scene.heartbeat(&members[0].member, 1), ErrorCode::None);
    assert_eq!(scene.reports.len(), 1, "{:?}", scene.reports);
    let expected = "a record of type 17 at offset 0, and 2 others are no records of groups that this broker knows";
    assert!(scene.reports[0].starts_with(expected), "{:?}", scene.reports);
}

/// The same batch as one of a transaction.
fn transactional(of: &Bytes) -> Bytes {
    let mut bytes = of.to_vec();
    bytes[22] |= 1 << 4;
    let crc = Batch::parse(&Bytes::from(bytes.clone())).unwrap().compute_crc();
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

#[test]
fn a_log_that_takes_nothing_is_tried_ever_more_rarely_and_what_is_committed_is_told() {
    for (refused, told) in [
        (ErrorCode::NotEnoughReplicas, ErrorCode::CoordinatorNotAvailable),
        (ErrorCode::KafkaStorageError, ErrorCode::NotCoordinator),
    ] {
        let mut scene = Scene::new();
        let members = scene.stable(1);
        let member = members[0].member.to_string();
        let part = scene.commit(&member, 1, 7);
        assert_eq!(scene.committed(part), ErrorCode::None);
        scene.log = Log::Broken(refused);
        (scene.reads, scene.appends) = (0, 0);
        // A client that tries again ten times a second, for a minute and a half.
        for _ in 0..900 {
            let part = scene.commit(&member, 1, 8);
            assert_eq!(scene.committed(part), told);
            let join = scene.ask_of("other", GroupAsk::Join(consumer("", &["range"])));
            if !scene.waits(join) {
                assert_eq!(scene.refused_join(join).0, told);
            }
            assert_eq!(scene.heartbeat(&member, 1), ErrorCode::None);
            assert_eq!(scene.offset(GROUP, 0), Some(7));
            scene.pass(100);
        }
        // Once, at once again, and then after 1, 2, 4, 8, 16, 30 and 30 s.
        assert!(scene.appends <= 9, "{} appends", scene.appends);
        assert_eq!(scene.reads, scene.appends, "each failure is one read");
        scene.log = Log::Prompt;
        scene.pass(30_000);
        assert_eq!(
            scene.heartbeat(&member, 1),
            ErrorCode::UnknownMemberId,
            "nobody was heard of for 30 s"
        );
        let part = scene.commit_of("standalone", commit("", -1, 0, 9));
        assert_eq!(scene.committed(part), ErrorCode::None);
    }
}

#[test]
fn offsets_of_deleted_topics_wait_for_a_log_that_takes_nothing() {
    let mut scene = Scene::new();
    let part = scene.commit_of(GROUP, commit("", -1, 0, 7));
    assert_eq!(scene.committed(part), ErrorCode::None);
    scene.log = Log::Broken(ErrorCode::KafkaStorageError);
    scene.reads = 0;
    scene.delete_topic(1);
    assert_eq!(scene.offset(GROUP, 0), None);
    scene.pass(100_000);
    assert!((5..=9).contains(&scene.reads), "{} reads", scene.reads);
    let written = scene.batches.len();
    scene.log = Log::Prompt;
    scene.pass(30_000);
    assert_eq!(scene.batches.len(), written + 1, "the tombstone");
    scene.restart();
    assert_eq!(scene.listed(), []);
}

/// A group as nobody would write it, but as it can be read.
fn strange(seed: &mut Seed) -> GroupMetadataValue {
    let number = |seed: &mut Seed| *pick(seed, &[i32::MIN, -1, 0, 1, 3000, i32::MAX]);
    let name = |seed: &mut Seed| pick(seed, &["", "m", "n", "range", "consumer"]).to_string();
    let maybe = |seed: &mut Seed| seed.chance(2, 3).then(|| name(seed));
    let member = |seed: &mut Seed| MemberMetadata {
        member_id: Text::from(name(seed)),
        group_instance_id: maybe(seed).map(Text::from),
        client_id: "c".into(),
        client_host: "h".into(),
        rebalance_timeout: number(seed),
        session_timeout: number(seed),
        subscription: super::subscription(&["orders"]).slice(..*pick(seed, &[0, 1, 5, 18])),
        assignment: Bytes::from_static(b"part"),
    };
    GroupMetadataValue {
        protocol_type: Text::from(name(seed)),
        generation: number(seed),
        protocol: maybe(seed).map(Text::from),
        leader: maybe(seed).map(Text::from),
        current_state_timestamp: *pick(seed, &[i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX]),
        members: (0..seed.below(4)).map(|_| member(seed)).collect(),
    }
}

fn pick<'a, V>(seed: &mut Seed, of: &'a [V]) -> &'a V {
    &of[seed.below(of.len() as u64) as usize]
}

/// Asks all kinds of things of a group as it was read, while time passes.
fn exercise(scene: &mut Scene, seed: &mut Seed) {
    for _ in 0..20 {
        let member = *pick::<&str>(seed, &["", "m", "n", "range", "consumer"]);
        let instance = seed.chance(1, 2).then(|| id(pick::<&str>(seed, &["", "m", "range"])));
        let generation = *pick(seed, &[i32::MIN, -1, 0, 1, 3000, i32::MAX]);
        match seed.below(7) {
            0 => {
                let protocols = Vec::from([Protocol {
                    name: id(pick::<&str>(seed, &["range", "m", ""])),
                    metadata: super::subscription(&["orders"]),
                }]);
                let ask = JoinAsk {
                    instance,
                    protocols,
                    protocol_type: id(pick::<&str>(seed, &["consumer", "", "m"])),
                    ..consumer(member, &[])
                };
                scene.join(ask);
            }
            1 => {
                scene.ask(GroupAsk::Sync(SyncAsk {
                    member: id(member),
                    instance,
                    generation,
                    protocol_type: None,
                    protocol: None,
                    assignments: Vec::new(),
                }));
            }
            2 => {
                scene.ask(leave_ask(&[member]));
            }
            3 => {
                scene.commit_of(GROUP, commit(member, generation, 0, 5));
            }
            4 => {
                scene.ask(pick(seed, &[GroupAsk::Describe, GroupAsk::Delete]).clone());
            }
            5 => {
                scene.heartbeat(member, generation);
            }
            _ => scene.pass(*pick(seed, &[1, 3000, 100_000])),
        }
    }
}

#[test]
fn whatever_a_record_says_nothing_panics() {
    let mut seed = Seed::new(41);
    let mut unread = 0;
    for number in 0..1500 {
        let mut scene = Scene::new();
        let key = Key::GroupMetadata(GroupMetadataKey { group: GROUP.into() });
        let value = encode_value(&strange(&mut seed), *pick(&mut seed, &[0, 1, 2, 3, 4])).unwrap();
        let committed = super::super::offsets::Committed {
            id: crate::types::TopicId(crate::types::Uuid([1; 16])),
            offset: crate::types::Offset(*pick(&mut seed, &[i64::MIN, -1, 0, i64::MAX])),
            leader_epoch: None,
            metadata: id("why"),
            at: Timestamp(*pick(&mut seed, &[i64::MIN, 0, i64::MAX])),
            since: crate::group::Since::at(scene.now),
            expires: None,
        };
        let offset = record::offset(GROUP, "orders", *pick(&mut seed, &[i32::MIN, 0, i32::MAX]), &committed).unwrap();
        let mut records = Vec::from([(Some(key.encode().unwrap()), Some(value)), pair(offset)]);
        if number % 3 == 0 {
            mutate(&mut records, &mut seed);
        }
        scene.batches = Vec::from([batch(&records)]);
        let loaded = load(scene.batches[0].clone());
        scene.restart();
        assert_eq!(loaded.is_err(), scene.coordinator.is_unread());
        unread += usize::from(loaded.is_err());
        exercise(&mut scene, &mut seed);
        scene.restart();
        exercise(&mut scene, &mut seed);
    }
    assert!(
        (100..500).contains(&unread),
        "{unread} of 500 that were changed could not be read"
    );
}

/// Changes one byte of a key or a value, or cuts it off there.
fn mutate(records: &mut [Pair], seed: &mut Seed) {
    let which = seed.below(records.len() as u64) as usize;
    let (key, value) = &mut records[which];
    let part = if seed.chance(1, 3) { key } else { value };
    let mut bytes = part.take().unwrap().to_vec();
    let at = seed.below(bytes.len() as u64) as usize;
    if seed.chance(1, 2) {
        bytes[at] = seed.below(256) as u8;
    } else {
        bytes.truncate(at);
    }
    *part = Some(Bytes::from(bytes));
}

#[test]
fn what_a_damaged_batch_claims_is_not_believed() {
    let mut seed = Seed::new(7);
    let mut scene = Scene::new();
    scene.stable(2);
    let sound = scene.batches.concat();
    for _ in 0..3000 {
        let mut bytes = sound.clone();
        let at = seed.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << seed.below(8);
        let loaded = load(Bytes::from(bytes));
        // Base offset and leader epoch are not of the CRC, and not of the groups.
        let same = |loaded: &Vec<Loaded>| loaded.len() == 2;
        assert!(loaded.as_ref().map_or(true, same), "byte {at}: {loaded:?}");
    }
    let text: String = load(Bytes::from(sound[..sound.len() - 1].to_vec()))
        .unwrap_err()
        .to_string();
    assert!(text.contains("group records"), "{text}");
}
