//! The rules about source files, each a pure function from (path, text) to problems.
//!
//! A problem reads `path:line: what is wrong; what to do`. Paths are relative to the workspace, with `/`. A rule
//! decides by the path whether it applies. Each is tested below by a planted offence and by an innocent neighbour.

use super::source::{
    Function, code_of, find_words, functions, grouped_imports, has_words, identifiers, line_of, numbered,
};

/// Longer files hold a second subject.
const FILE_LINES_MAX: usize = 600;
/// What fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// The modules that only compute.
const PURE: [&str; 2] = ["crates/core/src/change", "crates/core/src/merge"];
/// What the pure modules never touch: waiting, the machine, and the place that wraps the machine.
const IMPURE: [&str; 13] = [
    "async",
    "await",
    "tokio",
    "std::fs",
    "std::net",
    "std::io",
    "std::thread",
    "std::process",
    "std::env",
    "Instant",
    "SystemTime",
    "crate::env",
    "getrandom",
];
/// Databases, brokers and protocols, as parts of crate and module names (`tokio_postgres`, `mysql_async`).
const DRIVERS: [&str; 14] = [
    "rusqlite",
    "libsqlite3",
    "postgres",
    "mysql",
    "sqlx",
    "diesel",
    "nats",
    "kafka",
    "rdkafka",
    "krafka",
    "axum",
    "reqwest",
    "hyper",
    "tungstenite",
];
const HTTP_SERVERS: [&str; 2] = ["axum", "hyper"];
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "miscellaneous"];
// Written in two halves, so that this file does not offend itself.
const LEFTOVER_WORDS: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const LEFTOVER_CODE: [&str; 4] = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
const LEFTOVER_PRINTS: [&str; 8] = ["debug", "dbg", "here", ">>>", "***", "###", "{:?}", "{:#?}"];
const MACHINE_PATHS: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_bench(path: &str) -> bool {
    path.starts_with("bench/")
}

/// A file that ships, or a benchmark; not a test.
pub(super) fn is_source(path: &str) -> bool {
    is_rust(path) && ((path.starts_with("crates/") && path.contains("/src/")) || is_bench(path))
}

fn is_manifest(path: &str) -> bool {
    path.ends_with("/Cargo.toml")
}

fn is_env(path: &str) -> bool {
    path.starts_with("crates/core/src/env/") || path == "crates/core/src/env.rs"
}

/// Lines of code: without comments and literals.
fn code_lines(path: &str, text: &str) -> Vec<(usize, String)> {
    let code = if is_rust(path) { code_of(text) } else { without_toml_prose(text) };
    numbered(&code).map(|(line, code)| (line, code.to_owned())).collect()
}

/// A manifest without comments and without its description, which may name what it likes.
fn without_toml_prose(text: &str) -> String {
    let keep = |line: &str| match line.split_once(" #") {
        _ if line.starts_with('#') || line.starts_with("description") => String::new(),
        Some((code, _)) => code.to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(keep).collect::<Vec<_>>().join("\n")
}

pub(super) fn file_is_short(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if !is_source(path) || lines <= FILE_LINES_MAX {
        return Vec::new();
    }
    vec![format!("{path}:{lines}: {lines} lines; split it by subject into a folder (at most {FILE_LINES_MAX})")]
}

/// A function longer than [`FUNCTION_LINES_MAX`].
#[derive(Debug, PartialEq)]
pub(super) struct LongFunction {
    path: String,
    name: String,
    line: usize,
    lines: usize,
}

/// The functions of a file that are too long.
pub(super) fn long_functions(path: &str, text: &str) -> Vec<LongFunction> {
    if !is_source(path) {
        return Vec::new();
    }
    let code = code_of(text);
    let long = functions(&code).into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    let owned = |Function { name, line, lines }: Function<'_>| {
        let (path, name) = (path.to_owned(), name.to_owned());
        LongFunction { path, name, line, lines }
    };
    long.map(owned).collect()
}

