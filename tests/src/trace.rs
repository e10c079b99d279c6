//! What the broker asked of the kernel, in order, and whether it answered too early.
//!
//! `strace` stops a thread at the entry and at the return of a call, so a call that another thread's return made
//! possible stands below that return in its output. A call therefore has two places: the line where it began and the
//! line where it returned. Bytes are durable at a line when a sync that began after their write returned has itself
//! returned above it; a name is durable when the same holds for a sync of its folder.

use crate::frame::Answer;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The arguments of `strace` for a broker, whose output goes to `file`.
pub fn strace(file: &Path) -> Vec<String> {
    const CALLS: &str = "trace=openat,mkdir,mkdirat,rename,renameat,renameat2,pwrite64,pwritev,pwritev2,write,writev,\
                         sendto,sendmsg,fdatasync,fsync,syncfs";
    let file = file.display().to_string();
    let words = [
        "strace", "-f", "-qq", "-y", "-x", "-s", "4096", "-e", CALLS, "-o", &file, "--",
    ];
    words.map(str::to_owned).to_vec()
}

/// An append that was acknowledged with acks=all.
#[derive(Clone, Debug)]
pub struct Append {
    /// The correlation id of its request, which no other request of the trace has.
    pub correlation: i32,
    /// The partition's folder.
    pub folder: PathBuf,
    /// Its first offset.
    pub base_offset: i64,
    /// The bytes of its batch.
    pub length: u64,
}

/// Why an acknowledgement came too early.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Early {
    /// Its bytes were not all written and synced.
    Bytes,
    /// The segment's name in its folder was not synced.
    SegmentName,
    /// The folder's name in the log directory was not synced.
    FolderName,
}

/// A call from its entry to its return.
#[derive(Debug)]
struct Call {
    name: String,
    text: String,
    begun: usize,
    ended: usize,
}

/// What matters of a trace.
#[derive(Default, Debug)]
pub struct Trace {
    writes: Vec<Write>,
    syncs: Vec<Sync>,
    created: BTreeMap<PathBuf, usize>,
    sent: BTreeMap<i32, usize>,
}

#[derive(Debug)]
struct Write {
    path: PathBuf,
    from: u64,
    to: u64,
    ended: usize,
}

#[derive(Debug)]
struct Sync {
    /// `None` is the whole file system.
    path: Option<PathBuf>,
    begun: usize,
    ended: usize,
}

impl Trace {
    /// Reads what `strace` wrote.
    pub fn read(text: &str) -> Self {
        let mut trace = Self::default();
        let mut ends = BTreeMap::new();
        let mut streams = BTreeMap::new();
        for call in calls(text) {
            trace.take(&call, &mut ends, &mut streams);
        }
        trace
    }

