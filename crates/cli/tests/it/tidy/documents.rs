//! The rules about documents: what they promise is there.
//!
//! Pure, like the rules about source: what exists comes as an argument. Tested below by planted offences.

use super::source::{find_words, line_of, numbered, word_at};

/// The pages that a newcomer looks for.
const REQUIRED: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "docs/guarantees.md",
];
/// What must not be built, by the names of Cargo.lock: ring is our only cryptography.
const BANNED_CRATES: [&str; 4] = ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls"];

pub(super) fn pages_exist(exists: impl Fn(&str) -> bool) -> Vec<String> {
    let missing = REQUIRED.into_iter().filter(|page| !exists(page));
    missing.map(|page| format!("{page}: missing; write it")).collect()
}

/// An error number has exactly one constant and one page; a page has an error.
///
/// `pages` are the names under `docs/errors/`; `sources` all Rust files, as text, comments included.
pub(super) fn errors_have_pages(path: &str, error_rs: &str, pages: &[String], sources: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut defined: Vec<(u16, &str)> = Vec::new();
    for (line, name, number) in error_constants(error_rs) {
        if let Some((_, first)) = defined.iter().find(|(other, _)| *other == number) {
            problems.push(format!("{path}:{line}: E{number:04} is {first} already; {name} needs a number of its own"));
        }
        if !pages.contains(&format!("E{number:04}.md")) {
            problems.push(format!("{path}:{line}: {name} has no page; write docs/errors/E{number:04}.md"));
        }
        defined.push((number, name));
    }
    if defined.is_empty() {
        problems.push(format!("{path}:1: no `pub const NAME: Code = Code(n);` found; has their form changed?"));
    }
    for page in pages {
        let Some(number) = page.strip_prefix('E').and_then(|rest| rest.strip_suffix(".md")) else { continue };
        let is_defined = number.len() == 4 && defined.iter().any(|(other, _)| number.parse() == Ok(*other));
        let named = || sources.iter().any(|source| find_words(source, &format!("E{number}")).next().is_some());
        if !is_defined && !named() {
            problems.push(format!("docs/errors/{page}: no such error; define its number in {path} or delete the page"));
        }
    }
    problems
}

/// `pub const NAME: Code = Code(21);`, as (line, NAME, 21).
fn error_constants(text: &str) -> impl Iterator<Item = (usize, &str, u16)> {
    numbered(text).filter_map(|(line, code)| {
        let (name, number) = code.trim().strip_prefix("pub const ")?.split_once(": Code = Code(")?;
        Some((line, name, number.strip_suffix(");")?.parse().ok()?))
    })
}

/// Every path in backticks that starts with `crates/` exists; one with a placeholder counts up to that.
pub(super) fn paths_exist(page: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (line, prose) in numbered(text) {
        for quoted in prose.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("crates/")) {
            let named = quoted.split([' ', ':']).next().unwrap_or_default();
            let path = match named.find(['<', '*', '{', '…']) {
                Some(at) => named[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
                None => named,
            };
            if !exists(path.trim_end_matches('/')) {
                problems.push(format!("{page}:{line}: `{path}` does not exist; name the file as it is called now"));
            }
        }
    }
    problems
}

/// Every `test: name` of the page is the name of a test; `code` is all Rust code, without comments and literals.
pub(super) fn guarantees_have_tests(page: &str, text: &str, code: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut named = 0;
    for at in find_words(text, "test:") {
        let rest = &text[at + "test:".len()..];
        let start = text.len() - rest.trim_start_matches([' ', '`', '*']).len();
        // `tidy::functions_fit_on_a_screen` names the function at its end.
        let path =
            text[start..].split(|character: char| !(character.is_alphanumeric() || "_:".contains(character))).next();
        let name = path.unwrap_or_default().trim_end_matches(':').rsplit("::").next().unwrap_or_default();
        named += 1;
        if name.is_empty() || !code.iter().any(|code| has_test(code, name)) {
            problems.push(format!("{page}:{}: no test `{name}`; name one that holds this promise", line_of(text, at)));
        }
    }
    for at in find_words(text, "tests:") {
        problems.push(format!("{page}:{}: `tests:` is not looked at; write `test: name` for each", line_of(text, at)));
    }
    if named == 0 {
        problems.push(format!("{page}:1: no promise names its test; write `test: name` behind each"));
    }
    problems
}