/// Holds the long functions found against the list of exceptions, as (path, name, lines): that may only shrink.
pub(super) fn ratchet(found: &[LongFunction], exceptions: &[(&str, &str, usize)]) -> Vec<String> {
    let mut problems = Vec::new();
    for LongFunction { path, name, line, lines } in found {
        let excepted = exceptions.iter().find(|exception| exception.0 == path && exception.1 == name);
        let advice = match excepted {
            None => format!("split it (at most {FUNCTION_LINES_MAX})"),
            Some((_, _, allowed)) if lines > allowed => format!("it had {allowed} and may only shrink"),
            Some(_) => continue,
        };
        problems.push(format!("{path}:{line}: fn {name} has {lines} lines; {advice}"));
    }
    for (path, name, allowed) in exceptions {
        let present = found.iter().filter(|function| function.path == *path && function.name == *name);
        match present.map(|function| function.lines).max() {
            None => problems.push(format!("{path}: fn {name} is short now; take it off LONG_FUNCTIONS")),
            Some(lines) if lines < *allowed => {
                problems.push(format!("{path}: fn {name} shrank; lower its number in LONG_FUNCTIONS to {lines}"));
            }
            Some(_) => {}
        }
    }
    problems
}

pub(super) fn opens_with_documentation(path: &str, text: &str) -> Vec<String> {
    if !is_source(path) || text.starts_with("//!") {
        return Vec::new();
    }
    vec![format!("{path}:1: no module documentation; open with `//!`: what it is, its invariants, what it never does")]
}

pub(super) fn pure_stays_pure(path: &str, text: &str) -> Vec<String> {
    let mut rest_of_pure = PURE.iter().filter_map(|module| path.strip_prefix(module));
    if !is_rust(path) || !rest_of_pure.any(|rest| rest.starts_with('/') || rest == ".rs") {
        return Vec::new();
    }
    let code = code_of(text);
    let direct =
        IMPURE.iter().flat_map(|word| find_words(&code, word).map(|at| (line_of(&code, at), word.to_string())));
    let grouped = ["std", "crate"].into_iter().flat_map(|root| {
        let imports = grouped_imports(&code, root).into_iter();
        imports.map(move |(line, module)| (line, format!("{root}::{module}")))
    });
    let mut offences: Vec<_> = direct.chain(grouped.filter(|(_, module)| IMPURE.contains(&module.as_str()))).collect();
    offences.sort();
    let problem =
        |(line, word)| format!("{path}:{line}: `{word}` in a pure module; take time, identity and data as arguments");
    offences.into_iter().map(problem).collect()
}

/// The lines that name one of `words`, alone or as a part of an identifier.
fn lines_naming(path: &str, text: &str, words: &[&str]) -> Vec<(usize, String)> {
    let names = |identifier: &String| identifier.to_lowercase().split('_').any(|part| words.contains(&part));
    let lines = code_lines(path, text).into_iter();
    lines.filter_map(|(line, code)| Some((line, identifiers(&code).into_iter().find(names)?))).collect()
}

pub(super) fn core_names_no_database(path: &str, text: &str) -> Vec<String> {
    if !(path == "crates/core/Cargo.toml" || path.starts_with("crates/core/src/") && is_rust(path)) {
        return Vec::new();
    }
    let problem =
        |(line, name)| format!("{path}:{line}: core names `{name}`; move it into a connector, behind a trait of core");
    lines_naming(path, text, &DRIVERS).into_iter().map(problem).collect()
}

pub(super) fn only_the_server_knows_http(path: &str, text: &str) -> Vec<String> {
    let elsewhere = path.starts_with("crates/") && !path.starts_with("crates/server/");
    if !elsewhere || !(is_source(path) || is_manifest(path)) {
        return Vec::new();
    }
    let problem = |(line, name)| format!("{path}:{line}: names `{name}`; only crates/server serves HTTP");
    lines_naming(path, text, &HTTP_SERVERS).into_iter().map(problem).collect()
}

