//! Processes of their own: this test binary again, told by its environment to be an engine or a program that writes.

use super::programs::Program;
use super::{Dice, policies};
use crate::both_ways::group::exchange;
use crate::given::{lives_at_most, passes};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidewater_core::change::Pattern;
use tidewater_core::env::Env;
use tidewater_core::link::{ExchangeSettings, Run};

const ROLE: &str = "TIDEWATER_TEST_ROLE";

/// A process that was not stopped by the test ends by itself after this.
const LIFE_MAX: Duration = Duration::from_secs(40);

/// What a sync of the test is like.
#[derive(Debug, Clone)]
pub(super) struct Sync {
    /// Chooses the rules.
    pub(super) rules: u64,
    pub(super) log_rows_max: u64,
    /// The members that hold a part.
    pub(super) leaves: String,
}

impl Sync {
    pub(super) fn is_leaf(&self, file: &Path) -> bool {
        file.file_stem().and_then(|name| name.to_str()).is_some_and(|name| self.leaves.contains(name))
    }

    pub(super) fn settings(&self, run: Run, files: &[PathBuf]) -> ExchangeSettings {
        let tables = super::programs::SHAPES.iter().map(|shape| Pattern::new(shape.name)).collect();
        let mut settings = ExchangeSettings { run, policies: policies(self.rules), ..ExchangeSettings::default() };
        settings.scope.tables = tables;
        let held = files.iter().enumerate().filter(|(_, file)| self.is_leaf(file));
        settings.parts = held.map(|(at, _)| (at, super::leaves::part())).collect();
        settings
    }
}

/// A process, which does not outlive its handle.
pub(super) struct Process {
    child: Child,
    said: PathBuf,
    what: String,
}

impl Process {
    fn start(folder: &Path, what: &str, role: &[String]) -> Self {
        let said = folder.join(format!("{what}.said"));
        let out = std::fs::File::create(&said).expect("a file for what it says");
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["both_ways::convergence::processes::another_process", "--exact", "--nocapture"]);
        command.env(ROLE, role.join("\n")).stdin(Stdio::null()).stderr(out.try_clone().expect("a handle")).stdout(out);
        Self { child: command.spawn().expect("this binary runs"), said, what: what.to_owned() }
    }

    /// An engine; `watch` until it is killed, or until all are in step.
    pub(super) fn engine(folder: &Path, what: &str, sync: &Sync, watch: bool, files: &[PathBuf]) -> Self {
        let mut role = vec!["engine".to_owned(), watch.to_string(), sync.rules.to_string()];
        role.extend([sync.log_rows_max.to_string(), sync.leaves.clone()]);
        role.extend(files.iter().map(|file| file.display().to_string()));
        Self::start(folder, what, &role)
    }

    /// A program that writes.
    pub(super) fn program(folder: &Path, what: &str, seed: u64, transactions: u64, pause_ms: u64, file: &Path) -> Self {
        let numbers = [seed, transactions, pause_ms].map(|n| n.to_string());
        let role = [vec!["program".to_owned(), what.to_owned()], numbers.to_vec(), vec![file.display().to_string()]];
        Self::start(folder, what, &role.concat())
    }

    /// What it said, where it ended by itself and not well.
    pub(super) fn failure(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("it is our child")?;
        (!status.success()).then(|| {
            format!("{} ended with {status}: {}", self.what, std::fs::read_to_string(&self.said).unwrap_or_default())
        })
    }

    /// Kills it. Says what it said, if it had failed before.
    pub(super) fn kill(mut self) -> Result<(), String> {
        let failure = self.failure();
        let _ = self.child.kill();
        let _ = self.child.wait();
        failure.map_or(Ok(()), Err)
    }

    /// Waits for its end.
    pub(super) fn ends(mut self) -> Result<(), String> {
        let start = Instant::now();
        while self.child.try_wait().expect("it is our child").is_none() {
            if start.elapsed() > LIFE_MAX {
                return Err(format!("{} does not end", self.what));
            }
            passes(Duration::from_millis(1));
        }
        self.failure().map_or(Ok(()), Err)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other processes do. Nothing, where the test binary runs as tests.
#[test]
fn another_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    lives_at_most(LIFE_MAX);
    let words: Vec<&str> = role.lines().collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    match words[0] {
        "engine" => {
            let sync = Sync { rules: number(2), log_rows_max: number(3), leaves: words[4].to_owned() };
            let files: Vec<PathBuf> = words[5..].iter().map(PathBuf::from).collect();
            let run = if words[1] == "true" { Run::Watch } else { Run::UntilInStep };
            let report = exchange(&files, sync.settings(run, &files), sync.log_rows_max);
            let report = report.unwrap_or_else(|error| panic!("the exchange failed: {error}"));
            assert!(report.in_step, "{report:?}");
        }
        _ => {
            let dice = Dice(Env::seeded(number(2)));
            let mut program = Program { name: words[1].to_owned(), dice: &dice, tokens: 0, plain: vec![] };
            program.run(Path::new(words[5]), number(3), number(4)).expect("it writes");
        }
    }
}
