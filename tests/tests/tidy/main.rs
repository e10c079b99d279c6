//! The rules of the repository that no compiler checks, each a test, and each shown to fail on what breaks it.

mod licences;
mod rules;
mod samples;
mod source;

use source::Source;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the repository, whether committed yet or not.
fn sources() -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(
        listed.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let read = |name: &str| Some(Source::new(name, &std::fs::read_to_string(root().join(name)).ok()?));
    let sources: Vec<Source> = names.lines().filter_map(read).collect();
    assert!(
        sources.iter().any(|source| source.path == "core/src/lib.rs"),
        "the core was not found"
    );
    sources
}

fn demand(rule: fn(&Source) -> Vec<String>) {
    let broken: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_are_short() {
    demand(rules::file_length);
}

#[test]
fn functions_are_short() {
    demand(rules::function_length);
}

#[test]
fn core_modules_use_only_earlier_ones() {
    demand(rules::module_order);
}

#[test]
fn core_modules_are_declared_in_order() {
    let sources = sources();
    let lib = sources
        .iter()
        .find(|source| source.path == "core/src/lib.rs")
        .expect("the core has a lib.rs");
    let broken = rules::declared_order(lib);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_banned_word() {
    demand(rules::banned_words);
}

#[test]
fn core_names_no_clock_and_no_io() {
    demand(rules::core_names);
}

#[test]
fn allowed_lints_have_reasons() {
    demand(rules::allow_reasons);
}

#[test]
fn no_test_is_ignored() {
    demand(rules::ignored_tests);
}

#[test]
fn shipped_code_does_not_unwrap() {
    demand(rules::unwraps);
}

#[test]
fn files_say_what_they_are() {
    demand(rules::module_heads);
}

#[test]
fn dependencies_have_allowed_licences() {
    let allowed = licences::allowed(&std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there"));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output();
    let output = output.expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    assert!(packages.len() > 6, "cargo listed no dependency");
    let refused = packages.iter().filter(|package| {
        !package["license"]
            .as_str()
            .is_some_and(|expression| licences::satisfied(expression, &allowed))
    });
    let refused: Vec<String> = refused
        .map(|package| format!("{}: {}", package["name"], package["license"]))
        .collect();
    assert!(
        refused.is_empty(),
        "licences that deny.toml does not allow:\n{}",
        refused.join("\n")
    );
}

#[test]
fn dependencies_have_reasons() {
    let design = std::fs::read_to_string(root().join("DESIGN.md")).expect("DESIGN.md is there");
    let explained = rules::explained_dependencies(&design);
    let sources = sources();
    let manifests = sources.iter().filter(|source| source.path.ends_with("Cargo.toml"));
    let needed: BTreeSet<String> = manifests.flat_map(|source| rules::dependencies(&source.text)).collect();
    let ours = |name: &String| name.starts_with("klamm");
    let missing: Vec<&String> = needed.difference(&explained).filter(|name| !ours(name)).collect();
    assert!(
        missing.is_empty(),
        "dependencies without a reason in DESIGN.md: {missing:?}"
    );
    let stale: Vec<&String> = explained.difference(&needed).collect();
    assert!(
        stale.is_empty(),
        "dependencies that DESIGN.md explains and nobody has: {stale:?}"
    );
}
