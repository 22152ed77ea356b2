//! The table that is printed: one line for each measurement, columns aligned, or the same as JSON.

use serde_json::{Value, json};

/// What the two figures of a line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// CPU seconds; the ratio says how many times theirs ours is.
    CpuSeconds,
    /// Rows or changes a second.
    PerSecond,
    /// MiB at the peak.
    MiB,
    /// Milliseconds.
    Milliseconds,
}

/// What a figure must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// The ratio must be at least this.
    RatioMin(f64),
    /// The ratio must be at most this.
    RatioMax(f64),
    /// Our figure must be at most this.
    OursMax(f64),
    /// Our figure must be at least this.
    OursMin(f64),
    /// None: for information.
    None,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) work: String,
    pub(crate) against: String,
    pub(crate) theirs: Option<f64>,
    /// Not a number, where it is theirs that one wants to know.
    pub(crate) ours: f64,
    pub(crate) unit: Unit,
    pub(crate) target: Target,
}

impl Line {
    /// Ours divided by theirs.
    fn ratio(&self) -> Option<f64> {
        self.theirs.map(|theirs| self.ours / theirs).filter(|ratio| ratio.is_finite())
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::RatioMin(least) => self.ratio().map(|r| r >= least),
            Target::RatioMax(most) => self.ratio().map(|r| r <= most),
            Target::OursMax(most) => Some(self.ours <= most),
            Target::OursMin(least) => Some(self.ours >= least),
            Target::None => None,
        }
    }

    fn target_text(&self) -> String {
        match self.target {
            Target::RatioMin(least) => format!("≥ {least}x"),
            Target::RatioMax(most) => format!("≤ {most}x"),
            Target::OursMax(most) => format!("≤ {}", figure(most, self.unit)),
            Target::OursMin(least) => format!("≥ {}", figure(least, self.unit)),
            Target::None => "-".to_owned(),
        }
    }

    fn met_text(&self) -> &'static str {
        match (self.met(), self.target) {
            (Some(true), _) => "yes",
            (Some(false), _) => "NO",
            (None, Target::None) => "",
            (None, _) => "not measured",
        }
    }
}

fn figure(value: f64, unit: Unit) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    match unit {
        Unit::CpuSeconds => format!("{value:.3} s CPU"),
        Unit::PerSecond => format!("{:.1}k/s", value / 1_000.0),
        Unit::MiB => format!("{value:.0} MiB"),
        Unit::Milliseconds => format!("{value:.1} ms"),
    }
}

/// The lines as an aligned table.
pub(crate) fn text(lines: &[Line]) -> String {
    let heads = ["work", "against", "theirs", "ours", "ratio", "target", "met?"].map(str::to_owned);
    let mut cells = vec![heads];
    for line in lines {
        let theirs = line.theirs.map_or("-".to_owned(), |t| figure(t, line.unit));
        let ratio = line.ratio().map_or("-".to_owned(), |r| format!("{r:.2}x"));
        let met = line.met_text().to_owned();
        let ours = figure(line.ours, line.unit);
        cells.push([line.work.clone(), line.against.clone(), theirs, ours, ratio, line.target_text(), met]);
    }
    let widths: Vec<usize> =
        (0..7).map(|at| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in cells {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join(" | ").trim_end_matches([' ', '|']));
        text.push('\n');
    }
    text
}

/// The lines as JSON.
pub(crate) fn json(rows: u64, changes: Option<u64>, runs: Option<usize>, lines: &[Line]) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "work": line.work, "against": line.against, "theirs": line.theirs, "ours": line.ours,
                "unit": format!("{:?}", line.unit), "ratio": line.ratio(), "target": line.target_text(),
                "met": line.met(),
            })
        })
        .collect();
    json!({ "rows": rows, "changes": changes, "runs": runs, "lines": lines })
}
