//! `klamm consume`: records become lines.
//!
//! Invariant: a record is printed once, in the order of its partition.

use crate::BootstrapArgs;
use crate::client::{ClientError, Cluster, Fetched, Fetcher, MAX_BATCH_BYTES, PartitionLeader};
use crate::clock::now;
use crate::failure::{Failure, Outcome, tell};
use crate::json;
use clap::{Args, ValueEnum};
use klamm_core::record::Record;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The most a response brings, in bytes.
const FETCH_BYTES: i32 = 8 << 20;
/// How long a broker waits for news, in milliseconds.
const WAIT_MS: i32 = 1000;
/// How long to wait before a leader is looked up anew.
const PAUSE: Duration = Duration::from_millis(250);
/// Kafka's special times for `ListOffsets`.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// How to read records.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    /// The topic
    topic: String,
    /// Where to begin: beginning, end, an offset, -N for the last N records of each partition, or @MILLISECONDS for a
    /// time since 1970
    #[arg(short = 'o', long, default_value = "beginning", value_parser = start, allow_hyphen_values = true)]
    from: Start,
    /// The partition to read; by default all of them
    #[arg(short, long)]
    partition: Option<i32>,
    /// End after this many records
    #[arg(short, long)]
    count: Option<u64>,
    /// End at the end, as it is at the start of the command
    #[arg(short, long)]
    exit: bool,
    /// What a record is printed as
    #[arg(short, long, value_enum, default_value_t = Format::Value)]
    format: Format,
    /// What stands between key and value with --format key-value
    #[arg(short, long, default_value = "\t")]
    key_separator: String,
    /// Do not end a record with a line break
    #[arg(long)]
    no_newline: bool,
    #[command(flatten)]
    bootstrap: BootstrapArgs,
}

/// What a record is printed as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// The value alone
    Value,
    /// Key, separator, value
    KeyValue,
    /// Everything, as a JSON object a line; bytes that are not UTF-8 are replaced
    Json,
}

/// Where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Beginning,
    End,
    Offset(i64),
    Last(i64),
    Time(i64),
}

fn start(text: &str) -> Result<Start, String> {
    let number = |text: &str| text.parse::<i64>().ok().filter(|&number| number >= 0);
    let start = match text {
        "beginning" => Some(Start::Beginning),
        "end" => Some(Start::End),
        _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
            (Some(time), _) => number(time).map(Start::Time),
            (None, Some(last)) => number(last).map(Start::Last),
            (None, None) => number(text).map(Start::Offset),
        },
    };
    start.ok_or_else(|| "write beginning, end, an offset, -N or @MILLISECONDS".to_owned())
}

/// Where a partition is read from, and where reading ends if it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    at: PartitionLeader,
    from: i64,
    until: Option<i64>,
}

/// Runs `klamm consume`.
pub(crate) async fn run(args: ConsumeArgs) -> Outcome {
    let mut cluster = args.bootstrap.cluster();
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut ends = BTreeMap::new();
    let (sender, mut receiver) = mpsc::channel(4);
    for (broker, spans) in spans(&mut cluster, &args).await? {
        ends.extend(spans.iter().filter_map(|span| Some((span.at.partition, span.until?))));
        let positions = spans.iter().map(|span| (span.at.partition, span.from)).collect();
        let reader = Reader {
            bootstrap: args.bootstrap.clone(),
            topic: args.topic.clone(),
            broker,
            positions,
            gives_up: args.exit,
        };
        tokio::spawn(reader.run(sender.clone()));
    }
    drop(sender);
    let mut printer = Printer::new(&args);
    while left > 0 && !(args.exit && ends.is_empty()) {
        let Some(news) = receiver.recv().await else { break };
        for fetched in news? {
            let until = ends.get(&fetched.partition).copied();
            if until.is_none() && args.exit {
                continue;
            }
            let reached = printer.print(&fetched, until, &mut left)?;
            if until.is_some_and(|until| reached >= until) {
                ends.remove(&fetched.partition);
            }
        }
        printer.out.flush().map_err(|error| Failure::printing(&error))?;
    }
    Ok(())
}

