//! Values of settings: what a text may be, and what is wrong with one that it may not.
//!
//! Invariant: the canonical text of an accepted value reads back as the same value.

use super::connections::parse_counts;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The type of a setting, by Kafka's `ConfigType` (`DescribeConfigsResponse`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits, signed.
    Int,
    /// 16 bits, signed.
    Short,
    /// 64 bits, signed.
    Long,
    /// A floating-point number.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a Java class.
    Class,
    /// Text that is kept secret.
    Password,
}

impl ValueType {
    /// The number on the wire.
    pub const fn id(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    const fn whole_range(self) -> (i64, i64) {
        match self {
            Self::Short => (i16::MIN as i64, i16::MAX as i64),
            Self::Int => (i32::MIN as i64, i32::MAX as i64),
            _ => (i64::MIN, i64::MAX),
        }
    }
}

/// What a value of a type may be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bounds {
    /// Whatever the type allows.
    Any,
    /// A number not below this.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// A number from the first to the second, or the third (`compression.gzip.level`: -1 is the codec's own default).
    BetweenOr(i64, i64, i64),
    /// One of these words; of a list, each of its parts.
    OneOf(&'static [&'static str]),
    /// `*`, or parts of the form `partition:broker` (KIP-73).
    ThrottledReplicas,
    /// Parts of the form `address:count`.
    AddressCounts,
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any value of its type"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::Between(least, most) => write!(f, "from {least} to {most}"),
            Self::BetweenOr(least, most, other) => write!(f, "from {least} to {most}, or {other}"),
            Self::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Self::ThrottledReplicas => f.write_str("*, or partition:broker pairs separated by commas"),
            Self::AddressCounts => f.write_str("address:count pairs separated by commas, without host names"),
        }
    }
}

/// A value that was read and is within its bounds.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Of [`ValueType::Boolean`].
    Boolean(bool),
    /// Of [`ValueType::Short`], [`Int`](ValueType::Int) and [`Long`](ValueType::Long).
    Whole(i64),
    /// Of [`ValueType::Double`].
    Double(f64),
    /// Of [`ValueType::String`] and [`Class`](ValueType::Class).
    Text(String),
    /// Of [`ValueType::List`]; no part is empty.
    List(Vec<String>),
}

impl Value {
    /// The number; 0 for what is none.
    pub(super) fn whole(&self) -> i64 {
        match self {
            Self::Whole(number) => *number,
            _ => 0,
        }
    }

    /// A size or interval; what is below zero counts as zero.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.whole()).unwrap_or(0)
    }

    /// A size in an `int` setting; what is below zero counts as zero.
    pub(super) fn size32(&self) -> u32 {
        u32::try_from(self.whole().max(0)).unwrap_or(u32::MAX)
    }

    /// A size or interval where what is below zero means 'no bound'.
    pub(super) fn limit(&self) -> Option<u64> {
        u64::try_from(self.whole()).ok()
    }

    /// A share of one, in millionths.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of one fits, and casts saturate"
    )]
    pub(super) fn millionths(&self) -> u32 {
        match self {
            Self::Double(share) => (*share * 1e6 + 0.5) as u32,
            _ => 0,
        }
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        matches!(self, Self::Boolean(true))
    }

    /// The text that reads back as this value.
    pub fn canonical(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Whole(value) => value.to_string(),
            Self::Double(value) => format!("{value:?}"),
            Self::Text(value) => value.clone(),
            Self::List(parts) => parts.join(","),
        }
    }
}

/// Why a setting is refused; names the setting, what is wrong, and what is allowed. Clients get it as `INVALID_CONFIG`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    name: String,
    problem: String,
}

impl ConfigError {
    /// The setting called `name` is refused because of `problem`, a clause such as "must be at least 1".
    pub(super) fn new(name: &str, problem: impl Into<String>) -> Self {
        const SHOWN: usize = 256;
        let end = (0..=SHOWN.min(name.len()))
            .rev()
            .find(|&end| name.is_char_boundary(end));
        Self {
            name: name.get(..end.unwrap_or(0)).unwrap_or_default().to_owned(),
            problem: problem.into(),
        }
    }

    /// What is wrong with it.
    pub(super) fn problem(&self) -> &str {
        &self.problem
    }

