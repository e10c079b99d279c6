//! What becomes of a broker whose log lines nobody takes.

use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker whose standard error is `log`.
struct Broker {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Broker {
    fn start(log: Stdio) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_klamm")), log)
    }

    fn start_as(mut command: Command, log: Stdio) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let data = tempfile::tempdir().expect("a directory");
        let child = command
            .args(["serve", "--metrics", "off", "--listen", &address, "--data"])
            .arg(data.path())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        Self {
            child,
            address,
            _data: data,
        }
    }

    /// Sends an `ApiVersions` request and waits for its answer, as soon as the broker listens.
    fn answers(&mut self) {
        let mut stream = loop {
            assert_eq!(self.child.try_wait().expect("it is our child"), None, "it runs");
            match TcpStream::connect(&self.address) {
                Ok(stream) => break stream,
                Err(_) => std::thread::yield_now(),
            }
        };
        let header = [0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
        let mut frame = vec![0, 0, 0, 10];
        frame.extend(header);
        stream.write_all(&frame).expect("it is sent");
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[4..], [0, 0, 0, 7], "the answer to this request");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Asks it to stop: it says so in its log, or tries to.
    fn stops(mut self) {
        self.signal("-TERM");
        let status = self.child.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe that holds no byte more.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).expect("a pipe");
    let mut file = File::from(writer);
    while file.write(&[b'-'; 512]).is_ok() {}
    let writer = OwnedFd::from(file);
    rustix::io::ioctl_fionbio(&writer, false).expect("it blocks again");
    (reader, writer)
}

/// The exit code of a process that ends; one that never does is killed after minutes.
fn ended(child: &mut Child) -> Option<i32> {
    for _ in 0..1200 {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().expect("it runs");
    panic!("it does not end");
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let (reader, writer) = pipe_with(PipeFlags::empty()).expect("a pipe");
    drop(reader);
    let mut broker = Broker::start(writer.into());
    broker.answers();
    broker.stops();
}

#[test]
fn a_log_whose_reader_has_stalled_holds_nobody_up() {
    let (_reader, writer) = full_pipe();
    let mut broker = Broker::start(writer.into());
    broker.answers();
    broker.stops();
}

#[test]
fn a_start_that_is_refused_ends_though_nobody_takes_the_reason() {
    let data = tempfile::tempdir().expect("a directory");
    let file = data.path().join("file");
    std::fs::write(&file, b"").expect("it is writable");
    let (_reader, writer) = full_pipe();
    let mut refused = Command::new(env!("CARGO_BIN_EXE_klamm"))
        .args(["serve", "--metrics", "off", "--listen", "127.0.0.1:0", "--data"])
        .arg(&file)
        .stderr(writer)
        .spawn()
        .expect("the binary runs");
    assert_eq!(ended(&mut refused), Some(1));
}

#[test]
fn a_second_signal_ends_it_at_once_though_nobody_takes_its_last_words() {
    let (_reader, writer) = full_pipe();
    let mut broker = Broker::start(writer.into());
    broker.answers();
    let topic = ["bench", "produce", "--json", "--total", "60MB", "--batch-size", "1MB"];
    let filled = Command::new(env!("CARGO_BIN_EXE_klamm"))
        .args(topic)
        .args(["--bootstrap", &broker.address])
        .output()
        .expect("the binary runs");
    assert!(filled.status.success(), "{filled:?}");
    // It asks for all of that and takes nothing, so a stop waits for it.
    let mut reader = TcpStream::connect(&broker.address).expect("it listens");
    reader.write_all(&fetch_all("bench")).expect("it is sent");
    reader.peek(&mut [0]).expect("an answer comes");
    let pid = broker.child.id().to_string();
    while broker.child.try_wait().expect("it is our child").is_none() {
        // It may have ended meanwhile.
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(ended(&mut broker.child), Some(1), "it did not wait for its client");
}

/// A request of Fetch 4 for everything of a topic's first partition.
fn fetch_all(topic: &str) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 4, 0, 0, 0, 7, 0xff, 0xff];
    let most = (64_i32 << 20).to_be_bytes();
    body.extend([&(-1_i32).to_be_bytes()[..], &[0; 4], &[0; 4], &most, &[0]].concat());
    body.extend([0, 0, 0, 1]);
    body.extend((topic.len() as u16).to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend([0, 0, 0, 1]);
    body.extend([&[0; 4][..], &[0; 8], &most].concat());
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("a device that is full");
    let mut broker = Broker::start(full.into());
    broker.answers();
    broker.stops();
}

#[test]
fn a_terminal_that_goes_stops_it_in_good_order() {
    // Whoever runs the tests may ignore the signal, and children do what their parents do.
    let mut env = Command::new("env");
    env.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_klamm")]);
    let mut broker = Broker::start_as(env, Stdio::null());
    broker.answers();
    broker.signal("-HUP");
    let status = broker.child.wait().expect("it is our child");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_terminal_that_goes_is_nothing_to_who_ignores_it() {
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_klamm"));
    let mut broker = Broker::start_as(nohup, Stdio::null());
    broker.answers();
    broker.signal("-HUP");
    broker.answers();
    broker.stops();
}
