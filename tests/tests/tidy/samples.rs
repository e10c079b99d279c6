//! What breaks each rule, and what only looks like it.

use crate::licences;
use crate::rules;
use crate::source::Source;

fn rust(path: &str, text: &str) -> Source {
    Source::new(path, text)
}

fn core(text: &str) -> Source {
    rust("core/src/record/walk.rs", text)
}

#[test]
fn code_is_told_from_text() {
    let text = "let a = \"fn b() { \\\" }\"; // fn c() {\n/* fn d() { /* */ } */ let e = '{'; let f: &'static str = r#\"\"{\"#;";
    let source = core(text);
    assert_eq!(source.code.lines().count(), 2);
    assert!(source.functions().is_empty());
    assert!(!source.code.contains('{'), "{}", source.code);
    assert!(source.code.contains("&'static str"));
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let source = core("//! x\nfn one() -> [u8; 2] {\n    [0, 1]\n}\ntrait T {\n    fn two(&self);\n}\n");
    let functions = source.functions();
    assert_eq!(functions.len(), 1);
    assert_eq!(
        (functions[0].name.as_str(), functions[0].line, functions[0].lines),
        ("one", 2, 3)
    );
}

#[test]
fn long_files_and_functions_are_found() {
    let body = "    step();\n".repeat(69);
    assert_eq!(
        rules::function_length(&core(&format!("fn long() {{\n{body}}}\n"))).len(),
        1
    );
    let body = "    step();\n".repeat(68);
    assert!(rules::function_length(&core(&format!("fn short() {{\n{body}}}\n"))).is_empty());
    assert_eq!(rules::file_length(&core(&"\n".repeat(601))).len(), 1);
    assert!(rules::file_length(&core(&"\n".repeat(600))).is_empty());
}

#[test]
fn a_later_module_is_found() {
    assert_eq!(rules::module_order(&core("use crate::log::Log;")).len(), 1);
    assert_eq!(
        rules::module_order(&core("use crate::{types::{Now, Seed}, shard::Shard};")).len(),
        1
    );
    assert_eq!(rules::module_order(&core("fn f(x: crate::shard::Input) {}")).len(), 1);
    assert_eq!(rules::module_order(&core("use crate::unheard_of::X;")).len(), 1);
    assert!(rules::module_order(&core("use crate::record::Batch;\nuse crate::{types::Now, wire};")).is_empty());
    assert!(rules::module_order(&core("// crate::shard::Shard\n/// [`crate::log`]\nfn f() {}")).is_empty());
    assert_eq!(rules::module_order(&rust("core/src/novel/mod.rs", "")).len(), 1);
    assert_eq!(
        rules::declared_order(&rust("core/src/lib.rs", "pub mod log;\npub mod types;\n")).len(),
        1
    );
    assert!(rules::declared_order(&rust("core/src/lib.rs", "mod types;\npub mod log;\n")).is_empty());
}

#[test]
fn banned_words_are_found() {
    for word in [
        concat!("// TO", "DO later"),
        concat!("see /wo", "rk/x"),
        concat!("from crates", ".io"),
        concat!("TO", "DO"),
    ] {
        assert_eq!(rules::banned_words(&rust("README.md", word)).len(), 1, "{word}");
    }
    for word in ["mktemp XXXXXX", "homework/", "a TODOLIST"] {
        assert!(rules::banned_words(&rust("README.md", word)).is_empty(), "{word}");
    }
}

#[test]
fn clocks_in_the_core_are_found() {
    assert_eq!(rules::core_names(&core("fn f(x: Instant) {}")).len(), 1);
    assert!(
        rules::core_names(&core(
            "fn f() {} // an Instant\n#[cfg(test)]\nmod tests { use std::fs; }"
        ))
        .is_empty()
    );
    assert!(rules::core_names(&rust("net/src/lib.rs", "fn f(x: Instant) {}")).is_empty());
}

#[test]
fn allows_without_reason_are_found() {
    assert_eq!(rules::allow_reasons(&core("#[allow(dead_code)]\nfn f() {}")).len(), 1);
    assert_eq!(rules::allow_reasons(&core("#![expect(unused)]")).len(), 1);
    assert!(rules::allow_reasons(&core("#[allow(dead_code, reason = \"why\")]\nfn f() {}")).is_empty());
}

#[test]
fn ignored_tests_are_found() {
    assert_eq!(
        rules::ignored_tests(&core("#[test]\n#[ignore = \"slow\"]\nfn f() {}")).len(),
        1
    );
    assert!(rules::ignored_tests(&core("#[test]\nfn f() {}")).is_empty());
}

#[test]
fn unwraps_in_shipped_code_are_found() {
    assert_eq!(rules::unwraps(&core("fn f() { x.unwrap() }")).len(), 1);
    assert!(
        rules::unwraps(&core(
            "fn f() { x.unwrap_or(0) }\n#[cfg(test)]\nmod tests {\n fn g() { x.unwrap() }\n}"
        ))
        .is_empty()
    );
    assert_eq!(
        rules::unwraps(&core("#[cfg(test)]\nmod tests;\nfn f() { x.unwrap() }")).len(),
        1
    );
    assert!(rules::unwraps(&rust("tests/tests/kcat.rs", "fn f() { x.unwrap() }")).is_empty());
}

#[test]
fn missing_heads_are_found() {
    assert_eq!(rules::module_heads(&core("use x;")).len(), 1);
    assert!(rules::module_heads(&core("//! What it is.\n")).is_empty());
}

#[test]
fn dependencies_are_read_from_manifests() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nbytes = { workspace = true }\ncrc.workspace = true\n[target.'cfg(unix)'.dev-dependencies]\n# why\nlibc = \"1\"\n[lints]\nworkspace = true\n";
    let names: Vec<String> = rules::dependencies(manifest).into_iter().collect();
    assert_eq!(names, ["bytes", "crc", "libc"]);
}

#[test]
fn licence_expressions_are_read() {
    let allowed =
        licences::allowed("[licenses]\nallow = [\n \"MIT\",\n \"Zlib\", \"A WITH B\",\n]\n[bans]\nx = [\"GPL\"]");
    assert_eq!(allowed.len(), 3);
    for met in [
        "MIT",
        "GPL OR MIT",
        "GPL/MIT",
        "(GPL OR MIT) AND Zlib",
        "A WITH B OR GPL",
    ] {
        assert!(licences::satisfied(met, &allowed), "{met}");
    }
    for unmet in [
        "GPL",
        "MIT AND GPL",
        "A",
        "(MIT",
        "",
        "MIT AND",
        "(GPL AND MIT) OR (Zlib AND GPL)",
    ] {
        assert!(!licences::satisfied(unmet, &allowed), "{unmet}");
    }
}

#[test]
fn explained_dependencies_are_read_from_the_table() {
    let design = "## 1\n| `no` | x |\n## 2\n| crate | where | reason |\n|---|---|---|\n| `a`, `b-c` (`d`) | core | why `not` |\n## 3\n| `no` |";
    let names: Vec<String> = rules::explained_dependencies(design).into_iter().collect();
    assert_eq!(names, ["a", "b-c", "d"]);
}
