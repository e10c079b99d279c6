//! `klamm produce`: lines become records.
//!
//! Invariant: what was reported as sent was acknowledged; on an error the command ends with the count of what was.

use crate::BootstrapArgs;
use crate::client::{Acks, Message, Producer, ProducerOptions};
use crate::clock::wall_millis;
use crate::failure::{Failure, Outcome, tell};
use clap::{Args, ValueEnum};
use klamm_core::record::Compression;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// Bytes of records after which a request is sent.
const REQUEST_BYTES: usize = 256 << 10;
/// Lines that are read ahead.
const READ_AHEAD: usize = 4096;
/// The longest line, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// How to write records.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    /// The topic; created if the broker creates topics by itself
    topic: String,
    /// Files to send, each as one record; without any, the lines of standard input
    files: Vec<PathBuf>,
    /// What stands between key and value in a line; without it a line is a value
    #[arg(short, long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// The key of every record
    #[arg(long, conflicts_with = "key_separator")]
    key: Option<String>,
    /// A header of every record, as name=value; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The partition to write to; by default the key decides
    #[arg(short, long)]
    partition: Option<i32>,
    /// How batches are compressed
    #[arg(short = 'z', long, value_enum, default_value_t = Codec::None)]
    compression: Codec,
    /// What the broker waits for before it answers
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// Do not ask for a producer id; a batch that is sent again may then be there twice
    #[arg(long)]
    no_idempotence: bool,
    /// Say nothing at the end
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    bootstrap: BootstrapArgs,
}

/// How batches are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Codec {
    /// Not at all
    None,
    /// gzip
    Gzip,
    /// Snappy
    Snappy,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// What the broker waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum AcksArg {
    /// All in-sync replicas
    All,
    /// The leader
    #[value(name = "1")]
    Leader,
    /// Nothing; the broker does not answer
    #[value(name = "0")]
    None,
}

impl From<AcksArg> for Acks {
    fn from(acks: AcksArg) -> Self {
        match acks {
            AcksArg::All => Self::All,
            AcksArg::Leader => Self::Leader,
            AcksArg::None => Self::None,
        }
    }
}

/// Runs `klamm produce`.
pub(crate) async fn run(args: ProduceArgs) -> Outcome {
    let template = Template::new(&args)?;
    let acks = Acks::from(args.acks);
    let options = ProducerOptions {
        acks,
        compression: args.compression.into(),
        idempotent: acks == Acks::All && !args.no_idempotence,
    };
    let mut cluster = args.bootstrap.cluster();
    let mut producer = Producer::start(&mut cluster, &args.topic, args.partition, options).await?;
    let mut input = read_ahead(args.files, template);
    let mut sent = 0_usize;
    while let Some(first) = input.recv().await {
        let mut messages = vec![first?];
        let mut bytes = size(&messages[0]);
        while bytes < REQUEST_BYTES
            && let Ok(next) = input.try_recv()
        {
            let next = next?;
            bytes += size(&next);
            messages.push(next);
        }
        let count = messages.len();
        producer
            .send(&mut cluster, &messages, args.partition, wall_millis())
            .await
            .map_err(|error| {
                Failure::new(format!(
                    "{error}; {sent} records were acknowledged, the next {count} may or may not be there"
                ))
            })?;
        sent += count;
    }
    if !args.quiet {
        tell(format_args!("{sent} records"));
    }
    Ok(())
}

fn size(message: &Message) -> usize {
    message.key.as_ref().map_or(0, Vec::len) + message.value.as_ref().map_or(0, Vec::len) + 16
}

/// How a line or a file becomes a record.
#[derive(Debug)]
struct Template {
    separator: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Template {
    fn new(args: &ProduceArgs) -> Result<Self, Failure> {
        let header = |text: &String| {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("'{text}' is not of the form name=value")))?;
            Ok((name.to_owned(), value.as_bytes().to_vec()))
        };
        if args.key_separator.as_ref().is_some_and(String::is_empty) {
            return Err(Failure::new("--key-separator needs at least one character"));
        }
        Ok(Self {
            separator: args
                .key_separator
                .as_ref()
                .map(|separator| separator.as_bytes().to_vec()),
            key: args.key.as_ref().map(|key| key.as_bytes().to_vec()),
            headers: args.headers.iter().map(header).collect::<Result<_, Failure>>()?,
        })
    }

    fn message(&self, content: Vec<u8>) -> Message {
        let split = self.separator.as_ref().and_then(|separator| {
            let at = content
                .windows(separator.len())
                .position(|window| window == separator)?;
            Some((content[..at].to_vec(), content[at + separator.len()..].to_vec()))
        });
        let (key, value) = match split {
            Some((key, value)) => (Some(key), value),
            None => (self.key.clone(), content),
        };
        Message {
            key,
            value: Some(value),
            headers: self.headers.clone(),
        }
    }
}

/// Reads the input on a thread of its own, because standard input cannot be waited for otherwise.
fn read_ahead(files: Vec<PathBuf>, template: Template) -> mpsc::Receiver<Result<Message, Failure>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let send = |content: Result<Vec<u8>, Failure>| {
            sender
                .blocking_send(content.map(|content| template.message(content)))
                .is_ok()
        };
        if files.is_empty() {
            let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
            while let Some(line) = read_line(&mut input) {
                if !send(line) {
                    break;
                }
            }
        }
        for path in files {
            let content = std::fs::read(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())));
            if !send(content) {
                break;
            }
        }
    });
    receiver
}

/// The next line without its end; `None` after the last.
fn read_line(input: &mut impl BufRead) -> Option<Result<Vec<u8>, Failure>> {
    let mut line = Vec::new();
    match io::Read::take(&mut *input, MAX_LINE).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE => {
            Some(Err(Failure::new(format!("a line is longer than {MAX_LINE} bytes"))))
        }
        Ok(_) => {
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            Some(Ok(line))
        }
        Err(error) => Some(Err(Failure::new(format!("standard input: {error}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(separator: Option<&str>) -> Template {
        Template {
            separator: separator.map(|text| text.as_bytes().to_vec()),
            key: None,
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        let message = template(Some("::")).message(b"k::v::w".to_vec());
        assert_eq!(
            (message.key.as_deref(), message.value.as_deref()),
            (Some(&b"k"[..]), Some(&b"v::w"[..]))
        );
        let message = template(Some("::")).message(b"k:v".to_vec());
        assert_eq!((message.key, message.value.as_deref()), (None, Some(&b"k:v"[..])));
        let message = template(None).message(b"a:b".to_vec());
        assert_eq!((message.key, message.value.as_deref()), (None, Some(&b"a:b"[..])));
    }

    #[test]
    fn lines_lose_their_end_and_nothing_else() {
        let mut input: &[u8] = b"one\r\n\n two \nthree";
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| read_line(&mut input))
            .map(|line| line.unwrap())
            .collect();
        assert_eq!(
            lines,
            [b"one".to_vec(), Vec::new(), b" two ".to_vec(), b"three".to_vec()]
        );
    }
}
