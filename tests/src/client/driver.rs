//! A client library's process: a request a line in, an answer a line out.

use super::actor::{Endpoint, Refusal};
use super::{Client, Scratch};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than any driver waits for its broker: an answer that has not come by then will not come.
const PATIENCE: Duration = Duration::from_mins(10);

/// A driver at work; killed when dropped, as a client that crashes.
pub(super) struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<Value>,
    errors: Scratch,
}

impl Driver {
    /// Starts the driver of `client` and waits until it is ready.
    pub(super) fn start(client: Client, bootstrap: &str) -> Self {
        let errors = Scratch::new("errors");
        let sink = fs::File::create(errors.path()).expect("a file for errors");
        let mut command = client.command();
        command.arg(bootstrap).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(sink).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{}: {error}; run ci/install", command.get_program().display()));
        let output = BufReader::new(child.stdout.take().expect("the output is piped"));
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for answer in lines.map_while(|line| serde_json::from_str(&line).ok()) {
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut driver = Self {
            child,
            input,
            answers,
            errors,
        };
        let ready = driver.next_answer();
        assert!(ready["ready"].is_string(), "{}: {ready}", client.name());
        driver
    }

    fn next_answer(&mut self) -> Value {
        self.answers.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let told = fs::read_to_string(self.errors.path()).unwrap_or_default();
            panic!("the driver gave no answer ({error}); it wrote\n{told:.4000}")
        })
    }
}

impl Endpoint for Driver {
    fn call(&mut self, request: &Value) -> Result<Value, Refusal> {
        let line = format!("{request}\n");
        let input = self.input.as_mut().expect("the driver has an input until it ends");
        // A driver that ended says why below.
        let _ = input.write_all(line.as_bytes()).and_then(|()| input.flush());
        let mut answer = self.next_answer();
        match answer.get_mut("ok") {
            Some(told) => Ok(told.take()),
            None => Err(Refusal {
                text: answer["error"].as_str().unwrap_or_default().to_owned(),
                code: answer["code"].as_i64(),
            }),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
