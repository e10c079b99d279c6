//! What a load did, for people and for machines.

use crate::failure::{Failure, Outcome};
use crate::process::{Usage, usage};
use crate::{json, units};
use hdrhistogram::Histogram;
use std::io::{Write, stdout};
use std::time::Duration;

/// The longest time that is told apart from longer ones, in microseconds.
const LONGEST: u64 = 120_000_000;

/// Times of many operations.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// No times yet.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        histogram
            .map(Self)
            .map_err(|error| Failure::new(format!("no histogram: {error}")))
    }

    /// Adds a time.
    pub(crate) fn record(&mut self, time: Duration) {
        self.0
            .saturating_record(u64::try_from(time.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST));
    }

    /// Adds all times of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so nothing is out of range.
        let _ = self.0.add(&other.0);
    }

    /// How many times there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    fn points(&self) -> [(&'static str, f64); 5] {
        let millis = |micros: u64| std::time::Duration::from_micros(micros).as_secs_f64() * 1e3;
        [
            ("p50", millis(self.0.value_at_quantile(0.5))),
            ("p90", millis(self.0.value_at_quantile(0.9))),
            ("p99", millis(self.0.value_at_quantile(0.99))),
            ("p99.9", millis(self.0.value_at_quantile(0.999))),
            ("max", millis(self.0.max())),
        ]
    }
}

/// The broker before a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pid: u32,
    before: Usage,
}

impl Watch {
    /// Looks at the broker, if its process is known.
    pub(crate) fn start(pid: Option<u32>) -> Result<Option<Self>, Failure> {
        pid.map(|pid| {
            Ok(Self {
                pid,
                before: usage(pid)?,
            })
        })
        .transpose()
    }

    fn spent(&self) -> Result<Spent, Failure> {
        let after = usage(self.pid)?;
        Ok(Spent {
            cpu: after.cpu.saturating_sub(self.before.cpu),
            after,
        })
    }
}

struct Spent {
    cpu: Duration,
    after: Usage,
}

/// What a load did.
#[derive(Debug)]
pub(crate) struct Report {
    /// What it was.
    pub(crate) name: &'static str,
    /// Records that arrived.
    pub(crate) records: u64,
    /// Bytes of their batches, headers of batches and records included.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) time: Duration,
    /// Times of operations, each with its name.
    pub(crate) latencies: Vec<(&'static str, Latencies)>,
    /// The broker before.
    pub(crate) watch: Option<Watch>,
    /// Why it ended before it was done, if it did. What was measured until then is told all the same.
    pub(crate) failure: Option<Failure>,
}

#[allow(clippy::cast_precision_loss, reason = "rates are shown with a few digits")]
impl Report {
    fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.time.as_secs_f64().max(1e-9)
    }

    fn per_gigabyte(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / (self.bytes.max(1) as f64 / 1e9)
    }

    /// Prints it; looks at the broker once more. Ends with the failure that ended the load.
    pub(crate) fn print(mut self, as_json: bool) -> Outcome {
        let spent = match self.watch.as_ref().map(Watch::spent).transpose() {
            // The broker's end may be what ended the load.
            Err(_) if self.failure.is_some() => None,
            spent => spent?,
        };
        let text = if as_json {
            self.json(spent.as_ref())
        } else {
            self.text(spent.as_ref())
        };
        let printed = writeln!(stdout(), "{text}").map_err(|error| Failure::printing(&error));
        self.failure.take().map_or(printed, Err)
    }

    fn text(&self, spent: Option<&Spent>) -> String {
        let cut_short = if self.failure.is_some() { ", cut short" } else { "" };
        let mut lines = vec![format!(
            "{}{cut_short}: {} records, {} in {:.2} s: {:.0} records/s, {:.1} MB/s",
            self.name,
            self.records,
            units::bytes(self.bytes),
            self.time.as_secs_f64(),
            self.per_second(self.records),
            self.per_second(self.bytes) / 1e6,
        )];
        for (name, latencies) in &self.latencies {
            let points: Vec<String> = latencies
                .points()
                .iter()
                .map(|(point, millis)| format!("{point} {millis:.3} ms"))
                .collect();
            lines.push(format!("{name} latency of {}: {}", latencies.len(), points.join(", ")));
        }
        if let Some(spent) = spent {
            lines.push(format!(
                "broker: {:.2} CPU-s, {:.3} CPU-s/GB, resident {} (peak {})",
                spent.cpu.as_secs_f64(),
                self.per_gigabyte(spent.cpu),
                units::bytes(spent.after.resident),
                units::bytes(spent.after.peak),
            ));
        }
        lines.join("\n")
    }

