//! The `klamm` binary as a process: started on a free port of the loopback, stopped, killed, started again.

use crate::client::Scratch;
use crate::frame::{Connection, api};
use crate::{installed, usage};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// How a broker is started.
#[derive(Clone, Default)]
pub struct Options {
    /// Lines of its configuration file, besides the listener and the log directory.
    pub config: Vec<(String, String)>,
    /// Where its log directory lies; without it, in the broker's own folder.
    pub log_dir: Option<PathBuf>,
    /// A deliberate bug to switch on, which takes a build that has them.
    pub bug: Option<String>,
    /// A program that runs the broker, with the arguments before the broker's own.
    pub under: Vec<String>,
    /// Whether it serves its metrics, for [`Broker::metric`].
    pub metrics: bool,
}

/// A broker and what it keeps on disk; killed and removed when dropped.
pub struct Broker {
    options: Options,
    port: u16,
    metrics_port: Option<u16>,
    folder: Scratch,
    child: Option<Child>,
}

impl Broker {
    /// Starts a broker with defaults and waits until it serves.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a broker of `shards` shards, whatever the machine would choose, and waits until it serves.
    pub fn start_with_shards(shards: u16) -> Self {
        Self::start_with(Options {
            config: vec![(String::from("shards"), shards.to_string())],
            ..Options::default()
        })
    }

    /// Starts a broker and waits until it serves.
    pub fn start_with(options: Options) -> Self {
        let mut broker = Self::prepare(options);
        broker.restart();
        broker
    }

    /// Lays out a broker's folder and configuration without starting it.
    pub fn prepare(options: Options) -> Self {
        let folder = Scratch::new("broker");
        fs::create_dir_all(folder.path()).expect("a folder for the broker");
        let broker = Self {
            metrics_port: options.metrics.then(free_port),
            options,
            port: free_port(),
            folder,
            child: None,
        };
        broker.configure(&[]);
        broker
    }

    /// Writes the configuration file, with more lines than the options have.
    pub fn configure(&self, more: &[(&str, &str)]) {
        let mut lines = vec![
            format!("listeners=PLAINTEXT://127.0.0.1:{}", self.port),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{}", self.port),
            format!("log.dirs={}", self.log_dir().display()),
            self.metrics_address().map_or_else(
                || String::from("metrics.listener=off"),
                |address| format!("metrics.listener={address}"),
            ),
        ];
        lines.extend(
            self.options
                .config
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        lines.extend(more.iter().map(|(name, value)| format!("{name}={value}")));
        fs::write(self.config_file(), lines.join("\n") + "\n").expect("the configuration is written");
    }

    /// Starts the process and waits until it serves.
    pub fn restart(&mut self) {
        self.spawn();
        for _ in 0..600 {
            if self.answers() {
                return;
            }
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("the broker is a child"))
            {
                panic!("the broker ended at its start: {status}\n{}", self.output());
            }
            sleep(Duration::from_millis(50));
        }
        panic!("the broker does not serve\n{}", self.output());
    }