    /// The setting.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl core::error::Error for ConfigError {}

/// Reads the value of the setting `name`.
pub(super) fn parse_value(name: &str, kind: ValueType, bounds: Bounds, text: &str) -> Result<Value, ConfigError> {
    let text = text.trim();
    let wrong = |what: &str| ConfigError::new(name, format!("'{}' is not {what}; allowed is {bounds}", shown(text)));
    let value = match kind {
        ValueType::Boolean if text.eq_ignore_ascii_case("true") => Value::Boolean(true),
        ValueType::Boolean if text.eq_ignore_ascii_case("false") => Value::Boolean(false),
        ValueType::Boolean => {
            return Err(ConfigError::new(
                name,
                format!("'{}' is neither true nor false", shown(text)),
            ));
        }
        ValueType::Int | ValueType::Short | ValueType::Long => {
            let number: i64 = text.parse().map_err(|_| wrong("a whole number"))?;
            let (least, most) = kind.whole_range();
            if number < least || number > most {
                return Err(ConfigError::new(name, format!("{number} is outside {least} to {most}")));
            }
            Value::Whole(number)
        }
        ValueType::Double => {
            let number: f64 = text.parse().map_err(|_| wrong("a number"))?;
            if !number.is_finite() {
                return Err(wrong("a finite number"));
            }
            Value::Double(number)
        }
        ValueType::String | ValueType::Class | ValueType::Password => Value::Text(text.to_owned()),
        ValueType::List => Value::List(split_list(text)),
    };
    if within(&value, bounds) {
        Ok(value)
    } else {
        Err(ConfigError::new(
            name,
            format!("'{}' is not allowed; allowed is {bounds}", shown(text)),
        ))
    }
}

/// The parts of a list: trimmed, without empty ones and repetitions.
/// Each part once, in the order given.
fn split_list(text: &str) -> Vec<String> {
    let mut known = BTreeSet::new();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.filter(|&part| known.insert(part)).map(str::to_owned).collect()
}

fn within(value: &Value, bounds: Bounds) -> bool {
    match (value, bounds) {
        (_, Bounds::Any) => true,
        (Value::Whole(number), Bounds::AtLeast(least)) => *number >= least,
        (Value::Whole(number), Bounds::Between(least, most)) => (least..=most).contains(number),
        (Value::Whole(number), Bounds::BetweenOr(least, most, other)) => {
            (least..=most).contains(number) || *number == other
        }
        #[allow(clippy::cast_precision_loss, reason = "bounds of ratios are small whole numbers")]
        (Value::Double(number), Bounds::Between(least, most)) => (least as f64..=most as f64).contains(number),
        (Value::Text(text), Bounds::OneOf(words)) => words.contains(&text.as_str()),
        (Value::List(parts), Bounds::OneOf(words)) => parts.iter().all(|part| words.contains(&part.as_str())),
        (Value::Text(text), Bounds::AddressCounts) => parse_counts(text).is_some(),
        (Value::List(parts), Bounds::ThrottledReplicas) => {
            let pair = |part: &String| {
                part.split_once(':').is_some_and(|(partition, broker)| {
                    partition.trim().parse::<u32>().is_ok() && broker.trim().parse::<u32>().is_ok()
                })
            };
            parts.iter().all(pair) || matches!(parts.as_slice(), [all] if all == "*")
        }
        _ => false,
    }
}

/// What an error shows of a value that may be long.
fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().nth(SHOWN).is_none() {
        text.to_owned()
    } else {
        text.chars().take(SHOWN).chain("…".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ValueType, bounds: Bounds, text: &str) -> String {
        parse_value("a.key", kind, bounds, text).unwrap_err().to_string()
    }

    #[test]
    fn a_value_reads_back_from_its_canonical_text() {
        for (kind, text, canonical) in [
            (ValueType::Boolean, " TRUE ", "true"),
            (ValueType::Long, "+9223372036854775807", "9223372036854775807"),
            (ValueType::Double, "0.50", "0.5"),
            (ValueType::List, " a, b ,,a", "a,b"),
            (ValueType::String, "  text ", "text"),
        ] {
            let value = parse_value("a.key", kind, Bounds::Any, text).unwrap();
            assert_eq!(value.canonical(), canonical);
            assert_eq!(parse_value("a.key", kind, Bounds::Any, canonical).unwrap(), value);
        }
    }

    #[test]
    fn an_error_names_the_setting_the_value_and_what_is_allowed() {
        assert_eq!(
            error(ValueType::Int, Bounds::AtLeast(1), "0"),
            "a.key: '0' is not allowed; allowed is at least 1"
        );
        assert_eq!(
            error(ValueType::Int, Bounds::AtLeast(1), "many"),
            "a.key: 'many' is not a whole number; allowed is at least 1"
        );
        assert_eq!(
            error(ValueType::Boolean, Bounds::Any, "yes"),
            "a.key: 'yes' is neither true nor false"
        );
        assert_eq!(
            error(ValueType::String, Bounds::OneOf(&["a", "b"]), "c"),
            "a.key: 'c' is not allowed; allowed is one of a, b"
        );
    }

    #[test]
    fn a_number_outside_its_type_is_refused() {
        assert!(error(ValueType::Int, Bounds::Any, "2147483648").contains("outside"));
        assert!(error(ValueType::Short, Bounds::Any, "40000").contains("outside"));
        assert!(error(ValueType::Long, Bounds::Any, "9223372036854775808").contains("whole number"));
        assert!(error(ValueType::Double, Bounds::Between(0, 1), "1.5").contains("from 0 to 1"));
        assert!(error(ValueType::Double, Bounds::Any, "NaN").contains("finite"));
    }

    #[test]
    fn an_error_stays_short_whatever_was_sent() {
        let long = "x".repeat(100_000);
        assert!(error(ValueType::Int, Bounds::Any, &long).len() < 500);
        assert!(ConfigError::new(&long, "unknown").to_string().len() < 500);
    }

    #[test]
    fn throttled_replicas_are_a_star_or_pairs() {
        let read = |text| parse_value("k", ValueType::List, Bounds::ThrottledReplicas, text);
        assert!(read("").is_ok());
        assert!(read("*").is_ok());
        assert!(read("0:1,1:2").is_ok());
        assert!(read("0").is_err());
        assert!(read("*,0:1").is_err());
    }
}