/// Whether `code` has a function called `name` with an attribute that makes it a test.
fn has_test(code: &str, name: &str) -> bool {
    find_words(code, "fn").any(|at| {
        let attributes = code[..at].rsplit([';', '{', '}']).next().unwrap_or_default();
        let is_test = attributes.contains("test]") || attributes.contains("test(");
        is_test && code.get(at + 3..).is_some_and(|rest| word_at(rest, 0) == name)
    })
}

pub(super) fn lock_is_clean(path: &str, text: &str) -> Vec<String> {
    let banned = |line: &str| BANNED_CRATES.into_iter().find(|banned| line == format!("name = \"{banned}\""));
    let found = numbered(text).filter_map(|(line, code)| Some((line, banned(code)?)));
    found.map(|(line, name)| format!("{path}:{line}: {name}; see what brings it with `cargo tree -i {name}`")).collect()
}

/// The planted offences: each rule finds its own and leaves the neighbour alone.
mod planted {
    use super::super::caught;
    use super::*;

    const ERRORS: &str = "crates/core/src/error.rs";

    fn strings(of: &[&str]) -> Vec<String> {
        of.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_missing_page() {
        caught(&pages_exist(|page| page != "CHANGELOG.md"), &["CHANGELOG.md: missing"]);
        caught(&pages_exist(|_| true), &[]);
    }

    #[test]
    fn an_error_without_a_page_and_a_page_without_an_error() {
        let text = "    pub const USAGE: Code = Code(1);\n    pub const URL: Code = Code(4);\n";
        let pages = strings(&["E0001.md", "E0009.md", "E0050.md", "README.md"]);
        let sources = strings(&["// E0050 is retired", "// E00091"]);
        let wanted = [
            "crates/core/src/error.rs:2: URL has no page; write docs/errors/E0004.md",
            "docs/errors/E0009.md: no such error",
        ];
        caught(&errors_have_pages(ERRORS, text, &pages, &sources), &wanted);
        caught(&errors_have_pages(ERRORS, text, &strings(&["E0001.md", "E0004.md"]), &[]), &[]);
        caught(&errors_have_pages(ERRORS, "", &[], &[]), &["crates/core/src/error.rs:1: no `pub const"]);
    }

    #[test]
    fn an_error_number_with_two_meanings() {
        let text = "pub const USAGE: Code = Code(1);\npub const URL: Code = Code(1);\n";
        let wanted = ["crates/core/src/error.rs:2: E0001 is USAGE already; URL needs"];
        caught(&errors_have_pages(ERRORS, text, &strings(&["E0001.md"]), &[]), &wanted);
    }

    #[test]
    fn a_path_that_went() {
        let text = [
            "See `crates/core/src/gone.rs` and `crates/core/src/link/`,",
            "`crates/connectors/<name>/src`,",
            "`crates/lost/*.rs`,",
            "`crates/core/src/link/run.rs::Link`, crates/no/backticks, `docs/x.md`.",
        ];
        let there = ["crates/core/src/link", "crates/connectors", "crates/core/src/link/run.rs"];
        let wanted = ["A.md:1: `crates/core/src/gone.rs` does not", "A.md:3: `crates/lost` does not"];
        caught(&paths_exist("A.md", &text.join("\n"), |path| there.contains(&path)), &wanted);
    }

    #[test]
    fn a_promise_without_a_test() {
        let code = strings(&[
            "#[test]\nfn resumes() {}\nfn never_called() {}\n",
            "#[tokio::test(start_paused = true)]\nasync fn waits() {}\n",
        ]);
        let text = [
            "1. a (test: resumes)",
            "2. b, test: `tidy::waits`",
            "3. c | test: never_called |",
            "4. d, the latest: x, test: gone",
            "5. tests: a, b",
        ];
        let wanted = ["g.md:3: no test `never_called`", "g.md:4: no test `gone`", "g.md:5: `tests:` is not"];
        caught(&guarantees_have_tests("g.md", &text.join("\n"), &code), &wanted);
        caught(&guarantees_have_tests("g.md", "We promise much.\n", &code), &["g.md:1: no promise names its test"]);
    }

    #[test]
    fn a_second_cryptography() {
        let text = "[[package]]\nname = \"ring\"\n[[package]]\nname = \"aws-lc-sys\"\n";
        caught(&lock_is_clean("Cargo.lock", text), &["Cargo.lock:4: aws-lc-sys; see what brings it"]);
    }
}
