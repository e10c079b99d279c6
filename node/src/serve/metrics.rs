//! Counters in Prometheus' text form, version 0.0.4.

use klamm_core::types::FaultKind;
use klamm_net::{CloseKind, DiskFault, SYNC_BUCKETS, Snapshot};
use std::fmt::Write;

/// Writes metrics one after the other.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

/// Everything that is counted.
pub(super) fn exposition(counters: &Snapshot, ready: bool) -> String {
    let mut page = Page::default();
    page.single("klamm_ready", "gauge", "Whether clients are accepted.", ready.into());
    clients(&mut page, counters);
    memory(&mut page, counters);
    offline(&mut page, counters);
    partitions(&mut page, counters);
    compaction(&mut page, counters);
    groups(&mut page, counters);
    disks(&mut page, counters);
    syncs(&mut page, counters);
    process(&mut page);
    page.0
}

fn clients(page: &mut Page, c: &Snapshot) {
    page.single(
        "klamm_connections_open",
        "gauge",
        "Connections open now.",
        c.connections_open,
    );
    page.single(
        "klamm_connections_accepted_total",
        "counter",
        "Connections accepted.",
        c.connections_accepted,
    );
    page.single(
        "klamm_connections_refused_total",
        "counter",
        "Connections that were one too many.",
        c.connections_refused,
    );
    let name = "klamm_connections_closed_total";
    page.family(name, "counter", "Connections closed, by reason.");
    for (kind, &count) in CloseKind::ALL.iter().zip(&c.closed) {
        page.value(name, &format!("{{reason=\"{}\"}}", kind.name()), as_float(count));
    }
    let name = "klamm_unsupported_requests_total";
    page.family(name, "counter", "Requests of an API or version that is not served.");
    for (&(api, version), &count) in &c.unsupported {
        page.value(
            name,
            &format!("{{api=\"{api}\",version=\"{version}\"}}"),
            as_float(count),
        );
    }
    page.single("klamm_requests_total", "counter", "Request frames received.", c.frames);
    page.single(
        "klamm_responses_total",
        "counter",
        "Responses sent in full.",
        c.responses,
    );
    page.single(
        "klamm_received_bytes_total",
        "counter",
        "Bytes received from clients.",
        c.bytes_in,
    );
    page.single(
        "klamm_sent_bytes_total",
        "counter",
        "Bytes sent to clients.",
        c.bytes_out,
    );
    page.single("klamm_turns_total", "counter", "Turns of the shards.", c.turns);
}

/// Memory that requests are received into.
fn memory(page: &mut Page, c: &Snapshot) {
    page.single(
        "klamm_request_memory_bytes",
        "gauge",
        "Memory that received frames hold now.",
        c.memory_bytes,
    );
    page.single(
        "klamm_memory_waits_total",
        "counter",
        "Times a connection waited for memory.",
        c.memory_waits,
    );
    page.single(
        "klamm_memory_waiting_connections",
        "gauge",
        "Connections that stand in line for memory now.",
        c.memory_line,
    );
    page.single(
        "klamm_slab_shortages_total",
        "counter",
        "Frames received one by one, because all slabs were in use.",
        c.slab_shortages,
    );
    page.single(
        "klamm_memory_reclaims_total",
        "counter",
        "Times shards were told to let go of received bytes that they keep for later.",
        c.reclaims,
    );
}

/// Partitions that cannot be served.
fn offline(page: &mut Page, c: &Snapshot) {
    let name = "klamm_partitions_offline";
    let help = "Partitions that answer KAFKA_STORAGE_ERROR now, because their log could not be opened, by reason.";
    page.family(name, "gauge", help);
    for (kind, &count) in FaultKind::ALL.iter().zip(&c.offline_partitions) {
        page.value(name, &format!("{{reason=\"{}\"}}", kind.name()), as_float(count));
    }
}

fn partitions(page: &mut Page, c: &Snapshot) {
    let families = [
        (
            "klamm_partitions_active",
            "gauge",
            "Partitions that are in use now.",
            c.active_partitions,
        ),
        (
            "klamm_appended_batches_total",
            "counter",
            "Batches appended.",
            c.appended_batches,
        ),
        (
            "klamm_appended_records_total",
            "counter",
            "Records appended, as batches declare them.",
            c.appended_records,
        ),
        (
            "klamm_appended_bytes_total",
            "counter",
            "Bytes of batches appended.",
            c.appended_bytes,
        ),
        (
            "klamm_refused_batches_total",
            "counter",
            "Batches refused.",
            c.refused_batches,
        ),
        (
            "klamm_log_recoveries_total",
            "counter",
            "Logs brought back from what their files hold.",
            c.recoveries,
        ),
        (
            "klamm_log_truncated_bytes_total",
            "counter",
            "Bytes cut off torn tails.",
            c.truncated_bytes,
        ),
        (
            "klamm_log_renewed_bytes_total",
            "counter",
            "Bytes written once more as their log was opened, because nothing said that they had been synced.",
            c.renewed_bytes,
        ),
    ];
    for (name, kind, help, value) in families {
        page.single(name, kind, help, value);
    }
}

fn compaction(page: &mut Page, c: &Snapshot) {
    page.single(
        "klamm_log_compactions_total",
        "counter",
        "Compactions of a log that came to their end.",
        c.compactions,
    );
    page.single(
        "klamm_log_compacted_bytes_total",
        "counter",
        "Bytes that compactions made logs smaller by.",
        c.compacted_bytes,
    );
    page.single(
        "klamm_log_compaction_backlog",
        "gauge",
        "Logs that were due to be compacted when that was looked at last.",
        c.compaction_backlog,
    );
}

