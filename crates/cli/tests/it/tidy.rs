//! The test that keeps the house: its own rules, held against every file of the workspace.
//!
//! Each test lists all the problems of one rule at once, with file, line and what to do. The rules are pure functions
//! in `tidy/rules.rs` (source) and `tidy/documents.rs`, tested there by planted offences; `tidy/source.rs` tells code
//! from prose. This file only finds the files. Whoever disagrees with a rule changes the rule, here, in the open.

#![allow(clippy::disallowed_methods, reason = "reads the repository, which is as large as it is")]

mod documents;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// Functions in src that are longer than a screen, as (path, name, lines they have). A ratchet: entries and numbers
/// only go down. Splitting one is always welcome.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// Folders that hold no text of ours: packages of others and recorded data. (Builds: see [`is_build`].)
const SKIPPED: [&str; 6] = [".git", "node_modules", "dist", "golden", "corpus", "fixtures"];
/// What is text and written by hand.
const EXTENSIONS: [&str; 13] = ["rs", "md", "toml", "sh", "yml", "yaml", "ts", "js", "mjs", "py", "sql", "html", "css"];

/// A file of the workspace.
struct File {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every text file of the workspace, in order of the paths.
fn files() -> Vec<File> {
    let mut found = Vec::new();
    collect(&root(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    // A walk that finds nothing would make every rule hold.
    let anchors = ["Cargo.toml", "crates/core/src/error.rs", "crates/cli/tests/it/tidy.rs", "scripts/test"];
    for anchor in anchors {
        assert!(found.iter().any(|file| file.path == anchor), "the walk over the workspace missed {anchor}");
    }
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("the workspace can be read") {
        let entry = entry.expect("the workspace can be read");
        let kind = entry.file_type().expect("the workspace can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !is_build(&entry.path(), &path) {
                collect(&entry.path(), &format!("{path}/"), found);
            }
        } else if kind.is_file() && is_text(&path) {
            found.push(File { path, text: read(&entry.path()) });
        }
    }
}

/// Cargo's folders: the one at the root, and others by the mark that Cargo leaves. A module may be called `target`.
fn is_build(folder: &Path, path: &str) -> bool {
    path == "target" || folder.join("CACHEDIR.TAG").exists()
}

fn is_text(path: &str) -> bool {
    let is_script = path.starts_with("scripts/") || path.starts_with(".ci/");
    is_script || path.rsplit_once('.').is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// A page at the root, or nothing where it is missing (which has a test of its own).
fn page(path: &str) -> Option<String> {
    exists(path).then(|| read(&root().join(path)))
}

/// Holds a rule against every file.
#[track_caller]
fn hold(rule: impl Fn(&str, &str) -> Vec<String>) {
    settle(files().iter().flat_map(|file| rule(&file.path, &file.text)).collect());
}

#[track_caller]
fn settle(problems: Vec<String>) {
    assert!(problems.is_empty(), "{} to mend:\n{}\n", problems.len(), problems.join("\n"));
}

/// For the planted offences: one problem for each of `wanted`, in order, that begins with it.
#[track_caller]
fn caught(problems: &[String], wanted: &[&str]) {
    let same = problems.len() == wanted.len() && problems.iter().zip(wanted).all(|(is, want)| is.starts_with(want));
    assert!(same, "caught {problems:#?}, wanted {wanted:#?}");
}

#[test]
fn source_files_hold_one_subject() {
    hold(rules::file_is_short);
}

#[test]
fn functions_fit_on_a_screen() {
    let long: Vec<_> = files().iter().flat_map(|file| rules::long_functions(&file.path, &file.text)).collect();
    settle(rules::ratchet(&long, LONG_FUNCTIONS));
}

#[test]
fn modules_open_with_documentation() {
    hold(rules::opens_with_documentation);
}

#[test]
fn change_and_merge_are_pure() {
    hold(rules::pure_stays_pure);
}

#[test]
fn core_names_no_database() {
    hold(rules::core_names_no_database);
}

#[test]
fn only_the_server_knows_http() {
    hold(rules::only_the_server_knows_http);
}

#[test]
fn only_env_passes_the_firewall() {
    hold(rules::only_env_passes_the_firewall);
}

#[test]
fn nothing_is_left_over() {
    hold(rules::nothing_is_left_over);
}

#[test]
fn names_say_something() {
    hold(rules::names_say_something);
}

#[test]
fn nobody_sleeps() {
    hold(rules::nobody_sleeps);
}

#[test]
fn the_pages_of_the_house_exist() {
    settle(documents::pages_exist(exists));
}

#[test]
fn every_error_has_its_page() {
    let folder = root().join("docs/errors");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut pages: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    pages.sort();
    let rust = files().into_iter().filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs"));
    let sources: Vec<_> = rust.filter(|file| !file.path.contains("/tidy")).map(|file| file.text).collect();
    let path = "crates/core/src/error.rs";
    settle(documents::errors_have_pages(path, &read(&root().join(path)), &pages, &sources));
}

#[test]
fn architecture_names_what_exists() {
    let text = page("ARCHITECTURE.md").unwrap_or_default();
    settle(documents::paths_exist("ARCHITECTURE.md", &text, exists));
}

#[test]
fn every_guarantee_names_its_test() {
    let text = page("docs/guarantees.md").unwrap_or_default();
    let rust = files().into_iter().filter(|file| file.path.starts_with("crates/") && file.path.ends_with(".rs"));
    let code: Vec<_> = rust.map(|file| source::code_of(&file.text)).collect();
    settle(documents::guarantees_have_tests("docs/guarantees.md", &text, &code));
}

#[test]
fn one_cryptography_is_built() {
    let lock = page("Cargo.lock").expect("Cargo.lock is part of the repository");
    settle(documents::lock_is_clean("Cargo.lock", &lock));
}
