//! One of the two brokers, as a scenario sees it: connections, requests, and a transcript of what came back.
//!
//! Invariants: a scenario runs once for each broker and cannot see which one it has, so both are sent the same; what
//! differs in ids follows from earlier answers of the same broker. What is needed to bring a broker into a state (topics,
//! waiting for them) goes over a connection of its own and is not compared.

use crate::draw::Draw;
use crate::message::{Api, header};
use bytes::Bytes;
use klamm_tests::broker::free_port;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

/// How long an answer may take; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a state is looked at before a scenario gives up on it, and how long it waits in between.
const LOOKS: u32 = 2400;
const PAUSE: Duration = Duration::from_millis(25);
/// No topic that a scenario deletes has more.
const MOST_PARTITIONS: i32 = 50;

/// What came of one request.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Outcome {
    /// An answer, as JSON.
    Answer(Json),
    /// An answer that is not what its API and version say, with what is wrong.
    Unreadable(String),
    /// The connection was closed.
    Closed,
    /// Nothing, for as long as anybody waits.
    Silence,
}

/// A request and what came of it.
pub(crate) struct Step {
    pub(crate) note: String,
    pub(crate) api: String,
    pub(crate) version: i16,
    pub(crate) request: Json,
    pub(crate) outcome: Outcome,
    /// Whether it is there for the ids that the answer shows, not to be compared.
    pub(crate) quiet: bool,
}

/// A connection of a scenario.
#[derive(Clone, Copy)]
pub(crate) struct Line(usize);

struct Open {
    stream: TcpStream,
    correlation: i32,
    unanswered: VecDeque<Unanswered>,
}

struct Unanswered {
    note: String,
    api: Option<Api>,
    version: i16,
    correlation: i32,
    request: Json,
}

/// A broker's process.
pub(crate) trait Process: Send {
    /// Where clients connect: `host:port`. The same after each start.
    fn address(&self) -> String;

    /// Asks it to stop, waits until it has, and starts it on what it left behind.
    fn restart(&mut self);

    /// What it is told besides, from its next start on.
    fn configure(&mut self, more: &[(&str, &str)]);

    /// The listener of its controller, if it opens one, as `listeners` writes it.
    fn controller(&self) -> Option<String>;

    /// What it said last, if it has ended by itself.
    fn last_words(&mut self) -> Option<String>;
}

/// A broker under comparison.
pub(crate) struct Peer {
    process: Arc<Mutex<dyn Process>>,
    address: String,
    scenario: String,
    note: String,
    lines: Vec<Open>,
    own: Option<Line>,
    steps: Vec<Step>,
    /// Whether what comes back is there for the ids that it shows.
    quiet: bool,
    seed: u64,
}

impl Peer {
    /// A broker, for the scenario of that name in the run of a seed.
    pub(crate) fn new(process: &Arc<Mutex<dyn Process>>, scenario: &str, seed: u64) -> Self {
        Self {
            process: Arc::clone(process),
            address: locked(process).address(),
            scenario: scenario.to_owned(),
            note: String::new(),
            lines: Vec::new(),
            own: None,
            steps: Vec::new(),
            quiet: false,
            seed,
        }
    }

    /// The draws of the scenario: the same for both brokers.
    pub(crate) fn draw(&self) -> Draw {
        Draw::new(self.seed, &self.scenario)
    }

