//! What a process of this machine uses, as `/proc` shows it.

use std::fs;
use std::time::Duration;

/// Milliseconds in which Linux counts the time of processes here, whatever the kernel was built with.
const TICK_MS: u64 = 10;

/// The CPU time that a process has taken, user and system, of all its threads.
pub fn cpu(pid: u32) -> Duration {
    let stat = shown(pid, "stat");
    // Counted behind the name, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').expect("the name stands in parentheses");
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * TICK_MS)
}

/// The memory that a process holds now, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most memory that a process has held at once, in bytes.
pub fn peak_resident_bytes(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> u64 {
    let status = shown(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kilobytes: u64 = number.and_then(|it| it.parse().ok()).expect("Linux tells it in kB");
    kilobytes * 1024
}

fn shown(pid: u32, file: &str) -> String {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
