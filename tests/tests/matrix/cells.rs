//! What cells share: the broker, a client of their own, topics that nobody else uses, and readers to compare with.

use klamm_tests::client::{Actor, From};
use klamm_tests::frame::Connection;
use klamm_tests::record::{self, Record, Stored, assert_same, expected};
use klamm_tests::{Broker, Client, Options};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// One operation that every client is to do.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Does it with one client, and panics where something is not as it should be.
    pub(crate) run: fn(&Cell<'_>),
}

/// What all cells stand on.
pub(crate) struct Ground {
    /// Where the broker is that they share.
    pub(crate) address: String,
    /// Why some cells cannot be, by client and row.
    pub(crate) cannot: BTreeMap<(Client, String), String>,
    /// Clients of three codebases that read what others sent, started when they are first needed.
    readers: BTreeMap<Client, Mutex<Option<Actor>>>,
    _broker: Option<Broker>,
}

/// Read by all of these, records are what they are.
const READERS: [Client; 3] = [Client::Java, Client::Confluent, Client::FranzGo];

impl Ground {
    /// Starts the broker, unless one is given.
    pub(crate) fn prepare() -> Self {
        let given = std::env::var("KLAMM_TEST_BOOTSTRAP").ok();
        let broker = given.is_none().then(|| Broker::start_with(options()));
        let address = given.or_else(|| broker.as_ref().map(Broker::address));
        let present = READERS.into_iter().filter(|reader| reader.missing().is_none());
        Self {
            address: address.expect("there is one of both"),
            cannot: crate::cannot(),
            readers: present.map(|reader| (reader, Mutex::new(None))).collect(),
            _broker: broker,
        }
    }

    /// Has one of the readers do something; other cells wait meanwhile.
    pub(crate) fn by<T>(&self, reader: Client, ask: impl FnOnce(&mut Actor) -> T) -> T {
        let mut reading = self.readers[&reader]
            .lock()
            .expect("nothing is compared while a reader is held");
        ask(reading.get_or_insert_with(|| Actor::start(reader, &self.address)))
    }

    /// Demands that what cannot be done are rows of the table.
    pub(crate) fn assert_known(&self, rows: &[&str]) {
        for (_, row) in self.cannot.keys() {
            assert!(
                rows.contains(&row.as_str()),
                "cannot.tsv knows a row that is not there: {row}"
            );
        }
    }
}

/// How the broker of a cell is started.
pub(crate) fn options() -> Options {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Options {
        // A group whose first member needs not wait for others: KafkaJS reads in groups only.
        config: vec![set("shards", "2"), set("group.initial.rebalance.delay.ms", "200")],
        ..Options::default()
    }
}

/// A client's processes that no cell uses now: starting one takes longer than most cells.
pub(crate) type Idle = RefCell<Vec<Actor>>;

/// A client's process for one cell, which the next one may have if nothing went wrong with it.
pub(crate) struct Lent<'a> {
    actor: Option<Actor>,
    idle: &'a Idle,
}

impl Deref for Lent<'_> {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        self.actor.as_ref().expect("it is there until it is dropped")
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut Actor {
        self.actor.as_mut().expect("it is there until it is dropped")
    }
}

impl Lent<'_> {
    /// Ends the process as a crash would.
    pub(crate) fn crash(mut self) {
        self.actor = None;
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut actor) = self.actor.take() else { return };
        if !std::thread::panicking() && actor.leave().is_ok() {
            self.idle.borrow_mut().push(actor);
        }
    }
}

/// One client in one row.
pub(crate) struct Cell<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) client: Client,
    row: &'a str,
    idle: &'a Idle,
}

impl<'a> Cell<'a> {
    pub(crate) const fn new(ground: &'a Ground, client: Client, row: &'a Row, idle: &'a Idle) -> Self {
        Self {
            ground,
            client,
            row: row.name,
            idle,
        }
    }

