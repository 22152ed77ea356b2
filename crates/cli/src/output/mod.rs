//! Everything that reaches a terminal. Colours only there, and never under NO_COLOR; tables are aligned; facts go
//! to standard output, progress and failures to standard error. Where rows go to standard output, all else goes to
//! standard error.

mod exchange;
mod json;
mod progress;
mod summary;

pub(crate) use exchange::{facts as exchange_json, summary as exchange_summary};
pub(crate) use json::{error as error_json, report as report_json};
pub(crate) use progress::{Named, Progress};
pub(crate) use summary::summary;

use anstyle::{AnsiColor, Style};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use tidewater_core::Error;
use unicode_width::UnicodeWidthStr;

/// What is good.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What a person should look at.
pub(crate) const LOOK: Style = AnsiColor::Yellow.on_default();
/// What failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What stands out.
pub(crate) const STRONG: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Text in a style; the stream takes the style out where it does not belong.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Whether standard output is for rows alone.
static ROWS_ONLY: AtomicBool = AtomicBool::new(false);

/// From now on standard output is for rows alone: facts go to standard error.
pub(crate) fn keep_stdout_for_rows() {
    ROWS_ONLY.store(true, Ordering::Relaxed);
}

/// Prints a line of facts. A reader that has gone away (`| head`) is no failure.
pub(crate) fn line(text: &str) {
    if ROWS_ONLY.load(Ordering::Relaxed) {
        return aside(text);
    }
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints a line beside the facts.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints a failure: for people on standard error, for programs on standard output.
pub(crate) fn failure(error: &Error, json: bool) {
    if json {
        line(&error_json(error).to_string());
        return;
    }
    let text = error.to_string();
    let (first, rest) = text.split_once('\n').map_or((text.as_str(), ""), |(first, rest)| (first, rest));
    let (code, what) = first.split_once(' ').unwrap_or((first, ""));
    aside(&format!("{} {}", styled(BAD, code), styled(STRONG, what)));
    if !rest.is_empty() {
        aside(rest);
    }
}

/// Prints the failure of one link of several.
pub(crate) fn failure_of(name: &str, what: &str, error: &Error, json: bool) {
    if json {
        let mut facts = error_json(error);
        facts["sync"] = name.into();
        line(&facts.to_string());
    } else {
        aside(&format!("{name}: {what}:"));
        failure(error, false);
    }
}

/// An aligned table without lines; the columns in `numbers` are aligned to the right.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, numbers: &[usize]) -> String {
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |cell: &str| anstream::adapter::strip_str(cell).to_string().width();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|at| rows.iter().filter_map(|row| row.get(at)).map(|c| width(c)).max().unwrap_or(0)).collect();
    let line = |row: Vec<String>| {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let space = " ".repeat(widths[at] - width(cell));
            if numbers.contains(&at) { format!("  {space}{cell}") } else { format!("  {cell}{space}") }
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A number with its thousands apart.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size, as people read it.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (n as f64, "bytes");
    for larger in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "bytes" { count(n, "byte", "bytes") } else { format!("{size:.1} {unit}") }
}

/// `1 row`, `2 rows`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "row", "rows"), "1 row");
        let sizes = [0, 1, 1_023, 1_536, 16 << 20, 3 << 40, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0 bytes", "1 byte", "1,023 bytes", "1.5 KiB", "16.0 MiB", "3.0 TiB", "16777216.0 TiB"]);
    }

    #[test]
    fn tables_are_aligned() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["long name".into(), "1,000".into()]];
        assert_eq!(table(&["table", "rows"], rows, &[1]), "  table       rows\n  a              1\n  long name  1,000");
    }
}
