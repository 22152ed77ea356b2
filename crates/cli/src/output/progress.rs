//! Progress bars with rate and time left, on a terminal; nothing anywhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tidewater_core::link::{Event, Observer, Stage, State};

/// Watches links and draws.
pub(crate) struct Progress {
    all: MultiProgress,
    bars: Mutex<HashMap<String, Bars>>,
    /// Whether states are shown between copies, as `--watch` does.
    watching: bool,
    /// Events as JSON lines on standard output.
    json: bool,
}

/// The bars of one link.
#[derive(Default)]
struct Bars {
    table: Option<(String, ProgressBar)>,
    state: Option<ProgressBar>,
    changes: u64,
    comparing: bool,
    told: Option<State>,
    /// What was said last of the spool.
    stage: Option<Stage>,
}

impl Progress {
    /// Draws on standard error if that is a terminal.
    pub(crate) fn new(watching: bool, json: bool) -> Self {
        let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(10) };
        Self { all: MultiProgress::with_draw_target(target), bars: Mutex::default(), watching, json }
    }

    /// Takes everything off the screen.
    pub(crate) fn clear(&self) {
        let _ = self.all.clear();
    }

    fn table(&self, bars: &mut Bars, table: &str, done: u64, total: Option<u64>) {
        let fresh = bars.table.as_ref().is_none_or(|(name, _)| name != table);
        if fresh {
            if let Some((_, bar)) = bars.table.take() {
                bar.finish_and_clear();
            }
            let bar = self.all.add(ProgressBar::new(0));
            let verb = if bars.comparing { "compare" } else { "copy" };
            let style = match total {
                Some(_) => {
                    format!("{verb:>8} {{msg:20}} {{bar:30}} {{human_pos}}/{{human_len}} rows  {{rate}}  {{eta}} left")
                }
                None => format!("{verb:>8} {{msg:20}} {{human_pos}} rows  {{rate}}"),
            };
            if let Ok(style) = ProgressStyle::with_template(&style) {
                bar.set_style(style.progress_chars("█▌ ").with_key("rate", rate));
            }
            bar.set_message(table.to_owned());
            bars.table = Some((table.to_owned(), bar));
        }
        if let Some((_, bar)) = &bars.table {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
        }
    }

    fn state(&self, link: &str, bars: &mut Bars, state: &State) {
        bars.comparing = *state == State::Comparing;
        if !matches!(state, State::Comparing | State::Copying)
            && let Some((_, bar)) = bars.table.take()
        {
            bar.finish_and_clear();
        }
        // On no terminal a watcher still says when it is in step and when it waits, once.
        if self.watching && self.all.is_hidden() && bars.told.as_ref() != Some(state) && !self.json {
            match state {
                State::InStep if bars.told.is_none() => super::line(&format!("{link}: in step, watching for changes")),
                State::Waiting(why) => super::aside(&format!("{link}: waiting: {why}")),
                State::Spooling(spooling) if bars.stage != Some(spooling.stage) => {
                    super::aside(&format!("{link}: {spooling}"));
                    bars.stage = Some(spooling.stage);
                    return;
                }
                _ => return,
            }
            bars.stage = None;
            bars.told = Some(state.clone());
        }
        if self.watching && !self.all.is_hidden() {
            let bar = bars.state.get_or_insert_with(|| self.all.add(ProgressBar::new_spinner()));
            bar.enable_steady_tick(Duration::from_millis(250));
            let why = match state {
                State::Waiting(why) => why.lines().next().unwrap_or_default().to_owned(),
                State::Spooling(spooling) => spooling.to_string(),
                _ => format!("{} changes applied", super::number(bars.changes)),
            };
            bar.set_message(format!("{link}: {state} · {why} · Ctrl-C stops"));
        }
    }
}

/// Whole rows a second.
fn rate(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    let _ = write!(out, "{} rows/s", super::number(state.per_sec() as u64));
}

/// Watches one link under a name of its own.
pub(crate) struct Named {
    name: String,
    progress: Arc<Progress>,
}

impl Named {
    pub(crate) fn new(name: String, progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self { name, progress })
    }
}

impl Observer for Named {
    fn on(&self, _: &str, event: Event<'_>) {
        self.progress.on(&self.name, event);
    }
}

impl Observer for Progress {
    fn on(&self, link: &str, event: Event<'_>) {
        let mut all = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bars = all.entry(link.to_owned()).or_default();
        match event {
            Event::State(state) => {
                if self.json && self.watching {
                    let mut line = serde_json::json!({ "sync": link, "state": state.to_string() });
                    if let State::Spooling(spooling) = state {
                        line["spool_bytes"] = spooling.bytes.into();
                        line["says"] = spooling.to_string().into();
                    }
                    super::line(&line.to_string());
                }
                self.state(link, bars, state);
            }
            Event::Progress { table, done, total } => self.table(bars, table, done, total),
            Event::Applied { written, lag_ms } => {
                let changes = written.upserts + written.deletes;
                bars.changes += changes;
                if self.json && self.watching {
                    let line = serde_json::json!({
                        "sync": link, "changes_applied": changes, "quarantined": written.held.len(), "lag_ms": lag_ms,
                    });
                    super::line(&line.to_string());
                }
            }
            Event::Notice(text) => {
                if self.watching && !self.json {
                    let _ = self.all.println(text);
                }
            }
        }
    }
}
