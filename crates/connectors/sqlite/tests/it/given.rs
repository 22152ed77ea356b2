//! Two databases in a temporary folder, a second program that writes, and an engine that syncs.

use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tidewater_core::apply::Target;
use tidewater_core::capture::{Read, Reader, Source, Start};
use tidewater_core::change::{Mapping, Position, Row, Scope};
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Event, Existing, Link, Observer, Report, Run, Settings, Unwatched};
use tidewater_core::transport::Budget;
use tidewater_core::verify::Scan;
use tidewater_core::{Error, Result};
use tidewater_sqlite::{Access, Database, SqliteSource, SqliteTarget};

/// Two databases; the target is not there at first.
pub(crate) struct Pair {
    pub(crate) folder: TempDir,
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) log_rows_max: u64,
}

/// A source that a program has filled with `sql`.
pub(crate) fn given(sql: &str) -> Pair {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, target) = (folder.path().join("source.db"), folder.path().join("target.db"));
    shell(&source, sql);
    let log_rows_max = Database::LOG_ROWS_MAX_DEFAULT;
    Pair { folder, source, target, settings: Settings::default(), log_rows_max }
}

/// What another program does: the `sqlite3` shell in a process of its own.
pub(crate) fn shell(database: &Path, sql: &str) -> String {
    try_shell(database, sql).unwrap_or_else(|error| panic!("sqlite3 {}: {error}\n{sql}", database.display()))
}

/// The same, where it may fail.
pub(crate) fn try_shell(database: &Path, sql: &str) -> std::result::Result<String, String> {
    let script = database.with_extension(format!("{}.sql", std::process::id()));
    std::fs::write(&script, format!(".bail on\n.timeout 10000\n{sql}\n")).expect("the script is written");
    let input = std::fs::File::open(&script).expect("it is there");
    let output = Command::new("sqlite3").arg("-batch").arg(database).stdin(input).output();
    let output = output.expect("sqlite3 is installed (scripts/test does it)");
    let _ = std::fs::remove_file(&script);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() && output.stderr.is_empty() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// Waits for a state, at most half a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is() {
            return;
        }
        passes(Duration::from_millis(3));
    }
    panic!("{what}: not within half a minute");
}

/// Some time passes, where time is the subject: a process is killed at any moment, a program takes its time.
pub(crate) fn passes(time: Duration) {
    std::thread::sleep(time);
}

/// This process, which another test started, ends by itself even if that test died.
pub(crate) fn lives_at_most(time: Duration) {
    std::thread::spawn(move || {
        passes(time);
        std::process::exit(9);
    });
}

struct Files {
    source: Database,
    target: Database,
    env: Env,
}

#[async_trait]
impl Ends for Files {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(Box::new(SqliteSource::open(&self.source, Access::Write, &self.env)?))
    }
    async fn target(&self) -> Result<Box<dyn Target>> {
        Ok(Box::new(SqliteTarget::open(&self.target, Access::Create, &self.env)?))
    }
    fn source_name(&self) -> String {
        "source.db".into()
    }
    fn target_name(&self) -> String {
        "target.db".into()
    }
}

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// One run of a link between two files.
pub(crate) fn run(source: &Path, target: &Path, settings: &Settings, log_rows_max: u64) -> Result<Report> {
    run_watched(source, target, settings, log_rows_max, Arc::new(Unwatched))
}

/// Does something at every event, between two steps of the link.
struct Reaction<F>(F);

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for Reaction<F> {
    fn on(&self, _: &str, event: Event<'_>) {
        (self.0)(&event);
    }
}

fn run_watched(
    source: &Path,
    target: &Path,
    settings: &Settings,
    log_rows_max: u64,
    observer: Arc<dyn Observer>,
) -> Result<Report> {
    let env = Env::real();
    let database = |path: &Path| Database { log_rows_max, ..Database::new(path) };
    let ends = Arc::new(Files { source: database(source), target: database(target), env: env.clone() });
    let (_tell, stop) = tokio::sync::watch::channel(false);
    block_on(Link::new(ends, settings.clone(), env, observer, stop).run())
}

impl Pair {
    /// Changes the settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Changes the scope of one table.
    pub(crate) fn with_scope(self, change: impl FnOnce(&mut Scope)) -> Self {
        self.with(|settings| change(&mut settings.scope))
    }

    /// A program writes to the source.
    pub(crate) fn writes(&self, sql: &str) {
        shell(&self.source, sql);
    }

    /// A program writes to the target.
    pub(crate) fn target_writes(&self, sql: &str) {
        shell(&self.target, sql);
    }