    fn take(&mut self, call: &Call, ends: &mut BTreeMap<PathBuf, u64>, streams: &mut BTreeMap<String, Stream>) {
        let Some(result) = call.result() else {
            return;
        };
        match call.name.as_str() {
            "openat" if call.text.contains("O_CREAT") => {
                if let Some(path) = described(result) {
                    self.created.entry(path.into()).or_insert(call.ended);
                }
            }
            "mkdir" | "mkdirat" => {
                let named = strings(&call.text)
                    .into_iter()
                    .next_back()
                    .expect("mkdir names a folder");
                let named = String::from_utf8(named).expect("a path is text");
                let base = described(&call.text)
                    .filter(|_| call.name == "mkdirat")
                    .unwrap_or_default();
                self.created.entry(Path::new(base).join(named)).or_insert(call.ended);
            }
            "rename" | "renameat" | "renameat2" => {
                let target = strings(&call.text)
                    .into_iter()
                    .next_back()
                    .expect("rename names two files");
                self.created.insert(
                    PathBuf::from(String::from_utf8(target).expect("a path is text")),
                    call.ended,
                );
            }
            "fdatasync" | "fsync" => self.sync(call, described(&call.text).map(PathBuf::from)),
            "syncfs" => self.sync(call, None),
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg" => {
                self.take_write(call, result, ends, streams);
            }
            _ => {}
        }
    }

    fn sync(&mut self, call: &Call, path: Option<PathBuf>) {
        self.syncs.push(Sync {
            path,
            begun: call.begun,
            ended: call.ended,
        });
    }

    fn take_write(
        &mut self,
        call: &Call,
        result: &str,
        ends: &mut BTreeMap<PathBuf, u64>,
        streams: &mut BTreeMap<String, Stream>,
    ) {
        let length: u64 = result.parse().expect("a write returns a length");
        let target = described(&call.text).unwrap_or_default();
        if target.starts_with("socket:") || target.starts_with("TCP") {
            let stream = streams.entry(target.to_owned()).or_default();
            stream.take(
                &strings(&call.text).concat(),
                length as usize,
                call.begun,
                &mut self.sent,
            );
        } else if target.starts_with('/') {
            let end = ends.entry(target.into()).or_default();
            let from = call.position().unwrap_or(*end);
            *end = from + length;
            self.writes.push(Write {
                path: target.into(),
                from,
                to: *end,
                ended: call.ended,
            });
        }
    }

    /// How many answers left the broker.
    pub fn answers(&self) -> usize {
        self.sent.len()
    }

    /// The names under which appends were stored and which the trace did not see appear: of these it cannot judge.
    pub fn unmade(&self, appends: &[Append]) -> BTreeSet<PathBuf> {
        let segments = places(appends, &self.segments())
            .into_iter()
            .map(|(segment, _)| segment);
        let folders = appends.iter().map(|append| append.folder.clone());
        segments
            .chain(folders)
            .filter(|name| !self.created.contains_key(name))
            .collect()
    }

    /// The appends whose acknowledgement left too early.
    pub fn too_early(&self, appends: &[Append]) -> Vec<(i32, Early)> {
        let places = places(appends, &self.segments());
        let mut early = Vec::new();
        for (append, (path, from)) in appends.iter().zip(places) {
            let sent = *self.sent.get(&append.correlation).expect("the answer is in the trace");
            if !self.bytes_durable(&path, from, from + append.length, sent) {
                early.push((append.correlation, Early::Bytes));
            }
            if !self.name_durable(&path, sent) {
                early.push((append.correlation, Early::SegmentName));
            }
            if !self.name_durable(&append.folder, sent) {
                early.push((append.correlation, Early::FolderName));
            }
        }
        early
    }

    fn segments(&self) -> BTreeSet<PathBuf> {
        let written = self.writes.iter().map(|write| write.path.clone());
        written
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect()
    }

    fn bytes_durable(&self, path: &Path, from: u64, to: u64, sent: usize) -> bool {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for write in self
            .writes
            .iter()
            .filter(|write| write.path == path && write.from < to && from < write.to)
        {
            if self.synced(path, write.ended, sent) {
                ranges.push((write.from, write.to));
            }
        }
        ranges.sort_unstable();
        let covered = ranges.iter().fold(
            from,
            |covered, (from, to)| if *from <= covered { covered.max(*to) } else { covered },
        );
        covered >= to
    }

    /// Whether a name that the trace saw appear was durable at `sent`; one that was there before is.
    fn name_durable(&self, path: &Path, sent: usize) -> bool {
        let folder = path.parent().expect("a file has a folder");
        self.created
            .get(path)
            .is_none_or(|created| self.synced(folder, *created, sent))
    }

    fn synced(&self, path: &Path, after: usize, before: usize) -> bool {
        let covers = |sync: &Sync| sync.path.as_deref().is_none_or(|synced| synced == path);
        self.syncs
            .iter()
            .any(|sync| covers(sync) && sync.begun > after && sync.ended < before)
    }
}

/// The segment and the position in it of each append: batches follow one another, and a segment is named by its first.
fn places(appends: &[Append], segments: &BTreeSet<PathBuf>) -> Vec<(PathBuf, u64)> {
    let mut order: Vec<usize> = (0..appends.len()).collect();
    order.sort_by_key(|index| (&appends[*index].folder, appends[*index].base_offset));
    let mut places = vec![(PathBuf::new(), 0); appends.len()];
    let mut end: Option<(&Path, u64)> = None;
    for index in order {
        let append = &appends[index];
        let own = segments.iter().filter(|path| path.parent() == Some(&append.folder));
        let own = own.filter(|path| first_offset(path) <= append.base_offset);
        let segment = own
            .max_by_key(|path| first_offset(path))
            .expect("a segment holds the batch");
        let from = end.filter(|(path, _)| *path == segment).map_or(0, |(_, to)| to);
        places[index] = (segment.clone(), from);
        end = Some((segment, from + append.length));
    }
    places
}

fn first_offset(segment: &Path) -> i64 {
    let stem = segment
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a segment has a name");
    stem.parse().expect("a segment is named by its first offset")
}

/// Bytes sent on one connection, and how much of the frame that began last is still to come.
#[derive(Default)]
struct Stream {
    pending: Vec<u8>,
    begun: usize,
    skip: usize,
}