    /// Starts a broker that is expected to refuse; returns its status and what it said.
    pub fn refusal(&mut self) -> (ExitStatus, String) {
        self.spawn();
        for _ in 0..600 {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("the broker is a child"))
            {
                self.child = None;
                return (status, self.output());
            }
            sleep(Duration::from_millis(50));
        }
        panic!("the broker did not refuse to start\n{}", self.output());
    }

    fn spawn(&mut self) {
        let program = self
            .options
            .bug
            .as_ref()
            .map_or_else(installed::klamm, |_| installed::klamm_with_bugs());
        let mut words = self.options.under.iter().map(PathBuf::from).chain([program.to_owned()]);
        let mut command = Command::new(words.next().expect("at least the broker"));
        command.args(words).arg("serve").arg("--config").arg(self.config_file());
        if let Some(bug) = &self.options.bug {
            command.env("KLAMM_BUG", bug);
        }
        let log = || {
            fs::File::options()
                .create(true)
                .append(true)
                .open(self.log_file())
                .expect("a file for the output")
        };
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    }

    fn answers(&self) -> bool {
        let connection = Connection::open_for(&self.address(), Duration::from_secs(1));
        connection.is_ok_and(|mut connection| connection.call(api::API_VERSIONS, 0, &[]).is_ok())
    }

    /// Kills the process as `kill -9` does.
    pub fn kill(&mut self) {
        let pid = self.pid();
        signal(pid, "KILL");
        self.wait();
    }

    /// Asks the process to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.pid();
        signal(pid, "TERM");
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the broker runs");
        child.wait().expect("the broker ends")
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| child.try_wait().expect("the broker is a child").is_some())
    }

    /// The broker's own process id, also when another program runs it.
    pub fn pid(&self) -> u32 {
        let direct = self.child.as_ref().expect("the broker runs").id();
        if self.options.under.is_empty() {
            return direct;
        }
        let children = fs::read_to_string(format!("/proc/{direct}/task/{direct}/children")).unwrap_or_default();
        children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
            .unwrap_or(direct)
    }

    /// The most memory that the process has held at once, in bytes.
    pub fn peak_resident_bytes(&self) -> u64 {
        usage::peak_resident_bytes(self.pid())
    }

    /// Where clients connect: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it serves metrics, if it was asked to.
    pub fn metrics_address(&self) -> Option<String> {
        self.metrics_port.map(|port| format!("127.0.0.1:{port}"))
    }

    /// The value of a metric now, cut to a whole number, by its name and labels as they stand on the page.
    pub fn metric(&self, name: &str) -> u64 {
        let address = self.metrics_address().expect("the broker was asked to serve metrics");
        let mut stream = TcpStream::connect(address).expect("metrics are served");
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .expect("it is a request");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("the page is text");
        let mut values = page.lines().filter_map(|line| line.rsplit_once(' '));
        let value = values
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.parse::<f64>());
        match value {
            Some(Ok(value)) => value as u64,
            other => panic!("{name}: {other:?} in\n{page}"),
        }
    }

    /// A new connection that speaks frames.
    pub fn connect(&self) -> Connection {
        Connection::open(&self.address()).expect("the broker accepts")
    }

    /// Creates a topic that keeps its records for ever.
    pub fn create_topic(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs: Vec<(&str, &str)> = [("retention.ms", "-1")].iter().chain(configs).copied().collect();
        assert_eq!(
            self.connect().create_topic(topic, partitions, &configs),
            0,
            "creation of {topic}"
        );
    }

    /// Its log directory.
    pub fn log_dir(&self) -> PathBuf {
        self.options
            .log_dir
            .clone()
            .unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// The folder of a topic's partition.
    pub fn partition_folder(&self, topic: &str, partition: i32) -> PathBuf {
        let prefix = format!("{topic}-{partition}.");
        let mut entries = listed(&self.log_dir()).into_iter();
        entries
            .find(|path| name(path).starts_with(&prefix))
            .expect("the partition has a folder")
    }

    /// The segment files of a topic's partition, by base offset.
    pub fn segments(&self, topic: &str, partition: i32) -> Vec<PathBuf> {
        let files = listed(&self.partition_folder(topic, partition)).into_iter();
        files
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .collect()
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("klamm.properties")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// All that the process wrote to its standard output and error.
    pub fn output(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("the broker wrote:\n{}", self.output());
        }
    }
}

/// What a folder holds, in order of the names.
pub fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Sends a process this signal (`TERM`).
pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(
        status.expect("kill runs").success(),
        "process {pid} was gone before it got {signal}"
    );
}

/// A port that is free now, from below the range out of which the system gives ports to clients: a client that looks for
/// a broker between its kill and its restart could otherwise be given the broker's own.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const PORTS: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let tries = (0..PORTS).map(|_| {
        let number = std::process::id()
            .wrapping_mul(97)
            .wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        u16::try_from(FIRST + number % PORTS).expect("a port")
    });
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    tries.into_iter().find(free).expect("the loopback has a free port")
}