/// What to read, by the broker that leads it.
async fn spans(cluster: &mut Cluster, args: &ConsumeArgs) -> Result<BTreeMap<i32, Vec<Span>>, Failure> {
    let mut leaders = cluster.leaders(&args.topic, false).await?;
    leaders.retain(|leader| args.partition.is_none_or(|wanted| leader.partition == wanted));
    if leaders.is_empty() {
        return Err(Failure::new(format!("topic {} has no such partition", args.topic)));
    }
    let mut spans: BTreeMap<i32, Vec<Span>> = BTreeMap::new();
    let firsts = cluster.offsets_at(&args.topic, &leaders, EARLIEST).await?;
    let ends = cluster.offsets_at(&args.topic, &leaders, LATEST).await?;
    let times = match args.from {
        Start::Time(time) => cluster.offsets_at(&args.topic, &leaders, time).await?,
        _ => BTreeMap::new(),
    };
    let of = |offsets: &BTreeMap<i32, Option<i64>>, at: PartitionLeader| offsets.get(&at.partition).copied().flatten();
    for at in leaders {
        let first = of(&firsts, at).unwrap_or(0);
        let end = of(&ends, at).unwrap_or(first);
        let from = match args.from {
            Start::Beginning => first,
            Start::End => end,
            Start::Offset(offset) if offset > end => {
                let text = format!(
                    "--from {offset}: partition {} of {} holds offsets {first} up to {end}",
                    at.partition, args.topic
                );
                return Err(Failure::new(text));
            }
            Start::Offset(offset) => offset.max(first),
            Start::Last(count) => end.saturating_sub(count).max(first),
            Start::Time(_) => of(&times, at).unwrap_or(end),
        };
        let until = args.exit.then_some(end);
        if until.is_none_or(|until| from < until) {
            spans.entry(at.leader).or_default().push(Span { at, from, until });
        }
    }
    Ok(spans)
}

/// Reads what one broker leads.
struct Reader {
    bootstrap: BootstrapArgs,
    topic: String,
    broker: i32,
    positions: Vec<(i32, i64)>,
    /// Whether it ends where nothing is to be had for as long as a broker may be silent.
    gives_up: bool,
}

type News = Result<Vec<Fetched>, Failure>;

impl Reader {
    /// Reads until nobody listens any more. A lost connection or a moved leader is looked up anew.
    async fn run(mut self, sender: mpsc::Sender<News>) {
        let mut failing: Option<Instant> = None;
        loop {
            let before = self.positions.clone();
            match self.read(&sender).await {
                Ok(()) => return,
                Err(error) if error.is_retriable() || error.is_silence() => {
                    let since = failing.filter(|_| self.positions == before);
                    failing = Some(since.unwrap_or_else(now));
                    let patience = self.bootstrap.timeout;
                    match since {
                        None => tell(format_args!(
                            "klamm: {error}; trying again until broker {} answers",
                            self.broker
                        )),
                        Some(since) if self.gives_up && now() - since >= patience => {
                            let text = format!("{error}; given up before the end, after {patience:?} without a record");
                            // If nobody listens any more, nobody wants to know.
                            let _ = sender.send(Err(Failure::new(text))).await;
                            return;
                        }
                        Some(_) => {}
                    }
                    tokio::time::sleep(PAUSE).await;
                    self.follow().await;
                }
                Err(error) => {
                    // If nobody listens any more, nobody wants to know.
                    let _ = sender.send(Err(error.into())).await;
                    return;
                }
            }
        }
    }

    async fn read(&mut self, sender: &mpsc::Sender<News>) -> Result<(), ClientError> {
        let mut cluster = self.bootstrap.cluster();
        cluster.metadata(Some(&[&self.topic]), false).await?;
        let connection = cluster.open(self.broker).await?;
        let mut fetcher = Fetcher::new(connection, &self.topic, self.positions.clone(), FETCH_BYTES, WAIT_MS);
        loop {
            let news = fetcher.fetch().await?;
            if sender.send(Ok(news)).await.is_err() {
                return Ok(());
            }
            self.positions = fetcher.positions().to_vec();
        }
    }

    /// Looks up who leads now. Partitions that moved apart are still read from one broker, which then refuses them: the
    /// first partition's leader is followed.
    async fn follow(&mut self) {
        let mut cluster = self.bootstrap.cluster();
        let Ok(leaders) = cluster.leaders(&self.topic, false).await else {
            return;
        };
        let first = self.positions.first().map(|(partition, _)| *partition);
        if let Some(leader) = leaders.iter().find(|leader| Some(leader.partition) == first) {
            self.broker = leader.leader;
        }
    }
}

/// Prints records.
struct Printer<W> {
    out: W,
    topic: String,
    format: Format,
    separator: String,
    newline: &'static str,
}

impl Printer<BufWriter<io::Stdout>> {
    fn new(args: &ConsumeArgs) -> Self {
        Self {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            topic: args.topic.clone(),
            format: args.format,
            separator: args.key_separator.clone(),
            newline: if args.no_newline { "" } else { "\n" },
        }
    }
}

