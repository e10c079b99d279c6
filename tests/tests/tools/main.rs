//! Kafka's command-line tools in the forms that are no rows of the client matrix: what they say and do is compared with
//! what is so, never only how they end.
//!
//! The run writes its table to `target/tools.md`, and the README shows that table, word for word.

mod brokers;
mod groups;
mod records;

use klamm_tests::{Client, installed};
use std::fmt::Write as _;
use std::fs;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A way to call a tool.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// The tool and its options, in Markdown.
    pub(crate) name: &'static str,
    /// Calls it, and panics where something is not as it should be.
    pub(crate) run: fn(),
}

/// How many forms are tried at once: most of their time goes into starting Java.
const LANES: usize = 3;

/// Tries all of them, and says which failed.
fn tried(forms: &[Form]) -> Vec<&'static str> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(form) = forms.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if catch_unwind(form.run).is_err() {
                        failed.lock().expect("no lane panics with it").push(form.name);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no lane panicked with it")
}

#[test]
fn every_form_does_what_it_says() {
    if let Some(reason) = Client::Tools.missing() {
        assert!(std::env::var_os("CI").is_none(), "{reason}; ci/install installs it");
        println!("not run: {reason}");
        return;
    }
    let forms = [groups::FORMS, records::FORMS, brokers::FORMS].concat();
    let failed = tried(&forms);
    assert!(failed.is_empty(), "forms that failed: {failed:#?}");
    let mut table = String::from("| Kafka's tool | |\n|---|:-:|\n");
    for form in forms {
        writeln!(table, "| {} | ✓ |", form.name).expect("a string takes all");
    }
    let file = installed::target().join("tools.md");
    fs::write(&file, &table).expect("the table is written");
    let readme = fs::read_to_string(installed::root().join("README.md")).expect("the README is there");
    assert!(
        readme.contains(&table),
        "the README shows another table than {}",
        file.display()
    );
}
