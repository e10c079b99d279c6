//! What a topic says itself, and the configuration that results from it.
//!
//! Invariant: every entry of [`TopicOverrides`] was accepted by the table of keys and is in canonical form, so
//! resolving it cannot fail.

use super::topic_keys::{Role, TopicKey};
use super::value::{Value, parse_value};
use super::{ConfigError, TopicConfig};
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The settings that a topic carries itself, by key, each in canonical form.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TopicOverrides {
    entries: BTreeMap<&'static str, String>,
}

impl TopicOverrides {
    /// Reads settings as a client or the metadata log gives them and resolves them over the broker's defaults. The last
    /// of several values for one name counts.
    ///
    /// The first setting that is unknown, has no value, a value that is not allowed, or one that cannot act yet is the
    /// error: `INVALID_CONFIG` to clients.
    pub fn parse<'a>(
        settings: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
        defaults: &TopicConfig,
    ) -> Result<(TopicConfig, Self), ConfigError> {
        let mut values: BTreeMap<&'static str, Value> = BTreeMap::new();
        for (name, text) in settings {
            let key =
                TopicKey::find(name).ok_or_else(|| ConfigError::new(name, "there is no topic setting of this name"))?;
            let text = text.ok_or_else(|| ConfigError::new(key.name, "a value is needed"))?;
            values.insert(key.name, accept(key, text)?);
        }
        check_compaction_lag(&values)?;
        let config = apply(&values, defaults);
        let entries = values.iter().map(|(&name, value)| (name, value.canonical())).collect();
        Ok((config, Self { entries }))
    }

    /// The configuration of a topic with these settings, on a broker with these defaults.
    pub fn resolve(&self, defaults: &TopicConfig) -> TopicConfig {
        let read = |(&name, text): (&&'static str, &String)| {
            let key = TopicKey::find(name)?;
            parse_value(name, key.kind, key.bounds, text)
                .ok()
                .map(|value| (name, value))
        };
        apply(&self.entries.iter().filter_map(read).collect(), defaults)
    }

    /// The value of a key, in canonical form.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }

    /// Every key and its value, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &str)> {
        self.entries.iter().map(|(&name, value)| (name, value.as_str()))
    }

    /// Whether the topic says nothing itself.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Reads one value of `key`; an error if it is not allowed or cannot act yet.
pub(super) fn accept(key: &TopicKey, text: &str) -> Result<Value, ConfigError> {
    let value = parse_value(key.name, key.kind, key.bounds, text)?;
    match key.role {
        Role::Only(only, reason) if value.canonical() != only => Err(ConfigError::new(key.name, reason)),
        _ => Ok(value),
    }
}

fn apply(values: &BTreeMap<&'static str, Value>, defaults: &TopicConfig) -> TopicConfig {
    let mut config = defaults.clone();
    // Backwards, so that internal.segment.bytes has the last word over segment.bytes, as in Kafka.
    for (name, value) in values.iter().rev() {
        if let Some(Role::Acts(act)) = TopicKey::find(name).map(|key| key.role) {
            act(&mut config, value);
        }
    }
    config
}