    /// Does what is not to be compared.
    pub(crate) fn quietly<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.quiet, true);
        let done = what(self);
        self.quiet = before;
        done
    }

    /// What was sent and came back.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Stops the broker and starts it again: connections are gone.
    pub(crate) fn restart(&mut self) {
        self.own = None;
        locked(&self.process).restart();
    }

    /// Stops the broker and starts it with these settings besides.
    pub(crate) fn restart_with(&mut self, more: &[(&str, &str)]) {
        locked(&self.process).configure(more);
        self.restart();
    }

    /// Stops the broker and starts it with these listeners besides, each with what is advertised for it. Returns where it
    /// listens: first for clients of other scenarios, then for those of each of these.
    pub(crate) fn restart_listening(&mut self, more: &[(&str, Option<&str>)]) -> Vec<String> {
        let mut addresses = vec![self.address.clone()];
        let mut listeners = vec![format!("PLAINTEXT://{}", self.address)];
        let mut advertised = listeners.clone();
        let mut protocols = vec![String::from("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT")];
        for (name, endpoint) in more {
            let address = format!("127.0.0.1:{}", free_port());
            listeners.push(format!("{name}://{address}"));
            advertised.extend(endpoint.map(|endpoint| format!("{name}://{endpoint}")));
            protocols.push(format!("{name}:PLAINTEXT"));
            addresses.push(address);
        }
        listeners.extend(locked(&self.process).controller());
        self.restart_with(&[
            ("listeners", &listeners.join(",")),
            ("advertised.listeners", &advertised.join(",")),
            ("listener.security.protocol.map", &protocols.join(",")),
        ]);
        addresses
    }

    /// Names what the following requests are about.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.note = note.into();
    }

    /// A new connection.
    pub(crate) fn connect(&mut self) -> Line {
        let address = self.address.clone();
        self.connect_to(&address)
    }

    /// A new connection to one of its listeners.
    pub(crate) fn connect_to(&mut self, address: &str) -> Line {
        let stream = TcpStream::connect(address).expect("the broker accepts");
        let set = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        set.expect("a socket of this process");
        self.lines.push(Open {
            stream,
            correlation: 0,
            unanswered: VecDeque::new(),
        });
        Line(self.lines.len() - 1)
    }

    /// Sends a request and records what comes of it; the answer's body, or null where there is none.
    pub(crate) fn call(&mut self, line: Line, api: &str, version: i16, body: &Json) -> Json {
        self.send(line, api, version, body);
        self.receive(line)
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask(&mut self, api: &str, version: i16, body: &Json) -> Json {
        let line = self.connect();
        let answer = self.call(line, api, version, body);
        self.hang_up(line);
        answer
    }

    /// Sends a request; its answer is [received](Self::receive) later.
    pub(crate) fn send(&mut self, line: Line, api: &str, version: i16, body: &Json) {
        let api = Api::named(api);
        let bytes = api.encode(version, body);
        self.transmit(line, api, version, body.clone(), &bytes);
    }

    /// Sends a request whose body is these bytes.
    pub(crate) fn call_bytes(&mut self, line: Line, api: &str, version: i16, body: &[u8]) -> Json {
        let shown = json!({ "bytes": crate::message::hex(body) });
        self.transmit(line, Api::named(api), version, shown, body);
        self.receive(line)
    }

    /// Sends a request that is never answered.
    pub(crate) fn send_unanswered(&mut self, line: Line, api: &str, version: i16, body: &Json) {
        self.send(line, api, version, body);
        self.lines[line.0].unanswered.pop_back();
    }

    fn transmit(&mut self, line: Line, api: Api, version: i16, request: Json, body: &[u8]) {
        let open = &mut self.lines[line.0];
        open.correlation += 1;
        let correlation = open.correlation;
        let head = api.header(version, correlation);
        let mut frame = ((head.len() + body.len()) as i32).to_be_bytes().to_vec();
        frame.extend(head);
        frame.extend(body);
        // A broker may close while a frame is on its way; what counts is what is read afterwards.
        let _ = open.stream.write_all(&frame);
        open.unanswered.push_back(Unanswered {
            note: self.note.clone(),
            api: Some(api),
            version,
            correlation,
            request,
        });
    }

    /// Sends bytes that need not be a frame, with a length before them that need not be theirs.
    pub(crate) fn call_raw(&mut self, line: Line, length: i32, bytes: &[u8]) -> Json {
        let open = &mut self.lines[line.0];
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(bytes);
        // As above.
        let _ = open.stream.write_all(&frame);
        open.unanswered.push_back(Unanswered {
            note: self.note.clone(),
            api: None,
            version: 0,
            correlation: 0,
            request: json!({ "length": length, "bytes": crate::message::hex(&bytes[..bytes.len().min(200)]) }),
        });
        self.receive(line)
    }

    /// Sends a request of an API key that need not exist.
    pub(crate) fn call_key(&mut self, line: Line, key: i16, version: i16, flexible: bool, body: &[u8]) -> Json {
        let mut frame = header(key, version, 1, flexible);
        frame.extend(body);
        self.call_raw(line, frame.len() as i32, &frame)
    }

    /// Records what comes of the oldest request that has not been answered.
    pub(crate) fn receive(&mut self, line: Line) -> Json {
        let open = &mut self.lines[line.0];
        let sent = open.unanswered.pop_front().expect("a request is under way");
        let outcome = match read_frame(&mut open.stream) {
            Ok(frame) => sent.read(&frame),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Outcome::Silence,
                _ => Outcome::Closed,
            },
        };
        let answer = match &outcome {
            Outcome::Answer(answer) => answer.clone(),
            _ => Json::Null,
        };
        self.steps.push(Step {
            note: sent.note,
            api: sent
                .api
                .map_or_else(|| "frame".to_owned(), |api| api.key.name().to_owned()),
            version: sent.version,
            request: sent.request,
            outcome,
            quiet: self.quiet,
        });
        answer
    }

    /// Closes a connection.
    pub(crate) fn hang_up(&mut self, line: Line) {
        // It may be closed already, which is as good.
        let _ = self.lines[line.0].stream.shutdown(std::net::Shutdown::Both);
    }

    /// Sends a request that is not compared.
    pub(crate) fn quiet(&mut self, api: &str, version: i16, body: &Json) -> Json {
        let line = self.own.unwrap_or_else(|| self.connect());
        self.own = Some(line);
        self.quietly(|peer| peer.call(line, api, version, body))
    }

    /// Waits until `reached` says so.
    pub(crate) fn settle(&mut self, what: &str, mut reached: impl FnMut(&mut Self) -> bool) {
        for _ in 0..LOOKS {
            if reached(self) {
                return;
            }
            sleep(PAUSE);
        }
        let last = self.steps.last().map(|step| &step.outcome);
        panic!("{}: {}: {what} does not come about: {last:?}", self.scenario, self.note);
    }

    /// A name that no other scenario uses.
    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.scenario.replace(['/', ' '], "-"))
    }

    /// Creates a topic and waits until its partitions can be used; returns its name.
    pub(crate) fn topic(&mut self, suffix: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let name = self.name(suffix);
        let configs: Vec<Json> = configs
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let topic = json!({ "name": name, "num_partitions": partitions, "replication_factor": 1, "configs": configs });
        let answer = self.quiet("CreateTopics", 5, &json!({ "topics": [topic], "timeout_ms": 30_000 }));
        assert_eq!(answer["topics"][0]["error_code"], 0, "creation of {name}: {answer}");
        self.await_topic(&name, partitions);
        name
    }

    /// Creates topics and waits until all of them can be used; returns their names.
    pub(crate) fn topics(&mut self, suffixes: &[String], partitions: i32) -> Vec<String> {
        let names: Vec<String> = suffixes.iter().map(|suffix| self.name(suffix)).collect();
        let one = |name: &String| json!({ "name": name, "num_partitions": partitions, "replication_factor": 1 });
        let topics: Vec<Json> = names.iter().map(one).collect();
        self.quiet("CreateTopics", 5, &json!({ "topics": topics, "timeout_ms": 30_000 }));
        for name in &names {
            self.await_topic(name, partitions);
        }
        names
    }

    /// Waits until all partitions of a topic can be used.
    pub(crate) fn await_topic(&mut self, name: &str, partitions: i32) {
        let indexes: Vec<Json> = (0..partitions)
            .map(|index| json!({ "partition_index": index, "timestamp": -1 }))
            .collect();
        let ends = json!({ "replica_id": -1, "topics": [{ "name": name, "partitions": indexes }] });
        self.settle(&format!("topic {name}"), |peer| {
            let answer = peer.quiet("ListOffsets", 7, &ends);
            let found = answer["topics"][0]["partitions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            found.len() == partitions as usize && found.iter().all(|partition| partition["error_code"] == 0)
        });
    }

    /// Deletes a topic and waits until it is gone.
    pub(crate) fn delete_topic(&mut self, name: &str) {
        let answer = self.quiet(
            "DeleteTopics",
            5,
            &json!({ "topic_names": [name], "timeout_ms": 30_000 }),
        );
        assert_eq!(answer["responses"][0]["error_code"], 0, "deletion of {name}: {answer}");
        self.await_no_topic(name);
    }

    /// Waits until no topic has that name, and no log of its is left: Kafka shows these for a moment longer.
    pub(crate) fn await_no_topic(&mut self, name: &str) {
        let logs = json!({ "topics": [{ "topic": name, "partitions": (0..MOST_PARTITIONS).collect::<Vec<_>>() }] });
        self.settle(&format!("the end of {name}"), |peer| {
            let left = peer.quiet("DescribeLogDirs", 1, &logs)["results"][0]["topics"].clone();
            peer.metadata(name)["error_code"] == 3 && left.as_array().is_some_and(Vec::is_empty)
        });
    }

    /// What `Metadata` tells about a topic.
    pub(crate) fn metadata(&mut self, name: &str) -> Json {
        let request = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": false });
        self.quiet("Metadata", 12, &request)["topics"][0].clone()
    }

    /// The id of a topic.
    pub(crate) fn topic_id(&mut self, name: &str) -> Json {
        self.metadata(name)["topic_id"].clone()
    }

    /// Appends to a partition; returns the base offset.
    pub(crate) fn append(&mut self, topic: &str, partition: i32, batch: &crate::batch::Batch) -> i64 {
        let data = json!([{ "name": topic, "partition_data": [{ "index": partition, "records": batch.hex() }] }]);
        let answer = self.quiet(
            "Produce",
            8,
            &json!({ "acks": -1, "timeout_ms": 30_000, "topic_data": data }),
        );
        let told = &answer["responses"][0]["partition_responses"][0];
        assert_eq!(told["error_code"], 0, "append to {topic}-{partition}: {answer}");
        told["base_offset"].as_i64().expect("an offset")
    }
}

/// A broker's process, whatever became of the scenario before.
pub(crate) fn locked<'a>(process: &'a Arc<Mutex<dyn Process>>) -> MutexGuard<'a, dyn Process + 'static> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unanswered {
    fn read(&self, frame: &Bytes) -> Outcome {
        let Some(&correlation) = frame.first_chunk() else {
            return Outcome::Unreadable(format!("{} bytes, too few for a correlation id", frame.len()));
        };
        let correlation_id = i32::from_be_bytes(correlation);
        let Some(api) = self.api else {
            // The error code is the first field of the answers that such a request may get.
            let error = frame.get(4..6).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]));
            return Outcome::Answer(json!({ "correlation_id": correlation_id, "error_code": error }));
        };
        if correlation_id != self.correlation {
            return Outcome::Unreadable(format!(
                "correlation id {correlation_id} where {} was due",
                self.correlation
            ));
        }
        api.decode(self.version, &frame.slice(4..))
            .map_or_else(Outcome::Unreadable, Outcome::Answer)
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame)?;
    Ok(frame.into())
}
