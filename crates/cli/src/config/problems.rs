//! All that is wrong with the files, collected, and told as one error with an excerpt for each.
//!
//! Invariants: problems come in the order of the text, each once; an excerpt never shows a password or what stands
//! behind a key that is named like one. Tests: at the end of this file.

use std::cell::RefCell;
use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;
use tidewater_core::{Error, Kind, Result, code};

/// More problems than this many are counted, not shown.
const SHOWN_MAX: usize = 20;
/// How much of a long line is shown, in characters.
const LINE_CHARS_MAX: usize = 100;

/// A file's name as it was given, its folder, and its text.
pub(super) struct File {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) text: String,
}

/// Where something stands: the index of its file, and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

impl Place {
    /// The start of the first file, for what has no place of its own.
    pub(super) const START: Self = Self { file: 0, span: 0..0 };
}

#[derive(PartialEq, Eq)]
struct Problem {
    place: Place,
    message: String,
    later: bool,
    excerpt: bool,
}

/// The files, and what was found wrong with them so far.
pub(super) struct Problems {
    files: Vec<File>,
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    /// No problems yet.
    pub(super) fn new(files: Vec<File>) -> Self {
        Self { files, found: RefCell::default() }
    }

    /// The texts of the files with their indexes.
    pub(super) fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.files.iter().map(|file| file.text.as_str()).enumerate()
    }

    /// The file in which this stands.
    pub(super) fn file(&self, place: &Place) -> &File {
        &self.files[place.file]
    }

    /// The text at this place.
    pub(super) fn source(&self, place: &Place) -> &str {
        self.file(place).text.get(place.span.clone()).unwrap_or_default()
    }

    /// Something is wrong here.
    pub(super) fn add(&self, place: &Place, message: impl Into<String>) {
        self.push(Problem { place: place.clone(), message: message.into(), later: false, excerpt: true });
    }

    /// Something is wrong with the file as a whole.
    pub(super) fn add_without_excerpt(&self, place: &Place, message: impl Into<String>) {
        self.push(Problem { place: place.clone(), message: message.into(), later: false, excerpt: false });
    }

    /// This asks for a feature of a later version.
    pub(super) fn add_later(&self, place: &Place, what: &str, feature: &str) {
        let message = format!("{what} is not built yet: {feature}");
        self.push(Problem { place: place.clone(), message, later: true, excerpt: true });
    }

    fn push(&self, problem: Problem) {
        let mut found = self.found.borrow_mut();
        if !found.contains(&problem) {
            found.push(problem);
        }
    }

    /// One error for all that was found, if anything was.
    pub(super) fn check(&self) -> Result<()> {
        let mut found = self.found.borrow_mut();
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|problem| (problem.place.file, problem.place.span.start));
        let later = found.iter().all(|problem| problem.later);
        let shown: Vec<String> = found.iter().take(SHOWN_MAX).map(|problem| self.shown(problem)).collect();
        let mut what = shown.join("\n");
        if let Some(more @ 1..) = found.len().checked_sub(SHOWN_MAX) {
            // Writing to a string does not fail.
            let _ = write!(what, "\n… and {more} more");
        }
        let (code, remedy) = if later {
            (code::NOT_BUILT, "Leave it out: this version of Tidewater does not have it.")
        } else {
            (code::CONFIGURATION, "Mend the configuration and run the command again.")
        };
        let meaning = "Nothing was started: the configuration is taken whole or not at all.";
        Err(Error::new(Kind::Invalid, code, what).meaning(meaning).remedy(remedy))
    }

    fn shown(&self, problem: &Problem) -> String {
        let file = self.file(&problem.place);
        let spot = Spot::of(&file.text, &problem.place.span);
        let head = format!("{}:{}:{}: {}", file.name, spot.line, spot.column, problem.message);
        if problem.excerpt { format!("{head}\n{}", spot.excerpt()) } else { head }
    }
}

/// A place in terms of people: lines and columns from 1, counted in characters.
struct Spot<'a> {
    line: usize,
    column: usize,
    text: &'a str,
    width: usize,
}