impl Stream {
    /// Takes bytes that were sent at line `begun`, and notes in `sent` where each frame began to leave.
    fn take(&mut self, bytes: &[u8], length: usize, begun: usize, sent: &mut BTreeMap<i32, usize>) {
        let mut bytes = &bytes[..length.min(bytes.len())];
        let mut unseen = length - bytes.len();
        loop {
            let skipped = self.skip.min(bytes.len());
            bytes = &bytes[skipped..];
            self.skip -= skipped;
            if self.skip > 0 {
                assert!(unseen <= self.skip, "strace cut off a frame's head");
                self.skip -= std::mem::take(&mut unseen);
                return;
            }
            if bytes.is_empty() {
                assert!(unseen == 0, "strace cut off a frame's head");
                return;
            }
            if self.pending.is_empty() {
                self.begun = begun;
            }
            let head = (8 - self.pending.len()).min(bytes.len());
            self.pending.extend_from_slice(&bytes[..head]);
            bytes = &bytes[head..];
            if self.pending.len() == 8 {
                let mut head = Answer(&self.pending);
                self.skip = head.int() as usize - 4;
                sent.insert(head.int(), self.begun);
                self.pending.clear();
            }
        }
    }
}

impl Call {
    /// What it returned, unless it failed or never did.
    fn result(&self) -> Option<&str> {
        let result = self.text.rsplit_once(" = ")?.1.trim();
        (!result.starts_with('-') && !result.starts_with('?')).then_some(result)
    }

    /// The position of a positional write: the fourth of its arguments.
    fn position(&self) -> Option<u64> {
        let arguments = self.text.rsplit_once(") = ")?.0;
        let mut words = arguments.rsplit(", ");
        match self.name.as_str() {
            "pwrite64" | "pwritev" => words.next()?.parse().ok(),
            "pwritev2" => words.nth(1)?.parse().ok(),
            _ => None,
        }
    }
}

/// The calls of a trace in the order of their entries, those in two parts joined.
fn calls(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for (line, content) in text.lines().enumerate() {
        let Some((thread, rest)) = content.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let tail = resumed.split_once(" resumed>").expect("a resumed call says so").1;
            if let Some(index) = open.remove(thread) {
                calls[index].text.push_str(tail);
                calls[index].ended = line;
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let unfinished = arguments.strip_suffix("<unfinished ...>");
            if unfinished.is_some() {
                open.insert(thread, calls.len());
            }
            let text = unfinished.unwrap_or(arguments).to_owned();
            calls.push(Call {
                name: name.to_owned(),
                text,
                begun: line,
                ended: line,
            });
        }
    }
    calls
}

/// What `strace -y` says in angle brackets behind the first descriptor of `text`.
fn described(text: &str) -> Option<&str> {
    let (number, rest) = text.split_once('<')?;
    let is_descriptor =
        !number.is_empty() && (number == "AT_FDCWD" || number.bytes().all(|byte| byte.is_ascii_digit()));
    is_descriptor.then(|| rest.split('>').next()).flatten()
}

/// The quoted strings of a call, escapes resolved.
fn strings(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut bytes = text.bytes();
    while bytes.by_ref().any(|byte| byte == b'"') {
        let mut string = Vec::new();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => string.push(escape(&mut bytes)),
                plain => string.push(plain),
            }
        }
        found.push(string);
    }
    found
}

