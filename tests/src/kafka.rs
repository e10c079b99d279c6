//! Apache Kafka as a process: one node that is broker and controller, on two ports of the loopback, with a directory of
//! its own. It is killed by its id and its directory removed when dropped.

use crate::broker::{free_port, signal};
use crate::client::Scratch;
use crate::frame::{Connection, api};
use crate::installed;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The release that klamm is compared with, as `ci/install` names its folder.
const INSTALLED: &str = "kafka_2.13-4.3.1";
/// What the single node is told besides where it lies and listens, so that it needs no other.
pub const ALONE: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
];
/// A cluster id; both brokers' ids are masked.
const CLUSTER_ID: &str = "cGFyaXR5LW9mLWtsYW1tLQ";

/// How its Java machine is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// Little memory, and quick to start rather than fast.
    Small,
    /// As its own launcher does (`kafka-server-start.sh`).
    AsShipped,
}

impl Machine {
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Small => &[
                "-Xms256m",
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
            ],
            Self::AsShipped => &[
                "-Xmx1G",
                "-Xms1G",
                "-server",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=20",
                "-XX:InitiatingHeapOccupancyPercent=35",
                "-XX:+ExplicitGCInvokesConcurrent",
                "-Djava.awt.headless=true",
            ],
        }
    }
}

/// A running broker.
pub struct Kafka {
    machine: Machine,
    folder: Scratch,
    port: u16,
    controller: u16,
    process: Child,
}

impl Kafka {
    /// Formats a directory and starts a broker on it with these settings besides those of where it lies and listens.
    pub fn start(machine: Machine, settings: &[(String, String)]) -> Self {
        let folder = Scratch::new("kafka");
        fs::create_dir_all(folder.path()).expect("a folder for Kafka");
        let (port, controller) = (free_port(), free_port());
        let mut lines = vec![
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
            format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}"),
            format!("log.dirs={}", folder.path().join("data").display()),
        ];
        lines.extend(settings.iter().map(|(name, value)| format!("{name}={value}")));
        let config = config_file(&folder);
        fs::write(&config, lines.join("\n") + "\n").expect("the configuration is written");
        let mut format = java(Machine::Small, &folder, "format");
        format
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "-t",
                CLUSTER_ID,
                "-c",
            ])
            .arg(&config);
        let formatted = format.status().expect("java runs");
        let mut kafka = Self {
            port,
            controller,
            process: serve(machine, &folder),
            machine,
            folder,
        };
        assert!(
            formatted.success(),
            "Kafka's directory was not formatted\n{}",
            kafka.output("format")
        );
        kafka.await_start();
        kafka
    }

    fn await_start(&mut self) {
        for _ in 0..1200 {
            let answers = Connection::open_for(&self.address(), Duration::from_secs(5))
                .and_then(|mut connection| connection.call(api::API_VERSIONS, 0, &[]));
            if answers.is_ok() {
                return;
            }
            if let Some(status) = self.process.try_wait().expect("Kafka is a child") {
                panic!("Kafka ended at its start: {status}\n{}", self.output("output"));
            }
            sleep(Duration::from_millis(100));
        }
        panic!("Kafka does not serve\n{}", self.output("output"));
    }

    /// Asks it to stop, waits until it has, and starts it on what it left behind.
    pub fn restart(&mut self) {
        signal(self.process.id(), "TERM");
        self.process.wait().expect("Kafka is a child");
        self.process = serve(self.machine, &self.folder);
        self.await_start();
    }

    /// Where clients connect: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The listener of its controller, as its settings write it.
    pub fn controller_listener(&self) -> String {
        format!("CONTROLLER://127.0.0.1:{}", self.controller)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Gives it more settings, from its next start on; of two for one name the later counts.
    pub fn configure(&self, more: &[(&str, &str)]) {
        let mut lines = self.output("server.properties");
        lines.extend(more.iter().map(|(name, value)| format!("{name}={value}\n")));
        fs::write(config_file(&self.folder), lines).expect("the configuration is written");
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("Kafka is a child").is_some()
    }

    /// What stands in a file of its folder: in `output`, what it said since its first start.
    pub fn output(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config_file(folder: &Scratch) -> PathBuf {
    folder.path().join("server.properties")
}

fn serve(machine: Machine, folder: &Scratch) -> Child {
    let mut command = java(machine, folder, "output");
    command.arg("kafka.Kafka").arg(config_file(folder));
    command.spawn().expect("java runs")
}

/// A Java machine with Kafka's jars.
fn java(machine: Machine, folder: &Scratch, output: &str) -> Command {
    let jars: PathBuf = installed::client(INSTALLED).join("*");
    let log = || {
        fs::File::options()
            .create(true)
            .append(true)
            .open(folder.path().join(output))
            .expect("a file for the output")
    };
    let mut command = Command::new("java");
    command
        .args(machine.options())
        .arg("-cp")
        .arg(jars)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log())
        .stderr(log());
    command
}