impl<'a> Spot<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let in_line = text.get(start..span.end.min(line_start + line.len())).unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: line,
            width: in_line.chars().count().max(1),
        }
    }

    /// The line with a caret under the place.
    fn excerpt(&self) -> String {
        let line: Vec<char> = veiled(self.text);
        let from = if line.len() > LINE_CHARS_MAX { self.column.saturating_sub(LINE_CHARS_MAX / 2) } else { 0 };
        let shown: String = line.iter().skip(from).take(LINE_CHARS_MAX).collect();
        let number = self.line.to_string();
        let indent = " ".repeat(self.column - 1 - from.min(self.column - 1));
        let room = (LINE_CHARS_MAX + 1).saturating_sub(indent.len()).max(1);
        let carets = "^".repeat(self.width.min(room));
        format!("  {number} | {}\n  {} | {indent}{carets}", shown.trim_end(), " ".repeat(number.len()))
    }
}

/// A line as it may be shown: control characters become spaces, secrets become asterisks; columns stay.
fn veiled(line: &str) -> Vec<char> {
    let mut chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets(line) {
        let from = line[..secret.start].chars().count();
        let count = line[secret].chars().count();
        chars[from..from + count].fill('*');
    }
    chars
}

/// Where secrets stand in a line or a URL: the password, or the token, in front of an `@`, and whatever follows a
/// key that is named like a secret. Rather too much than too little.
pub(super) fn secrets(text: &str) -> Vec<Range<usize>> {
    const NAMES: [&str; 6] = ["password", "passwd", "pwd", "secret", "token", "api_key"];
    let mut found = Vec::new();
    if let Some(scheme) = text.find("://") {
        let start = scheme + 3;
        if let Some(end) = text[start..].rfind('@').map(|at| start + at) {
            let user = &text[start..end];
            match user.find(':') {
                Some(colon) if colon + 1 < user.len() => found.push(start + colon + 1..end),
                // NATS takes a token where others take a user.
                None if text[..scheme].ends_with("nats") && !user.is_empty() => found.push(start..end),
                _ => {}
            }
        }
    }
    let lower = text.to_ascii_lowercase();
    for name in NAMES {
        let Some(at) = lower.find(name) else { continue };
        if let Some(equals) = text[at..].find('=').map(|equals| at + equals + 1)
            && equals < text.len()
        {
            found.push(equals..text.len());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(text: &str, span: Range<usize>) -> (usize, usize, String) {
        let spot = Spot::of(text, &span);
        (spot.line, spot.column, spot.excerpt())
    }

    #[test]
    fn an_excerpt_points_under_the_place() {
        let text = "[sync.a]\n\tgröße = 1\n";
        let at = text.find('1').expect("there");
        assert_eq!(excerpt(text, at..at + 1), (2, 10, "  2 |  größe = 1\n    |          ^".into()));
        assert_eq!(excerpt(text, text.len()..text.len()).0, 3, "the end of the text has a place too");
        assert_eq!(excerpt("", 0..0), (1, 1, "  1 | \n    | ^".into()));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("a = \"{}\" # here", "x".repeat(500));
        let at = text.find("here").expect("there");
        let (_, _, shown) = excerpt(&text, at..at + 4);
        let lines: Vec<&str> = shown.lines().collect();
        let (caret, here) = (lines[1].find("^^^^").expect("carets"), lines[0].find("here").expect("the place"));
        assert_eq!(caret, here, "{shown}");
        assert!(lines[0].len() < 120, "{shown}");
    }

    #[test]
    fn secrets_are_never_shown() {
        for line in [
            "url = \"postgres://shop:hunter2@db/shop\" x",
            "url = \"postgres://shop:hun@ter2@db/shop\"",
            "url = \"nats://hunter2@bus:4222\"",
            "url = \"postgres://db/shop?password=hunter2\"",
            "password = \"hunter2\"",
            "api_token = 'hunter2'",
        ] {
            let shown: String = veiled(line).into_iter().collect();
            assert!(!shown.contains("ter2"), "{shown}");
            assert_eq!(shown.chars().count(), line.chars().count());
        }
        for harmless in ["sqlite:till.db", "nats://bus:4222", "postgres://shop@db:5432/shop", "env:HQ_PASSWORD"] {
            assert!(secrets(harmless).is_empty(), "{harmless}");
        }
    }
}
