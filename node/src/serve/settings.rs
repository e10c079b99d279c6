//! Settings from everywhere they may stand; what comes later in the list counts.

use super::ServeArgs;
use crate::failure::Failure;
use klamm_core::config::{MAX_PROPERTIES_BYTES, parse_properties};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The data directory where nobody says it.
pub(super) const DATA: &str = "klamm-data";

/// The file's settings, then those that have a flag, then those of `--set`.
pub(super) fn gather(args: &ServeArgs) -> Result<Vec<(String, String)>, Failure> {
    let mut settings = match &args.config {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let mut flag = |name: &str, value: Option<String>| {
        settings.extend(value.map(|value| (name.to_owned(), value)));
    };
    let data = args.data.as_ref().map(|path| path.to_string_lossy().into_owned());
    flag("log.dirs", data);
    let listeners: Vec<String> = args
        .listen
        .iter()
        .map(|address| format!("PLAINTEXT://{address}"))
        .collect();
    flag("listeners", (!listeners.is_empty()).then(|| listeners.join(",")));
    flag(
        "advertised.listeners",
        args.advertise.as_ref().map(|address| format!("PLAINTEXT://{address}")),
    );
    flag("shards", args.shards.map(|shards| shards.to_string()));
    flag("flush", args.flush.clone());
    flag("metrics.listener", args.metrics.clone());
    for set in &args.set {
        let (name, value) = set
            .split_once('=')
            .ok_or_else(|| Failure::new(format!("--set '{set}' is not of the form key=value")))?;
        settings.push((name.trim().to_owned(), value.to_owned()));
    }
    Ok(settings)
}

fn read(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("--config {}: {error}", path.display()));
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => failed(&"there is no such file; name a file of properties, key=value on each line"),
        io::ErrorKind::InvalidData => {
            failed(&"it is not text in UTF-8; name a file of properties, key=value on each line")
        }
        _ => failed(&format_args!("it cannot be read: {error}")),
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_PROPERTIES_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    parse_properties(&text).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn gathered(line: &[&str]) -> Result<Vec<(String, String)>, Failure> {
        gather(&Line::parse_from([&["serve"], line].concat()).args)
    }

    #[test]
    fn flags_are_settings_and_set_comes_last() {
        let line = "--data d --listen 127.0.0.1:1 --listen [::1]:1 --advertise h:3 --shards 2 --flush os --metrics off \
                    --set flush=fsync --set a=b=c";
        let settings = gathered(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            settings,
            [
                ("log.dirs", "d"),
                ("listeners", "PLAINTEXT://127.0.0.1:1,PLAINTEXT://[::1]:1"),
                ("advertised.listeners", "PLAINTEXT://h:3"),
                ("shards", "2"),
                ("flush", "os"),
                ("metrics.listener", "off"),
                ("flush", "fsync"),
                ("a", "b=c"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = gathered(&["--config", "no/such/file"]).unwrap_err().to_string();
        assert!(error.starts_with("--config no/such/file"), "{error}");
        assert!(
            gathered(&["--set", "flush"])
                .unwrap_err()
                .to_string()
                .contains("key=value")
        );
    }
}
