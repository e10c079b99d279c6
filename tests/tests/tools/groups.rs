//! `kafka-consumer-groups`: what it tells of groups, and what it does to their offsets.

use crate::Form;
use klamm_tests::client::{Actor, Member, Produce, Scratch, Tool, output};
use klamm_tests::record::{self, SOME_TIME};
use klamm_tests::{Broker, Client};
use std::collections::BTreeMap;

pub(crate) const FORMS: &[Form] = &[
    Form {
        name: "`kafka-consumer-groups --list`, with and without `--state`",
        run: listed,
    },
    Form {
        name: "`kafka-consumer-groups --describe`, also `--members --verbose` and `--state`",
        run: described,
    },
    Form {
        name: "`kafka-consumer-groups --reset-offsets`: `--to-offset`, `--shift-by`, `--to-current`, `--to-latest`, \
               `--to-earliest`, `--to-datetime`, `--by-duration`, `--from-file`",
        run: reset,
    },
    Form {
        name: "the same with `--topic topic:partition`, `--all-topics`, `--dry-run`, `--export`",
        run: reset_scopes,
    },
    Form {
        name: "`kafka-consumer-groups --delete-offsets`",
        run: offsets_deleted,
    },
    Form {
        name: "`kafka-consumer-groups --delete`, also of a group that has members",
        run: deleted,
    },
    Form {
        name: "`kafka-dump-log --offsets-decoder`",
        run: dumped,
    },
];

const RECORDS: i64 = 30;
const MEMBER: Member<'static> = Member {
    session_ms: 30_000,
    instance: None,
};

/// A broker with a topic of 30 records, ten seconds apart, and a group that has read them all and committed that.
fn read_by(group: &str) -> (Broker, Actor) {
    let broker = Broker::start_with_shards(2);
    broker.create_topic("read", 1, &[]);
    let mut client = Actor::start(Client::Java, &broker.address());
    let mut records = record::text(1, RECORDS as usize, 20);
    for (index, record) in records.iter_mut().enumerate() {
        record.timestamp = SOME_TIME + 10_000 * index as i64;
    }
    client
        .produce("read", &records, Produce::plain())
        .expect("records are sent");
    client.subscribe("read", group, MEMBER).expect("a member joins");
    let read = client.read(RECORDS as usize).expect("a member reads");
    assert_eq!(read.len(), RECORDS as usize);
    client.commit().expect("a member commits");
    (broker, client)
}

/// The same, and its member has left.
fn left_by(group: &str) -> (Broker, Actor) {
    let (broker, mut client) = read_by(group);
    client.leave().expect("a member leaves");
    (broker, client)
}

fn tell(broker: &Broker, arguments: &[&str]) -> String {
    let told = Tool::Groups.run(&broker.address(), arguments);
    told.unwrap_or_else(|refusal| panic!("{arguments:?}: {refusal}"))
}

/// The words of the one line that begins with the name of the group.
fn line_of(told: &str, group: &str) -> Vec<String> {
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with(group)).collect();
    let [line] = lines[..] else {
        panic!("one line of {group}: {told}")
    };
    line.split_whitespace().map(str::to_owned).collect()
}

fn committed(client: &mut Actor, group: &str) -> BTreeMap<i32, i64> {
    client.committed("read", group).expect("commits are told")
}

fn listed() {
    let (broker, _member) = read_by("listed");
    assert_eq!(tell(&broker, &["--list"]).trim(), "listed");
    let told = tell(&broker, &["--list", "--state"]);
    assert_eq!(
        line_of(&told, "listed").last().map(String::as_str),
        Some("Stable"),
        "{told}"
    );
    let told = tell(&broker, &["--list", "--state", "Empty"]);
    assert!(!told.lines().any(|line| line.starts_with("listed")), "{told}");
}

fn described() {
    let (broker, _member) = read_by("described");
    let group = ["--describe", "--group", "described"];
    let offsets = line_of(&tell(&broker, &group), "described");
    assert_eq!(offsets[..6], ["described", "read", "0", "30", "30", "0"]);
    let members = tell(&broker, &[&group[..], &["--members", "--verbose"]].concat());
    let line = line_of(&members, "described");
    let (id, rest) = (&line[1], &line[2..]);
    assert!(id.starts_with("consumer-described-"), "{members}");
    assert!(rest.contains(&String::from("1")), "it has one partition: {members}");
    assert!(
        members.contains("read(0)") || members.contains("read:0"),
        "and that is the topic's: {members}"
    );
    let state = line_of(&tell(&broker, &[&group[..], &["--state"]].concat()), "described");
    assert_eq!(state[state.len() - 2..], ["Stable", "1"], "{state:?}");
}

