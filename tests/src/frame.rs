//! The protocol, byte by byte: requests that no client would send, and answers read without a client's help.
//!
//! Only old, non-flexible versions, whose layout is plain: Produce 3, Fetch 4, CreateTopics 2, DeleteTopics 1,
//! OffsetCommit 2, OffsetFetch 1, FindCoordinator 0, Heartbeat 2, DescribeGroups 0, ApiVersions 0.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// API keys.
pub mod api {
    /// Produce.
    pub const PRODUCE: i16 = 0;
    /// Fetch.
    pub const FETCH: i16 = 1;
    /// ListOffsets.
    pub const LIST_OFFSETS: i16 = 2;
    /// Metadata.
    pub const METADATA: i16 = 3;
    /// OffsetCommit.
    pub const OFFSET_COMMIT: i16 = 8;
    /// OffsetFetch.
    pub const OFFSET_FETCH: i16 = 9;
    /// FindCoordinator.
    pub const FIND_COORDINATOR: i16 = 10;
    /// JoinGroup.
    pub const JOIN_GROUP: i16 = 11;
    /// Heartbeat.
    pub const HEARTBEAT: i16 = 12;
    /// LeaveGroup.
    pub const LEAVE_GROUP: i16 = 13;
    /// SyncGroup.
    pub const SYNC_GROUP: i16 = 14;
    /// `DescribeGroups`.
    pub const DESCRIBE_GROUPS: i16 = 15;
    /// `ApiVersions`.
    pub const API_VERSIONS: i16 = 18;
    /// `CreateTopics`.
    pub const CREATE_TOPICS: i16 = 19;
    /// `DeleteTopics`.
    pub const DELETE_TOPICS: i16 = 20;
    /// `CreatePartitions`.
    pub const CREATE_PARTITIONS: i16 = 37;
    /// `DeleteGroups`.
    pub const DELETE_GROUPS: i16 = 42;
    /// `IncrementalAlterConfigs`.
    pub const INCREMENTAL_ALTER_CONFIGS: i16 = 44;
}

/// How long an answer may take before a test gives up; long, because a loaded machine is slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that speaks frames.
pub struct Connection {
    stream: TcpStream,
    correlation: i32,
}

