//! Logs that a run begins with: edges that no run of a few seconds comes to by itself. They are laid out by the
//! simulator's own writer, as DESIGN.md describes the disk, while the broker is down.

use crate::batch::{NewRecord, ProducerTag, build, place};
use crate::compress::Compression;
use crate::disk::Disk;
use crate::draw::Draw;
use crate::options::{Options, Role, TopicPlan};
use crate::oracle::{Oracle, Place};
use crate::value::{Mark, fold_topic};
use bytes::Bytes;
use klamm_core::storage::{FileOp, FilePath, OpenMode, Piece};
use klamm_core::types::{FileId, LogDirectoryId, Uuid};

/// A partition's log at the beginning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    pub(crate) topic: usize,
    pub(crate) partition: i32,
    /// The offset of its first record.
    origin: i64,
    /// How many records each batch has.
    batches: Vec<i32>,
    batches_a_segment: usize,
    /// Who wrote it; the first sequence number stands in it.
    producer: ProducerTag,
    /// A deleted topic of the same name has left a directory behind.
    pub(crate) predecessor: bool,
}

/// A producer id that no broker issues in a run.
const HEIR_ID: i64 = 1 << 40;
/// The last epoch but one that a producer can have.
const LAST_EPOCH: i16 = 32_766;
/// The simulated producer that images are of.
const ANCESTOR: u32 = 1_000_000;

impl Image {
    /// The logs of a run, of different partitions; most runs begin with none.
    pub(crate) fn draw_all(draw: &mut Draw, topics: &[TopicPlan]) -> Vec<Self> {
        if !draw.chance(1, 4) {
            return Vec::new();
        }
        let predecessor = draw.chance(1, 2);
        let epoch = draw.pick(&[0, LAST_EPOCH]);
        let mut images = Vec::new();
        for (topic, plan) in topics.iter().enumerate() {
            for partition in 0..plan.partitions {
                if images.is_empty() || draw.chance(1, 4) {
                    let mut image = Self::draw(draw, topic, partition, epoch);
                    image.predecessor = predecessor && topic == 0;
                    images.push(image);
                }
            }
        }
        images
    }

    fn draw(draw: &mut Draw, topic: usize, partition: i32, epoch: i16) -> Self {
        let batches: Vec<i32> = (0..draw.within(1, 12)).map(|_| draw.within(1, 9) as i32).collect();
        let records: i32 = batches.iter().sum();
        let near = draw.within(0, 40) as i64;
        let origin = match draw.below(4) {
            0 => (1 << 31) - i64::from(records) - near,
            1 => i64::MAX - (1 << 24) - near,
            2 => (1 << 32) - i64::from(records) - near,
            _ => 0,
        };
        let base_sequence = draw.pick(&[0, i32::MAX - records, i32::MAX - records / 2, i32::MAX - records - 5]);
        Self {
            topic,
            partition,
            origin,
            batches,
            batches_a_segment: draw.within(1, 12) as usize,
            producer: ProducerTag {
                id: HEIR_ID,
                epoch,
                base_sequence,
            },
            predecessor: false,
        }
    }

    fn next_sequence(&self) -> i32 {
        ProducerTag::later(self.producer.base_sequence, self.batches.iter().sum())
    }

    /// The log's batches, as they stand, with the marks of their records.
    fn build(&self, partition: Place, wall: i64, key: Option<&Vec<u8>>) -> Vec<(i64, Vec<Mark>, Bytes)> {
        let mut offset = self.origin;
        let mut tag = self.producer;
        let mut sequence = 0;
        let mut built = Vec::new();
        for &count in &self.batches {
            let marks = (0..count as u64).map(|index| Mark {
                producer: ANCESTOR,
                session: 0,
                sequence: sequence + index,
                partition: partition.partition,
                topic: fold_topic(&partition.topic),
            });
            let marks: Vec<Mark> = marks.collect();
            let records = marks.iter().map(|mark| NewRecord {
                timestamp: wall,
                key: key.cloned(),
                value: mark.encode(60),
                headers: Vec::new(),
            });
            let records: Vec<NewRecord> = records.collect();
            let mut bytes = build(&records, tag, Compression::None);
            place(&mut bytes, offset, 0);
            built.push((offset, marks, Bytes::from(bytes)));
            offset += i64::from(count);
            sequence += count as u64;
            tag.base_sequence = ProducerTag::later(tag.base_sequence, count);
        }
        built
    }