    /// The engine brings the target in step.
    pub(crate) fn syncs(&self) -> Report {
        self.tries().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, where it may fail.
    pub(crate) fn tries(&self) -> std::result::Result<Report, Error> {
        run(&self.source, &self.target, &self.settings, self.log_rows_max)
    }

    /// The engine brings the target in step, and `reaction` does something at every event.
    pub(crate) fn syncs_while(&self, reaction: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Report {
        let observer = Arc::new(Reaction(reaction));
        run_watched(&self.source, &self.target, &self.settings, self.log_rows_max, observer)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// What a run replaced or deleted is put back at the target; says how many rows.
    pub(crate) fn restores(&self, run: &str) -> u64 {
        self.tries_to_restore(run).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The same, where it may fail.
    pub(crate) fn tries_to_restore(&self, run: &str) -> Result<u64> {
        let target = SqliteTarget::open(&Database::new(&self.target), Access::Write, &Env::real());
        block_on(async { target?.restore(run).await })
    }

    /// A link's part at its source is taken out.
    pub(crate) fn source_forgets(&self, link: &str) {
        let source = SqliteSource::open(&Database::new(&self.source), Access::Write, &Env::real());
        block_on(async { source?.leave(link).await }).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A link's part at its target is taken out.
    pub(crate) fn target_forgets(&self, link: &str) {
        let target = SqliteTarget::open(&Database::new(&self.target), Access::Write, &Env::real());
        block_on(async { target?.leave(link).await }).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Compares and copies once.
    pub(crate) fn once(&self) -> Report {
        let settings = Settings { run: Run::Once, ..self.settings.clone() };
        run(&self.source, &self.target, &settings, self.log_rows_max).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Both sides hold the same rows, bit for bit, by plain SQL that knows nothing of the engine.
    #[track_caller]
    pub(crate) fn same(&self) {
        same(&self.source, &self.target);
    }

    /// What a query says at the target.
    pub(crate) fn at_target(&self, sql: &str) -> String {
        shell(&self.target, sql)
    }

    /// Runs, changes, runs again: the target follows, and only changes were sent.
    #[track_caller]
    pub(crate) fn follows(&self, sql: &str) -> Report {
        self.syncs();
        self.same();
        self.writes(sql);
        let report = self.syncs();
        self.same();
        assert_eq!((report.copied, report.compared), (0, 0), "only changes are sent: {report:?}");
        report
    }
}

/// One reader of a source, step by step.
pub(crate) struct Step {
    source: SqliteSource,
    reader: Reader,
    mappings: Arc<[Mapping]>,
}

impl Step {
    /// A reader of all tables, by the name of its link.
    pub(crate) fn of(path: &Path, link: &str) -> Self {
        Self::limited(path, link, Database::LOG_ROWS_MAX_DEFAULT)
    }

    /// The same, where the log keeps no more than this.
    pub(crate) fn limited(path: &Path, link: &str, log_rows_max: u64) -> Self {
        let database = Database { log_rows_max, ..Database::new(path) };
        let mut source = SqliteSource::open(&database, Access::Write, &Env::real()).expect("opens");
        let survey = block_on(source.survey()).expect("is surveyed");
        let mappings =
            survey.tables.iter().map(|t| Scope::default().special(&t.name).resolve(t).expect("resolves")).collect();
        let reader = Reader { link: link.into(), target: link.into(), target_identity: link.into(), origins: false };
        Self { source, reader, mappings }
    }

    pub(crate) fn begins(&mut self, resume: Option<&Position>) -> Start {
        block_on(self.source.begin(&self.reader, self.mappings.clone(), resume)).expect("begins")
    }

    /// What is found after a position.
    pub(crate) fn reads(&mut self, after: &Position, rows_max: usize, bytes_max: usize) -> Read {
        let budget = Budget { rows_max, bytes_max };
        block_on(self.source.read(after, budget, Duration::ZERO)).expect("reads")
    }

    /// All rows of the first table, in the order of their keys.
    pub(crate) fn rows(&mut self) -> Vec<Row> {
        let budget = Budget { rows_max: usize::MAX, bytes_max: usize::MAX };
        block_on(self.source.chunk(&self.mappings[0].source, &tidewater_core::verify::Range::default(), budget))
            .expect("reads")
            .rows
    }

    pub(crate) fn confirms(&mut self, position: &Position) {
        block_on(self.source.confirm(position, true)).expect("confirms");
    }
}

/// First contact may overwrite.
pub(crate) fn overwriting(settings: &mut Settings) {
    settings.existing = Existing::Overwrite;
}

/// Both databases hold the same tables with the same rows, bit for bit.
#[track_caller]
pub(crate) fn same(source: &Path, target: &Path) {
    let tables = shell(
        source,
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' \
         AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name NOT LIKE '~_tidewater~_%' ESCAPE '~' ORDER BY 1;",
    );
    for table in tables.lines() {
        assert_eq!(rows(source, table), rows(target, table), "table {table}");
    }
    for database in [source, target] {
        assert_eq!(shell(database, "PRAGMA integrity_check;"), "ok");
    }
}

/// The rows of a table with types and bytes, in the order of their text.
#[track_caller]
pub(crate) fn rows(database: &Path, table: &str) -> String {
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    let literal = table.replace('\'', "''");
    let columns = shell(database, &format!("SELECT name FROM pragma_table_xinfo('{literal}') WHERE hidden <> 1;"));
    // Expressions may not be nested deeper than 1000: wide tables are shown in pieces.
    let names: Vec<&str> = columns.lines().collect();
    let pieces = names.chunks(100).map(|piece| {
        let shown: Vec<String> = piece
            .iter()
            .map(|c| {
                let c = format!("\"{}\"", c.replace('"', "\"\""));
                let bytes = format!("hex(CAST({c} AS BLOB))");
                format!("typeof({c}) || ':' || CASE typeof({c}) WHEN 'real' THEN quote({c}) ELSE {bytes} END")
            })
            .collect();
        shell(database, &format!("SELECT {} AS r FROM {quoted} ORDER BY r;", shown.join(" || '|' || ")))
    });
    pieces.collect::<Vec<_>>().join("\n")
}