fn reset() {
    let (broker, mut client) = left_by("reset");
    let file = Scratch::new("reset.csv");
    std::fs::write(file.path(), "read,0,9\n").expect("a file");
    let path = file.path().display().to_string();
    let topic = ["--topic", "read"];
    let forms: [(&[&str], i64); 9] = [
        (&["--to-offset", "7"], 7),
        (&["--shift-by", "5"], 12),
        (&["--shift-by", "-2"], 10),
        (&["--to-current"], 10),
        (&["--to-latest"], RECORDS),
        // The time of the fifth record.
        (&["--to-datetime", "2023-11-14T22:14:00.000Z"], 4),
        (&["--by-duration", "PT0S"], RECORDS),
        (&["--to-earliest"], 0),
        (&["--from-file", &path], 9),
    ];
    for (form, offset) in forms {
        let place: &[&str] = if form[0] == "--from-file" { &[] } else { &topic };
        let first = ["--group", "reset", "--reset-offsets", "--execute"];
        tell(&broker, &[&first[..], place, form].concat());
        assert_eq!(
            committed(&mut client, "reset"),
            BTreeMap::from([(0, offset)]),
            "{form:?}"
        );
    }
}

fn reset_scopes() {
    let (broker, mut client) = left_by("scopes");
    let run = |arguments: &[&str]| {
        tell(
            &broker,
            &[&["--group", "scopes", "--reset-offsets"], arguments].concat(),
        )
    };
    let dry = run(&["--topic", "read:0", "--to-offset", "3", "--dry-run"]);
    assert_eq!(line_of(&dry, "scopes")[3], "3", "{dry}");
    assert_eq!(
        committed(&mut client, "scopes"),
        BTreeMap::from([(0, RECORDS)]),
        "a dry run changes nothing"
    );
    run(&["--topic", "read:0", "--to-offset", "3", "--execute"]);
    assert_eq!(committed(&mut client, "scopes"), BTreeMap::from([(0, 3)]));
    run(&["--all-topics", "--to-offset", "8", "--execute"]);
    assert_eq!(committed(&mut client, "scopes"), BTreeMap::from([(0, 8)]));
    let exported = run(&["--all-topics", "--to-current", "--export", "--dry-run"]);
    assert!(
        exported.lines().any(|line| line.replace('"', "") == "read,0,8"),
        "{exported}"
    );
}

fn offsets_deleted() {
    let (broker, mut client) = left_by("deleted");
    assert_eq!(committed(&mut client, "deleted"), BTreeMap::from([(0, RECORDS)]));
    tell(&broker, &["--group", "deleted", "--delete-offsets", "--topic", "read"]);
    assert_eq!(
        committed(&mut client, "deleted"),
        BTreeMap::new(),
        "nothing is committed any more"
    );
}

fn deleted() {
    let (broker, mut client) = read_by("gone");
    let delete = ["--delete", "--group", "gone"];
    // It ends well and logs the refusal.
    let refused = Tool::Groups.run(&broker.address(), &delete);
    let told = refused.unwrap_or_else(|refusal| refusal.text);
    assert!(told.contains("GroupNotEmptyException"), "{told}");
    assert_eq!(tell(&broker, &["--list"]).trim(), "gone");
    client.leave().expect("a member leaves");
    let told = tell(&broker, &delete);
    assert!(told.contains("successful"), "{told}");
    assert_eq!(tell(&broker, &["--list"]).trim(), "", "no group is left");
    assert_eq!(committed(&mut client, "gone"), BTreeMap::new(), "nor what it committed");
}

/// Groups are kept as Kafka's own records, which its tool reads.
fn dumped() {
    let (broker, _client) = left_by("dumped");
    let decoded = |partition: i32| -> String {
        let mut dump = Tool::DumpLog.command();
        dump.args(["--offsets-decoder", "--files"]);
        let files = broker.segments("__consumer_offsets", partition);
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        dump.arg(files.join(","));
        String::from_utf8(output(&mut dump)).expect("the tool writes text")
    };
    let kept = klamm_tests::broker::listed(&broker.log_dir());
    let partition = kept.iter().find_map(|path| {
        let name = path.file_name()?.to_str()?.strip_prefix("__consumer_offsets-")?;
        name.split('.').next()?.parse().ok()
    });
    let told = decoded(partition.expect("the group's partition has a folder"));
    let key = r#"key: {"type":"1","data":{"group":"dumped","topic":"read","partition":0}}"#;
    let commit = told.lines().find(|line| line.contains(key));
    let commit = commit.unwrap_or_else(|| panic!("a commit is decoded: {told}"));
    assert!(commit.contains(&format!("\"offset\":{RECORDS}")), "{commit}");
    let metadata = |line: &str| line.contains("\"protocolType\":\"consumer\"") && line.contains("\"generation\":1");
    assert!(told.lines().any(metadata), "the group's members are decoded: {told}");
}
