//! Kafka's own codec: a Java process that is asked line by line (`tests/oracle`).

use serde_json::Value as Json;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where `tests/oracle/install` puts what it makes. Panics with what to do when it has not been run.
pub fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(target)
        .join("clients/oracle");
    assert!(
        directory.join("stamp").exists(),
        "Kafka's codec is not installed in {}: run tests/oracle/install",
        directory.display()
    );
    directory
}

/// The running process. It ends when its input does.
#[derive(Debug)]
pub struct Oracle {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self::start()
    }
}

impl Oracle {
    /// Starts the process.
    pub fn start() -> Self {
        let directory = directory();
        let classes = format!("{0}/classes:{0}/jars/*", directory.display());
        let mut process = Command::new("java")
            .args([
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                &classes,
                "klamm.Oracle",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java starts; Debian has it in openjdk-17-jdk-headless");
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its output is piped"));
        Self {
            process,
            questions,
            answers,
        }
    }

    /// The message that `bytes` are, written back and as JSON.
    pub fn bytes(&mut self, name: &str, version: i16, bytes: &[u8]) -> Result<(Vec<u8>, Json), String> {
        let answer = self.ask(&format!("bytes {name} {version} {}\n", to_hex(bytes)))?;
        let (hex, json) = answer.split_once(' ').expect("two words");
        Ok((
            from_hex(hex),
            serde_json::from_str(json).expect("the oracle writes JSON"),
        ))
    }

    /// The bytes of the message with the values of `json`.
    pub fn json(&mut self, name: &str, version: i16, json: &Json) -> Result<Vec<u8>, String> {
        Ok(from_hex(&self.ask(&format!("json {name} {version} {json}\n"))?))
    }

    fn ask(&mut self, question: &str) -> Result<String, String> {
        let questions = self.questions.as_mut().expect("open until dropped");
        questions.write_all(question.as_bytes()).expect("the oracle listens");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the oracle answers in UTF-8");
        assert!(answer.ends_with('\n'), "the oracle died");
        answer.pop();
        if answer.starts_with("error") {
            Err(answer)
        } else {
            Ok(answer)
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.questions.take());
        let _ = self.process.wait();
    }
}

fn to_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    hex
}

fn from_hex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("the oracle writes hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}
