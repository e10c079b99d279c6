//! Sizes and durations as people write them.

use std::time::Duration;

/// Reads `1024`, `16KiB`, `1MB`, `2GB`: bytes. Units with an i are powers of 1024, the others of 1000.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = parts(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "t" | "tb" => 1_000_000_000_000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => {
            return Err(format!(
                "'{text}' is no size: write a number with B, KB, MB, GB, KiB, MiB or GiB"
            ));
        }
    };
    scaled(number, factor).ok_or_else(|| format!("'{text}' is no size"))
}

/// Reads `500ms`, `30s`, `5m`, `1h`; a number alone is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = parts(text);
    let micros = match unit {
        "us" => 1,
        "ms" => 1000,
        "" | "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => {
            return Err(format!(
                "'{text}' is no duration: write a number with us, ms, s, m or h"
            ));
        }
    };
    scaled(number, micros)
        .map(Duration::from_micros)
        .ok_or_else(|| format!("'{text}' is no duration"))
}

fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

fn scaled(number: &str, factor: u64) -> Option<u64> {
    let number = number.replace('_', "");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "nobody writes a fraction of a size that needs 53 bits"
    )]
    let value = number.parse::<f64>().ok()? * factor as f64;
    (0.0..9e18).contains(&value).then_some(value as u64)
}

/// Bytes for people, in powers of 1000.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("16KiB", 16384),
            ("1 MB", 1_000_000),
            ("1.5g", 1_500_000_000),
            ("1_000b", 1000),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "1 PB", "-1", "99999999999999GB", "."] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, millis) in [
            ("30", 30_000),
            ("1.5s", 1500),
            ("20ms", 20),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(duration("1d").is_err());
    }

    #[test]
    fn bytes_are_shown_short() {
        assert_eq!(
            [bytes(5), bytes(1500), bytes(2_500_000), bytes(3_000_000_000)],
            ["5 B", "1.5 kB", "2.5 MB", "3.00 GB"]
        );
    }
}