    fn json(&self, spent: Option<&Spent>) -> String {
        let mut fields = vec![
            ("bench", json::string(self.name)),
            ("records", self.records.to_string()),
            ("bytes", self.bytes.to_string()),
            ("seconds", json::number(self.time.as_secs_f64())),
            ("records_per_second", json::number(self.per_second(self.records))),
            ("bytes_per_second", json::number(self.per_second(self.bytes))),
        ];
        let latencies = self.latencies.iter().map(|(name, latencies)| {
            let mut points = vec![("count", latencies.len().to_string())];
            points.extend(latencies.points().map(|(point, millis)| (point, json::number(millis))));
            (*name, json::object(&points))
        });
        let latencies: Vec<(&str, String)> = latencies.collect();
        fields.push(("latency_ms", json::object(&latencies)));
        if let Some(spent) = spent {
            let broker = json::object(&[
                ("cpu_seconds", json::number(spent.cpu.as_secs_f64())),
                ("cpu_seconds_per_gb", json::number(self.per_gigabyte(spent.cpu))),
                ("resident_bytes", spent.after.resident.to_string()),
                ("peak_resident_bytes", spent.after.peak.to_string()),
            ]);
            fields.push(("broker", broker));
        }
        if let Some(failure) = &self.failure {
            fields.push(("error", json::string(&failure.to_string())));
        }
        json::object(&fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut latencies = Latencies::new().unwrap();
        for millis in 1..=100 {
            latencies.record(Duration::from_millis(millis));
        }
        latencies.record(Duration::from_hours(1));
        let mut other = Latencies::new().unwrap();
        other.record(Duration::ZERO);
        latencies.merge(&other);
        Report {
            name: "produce",
            records: 1000,
            bytes: 2_000_000,
            time: Duration::from_secs(2),
            latencies: vec![("ack", latencies)],
            watch: None,
            failure: None,
        }
    }

    #[test]
    fn text_and_json_say_the_same() {
        let text = report().text(None);
        assert!(
            text.starts_with("produce: 1000 records, 2.0 MB in 2.00 s: 500 records/s, 1.0 MB/s"),
            "{text}"
        );
        assert!(text.contains("ack latency of 102: p50 50."), "{text}");
        let json = report().json(None);
        assert!(json.contains("\"records_per_second\":500,"), "{json}");
        assert!(
            json.contains("\"latency_ms\":{\"ack\":{\"count\":102,\"p50\":50."),
            "{json}"
        );
    }

    #[test]
    fn a_load_that_was_cut_short_tells_what_it_did_and_why_it_ended() {
        let cut = || Report {
            failure: Some(Failure::new("the broker \"went\"")),
            // A process that is not there any more.
            watch: Some(Watch {
                pid: u32::MAX,
                before: Usage {
                    cpu: Duration::ZERO,
                    resident: 0,
                    peak: 0,
                },
            }),
            ..report()
        };
        assert!(cut().text(None).starts_with("produce, cut short: 1000 records,"));
        let json = cut().json(None);
        assert!(
            json.contains("\"records\":1000,") && json.contains("\"error\":\"the broker \\\"went\\\"\""),
            "{json}"
        );
        let ended = cut().print(true).unwrap_err();
        assert_eq!(ended.to_string(), "the broker \"went\"");
    }

    #[test]
    fn what_the_broker_spent_is_told_a_gigabyte() {
        let after = Usage {
            cpu: Duration::from_secs(9),
            resident: 1,
            peak: 2,
        };
        let spent = Spent {
            cpu: Duration::from_millis(4),
            after,
        };
        assert!(report().json(Some(&spent)).contains("\"cpu_seconds_per_gb\":2,"));
        assert!(report().text(Some(&spent)).contains("2.000 CPU-s/GB"));
    }
}
