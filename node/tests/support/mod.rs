//! A broker in a process of its own, and the commands that talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A running `klamm serve`, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    /// Where clients connect.
    pub(crate) address: String,
    /// Where it listens.
    pub(crate) listening: String,
    /// Where metrics are.
    pub(crate) metrics: String,
    said: Arc<Mutex<String>>,
}

impl Broker {
    /// Starts a broker on free ports and waits until it accepts clients.
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_klamm")), data, more)
    }

    /// The same, by a command that runs the binary with the arguments it gets, in its own process.
    pub(crate) fn start_as(mut command: Command, data: &Path, more: &[&str]) -> Self {
        let mut child = command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--metrics",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--data",
            ])
            .arg(data)
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let said = Arc::new(Mutex::new(String::new()));
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let ready = loop {
            let Some(Ok(line)) = lines.next() else {
                let said = said.lock().expect("nobody panicked").clone();
                panic!("the broker ended before it was ready: {said}");
            };
            keep(&said, &line);
            if line.contains("\"message\":\"ready\"") {
                break line;
            }
        };
        let rest = Arc::clone(&said);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| keep(&rest, &line)));
        let metrics = field(&ready, "metrics")
            .trim_start_matches("http://")
            .trim_end_matches("/metrics")
            .to_owned();
        Self {
            child,
            address: field(&ready, "advertised").to_owned(),
            listening: field(&ready, "listening").to_owned(),
            metrics,
            said,
        }
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is our child")
    }

    /// What the broker said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("nobody panicked").clone()
    }

    /// Runs a client command with this input; it must succeed. Returns what it printed.
    pub(crate) fn run(&self, line: &[&str], input: &str) -> String {
        let output = self.output(line, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line:?}: {said}; the broker: {}", self.said());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs a client command that must fail and print nothing. Returns what it said on standard error.
    pub(crate) fn refusal(&self, line: &[&str]) -> String {
        let (printed, said) = self.failure(line);
        assert_eq!(printed, "", "{line:?}: {said}");
        said
    }

    /// Runs a client command that must fail. Returns what it printed, and what it said on standard error.
    pub(crate) fn failure(&self, line: &[&str]) -> (String, String) {
        let output = self.output(line, "");
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(output.stdout), text(output.stderr))
    }

    /// Runs a client command with this input.
    pub(crate) fn output(&self, line: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_klamm"))
            .args(line)
            .args(["--bootstrap", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        // A command that reads no input closes it.
        let _ = writer.join().expect("the writer ends");
        output
    }

    /// Asks the metrics' address: the status line and the body.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.metrics).expect("metrics are served");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: klamm\r\n\r\n").expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }
}

impl Broker {
    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        let mut values = page.lines().filter_map(|line| line.split_once(' '));
        let value = values.find(|(found, _)| *found == name).map(|(_, value)| value.parse());
        value.expect("it is there").expect("a number")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(said: &Mutex<String>, line: &str) {
    let mut said = said.lock().expect("nobody panicked");
    said.push_str(line);
    said.push('\n');
}

/// A text field of a flat JSON object.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line
        .find(&format!("\"{name}\":\""))
        .unwrap_or_else(|| panic!("no {name} in {line}"));
    let value = &line[start + name.len() + 4..];
    &value[..value.find('"').expect("the text ends")]
}