pub(super) fn only_env_passes_the_firewall(path: &str, text: &str) -> Vec<String> {
    if path == "Cargo.toml" {
        let wanted = ["disallowed_methods = \"deny\"", "disallowed_types = \"deny\""];
        let missing = wanted.into_iter().filter(|lint| !text.lines().any(|line| line == *lint));
        return missing
            .map(|lint| format!("{path}:1: the firewall is off; [workspace.lints.clippy] needs `{lint}`"))
            .collect();
    }
    if !path.starts_with("crates/") || is_env(path) || path.contains("/tests/") {
        return Vec::new();
    }
    if is_manifest(path) && !text.contains("[lints]\nworkspace = true") {
        return vec![format!("{path}:1: the lints of the workspace are off; add `[lints]` with `workspace = true`")];
    }
    if !is_rust(path) {
        return Vec::new();
    }
    let code = code_of(text);
    let switched_off =
        find_words(&code, "clippy::disallowed_methods").chain(find_words(&code, "clippy::disallowed_types"));
    let problem = |at| {
        let line = line_of(&code, at);
        format!(
            "{path}:{line}: passes the firewall of clippy.toml; reach clock, randomness and disk through core's env"
        )
    };
    switched_off.map(problem).collect()
}

pub(super) fn nothing_is_left_over(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, prose) in numbered(text) {
        for word in LEFTOVER_WORDS.into_iter().filter(|word| has_words(prose, word)) {
            problems.push(format!("{path}:{line}: {word}; do it now, or write it down in an issue"));
        }
        for machine in MACHINE_PATHS.into_iter().filter(|machine| starts_a_path(prose, machine)) {
            problems.push(format!(
                "{path}:{line}: a path of somebody's machine ({machine}…); use a relative or made-up one"
            ));
        }
    }
    if is_rust(path) {
        for ((line, code), prose) in code_lines(path, text).into_iter().zip(text.lines()) {
            for leftover in LEFTOVER_CODE.into_iter().filter(|leftover| has_words(&code, leftover)) {
                problems.push(format!("{path}:{line}: `{leftover}`; finish it or take it out"));
            }
            if is_debug_print(&code, prose) {
                problems.push(format!("{path}:{line}: a print for debugging; take it out or make it a tracing event"));
            }
        }
    }
    problems
}

/// Whether `line` holds a path that starts with `root`, not one that has it inside.
fn starts_a_path(line: &str, root: &str) -> bool {
    let joins = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '~' | '}' | '>');
    line.match_indices(root).any(|(at, _)| !line[..at].ends_with(joins))
}

/// `println!("here")` and its kin.
fn is_debug_print(code: &str, prose: &str) -> bool {
    let prints = ["println!(\"", "eprintln!(\"", "print!(\"", "eprint!(\""].into_iter();
    let literals = prints.flat_map(|print| find_words(code, print).map(move |at| at + print.len()));
    let suspicious = |literal: &str| LEFTOVER_PRINTS.iter().any(|marker| literal.starts_with(marker));
    literals.filter_map(|at| prose.get(at..)).any(|literal| suspicious(&literal.to_lowercase()))
}

pub(super) fn names_say_something(path: &str, text: &str) -> Vec<String> {
    if !is_rust(path) || !(path.starts_with("crates/") || is_bench(path)) {
        return Vec::new();
    }
    let empty =
        |name: &str| EMPTY_NAMES.contains(&name) || (name == "types" && !path.starts_with("crates/connectors/"));
    let in_path = path.split('/').map(|part| part.trim_end_matches(".rs")).filter(|part| empty(part));
    let mut problems: Vec<_> =
        in_path.map(|name| format!("{path}:1: `{name}` says nothing; name it by the subject inside")).collect();
    for (line, code) in code_lines(path, text) {
        let inline = identifiers(&code).windows(2).find(|pair| pair[0] == "mod" && empty(&pair[1])).is_some();
        if inline && code.contains('{') {
            problems.push(format!("{path}:{line}: a module whose name says nothing; name it by the subject inside"));
        }
    }
    problems
}

pub(super) fn nobody_sleeps(path: &str, text: &str) -> Vec<String> {
    let waits_for_processes = path.contains("/tests/") && (path.ends_with("/given.rs") || path.contains("/given/"));
    if !path.starts_with("crates/") || !is_rust(path) || is_env(path) || waits_for_processes {
        return Vec::new();
    }
    let sleeps = |code: &str| ["thread::sleep", "time::sleep"].iter().any(|sleep| has_words(code, sleep));
    let lines = code_lines(path, text).into_iter().filter(|(_, code)| sleeps(code));
    lines
        .map(|(line, _)| {
            format!("{path}:{line}: sleeps; wait for a state (in tests with given.rs), or use Clock::sleep")
        })
        .collect()
}