/// What a producer is told about a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Produced {
    /// The error code; 0 is none.
    pub error: i16,
    /// The offset of the batch's first record.
    pub base_offset: i64,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(address: &str) -> io::Result<Self> {
        Self::open_for(address, PATIENCE)
    }

    /// Connects to `host:port` for calls that give up after `patience`.
    pub fn open_for(address: &str, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Makes the next request's correlation id the one after `correlation`.
    pub const fn number_from(&mut self, correlation: i32) {
        self.correlation = correlation;
    }

    /// The socket, for bytes that are no frame.
    pub const fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Sends a request without waiting; returns its correlation id.
    pub fn send(&mut self, key: i16, version: i16, body: &[u8]) -> io::Result<i32> {
        self.correlation += 1;
        self.stream.write_all(&request(key, version, self.correlation, body))?;
        Ok(self.correlation)
    }

    /// Reads the next answer: its correlation id and its body.
    pub fn receive(&mut self) -> io::Result<(i32, Vec<u8>)> {
        let mut frame = self.receive_frame()?;
        let body = frame.split_off(4);
        Ok((i32::from_be_bytes(frame.try_into().expect("4 bytes are left")), body))
    }

    /// Reads the next answer whole, without its length.
    pub fn receive_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let mut frame = vec![0; i32::from_be_bytes(size) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Sends a request and reads its answer.
    pub fn call(&mut self, key: i16, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
        let sent = self.send(key, version, body)?;
        let (received, body) = self.receive()?;
        assert_eq!(received, sent, "answers come in the order of the requests");
        Ok(body)
    }

    /// Whether the broker closes the connection rather than answer.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0; 1];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
            ),
        }
    }

    /// Creates a topic and returns the error code.
    pub fn create_topic(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> i16 {
        let mut body = Body::new();
        body.int(1)
            .string(topic)
            .int(partitions)
            .short(1)
            .int(0)
            .int(configs.len() as i32);
        for (name, value) in configs {
            body.string(name).string(value);
        }
        body.int(30_000).byte(0);
        let answer = self
            .call(api::CREATE_TOPICS, 2, &body.0)
            .expect("CreateTopics is answered");
        let mut answer = Answer(&answer);
        answer.skip(4 + 4);
        let name = answer.short();
        answer.skip(name as usize);
        answer.short()
    }

    /// Deletes a topic and returns the error code.
    pub fn delete_topic(&mut self, topic: &str) -> i16 {
        let mut body = Body::new();
        body.int(1).string(topic).int(30_000);
        let answer = self
            .call(api::DELETE_TOPICS, 1, &body.0)
            .expect("DeleteTopics is answered");
        let mut answer = Answer(&answer);
        answer.skip(4 + 4);
        let name = answer.short();
        answer.skip(name as usize);
        answer.short()
    }

    /// Sends `records` to a partition with acks=all and returns what is told about it.
    pub fn produce(&mut self, topic: &str, partition: i32, records: &[u8]) -> io::Result<Produced> {
        let answer = self.call(api::PRODUCE, 3, &produce_body(-1, topic, partition, records))?;
        Ok(produced(&answer))
    }

    /// All batches of a partition up to `end`, each with its base offset.
    pub fn fetch_all(&mut self, topic: &str, partition: i32, end: i64) -> Vec<(i64, Vec<u8>)> {
        let mut read = Vec::new();
        let mut next = 0;
        while next < end {
            let (error, records) = self.fetch(topic, partition, next).expect("Fetch is answered");
            assert_eq!(error, 0, "fetch of {topic}-{partition} at {next}");
            let batches = batches(&records);
            let (base_offset, last) = batches.last().expect("there are records below the end");
            next = base_offset + i64::from(i32::from_be_bytes([last[23], last[24], last[25], last[26]])) + 1;
            read.extend(batches);
        }
        read
    }

    /// The offset of a partition's next record.
    pub fn end_offset(&mut self, topic: &str, partition: i32) -> i64 {
        let mut body = Body::new();
        body.int(-1).int(1).string(topic).int(1).int(partition).long(-1);
        let answer = self
            .call(api::LIST_OFFSETS, 1, &body.0)
            .expect("ListOffsets is answered");
        let mut answer = Answer(&answer);
        answer.skip(4);
        let name = answer.short();
        answer.skip(name as usize + 4 + 4);
        assert_eq!(answer.short(), 0, "the end of {topic}-{partition}");
        answer.skip(8);
        answer.long()
    }

    /// The members of a group: the id and the assignment of each.
    pub fn members(&mut self, group: &str) -> Vec<(String, Vec<u8>)> {
        let mut body = Body::new();
        body.int(1).string(group);
        let answer = self.call(api::DESCRIBE_GROUPS, 0, &body.0);
        let answer = answer.expect("DescribeGroups is answered");
        let mut answer = Answer(&answer);
        assert_eq!(answer.int(), 1, "groups");
        assert_eq!(answer.short(), 0, "the description of {group}");
        for _ in ["group", "state", "protocol type", "protocol"] {
            answer.string();
        }
        let member = |answer: &mut Answer<'_>| {
            let id = answer.string();
            for _ in ["client id", "host"] {
                answer.string();
            }
            let metadata = answer.int();
            answer.skip(metadata as usize);
            let assignment = answer.int();
            (id, answer.take(assignment as usize).to_vec())
        };
        (0..answer.int()).map(|_| member(&mut answer)).collect()
    }

    /// Asks who coordinates a group, which creates the topic of groups.
    pub fn find_group(&mut self, group: &str) {
        let mut body = Body::new();
        body.string(group);
        let answer = self.call(api::FIND_COORDINATOR, 0, &body.0);
        assert_eq!(Answer(&answer.expect("FindCoordinator is answered")).short(), 0);
    }

    /// Sends a member's heartbeat and returns the error code.
    pub fn heartbeat(&mut self, group: &str, generation: i32, member: &str) -> i16 {
        let mut body = Body::new();
        body.string(group).int(generation).string(member);
        let answer = self.call(api::HEARTBEAT, 2, &body.0);
        let answer = answer.expect("Heartbeat is answered");
        let mut answer = Answer(&answer);
        answer.skip(4);
        answer.short()
    }

    /// Commits an offset of a topic's first partition, as nobody's member, and returns the error code.
    pub fn commit(&mut self, group: &str, topic: &str, offset: i64, metadata: &str) -> i16 {
        let mut body = Body::new();
        body.string(group).int(-1).string("").long(-1).int(1).string(topic);
        body.int(1).int(0).long(offset).string(metadata);
        let answer = self.call(api::OFFSET_COMMIT, 2, &body.0);
        let answer = answer.expect("OffsetCommit is answered");
        let mut answer = Answer(&answer);
        answer.skip(4 + 2 + topic.len() + 4 + 4);
        answer.short()
    }

    /// The offset that a group committed of a topic's first partition; -1 is none.
    pub fn committed(&mut self, group: &str, topic: &str) -> i64 {
        let mut body = Body::new();
        body.string(group).int(1).string(topic).int(1).int(0);
        let answer = self.call(api::OFFSET_FETCH, 1, &body.0);
        let answer = answer.expect("OffsetFetch is answered");
        let mut answer = Answer(&answer);
        answer.skip(4 + 2 + topic.len() + 4 + 4);
        answer.long()
    }

    /// Fetches from an offset: the error code and the records.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> io::Result<(i16, Vec<u8>)> {
        let mut body = Body::new();
        body.int(-1).int(0).int(1).int(i32::MAX).byte(0).int(1).string(topic);
        body.int(1).int(partition).long(offset).int(1 << 20);
        let answer = self.call(api::FETCH, 4, &body.0)?;
        let mut answer = Answer(&answer);
        answer.skip(4 + 4);
        let name = answer.short();
        answer.skip(name as usize + 4 + 4);
        let error = answer.short();
        answer.skip(8 + 8);
        let aborted = answer.int();
        answer.skip(aborted.max(0) as usize * 16);
        let length = answer.int();
        Ok((error, answer.take(length.max(0) as usize).to_vec()))
    }
}