fn groups(page: &mut Page, c: &Snapshot) {
    page.single(
        "klamm_group_partitions_unread",
        "gauge",
        "Partitions of __consumer_offsets whose groups are refused, because they cannot be read.",
        c.unread_group_partitions,
    );
    page.single(
        "klamm_group_member_bytes",
        "gauge",
        "Memory that members of groups hold, of group.members.max.bytes a shard.",
        c.group_member_bytes,
    );
    page.single(
        "klamm_group_offset_bytes",
        "gauge",
        "Memory that committed offsets hold, of group.offsets.max.bytes a shard.",
        c.group_offset_bytes,
    );
}

fn disks(page: &mut Page, c: &Snapshot) {
    let name = "klamm_disk_faults_total";
    let help = "Operations on files that failed, and damage that was found in logs, by kind.";
    page.family(name, "counter", help);
    for (kind, &count) in DiskFault::ALL.iter().zip(&c.disk_faults) {
        page.value(name, &format!("{{kind=\"{}\"}}", kind.name()), as_float(count));
    }
    let withheld = [("header", c.damaged_headers), ("crc", c.damaged_bodies)];
    let damage = c.damaged_headers + c.damaged_bodies + c.damaged_reads + c.damaged_logs;
    page.value(name, "{kind=\"damage\"}", as_float(damage));
    let name = "klamm_batches_withheld_total";
    let help = "Batches that were not sent, because their header or their CRC was not the one due.";
    page.family(name, "counter", help);
    for (reason, count) in withheld {
        page.value(name, &format!("{{reason=\"{reason}\"}}"), as_float(count));
    }
    page.single(
        "klamm_file_writes_total",
        "counter",
        "Writes of batches to files.",
        c.writes,
    );
    page.single(
        "klamm_file_written_bytes_total",
        "counter",
        "Bytes written to files.",
        c.bytes_written,
    );
    page.single(
        "klamm_file_fills_total",
        "counter",
        "Reads that were not in the page cache.",
        c.fills,
    );
    page.single("klamm_tasks_total", "counter", "Recoveries and lookups run.", c.tasks);
    page.single(
        "klamm_disk_queue",
        "gauge",
        "Work handed to disk threads and not finished.",
        c.disk_queue,
    );
}

fn syncs(page: &mut Page, c: &Snapshot) {
    let name = "klamm_sync_seconds";
    page.family(name, "histogram", "How long syncs of files and directories took.");
    let mut below = 0;
    // The last bucket is open, as +Inf is.
    for (i, &count) in c.sync_buckets.iter().enumerate().take(SYNC_BUCKETS - 1) {
        below += count;
        let bound = as_float(1 << i) / 1e6;
        page.value(
            "klamm_sync_seconds_bucket",
            &format!("{{le=\"{bound}\"}}"),
            as_float(below),
        );
    }
    page.value("klamm_sync_seconds_bucket", "{le=\"+Inf\"}", as_float(c.syncs));
    page.value("klamm_sync_seconds_sum", "", as_float(c.sync_nanos) / 1e9);
    page.value("klamm_sync_seconds_count", "", as_float(c.syncs));
}

/// The process itself, under the names that Prometheus' own libraries give.
fn process(page: &mut Page) {
    let Ok(usage) = crate::process::usage(std::process::id()) else {
        return;
    };
    page.family("process_cpu_seconds_total", "counter", "CPU time of the process.");
    page.value("process_cpu_seconds_total", "", usage.cpu.as_secs_f64());
    page.single(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory of the process.",
        usage.resident,
    );
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.single(
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            files.count() as u64,
        );
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus' values are doubles")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample_of_its_family() {
        let mut counters = Snapshot {
            frames: 7,
            syncs: 3,
            sync_nanos: 5_000_000,
            ..Snapshot::default()
        };
        counters.sync_buckets[1] = 1;
        counters.sync_buckets[4] = 2;
        counters.closed[0] = 4;
        counters.offline_partitions[FaultKind::Corruption as usize] = 8;
        counters.disk_faults[DiskFault::Sync as usize] = 9;
        counters.damaged_headers = 10;
        counters.damaged_bodies = 20;
        counters.damaged_reads = 100;
        counters.damaged_logs = 200;
        counters.unsupported.insert((1, 2), 5);
        let page = exposition(&counters, true);
        let mut family = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                family = rest.split(' ').nth(1).unwrap();
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(family), "{line} under {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        for line in [
            "klamm_ready 1",
            "klamm_requests_total 7",
            "klamm_connections_closed_total{reason=\"client\"} 4",
            "klamm_unsupported_requests_total{api=\"1\",version=\"2\"} 5",
            "klamm_partitions_offline{reason=\"damage\"} 8",
            "klamm_partitions_offline{reason=\"no_space\"} 0",
            "klamm_disk_faults_total{kind=\"sync\"} 9",
            "klamm_disk_faults_total{kind=\"damage\"} 330",
            "klamm_batches_withheld_total{reason=\"header\"} 10",
            "klamm_sync_seconds_bucket{le=\"0.000002\"} 1",
            "klamm_sync_seconds_bucket{le=\"0.000016\"} 3",
            "klamm_sync_seconds_bucket{le=\"+Inf\"} 3",
            "klamm_sync_seconds_sum 0.005",
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