/// The planted offences: each rule finds its own, at the right line, and leaves the neighbour alone.
mod planted {
    use super::super::caught;
    use super::*;

    const CORE: &str = "crates/core/src/link/run.rs";
    const TEST: &str = "crates/core/tests/it/resume.rs";

    #[test]
    fn a_long_file() {
        let (long, fitting) = ("//! x\n".repeat(601), "//! x\n".repeat(600));
        caught(&file_is_short(CORE, &long), &["crates/core/src/link/run.rs:601: 601 lines"]);
        caught(&file_is_short("bench/src/main.rs", &long), &["bench/src/main.rs:601"]);
        caught(&file_is_short(CORE, &fitting), &[]);
        caught(&file_is_short(TEST, &long), &[]);
    }

    #[test]
    fn a_long_function() {
        let of_lines = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        let long = long_functions(CORE, &of_lines(71));
        assert_eq!(long, [LongFunction { path: CORE.to_owned(), name: "f".to_owned(), line: 2, lines: 71 }]);
        assert!(long_functions(CORE, &of_lines(70)).is_empty());
        assert!(long_functions(TEST, &of_lines(71)).is_empty());

        caught(&ratchet(&long, &[]), &["crates/core/src/link/run.rs:2: fn f has 71 lines; split it"]);
        caught(&ratchet(&long, &[(CORE, "f", 71)]), &[]);
    }

    #[test]
    fn an_exception_that_grew_shrank_or_went() {
        let long = long_functions(CORE, &format!("fn f() {{\n{}}}\n", "    g();\n".repeat(78)));
        caught(&ratchet(&long, &[(CORE, "f", 79)]), &["crates/core/src/link/run.rs:1: fn f has 80 lines; it had 79"]);
        caught(
            &ratchet(&long, &[(CORE, "f", 90)]),
            &["crates/core/src/link/run.rs: fn f shrank; lower its number in LONG_FUNCTIONS to 80"],
        );
        caught(&ratchet(&[], &[(CORE, "f", 90)]), &["crates/core/src/link/run.rs: fn f is short now; take it off"]);
    }

    #[test]
    fn a_module_without_documentation() {
        caught(
            &opens_with_documentation(CORE, "use std::fmt;\n//! Late.\n"),
            &["crates/core/src/link/run.rs:1: no module"],
        );
        caught(&opens_with_documentation(CORE, "//! Links.\n"), &[]);
        caught(&opens_with_documentation(TEST, "use std::fmt;\n"), &[]);
    }

    #[test]
    fn impurity() {
        let text = [
            "//! Never async, never tokio.",
            "use std::{",
            "    fmt,",
            "    io::Read,",
            "};",
            "use std::fs;",
            "async fn f() {",
            "    g(\"std::net\").await;",
            "}",
            "fn h(at: SystemTime) {}",
            "use crate::env::Clock;",
            "fn asynchronous() {}",
        ];
        let text = &text.join("\n");
        let path = "crates/core/src/change/mod.rs";
        let lines = [4, 6, 7, 8, 10, 11].map(|line| format!("{path}:{line}: "));
        caught(&pure_stays_pure(path, text), &lines.each_ref().map(String::as_str));
        caught(
            &pure_stays_pure("crates/core/src/merge.rs", "use tokio::sync;\n"),
            &["crates/core/src/merge.rs:1: `tokio`"],
        );
        caught(&pure_stays_pure(CORE, text), &[]);
    }

    #[test]
    fn a_database_in_core() {
        let code = [
            "//! Not tokio_postgres.",
            "use rusqlite::Connection;",
            "let url = \"mysql\";",
            "use tokio_postgres as pg;",
            "let nations = 1;",
        ];
        let code = &code.join("\n");
        let lines = [
            "crates/core/src/link/run.rs:2: core names `rusqlite`",
            "crates/core/src/link/run.rs:4: core names `tokio_postgres`",
        ];
        caught(&core_names_no_database(CORE, code), &lines);
        caught(&core_names_no_database("crates/connectors/sqlite/src/lib.rs", code), &[]);
        let manifest = "[package]\ndescription = \"knows no postgres\"\n[dependencies]\nasync-nats = \"1\" # nats\n";
        caught(
            &core_names_no_database("crates/core/Cargo.toml", manifest),
            &["crates/core/Cargo.toml:4: core names `async_nats`"],
        );
    }