/// The whole batches in `records`, each with its base offset.
pub fn batches(mut records: &[u8]) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    while records.len() >= 12 {
        let mut head = Answer(records);
        let (base_offset, length) = (head.long(), head.int() as usize + 12);
        if length > records.len() {
            break;
        }
        let (batch, rest) = records.split_at(length);
        found.push((base_offset, batch.to_vec()));
        records = rest;
    }
    found
}

/// Whether a batch that was read is the one that was sent: all but the base offset and the leader epoch, which the
/// broker stamps.
pub fn is_stored(read: &[u8], sent: &[u8]) -> bool {
    read.len() == sent.len() && read[8..12] == sent[8..12] && read[16..] == sent[16..]
}

/// A request frame with header version 1.
pub fn request(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut header = Body::new();
    header.short(key).short(version).int(correlation).string("tests");
    let length = header.0.len() + body.len();
    let mut frame = (length as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&header.0);
    frame.extend_from_slice(body);
    frame
}

/// The body of a Produce request, version 3, for one partition.
pub fn produce_body(acks: i16, topic: &str, partition: i32, records: &[u8]) -> Vec<u8> {
    let mut body = Body::new();
    body.short(-1)
        .short(acks)
        .int(30_000)
        .int(1)
        .string(topic)
        .int(1)
        .int(partition);
    body.int(records.len() as i32).bytes(records);
    body.0
}

/// Reads the answer to a Produce request for one partition.
pub fn produced(answer: &[u8]) -> Produced {
    let mut answer = Answer(answer);
    answer.skip(4);
    let name = answer.short();
    answer.skip(name as usize + 4 + 4);
    Produced {
        error: answer.short(),
        base_offset: answer.long(),
    }
}

/// A batch (format v2) of records without key or headers, as a producer sends it.
pub fn batch(values: &[&[u8]]) -> Vec<u8> {
    let mut records = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let mut record = vec![0];
        varint(&mut record, 0);
        varint(&mut record, index as i64);
        varint(&mut record, -1);
        varint(&mut record, value.len() as i64);
        record.extend_from_slice(value);
        varint(&mut record, 0);
        varint(&mut records, record.len() as i64);
        records.extend_from_slice(&record);
    }
    batch_of(values.len() as i32, &records)
}

/// A batch that declares `count` records around bytes that may be anything; its CRC is right.
pub fn batch_of(count: i32, records: &[u8]) -> Vec<u8> {
    let mut tail = Body::new();
    let time = crate::record::SOME_TIME;
    tail.short(0)
        .int(count - 1)
        .long(time)
        .long(time)
        .long(-1)
        .short(-1)
        .int(-1)
        .int(count)
        .bytes(records);
    let mut batch = Body::new();
    batch
        .long(0)
        .int((tail.0.len() + 9) as i32)
        .int(-1)
        .byte(2)
        .int(crc32c(&tail.0) as i32)
        .bytes(&tail.0);
    batch.0
}

/// Appends a number as records have it: zigzag, seven bits a byte.
pub fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// CRC-32C, bit by bit: slow, and plain enough to trust.
fn crc32c(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & 0_u32.wrapping_sub(crc & 1))
        })
    };
    !bytes.iter().fold(!0, fold)
}

/// Big-endian fields, one behind the other.
#[derive(Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// An INT8.
    pub fn byte(&mut self, value: i8) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// An INT16.
    pub fn short(&mut self, value: i16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// An INT32.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// An INT64.
    pub fn long(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A STRING.
    pub fn string(&mut self, text: &str) -> &mut Self {
        self.short(text.len() as i16).bytes(text.as_bytes())
    }
}

/// What is left of an answer.
pub struct Answer<'a>(pub &'a [u8]);

impl<'a> Answer<'a> {
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(self.0.len() >= length, "the answer ends early");
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// Leaves out `length` bytes.
    pub fn skip(&mut self, length: usize) {
        self.take(length);
    }

    /// An INT16.
    pub fn short(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("2 bytes"))
    }

    /// An INT32.
    pub fn int(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("4 bytes"))
    }

    /// A STRING.
    pub fn string(&mut self) -> String {
        let length = self.short();
        String::from_utf8(self.take(length as usize).to_vec()).expect("text is UTF-8")
    }

    /// An INT64.
    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes(self.take(8).try_into().expect("8 bytes"))
    }
}