impl<W: Write> Printer<W> {
    /// Prints what is wanted of a partition, at most `left` records, and returns the offset after the last.
    fn print(&mut self, fetched: &Fetched, until: Option<i64>, left: &mut u64) -> Result<i64, Failure> {
        let mut reached = fetched.from;
        let name = format!("{}-{}", self.topic, fetched.partition);
        let broken = |error| Failure::new(format!("{name}: {error}"));
        for batch in &fetched.batches {
            let header = batch.header();
            let wanted = header.next_offset().0;
            if header.is_control() {
                reached = reached.max(wanted);
                continue;
            }
            batch.check_crc().map_err(broken)?;
            let opened = batch.open(MAX_BATCH_BYTES).map_err(broken)?;
            for record in opened.records() {
                let record = record.map_err(broken)?;
                let offset = opened.offset(&record).0;
                if offset < fetched.from || until.is_some_and(|until| offset >= until) || *left == 0 {
                    continue;
                }
                print_record(self, fetched.partition, offset, opened.timestamp(&record).0, &record)
                    .map_err(|error| Failure::printing(&error))?;
                *left -= 1;
            }
            reached = reached.max(wanted);
        }
        Ok(reached)
    }
}

fn print_record<W: Write>(
    printer: &mut Printer<W>,
    partition: i32,
    offset: i64,
    timestamp: i64,
    record: &Record<'_>,
) -> io::Result<()> {
    let out = &mut printer.out;
    match printer.format {
        Format::Value => out.write_all(record.value.unwrap_or_default())?,
        Format::KeyValue => {
            out.write_all(record.key.unwrap_or_default())?;
            out.write_all(printer.separator.as_bytes())?;
            out.write_all(record.value.unwrap_or_default())?;
        }
        Format::Json => {
            let bytes = |bytes: Option<&[u8]>| {
                bytes.map_or("null".to_owned(), |bytes| json::string(&String::from_utf8_lossy(bytes)))
            };
            let header = |(name, value): (&[u8], Option<&[u8]>)| format!("[{},{}]", bytes(Some(name)), bytes(value));
            let headers: Vec<String> = record.headers.clone().map(header).collect();
            let object = json::object(&[
                ("topic", json::string(&printer.topic)),
                ("partition", partition.to_string()),
                ("offset", offset.to_string()),
                ("timestamp", timestamp.to_string()),
                ("key", bytes(record.key)),
                ("value", bytes(record.value)),
                ("headers", format!("[{}]", headers.join(","))),
            ]);
            out.write_all(object.as_bytes())?;
        }
    }
    out.write_all(printer.newline.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use klamm_core::record::{BatchBuilder, Compression, Level, Producer};
    use klamm_core::types::Timestamp;

    fn fetched(from: i64) -> Fetched {
        let mut builder = BatchBuilder::new(Compression::Gzip, Level::Default, Producer::Plain);
        builder.append(Timestamp(5), Some(b"k"), Some(b"a"), &[("h", Some(b"1")), ("h", None)]);
        builder.append(Timestamp(6), None, Some(b"b"), &[]);
        builder.append(Timestamp(7), None, None, &[]);
        Fetched {
            partition: 2,
            from,
            batches: vec![builder.build().unwrap()],
            high_watermark: 3,
        }
    }

    fn printed(format: Format, fetched: &Fetched, until: Option<i64>, left: &mut u64) -> (String, i64) {
        let mut printer = Printer {
            out: Vec::new(),
            topic: "t".to_owned(),
            format,
            separator: ":".to_owned(),
            newline: "\n",
        };
        let reached = printer.print(fetched, until, left).unwrap();
        (String::from_utf8(printer.out).unwrap(), reached)
    }

    #[test]
    fn each_format_shows_what_it_says() {
        assert_eq!(
            printed(Format::Value, &fetched(0), None, &mut 9),
            ("a\nb\n\n".to_owned(), 3)
        );
        assert_eq!(printed(Format::KeyValue, &fetched(0), None, &mut 1).0, "k:a\n");
        assert_eq!(
            printed(Format::Json, &fetched(0), None, &mut 1).0,
            "{\"topic\":\"t\",\"partition\":2,\"offset\":0,\"timestamp\":5,\"key\":\"k\",\"value\":\"a\",\
             \"headers\":[[\"h\",\"1\"],[\"h\",null]]}\n"
        );
    }

    #[test]
    fn only_what_is_wanted_is_printed() {
        let mut left = 9;
        assert_eq!(
            printed(Format::Value, &fetched(1), Some(2), &mut left),
            ("b\n".to_owned(), 3)
        );
        assert_eq!(left, 8);
    }

    #[test]
    fn a_start_is_read() {
        assert_eq!(start("beginning"), Ok(Start::Beginning));
        assert_eq!(start("12"), Ok(Start::Offset(12)));
        assert_eq!(start("-3"), Ok(Start::Last(3)));
        assert_eq!(start("@1700000000000"), Ok(Start::Time(1_700_000_000_000)));
        assert!(start("@-1").is_err() && start("--1").is_err() && start("soon").is_err());
    }
}
