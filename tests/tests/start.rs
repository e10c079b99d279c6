//! Starts that must be refused: with a clear word on why, and with whatever was there left as it was.

use klamm_tests::broker::listed;
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

#[test]
fn bad_settings_are_named() {
    for (name, value) in [
        ("num.partitions", "many"),
        ("num.partitions", "0"),
        ("node.id", "-7"),
        ("socket.request.max.bytes", "1 MB"),
        ("auto.create.topics.enable", "perhaps"),
        ("log.retention.hours", ""),
    ] {
        let mut broker = Broker::prepare(Options::default());
        broker.configure(&[(name, value)]);
        assert_refused(&mut broker, &[name]);
        assert!(!broker.log_dir().exists(), "nothing was formatted with {name}={value}");
    }
}

#[test]
fn security_that_is_not_there_is_refused() {
    for (name, value) in [
        ("listeners", "SSL://127.0.0.1:0"),
        ("listeners", "SASL_PLAINTEXT://127.0.0.1:0"),
        ("ssl.keystore.location", "/etc/keys.jks"),
    ] {
        let mut broker = Broker::prepare(Options::default());
        broker.configure(&[(name, value)]);
        assert_refused(&mut broker, &[name]);
    }
}

#[test]
fn a_wildcard_is_never_advertised() {
    let mut broker = Broker::prepare(Options::default());
    let wildcard = format!("PLAINTEXT://0.0.0.0:{}", broker.port());
    broker.configure(&[("listeners", &wildcard), ("advertised.listeners", "")]);
    assert_refused(&mut broker, &["advertised.listeners"]);
}

#[test]
fn a_missing_configuration_file_is_named() {
    let broker = Broker::prepare(Options::default());
    let missing = broker.config_file().with_extension("missing");
    let output = Command::new(klamm())
        .arg("serve")
        .arg("--config")
        .arg(&missing)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the broker runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(&*missing.to_string_lossy()),
        "{said}"
    );
}

#[test]
fn a_taken_port_is_named() {
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
    assert_refused(&mut second, &[&first.log_dir().to_string_lossy()]);
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
    assert_refused(&mut broker, &[&log_dir.to_string_lossy()]);
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

/// Starts on a directory that holds `content` under `name`, and returns what it held before and after.
fn refused_on(name: &str, content: &str) -> [BTreeMap<PathBuf, Option<Vec<u8>>>; 2] {
    let mut broker = Broker::prepare(Options::default());
    let log_dir = broker.log_dir();
    fs::create_dir_all(log_dir.join("topic-0")).expect("a folder");
    fs::write(log_dir.join(name), content).expect("a file");
    fs::write(log_dir.join("topic-0/00000000000000000000.log"), batch(&[b"foreign"])).expect("a file");
    let before = snapshot(&log_dir);
    assert_refused(&mut broker, &[&log_dir.to_string_lossy()]);
    [before, snapshot(&log_dir)]
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let kafka = "version=1\ndirectory.id=dC5Bp1W8Q7a3Zk9n2x4y6A\nnode.id=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\n";
    for (name, content) in [("meta.properties", kafka), ("thesis.txt", "ten years of work")] {
        let [before, after] = refused_on(name, content);
        assert!(before == after, "{name}: the directory was touched: {:?}", after.keys());
    }
}

#[test]
fn a_directory_whose_identity_cannot_be_read_keeps_its_data() {
    let [before, mut after] = refused_on("meta.klamm", "not what a broker writes");
    after.retain(|path, _| !path.ends_with(".lock"));
    assert!(before == after, "the directory was touched: {:?}", after.keys());
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