fn escape(bytes: &mut std::str::Bytes<'_>) -> u8 {
    match bytes.next().expect("an escape goes on") {
        b'x' => {
            let mut digit = || {
                (bytes.next().expect("two digits") as char)
                    .to_digit(16)
                    .expect("a digit") as u8
            };
            digit() << 4 | digit()
        }
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0b,
        b'f' => 0x0c,
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "/d/t-0.x/00000000000000000000.log";

    fn append(correlation: i32, base_offset: i64, length: u64) -> Append {
        Append {
            correlation,
            folder: PathBuf::from("/d/t-0.x"),
            base_offset,
            length,
        }
    }

    /// The answer to request 7, as it leaves.
    const ANSWER: &str = "9  writev(5<socket:[1]>, [{iov_base=\"\\x00\\x00\\x00\\x06\\x00\\x00\\x00\\x07\", iov_len=8}, {iov_base=\"ok\", iov_len=2}], 2) = 10";

    fn early(lines: &[&str]) -> Vec<Early> {
        let trace = Trace::read(&lines.join("\n").replace("SEGMENT", SEGMENT));
        trace
            .too_early(&[append(7, 0, 100)])
            .into_iter()
            .map(|(_, early)| early)
            .collect()
    }

    const WRITE: &str = "8  pwritev2(4<SEGMENT>, [{iov_base=\"a, b) = 1\", iov_len=100}], 1, 0, 0) = 100";
    const SYNC: &str = "8  fdatasync(4<SEGMENT>) = 0";

    #[test]
    fn a_sync_between_write_and_answer_is_demanded() {
        assert_eq!(early(&[WRITE, SYNC, ANSWER]), []);
        assert_eq!(early(&[WRITE, "8  syncfs(4</d>) = 0", ANSWER]), []);
        assert_eq!(early(&[WRITE, ANSWER, SYNC]), [Early::Bytes]);
        assert_eq!(early(&[SYNC, WRITE, ANSWER]), [Early::Bytes]);
        assert_eq!(
            early(&[WRITE, "8  fdatasync(4</d/other.log>) = 0", ANSWER]),
            [Early::Bytes]
        );
        assert_eq!(
            early(&[WRITE, "8  fdatasync(4<SEGMENT>) = -1 EIO (Input/output error)", ANSWER]),
            [Early::Bytes]
        );
        let half = "8  pwritev2(4<SEGMENT>, [{iov_base=\"a\", iov_len=100}], 1, 0, 0) = 50";
        assert_eq!(early(&[half, SYNC, ANSWER]), [Early::Bytes]);
    }

    #[test]
    fn calls_in_two_parts_count_from_where_they_began_and_returned() {
        let (begun, ended) = (
            "8  fdatasync(4<SEGMENT> <unfinished ...>",
            "8  <... fdatasync resumed>) = 0",
        );
        assert_eq!(early(&[WRITE, begun, ended, ANSWER]), []);
        assert_eq!(early(&[WRITE, begun, ANSWER, ended]), [Early::Bytes]);
        let write = "7  pwrite64(4<SEGMENT>, \"abc\"..., 100, 0 <unfinished ...>";
        assert_eq!(
            early(&[write, begun, "7  <... pwrite64 resumed>) = 100", ended, ANSWER]),
            [Early::Bytes]
        );
        assert_eq!(
            early(&[write, "7  <... pwrite64 resumed>) = 100", begun, ended, ANSWER]),
            []
        );
    }

    #[test]
    fn new_names_are_synced_too() {
        let create = "8  openat(AT_FDCWD</d>, \"x\", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 4<SEGMENT>";
        assert_eq!(early(&[create, WRITE, SYNC, ANSWER]), [Early::SegmentName]);
        assert_eq!(early(&[create, "8  fsync(6</d/t-0.x>) = 0", WRITE, SYNC, ANSWER]), []);
        assert_eq!(
            early(&["8  fsync(6</d/t-0.x>) = 0", create, WRITE, SYNC, ANSWER]),
            [Early::SegmentName]
        );
        let folder = "8  mkdir(\"/d/t-0.x\", 0755) = 0";
        assert_eq!(early(&[folder, WRITE, SYNC, ANSWER]), [Early::FolderName]);
        assert_eq!(early(&[folder, WRITE, SYNC, "8  fsync(6</d>) = 0", ANSWER]), []);
    }

    #[test]
    fn names_that_the_trace_did_not_see_appear_are_told() {
        let folder = "8  mkdir(\"/d/t-0.x\", 0755) = 0";
        let trace = Trace::read(&[folder, WRITE, SYNC, ANSWER].join("\n").replace("SEGMENT", SEGMENT));
        assert_eq!(
            trace.unmade(&[append(7, 0, 100)]),
            BTreeSet::from([PathBuf::from(SEGMENT)])
        );
    }

    #[test]
    fn the_second_batch_is_looked_for_behind_the_first() {
        let second = "8  pwritev2(4<SEGMENT>, [{iov_base=\"b\", iov_len=60}], 1, 100, 0) = 60";
        let answers = "9  sendto(5<socket:[1]>, \"\\x00\\x00\\x00\\x04\\x00\\x00\\x00\\x07\\x00\\x00\\x00\\x04\\x00\\x00\", 14, 0, NULL, 0) = 14\n9  sendto(5<socket:[1]>, \"\\x00\\x08\", 2, 0, NULL, 0) = 2";
        let appends = [append(8, 5, 60), append(7, 0, 100)];
        let read = |lines: &[&str]| Trace::read(&lines.join("\n").replace("SEGMENT", SEGMENT)).too_early(&appends);
        assert_eq!(read(&[WRITE, second, SYNC, answers]), []);
        assert_eq!(read(&[WRITE, SYNC, second, answers]), [(8, Early::Bytes)]);
    }
}
