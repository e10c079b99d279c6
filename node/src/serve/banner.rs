//! What a start says once clients are accepted.

use super::logs::{LogFormat, Logs};
use crate::clock::now;
use crate::failure::Failure;
use klamm_core::config::{FlushMode, Listener, ServerConfig};
use klamm_net::BrokerOptions;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

/// What is worth knowing.
#[derive(Debug)]
pub(super) struct Facts {
    started: Instant,
    node: i32,
    advertised: Vec<Listener>,
    listening: Vec<String>,
    data: String,
    flush: &'static str,
    shards: u16,
    metrics: OnceLock<SocketAddr>,
}

impl Facts {
    pub(super) fn new(config: &ServerConfig, options: &BrokerOptions, started: Instant) -> Result<Self, Failure> {
        let mut listening = Vec::new();
        for listener in &options.listeners {
            listening.push(listener.socket.local_addr()?.to_string());
        }
        Ok(Self {
            started,
            node: config.broker.node_id.0,
            advertised: options.config.advertised.clone(),
            listening,
            data: options.log_directory.display().to_string(),
            flush: match config.broker.flush {
                FlushMode::Fsync => "fsync",
                FlushMode::Os => "os",
            },
            shards: options.shards,
            metrics: OnceLock::new(),
        })
    }

    /// Metrics are served at `address`.
    pub(super) fn metrics_at(&self, address: SocketAddr) {
        // Told once.
        let _ = self.metrics.set(address);
    }

    /// Says it on standard error, as text or as a log line.
    pub(super) fn show(&self, logs: &Logs) {
        let took = (now() - self.started).as_secs_f64() * 1e3;
        let metrics = self
            .metrics
            .get()
            .map_or("off".to_owned(), |at| format!("http://{at}/metrics"));
        match logs.format() {
            LogFormat::Json => tracing::info!(
                version = env!("CARGO_PKG_VERSION"),
                node = self.node,
                advertised = self.advertised(","),
                listening = self.listening.join(","),
                data = self.data,
                flush = self.flush,
                shards = self.shards,
                metrics,
                started_ms = took,
                "ready"
            ),
            LogFormat::Text => logs.say(&self.text(took, &metrics)),
        }
    }

    /// Where clients are told to connect; with the names of the listeners where there are several.
    fn advertised(&self, between: &str) -> String {
        let shown: Vec<String> = match self.advertised.as_slice() {
            [only] => vec![only.address.to_string()],
            all => all.iter().map(ToString::to_string).collect(),
        };
        shown.join(between)
    }

    fn text(&self, took: f64, metrics: &str) -> String {
        let durable = match self.flush {
            "fsync" => "an acknowledged record is on the device",
            _ => "an acknowledged record is in the page cache: a power cut may take it",
        };
        let option = match self.advertised.first().map(|listener| &listener.address) {
            Some(address) if address.port != 9092 || address.host != "localhost" => format!(" -b {address}"),
            _ => String::new(),
        };
        format!(
            "\nKlamm {} is ready after {took:.0} ms (node {}, shards {})\n  \
             clients   {}  (listening on {})\n  \
             data      {}\n  \
             flush     {}: {durable}\n  \
             metrics   {metrics}\n  \
             try       echo hello | klamm produce{option} test;  klamm consume{option} -e test\n\n",
            env!("CARGO_PKG_VERSION"),
            self.node,
            self.shards,
            self.advertised(", "),
            self.listening.join(", "),
            self.data,
            self.flush,
        )
    }
}
