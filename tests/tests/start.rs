//! Starts that must be refused: with a clear word on why, and with whatever was there left as it was.

use klamm_tests::broker::listed;
use klamm_tests::client::Scratch;
use klamm_tests::frame::batch;
use klamm_tests::installed::klamm;
use klamm_tests::mount::Mount;
use klamm_tests::{Broker, Options};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Demands that a broker refuses to start and that what it says holds each of `words`.
fn assert_refused(broker: &mut Broker, words: &[&str]) {
    let (status, said) = broker.refusal();
    assert!(!status.success(), "it must fail: {said}");
    assert!(
        status.code().is_some(),
        "it must end by itself, not by a signal: {status}\n{said}"
    );
    for word in words {
        assert!(said.contains(word), "no {word:?} in what it said:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// All files below a folder with their bytes.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut files = BTreeMap::new();
    for path in listed(folder) {
        if path.is_dir() {
            files.extend(snapshot(&path));
            files.insert(path, None);
        } else {
            let bytes = fs::read(&path).expect("a file can be read");
            files.insert(path, Some(bytes));
        }
    }
    files
}

/// Runs `klamm serve` with these words and a data directory that is not there yet: it must refuse, saying each of `said`,
/// and set nothing up.
fn refused(line: &[&str], said: &[&str]) {
    let parent = Scratch::new("start");
    fs::create_dir_all(parent.path()).expect("a folder");
    let data = parent.path().join("data");
    let directory = data.to_str().expect("UTF-8").to_owned();
    let mut words = vec!["serve", "--data", &directory, "--metrics", "off"];
    words.extend(line);
    let output = Command::new(klamm()).args(&words).stdin(Stdio::null()).output();
    let output = output.expect("the broker runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line:?}: {told}");
    assert!(output.stdout.is_empty(), "{line:?}");
    for word in said {
        assert!(told.contains(word), "{line:?}: no {word:?} in\n{told}");
    }
    assert!(!data.exists(), "{line:?} set up the data directory");
}

/// As [`refused`], with one setting that is typed.
fn refused_with(setting: &str, said: &[&str]) {
    let (name, _) = setting.split_once('=').expect("a name and a value");
    refused(
        &["--listen", "127.0.0.1:0", "--set", setting],
        &[&[name], said].concat(),
    );
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    for (setting, allowed) in [
        ("num.partitions=many", "whole number"),
        ("num.partitions=0", "from 1 to 10000"),
        ("node.id=-7", "at least 0"),
        ("socket.request.max.bytes=1 MB", "whole number"),
        ("log.segment.bytes=1k", "whole number"),
        ("auto.create.topics.enable=perhaps", "neither true nor false"),
        ("log.retention.hours=", "whole number"),
        ("flush=sometimes", "fsync, os"),
        ("log.cleanup.policy=burn", "compact, delete"),
    ] {
        refused_with(setting, &[allowed]);
    }
}

#[test]
fn a_setting_that_is_typed_has_to_exist() {
    refused_with("num.partition=3", &["did you mean num.partitions?"]);
    refused_with("no.such.setting=1", &["there is no such setting"]);
}

#[test]
fn security_that_is_not_there_is_refused() {
    for setting in [
        "listeners=SSL://127.0.0.1:0",
        "listeners=SASL_PLAINTEXT://127.0.0.1:0",
        "sasl.enabled.mechanisms=PLAIN",
        "ssl.keystore.location=/etc/keys.jks",
    ] {
        refused_with(setting, &["not available yet"]);
    }
}

#[test]
fn a_wildcard_needs_a_name_that_clients_reach() {
    for wildcard in [":0", "0.0.0.0:0", "[::]:0"] {
        refused(&["--listen", wildcard], &["set advertised.listeners"]);
    }
    refused(
        &["--listen", ":0", "--advertise", "0.0.0.0:9092"],
        &["no client can connect"],
    );
}

#[test]
fn a_file_of_settings_that_cannot_be_read_is_named_with_its_line() {
    let folder = Scratch::new("settings");
    fs::create_dir_all(folder.path()).expect("a folder");
    let file = folder.path().join("server.properties");
    let name = file.to_str().expect("UTF-8");
    refused(&["--config", name], &[name, "no such file"]);
    fs::write(&file, [0xff, 0xfe, b'a']).expect("it is written");
    refused(&["--config", name], &[name, "UTF-8"]);
    fs::write(&file, "num.partitions=3\nbroker.rack=\\u00g0\n").expect("it is written");
    refused(&["--config", name], &[name, "line 2"]);
}

#[test]
fn a_taken_port_is_named_and_another_proposed() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("it is bound").to_string();
    refused(&["--listen", &taken], &[&taken, "the port is taken", "--listen"]);
    refused(
        &["--listen", "127.0.0.1:0", "--set", &format!("metrics.listener={taken}")],
        &[&taken, "--metrics off"],
    );
}

#[test]
fn a_port_that_was_taken_can_be_had_once_it_is_free() {
    let mut broker = Broker::prepare(Options::default());
    let holder = TcpListener::bind(broker.address()).expect("the port was free");
    let port = broker.port().to_string();
    assert_refused(&mut broker, &[&port]);
    drop(holder);
    broker.restart();
}

#[test]
fn a_log_directory_has_one_broker() {
    let first = Broker::start();
    first.create_topic("kept", 1, &[]);
    let log_dir = Some(first.log_dir());
    let mut second = Broker::prepare(Options {
        log_dir,
        ..Options::default()
    });
    assert_refused(
        &mut second,
        &[&first.log_dir().to_string_lossy(), "another Klamm process", "--data"],
    );
    let told = first
        .connect()
        .produce("kept", 0, &batch(&[b"one"]))
        .expect("the first serves on");
    assert_eq!((told.error, told.base_offset), (0, 0));
}

#[test]
fn a_file_is_no_log_directory() {
    let mut broker = Broker::prepare(Options::default());
    fs::write(broker.log_dir(), "a file").expect("a file");
    let log_dir = broker.log_dir();
    assert_refused(&mut broker, &[&log_dir.to_string_lossy(), "--data"]);
    assert_eq!(fs::read(log_dir).expect("it is still there"), b"a file");
}

/// Root may write anywhere, so the directory lies on a file system that is mounted read-only.
#[test]
fn a_log_directory_that_cannot_be_written_is_named() {
    let mount = Mount::tmpfs("ro,size=1m");
    let log_dir = mount.path().join("data");
    let mut broker = Broker::prepare(Options {
        log_dir: Some(log_dir.clone()),
        ..Options::default()
    });
    assert_refused(&mut broker, &[&log_dir.to_string_lossy()]);
}

/// Starts on a directory that holds `content` under `name`, demands that the refusal holds each of `words`, and returns what
/// the directory held before and after.
fn refused_on(name: &str, content: &str, words: &[&str]) -> [BTreeMap<PathBuf, Option<Vec<u8>>>; 2] {
    let mut broker = Broker::prepare(Options::default());
    let log_dir = broker.log_dir();
    fs::create_dir_all(log_dir.join("topic-0")).expect("a folder");
    fs::write(log_dir.join(name), content).expect("a file");
    fs::write(log_dir.join("topic-0/00000000000000000000.log"), batch(&[b"foreign"])).expect("a file");
    let before = snapshot(&log_dir);
    let place = log_dir.to_string_lossy();
    assert_refused(&mut broker, &[&[&*place], words].concat());
    [before, snapshot(&log_dir)]
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let kafka = "version=1\ndirectory.id=dC5Bp1W8Q7a3Zk9n2x4y6A\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n";
    for (name, content, words) in [
        ("meta.properties", kafka, "Apache Kafka"),
        ("thesis.txt", "ten years of work", "thesis.txt"),
    ] {
        let [before, after] = refused_on(name, content, &[words]);
        assert!(before == after, "{name}: the directory was touched: {:?}", after.keys());
    }
}

#[test]
fn a_directory_whose_identity_cannot_be_read_keeps_its_data() {
    let [before, mut after] = refused_on("meta.klamm", "not what a broker writes", &["meta.klamm"]);
    after.retain(|path, _| !path.ends_with(".lock"));
    assert!(before == after, "the directory was touched: {:?}", after.keys());
}

#[test]
fn a_directory_that_lost_its_identity_is_not_taken_for_a_foreign_one() {
    let mut broker = Broker::start();
    assert!(broker.stop().success(), "{}", broker.output());
    fs::remove_file(broker.log_dir().join("meta.klamm")).expect("it is there");
    let before = snapshot(&broker.log_dir());
    assert_refused(&mut broker, &["meta.klamm is missing", "put it back"]);
    assert!(before == snapshot(&broker.log_dir()), "the directory was touched");
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused() {
    let mut broker = Broker::start();
    broker.create_topic("kept", 1, &[]);
    let told = broker
        .connect()
        .produce("kept", 0, &batch(&[b"one"]))
        .expect("Produce is answered");
    assert_eq!(told.error, 0);
    assert!(broker.stop().success(), "{}", broker.output());
    let before = snapshot(&broker.log_dir());
    for (name, value) in [("cluster.id", "4L6g3nShT-eMCtK--X86sw"), ("node.id", "77")] {
        broker.configure(&[(name, value)]);
        assert_refused(&mut broker, &[value]);
        assert!(before == snapshot(&broker.log_dir()), "the directory was touched");
    }
    broker.configure(&[]);
    broker.restart();
    assert_eq!(broker.connect().fetch_all("kept", 0, 1).len(), 1);
}