    #[test]
    fn http_outside_the_server() {
        let code = "use axum::Router;\nuse reqwest::Client;\n";
        caught(
            &only_the_server_knows_http("crates/cli/src/main.rs", code),
            &["crates/cli/src/main.rs:1: names `axum`"],
        );
        caught(
            &only_the_server_knows_http("crates/cli/Cargo.toml", "hyper-util = \"1\"\n"),
            &["crates/cli/Cargo.toml:1"],
        );
        caught(&only_the_server_knows_http("crates/server/src/main.rs", code), &[]);
    }

    #[test]
    fn a_hole_in_the_firewall() {
        let code = "//! x\n#![allow(\n    clippy::disallowed_methods,\n    reason = \"clippy::disallowed_types\"\n)]\n";
        caught(&only_env_passes_the_firewall(CORE, code), &["crates/core/src/link/run.rs:3: passes the firewall"]);
        caught(&only_env_passes_the_firewall("crates/core/src/env/clock.rs", code), &[]);
        caught(&only_env_passes_the_firewall(TEST, code), &[]);
        caught(&only_env_passes_the_firewall("bench/src/main.rs", code), &[]);
        caught(
            &only_env_passes_the_firewall("crates/core/Cargo.toml", "[package]\n"),
            &["crates/core/Cargo.toml:1: the lints"],
        );
        caught(&only_env_passes_the_firewall("crates/core/Cargo.toml", "[lints]\nworkspace = true\n"), &[]);
        caught(
            &only_env_passes_the_firewall("Cargo.toml", "disallowed_types = \"deny\"\n"),
            &["Cargo.toml:1: the firewall is off"],
        );
    }

    #[test]
    fn leftovers() {
        let text = [
            concat!("// TO", "DO: more"),
            "fn todo() { todo!() }",
            "/// `todo!()` is not code here, EXXXX is no marker",
            "#[ignore = \"slow\"]",
            "dbg!(x);",
            "println!(\"DEBUG {x}\");",
            "println!(\"{:?}\", x);",
            "println!(\"{x} rows\");",
            concat!("let path = \"/ho", "me/ana/x\";"),
            concat!("let path = \"crates/ho", "me/x\";"),
        ];
        let wanted = [1, 9, 2, 4, 5, 6, 7].map(|line| format!("{CORE}:{line}: "));
        caught(&nothing_is_left_over(CORE, &text.join("\n")), &wanted.each_ref().map(String::as_str));
        caught(&nothing_is_left_over("README.md", concat!("a FIX", "ME b\ndbg!(x)")), &["README.md:1: "]);
    }

    #[test]
    fn names_that_say_nothing() {
        caught(&names_say_something("crates/core/src/utils.rs", ""), &["crates/core/src/utils.rs:1: `utils`"]);
        caught(
            &names_say_something("crates/core/tests/common/mod.rs", ""),
            &["crates/core/tests/common/mod.rs:1: `common`"],
        );
        caught(&names_say_something("crates/core/src/types.rs", ""), &["crates/core/src/types.rs:1: `types`"]);
        caught(&names_say_something(CORE, "//! x\npub(crate) mod misc {\n"), &["crates/core/src/link/run.rs:2: "]);
        caught(&names_say_something("crates/connectors/sqlite/src/types.rs", "let common = 1;\nmod rows {}\n"), &[]);
    }

    #[test]
    fn sleep() {
        let code =
            "// thread::sleep(\nstd::thread::sleep(pause);\nclock.sleep(pause).await;\nuse tokio::time::sleep;\n";
        caught(
            &nobody_sleeps(TEST, code),
            &["crates/core/tests/it/resume.rs:2: sleeps", "crates/core/tests/it/resume.rs:4: sleeps"],
        );
        caught(&nobody_sleeps("crates/core/tests/it/given.rs", code), &[]);
        caught(&nobody_sleeps("crates/core/src/env/clock.rs", code), &[]);
        caught(&nobody_sleeps("bench/src/main.rs", code), &[]);
    }
}