/// A record may not have to be compacted before it may be (`LogConfig.validateValues`).
fn check_compaction_lag(values: &BTreeMap<&'static str, Value>) -> Result<(), ConfigError> {
    let least = values.get("min.compaction.lag.ms").map_or(0, Value::whole);
    let most = values.get("max.compaction.lag.ms").map_or(i64::MAX, Value::whole);
    if least > most {
        return Err(ConfigError::new(
            "min.compaction.lag.ms",
            "it may not exceed max.compaction.lag.ms",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{CleanupPolicy, CompactionConfig, TimestampType};
    use super::*;
    use crate::record::{Compression, Level};
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn parse(settings: &[(&str, &str)]) -> Result<(TopicConfig, TopicOverrides), ConfigError> {
        let settings = settings.iter().map(|&(name, value)| (name, Some(value)));
        TopicOverrides::parse(settings, &TopicConfig::default())
    }

    #[test]
    fn what_acts_reaches_the_configuration() {
        let (config, overrides) = parse(&[
            ("retention.ms", " +60000 "),
            ("retention.bytes", "1000"),
            ("segment.bytes", "2097152"),
            ("segment.ms", "1000"),
            ("index.interval.bytes", "1"),
            ("max.message.bytes", "100"),
            ("min.insync.replicas", "2"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "5"),
            ("message.timestamp.after.max.ms", "6"),
            ("compression.type", "gzip"),
            ("compression.gzip.level", "7"),
            ("compression.lz4.level", "17"),
            ("compression.zstd.level", "-1"),
            ("flush.messages", "8"),
            ("flush.ms", "9"),
        ])
        .unwrap();
        let expected = TopicConfig {
            segment_bytes: 2_097_152,
            segment_ms: 1000,
            index_interval_bytes: 1,
            max_message_bytes: 100,
            cleanup: CleanupPolicy::Delete,
            compaction: CompactionConfig::default(),
            retention_ms: Some(60_000),
            retention_bytes: Some(1000),
            min_insync_replicas: 2,
            timestamp_type: TimestampType::LogAppendTime,
            timestamp_before_max_ms: 5,
            timestamp_after_max_ms: 6,
            compression: Some(Compression::Gzip),
            gzip_level: Level::Of(7),
            lz4_level: Level::Of(17),
            zstd_level: Level::Of(-1),
            flush_messages: 8,
            flush_ms: Some(9),
        };
        assert_eq!(config, expected);
        assert_eq!(overrides.get("retention.ms"), Some("60000"));
        assert_eq!(overrides.resolve(&TopicConfig::default()), expected);
    }

    #[test]
    fn the_codec_that_is_asked_for_comes_with_its_level() {
        for (codec, level, expected) in [
            ("gzip", "7", Level::Of(7)),
            ("lz4", "17", Level::Of(17)),
            ("lz4", "9", Level::Default),
            ("zstd", "-5", Level::Of(-5)),
        ] {
            let name = alloc::format!("compression.{codec}.level");
            let (config, _) = parse(&[("compression.type", codec), (&name, level)]).unwrap();
            let (to, level) = config.recompression(Compression::None).unwrap();
            assert_eq!((to.name(), level), (codec, expected));
            assert_eq!(config.recompression(to), None, "it is what it shall be");
        }
    }

    #[test]
    fn minus_one_keeps_everything() {
        let defaults = TopicConfig {
            retention_bytes: Some(5),
            ..TopicConfig::default()
        };
        let settings = [("retention.ms", Some("-1")), ("retention.bytes", Some("-1"))];
        let (config, _) = TopicOverrides::parse(settings, &defaults).unwrap();
        assert_eq!((config.retention_ms, config.retention_bytes), (None, None));
    }

    #[test]
    fn what_a_topic_does_not_say_comes_from_the_broker() {
        let defaults = TopicConfig {
            segment_ms: 7,
            ..TopicConfig::default()
        };
        let (config, overrides) = TopicOverrides::parse([("retention.ms", Some("1"))], &defaults).unwrap();
        assert_eq!(config.segment_ms, 7);
        assert_eq!(overrides.iter().collect::<Vec<_>>(), [("retention.ms", "1")]);
        assert_eq!(
            overrides.resolve(&TopicConfig::default()).segment_ms,
            TopicConfig::default().segment_ms
        );
    }

    #[test]
    fn what_cannot_act_yet_is_refused_with_its_reason() {
        let error = parse(&[("remote.storage.enable", "true")]).unwrap_err().to_string();
        assert!(
            error.starts_with("remote.storage.enable") && error.contains("tiered storage"),
            "{error}"
        );
    }

    #[test]
    fn compaction_is_asked_for_by_policy_and_tuned() {
        for (policy, cleanup) in [
            ("compact", CleanupPolicy::Compact),
            ("delete, compact", CleanupPolicy::CompactDelete),
            ("delete", CleanupPolicy::Delete),
            ("", CleanupPolicy::Keep),
        ] {
            let (config, _) = parse(&[("cleanup.policy", policy)]).unwrap();
            assert_eq!(config.cleanup, cleanup, "{policy}");
        }
        let settings = [
            ("delete.retention.ms", "1"),
            ("max.compaction.lag.ms", "4"),
            ("min.cleanable.dirty.ratio", "0.1"),
            ("min.compaction.lag.ms", "3"),
        ];
        let (config, _) = parse(&settings).unwrap();
        assert_eq!(
            config.compaction,
            CompactionConfig {
                min_dirty_millionths: 100_000,
                min_lag_ms: 3,
                max_lag_ms: 4,
                delete_retention_ms: 1,
            }
        );
        assert!(parse(&[("min.cleanable.dirty.ratio", "1.1")]).is_err());
    }

    #[test]
    fn what_says_the_default_or_is_only_echoed_is_accepted() {
        let settings = [
            ("cleanup.policy", "delete"),
            ("compression.type", "producer"),
            ("flush.ms", "9223372036854775807"),
            ("remote.storage.enable", "FALSE"),
            ("segment.jitter.ms", "10"),
            ("leader.replication.throttled.replicas", "0:1"),
            ("unclean.leader.election.enable", "TRUE"),
        ];
        let (config, overrides) = parse(&settings).unwrap();
        assert_eq!(config, TopicConfig::default());
        assert_eq!(overrides.iter().len(), settings.len());
        assert_eq!(overrides.get("remote.storage.enable"), Some("false"));
        assert_eq!(overrides.get("unclean.leader.election.enable"), Some("true"));
    }

    #[test]
    fn an_unknown_key_a_missing_value_and_a_wrong_one_are_errors_that_name_the_key() {
        assert_eq!(parse(&[("retention", "1")]).unwrap_err().name(), "retention");
        let missing = TopicOverrides::parse([("retention.ms", None)], &TopicConfig::default()).unwrap_err();
        assert_eq!(missing.to_string(), "retention.ms: a value is needed");
        assert!(
            parse(&[("segment.bytes", "1024")])
                .unwrap_err()
                .to_string()
                .contains("at least 1048576")
        );
        assert!(parse(&[("min.insync.replicas", "0")]).is_err());
        assert!(parse(&[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")]).is_err());
    }

    #[test]
    fn the_last_value_of_a_name_counts_and_the_internal_segment_size_wins() {
        let (config, _) = parse(&[("segment.ms", "1"), ("segment.ms", "2")]).unwrap();
        assert_eq!(config.segment_ms, 2);
        let (config, _) = parse(&[("internal.segment.bytes", "512"), ("segment.bytes", "1048576")]).unwrap();
        assert_eq!(config.segment_bytes, 512);
    }
}