    /// Puts the log onto the disk, and tells the oracle.
    pub(crate) fn plant(
        &self,
        disk: &mut Disk,
        oracle: &mut Oracle,
        options: &Options,
        wall: i64,
        files: &mut FileIds,
    ) {
        let name = &options.topics[self.topic].name;
        let Some(id) = oracle.id_of(name) else { return };
        let partition = Place::new(id, self.partition);
        oracle.planted(partition, self.origin, Some(self.producer));
        let built = self.build(partition, wall, options.key_of(name).as_ref());
        for (_, marks, bytes) in &built {
            oracle.planted_batch(partition, marks, bytes);
        }
        let mut writer = Writer {
            disk,
            files,
            directory: format!("{name}-{}.{}", self.partition, Uuid(id)),
        };
        writer.write(&built, self.batches_a_segment);
    }

    /// Puts the log onto the disk as if the topic `id` had left it behind when it was deleted.
    pub(crate) fn plant_remains(&self, disk: &mut Disk, name: &str, id: [u8; 16], wall: i64, files: &mut FileIds) {
        let built = self.build(Place::new(id, self.partition), wall, None);
        let mut writer = Writer {
            disk,
            files,
            directory: format!("{name}-{}.{}", self.partition, Uuid(id)),
        };
        writer.write(&built, self.batches_a_segment);
    }
}

/// Ids for the files of images: the broker, which is down, has others.
#[derive(Debug)]
pub(crate) struct FileIds(u64);

impl Default for FileIds {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

struct Writer<'a> {
    disk: &'a mut Disk,
    files: &'a mut FileIds,
    directory: String,
}

impl Writer<'_> {
    fn perform(&mut self, op: &FileOp) {
        self.disk
            .perform(op)
            .expect("nothing is wrong with the disk while the broker is down");
    }

    fn write(&mut self, built: &[(i64, Vec<Mark>, Bytes)], batches_a_segment: usize) {
        let path = |relative: &str| FilePath::new(LogDirectoryId(0), relative);
        let directory = self.directory.clone();
        self.perform(&FileOp::CreateDirectory { path: path(&directory) });
        for segment in built.chunks(batches_a_segment) {
            let base = segment[0].0;
            let bytes = segment.iter().flat_map(|(_, _, bytes)| bytes.iter().copied()).collect();
            self.file(&path(&format!("{directory}/{base:020}.log")), bytes);
            // Torn, as a checkpoint may be: but it says that the directory has been there for long.
            self.file(&path(&format!("{directory}/{base:020}.checkpoint")), vec![0; 7]);
        }
        self.perform(&FileOp::SyncDirectory { path: path(&directory) });
        self.perform(&FileOp::SyncDirectory { path: path("") });
    }

    fn file(&mut self, path: &FilePath, bytes: Vec<u8>) {
        self.files.0 -= 1;
        let file = FileId(self.files.0);
        self.perform(&FileOp::Open {
            file,
            path: path.clone(),
            mode: OpenMode::CreateNew,
        });
        self.perform(&FileOp::Write {
            file,
            position: 0,
            pieces: vec![Piece::Body(Bytes::from(bytes))],
        });
        self.perform(&FileOp::Sync { files: vec![file] });
        self.perform(&FileOp::Close { file });
    }
}

impl Options {
    /// The producer that a client goes on as: the first idempotent one inherits the images.
    pub(crate) fn heritage(&self, client: usize) -> Option<ProducerTag> {
        let idempotent = |role: &Role| matches!(role, Role::Producer(plan) if plan.idempotent);
        let heir = self.clients.iter().position(|client| idempotent(&client.role));
        let image = self.images.first()?;
        (heir == Some(client)).then_some(image.producer)
    }

    /// The sequence number that a client's first batch to a partition has.
    pub(crate) fn next_sequence(&self, client: usize, topic: usize, partition: i32) -> i32 {
        let mut images = self.images.iter();
        let image = images.find(|image| image.topic == topic && image.partition == partition);
        match (self.heritage(client), image) {
            (Some(_), Some(image)) => image.next_sequence(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Image;
    use crate::options::Options;

    #[test]
    fn runs_begin_near_every_edge() {
        let runs: Vec<Options> = (0..1000).map(Options::draw).collect();
        let images: Vec<&Image> = runs.iter().flat_map(|run| &run.images).collect();
        let some = |what: &dyn Fn(&Image) -> bool| images.iter().filter(|image| what(image)).count();
        for (edge, count) in [
            ("2^31", some(&|image| (1 << 30..1 << 31).contains(&image.origin))),
            ("2^63", some(&|image| image.origin > i64::MAX / 2)),
            ("the last epoch", some(&|image| image.producer.epoch == 32_766)),
            (
                "sequence wrap",
                some(&|image| image.next_sequence() < image.producer.base_sequence),
            ),
            ("a predecessor", some(&|image| image.predecessor)),
        ] {
            assert!(count > 20, "{edge}: {count}");
        }
        let heirs = runs
            .iter()
            .filter(|run| (0..run.clients.len()).any(|client| run.heritage(client).is_some()));
        assert!(heirs.count() > 100);
    }
}