    /// A client of the broker that cells share, which nobody else uses at the same time.
    pub(crate) fn actor(&self) -> Lent<'a> {
        let idle = self.idle.borrow_mut().pop();
        let actor = idle.unwrap_or_else(|| Actor::start(self.client, &self.ground.address));
        Lent {
            actor: Some(actor),
            idle: self.idle,
        }
    }

    /// A name that nobody else uses.
    pub(crate) fn name(&self, of: &str) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("{:?}-{of}-{}-{number}", self.client, std::process::id())
    }

    /// A topic, created by a frame, so that each row tests what it is about.
    pub(crate) fn topic(&self, partitions: i32, config: &[(&str, &str)]) -> String {
        let topic = self.name("topic");
        let config: Vec<(&str, &str)> = [("retention.ms", "-1")].iter().chain(config).copied().collect();
        assert_eq!(
            self.connect().create_topic(&topic, partitions, &config),
            0,
            "creation of {topic}"
        );
        topic
    }

    /// A connection that speaks frames.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.ground.address).expect("the broker accepts")
    }

    /// How many partitions its records may go to.
    pub(crate) const fn partitions(&self) -> i32 {
        if self.client.carries().one_partition { 1 } else { 2 }
    }

    /// Records of all kinds that the client can send.
    pub(crate) fn records(&self, seed: u64, count: usize) -> Vec<Record> {
        let carries = self.client.carries();
        let partitions = self.partitions();
        if carries.text_only {
            return plain(seed, count, partitions);
        }
        let all = record::mixed(seed, count, partitions as u64).into_iter();
        all.map(|record| carries.sendable(record)).collect()
    }

    /// Demands that the client and the other readers find exactly `records` in `topic`, and nothing in what other
    /// partitions it has.
    pub(crate) fn assert_holds(&self, actor: &mut Actor, topic: &str, records: &[Record]) {
        let partitions = self.ground.by(Client::Java, |java| java.describe_topic(topic));
        for partition in partitions.expect("a topic is described") {
            let partition = i32::try_from(partition).expect("partitions are 32 bits");
            let sent = self.own(topic, partition, &expected(records, partition));
            assert_eq!(
                self.end(topic, partition),
                sent.len() as i64,
                "the end of {topic}-{partition}"
            );
            let read = actor.read_partition(topic, partition, sent.len());
            let read = read.unwrap_or_else(|refusal| panic!("{topic}-{partition}: {refusal}"));
            self.assert_read(&read, &sent);
            for other in self.ground.readers.keys() {
                let read = self
                    .ground
                    .by(*other, |reader| reader.read_partition(topic, partition, sent.len()));
                let read = read.unwrap_or_else(|refusal| panic!("{topic}-{partition}, by {other:?}: {refusal}"));
                let what = format!("{}/{}, read by {other:?}", self.client.name(), self.row);
                assert_same(&what, &read, &sent);
            }
        }
    }

    /// Demands that the client read what was sent, as it can show it.
    pub(crate) fn assert_read(&self, read: &[Stored], sent: &[Stored]) {
        let carries = self.client.carries();
        let sent: Vec<Stored> = sent.iter().map(|stored| carries.shown(stored)).collect();
        assert_same(&format!("{}/{}", self.client.name(), self.row), read, &sent);
    }

    /// What the client sent to a partition of the broker that cells share, with the times that it gave them.
    pub(crate) fn own(&self, topic: &str, partition: i32, sent: &[Stored]) -> Vec<Stored> {
        self.ground
            .by(Client::Java, |java| self.timed(java, topic, partition, sent))
    }

    /// What the client sent to a partition: where it cannot set times, each record has the time at which it was sent,
    /// which `java` tells. Whoever else reads must find that time too.
    pub(crate) fn timed(&self, java: &mut Actor, topic: &str, partition: i32, sent: &[Stored]) -> Vec<Stored> {
        let mut sent = sent.to_vec();
        if self.client.carries().timestamps {
            return sent;
        }
        let read = java.read_partition(topic, partition, sent.len());
        let now = today();
        for (sent, read) in sent.iter_mut().zip(read.expect("records are read")) {
            let time = read.record.timestamp;
            assert!(
                (now - HOUR_MS..=now).contains(&time),
                "{topic}-{partition} at {}: the time {time} is not today's {now}",
                sent.offset
            );
            sent.record.timestamp = time;
        }
        sent
    }

    /// Demands that each record was acknowledged at the offset where it stands, where the client tells.
    pub(crate) fn assert_offsets(&self, records: &[Record], offsets: &[i64]) {
        if self.client.carries().text_only {
            return;
        }
        let mut next = BTreeMap::new();
        let stand: Vec<i64> = records
            .iter()
            .map(|record| {
                let next = next.entry(record.partition).or_insert(0);
                *next += 1;
                *next - 1
            })
            .collect();
        assert_eq!(offsets, stand, "where records were acknowledged");
    }

    /// The offset of the next record of a partition, by a frame.
    pub(crate) fn end(&self, topic: &str, partition: i32) -> i64 {
        self.connect().end_offset(topic, partition)
    }

    /// Reads all that `from` leaves of partition 0, whose last record is the last of `sent`.
    pub(crate) fn read_from(&self, actor: &mut Actor, topic: &str, from: From, sent: &[Stored]) {
        let last = sent.last().expect("something was sent");
        assert_eq!(self.end(topic, 0), last.offset + 1, "the end of {topic}-0");
        actor.assign(topic, &[0], from).expect("a partition is assigned");
        let read = actor.read(sent.len()).expect("records are read");
        self.assert_read(&read, sent);
    }
}

/// No cell takes longer, and no clock here differs by more.
const HOUR_MS: i64 = 3_600_000;

/// The present, in milliseconds: only so far as to tell today's records from old ones.
#[expect(
    clippy::disallowed_methods,
    reason = "records have the time at which they were sent, and those of a default topic must be of today"
)]
pub(crate) fn today() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("the clock is set").as_millis()).expect("milliseconds are 64 bits")
}

/// Waits until something is so, which must not take for ever.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let patience = Duration::from_mins(2);
    let turn = Duration::from_millis(20);
    let turns = patience.as_millis() / turn.as_millis();
    assert!(
        (0..turns).any(|_| {
            let done = is();
            if !done {
                sleep(turn);
            }
            done
        }),
        "it never happened that {what}"
    );
}

/// Records of text in runs of the same headers, some without a value, for clients that read lines.
fn plain(seed: u64, count: usize, partitions: i32) -> Vec<Record> {
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    let sets = [
        Vec::new(),
        vec![header("a", "1"), header("a", "2"), header("b", "text")],
        vec![header("trace-id", "7")],
    ];
    let mut records = record::text(seed, count, 40);
    for (index, record) in records.iter_mut().enumerate() {
        record.partition = (index % partitions as usize) as i32;
        record.headers.clone_from(&sets[index * sets.len() / count]);
        if index % 10 == 3 {
            record.value = None;
        }
    }
    records
}
