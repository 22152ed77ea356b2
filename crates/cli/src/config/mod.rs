//! The configuration, `tidewater.toml`: which data, which direction, how soon, what on conflict.
//!
//! The way of the text: `tree.rs` keeps every key and value with its place and lays several files over each other,
//! `reader.rs` takes typed values out and refuses unknown keys, `endpoints.rs`, `syncs.rs`, `tables.rs` and
//! `between.rs` make the model of this file out of them, `problems.rs` turns all that was wrong into one error with excerpts.
//!
//! Invariants: a loaded [`Config`] is checked as far as it can be without opening an endpoint: names resolve,
//! filters parse with the variables of their target, references to secrets were followed. A key that is not
//! understood, or not built yet, is an error, never ignored. All errors of a file are reported at once.
//! It never prints a password, neither from a reference nor from a line that holds one by mistake, and it never
//! opens a database.
//! Tests: `tests.rs` and `tests/`; those of excerpts in `problems.rs`.

mod between;
mod endpoints;
mod problems;
mod reader;
mod syncs;
mod tables;
#[cfg(test)]
mod tests;
mod tree;

use crate::spool::SpoolChoice;
use problems::{File, Place, Problems};
use reader::{Fields, Shape};
use std::collections::BTreeMap;
use std::env::VarError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidewater_core::change::{Pattern, Scope, TableScope, Value};
use tidewater_core::link::{Existing, Prefer};
use tidewater_core::merge::Policy;
use tidewater_core::{Error, Kind, Result, code};
use tree::Tree;

/// The longest configuration file, in bytes: far more than anybody writes, far less than hurts.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the files say, taken together.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The first file; the others were laid over it.
    pub(crate) path: PathBuf,
    /// The endpoints, by name.
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    /// The syncs in the order of the file; at least one.
    pub(crate) syncs: Vec<Sync>,
}

/// `[endpoint.NAME]`
#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint {
    /// Its name in the file.
    pub(crate) name: String,
    /// Where it is: the reference followed, a relative SQLite path joined to the folder of the file. May hold a
    /// password: never print it.
    pub(crate) url: String,
    /// The same for people: the reference as it stands in the file, or the SQLite path. Holds no secret.
    pub(crate) shown: String,
    /// The variables that filters may use when this endpoint is the target.
    pub(crate) vars: BTreeMap<String, Value<'static>>,
    /// How many rows its trigger log may hold before logging stops.
    pub(crate) log_rows_max: Option<u64>,
}

impl Endpoint {
    /// Whether it is a PostgreSQL database.
    fn is_postgres(&self) -> bool {
        endpoints::is_postgres(&self.url)
    }
}

impl std::fmt::Debug for Endpoint {
    /// Leaves the URL out: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Endpoint");
        shown.field("name", &self.name).field("shown", &self.shown).field("vars", &self.vars);
        shown.field("log_rows_max", &self.log_rows_max).finish_non_exhaustive()
    }
}

/// `[sync.NAME]`
#[derive(Debug, Clone)]
pub(crate) enum Sync {
    /// With `from` and `to`.
    OneWay(OneWay),
    /// With `between`.
    BothWays(BothWays),
}

impl Sync {
    /// Its name in the file.
    pub(crate) fn name(&self) -> &str {
        match self {
            Sync::OneWay(sync) => &sync.name,
            Sync::BothWays(sync) => &sync.name,
        }
    }
}

/// A source of truth and its targets.
#[derive(Debug, Clone)]
pub(crate) struct OneWay {
    /// Its name in the file.
    pub(crate) name: String,
    /// The source endpoint's name.
    pub(crate) from: String,
    /// The target endpoints' names; at least one, each once, none of them the source.
    pub(crate) to: Vec<String>,
    /// What first contact may do to rows that are there already.
    pub(crate) existing: Existing,
    /// Whether the replica refuses writes of others.
    pub(crate) local_writes_refused: bool,
    /// How soon changes travel.
    pub(crate) latency: Latency,
    /// The most rows written per second.
    pub(crate) rows_per_second_max: Option<u64>,
    /// The target's triggers that run although apply switches the others off.
    pub(crate) run_triggers: Vec<String>,
    /// For how many days journals keep what is over; for ever without it.
    pub(crate) journal_keep_days: Option<u64>,
    /// Where changes go while the target is away.
    pub(crate) spool: SpoolChoice,
    scopes: BTreeMap<String, Scope>,
}

/// How soon changes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Latency {
    /// As they are committed.
    #[default]
    Live,
    /// All that gathered, after every such pause; at least a second.
    Every(Duration),
}

/// Endpoints that all accept writes.
#[derive(Debug, Clone)]
pub(crate) struct BothWays {
    /// Its name in the file.
    pub(crate) name: String,
    /// The endpoints' names; at least two, each once.
    pub(crate) between: Vec<String>,
    /// The tables; all ordinary ones where empty.
    pub(crate) tables: Vec<Pattern>,
    /// Whose rows count where they differ at first contact.
    pub(crate) prefer: Option<Prefer>,
    /// The rules of tables that are not described.
    pub(crate) policy: Policy,
    /// The rules of those that are, by their names in the file.
    pub(crate) policies: BTreeMap<String, Policy>,
    /// By member, as a place in `between`, and by table: the columns and rows that it holds, where those are not all.
    pub(crate) parts: BTreeMap<usize, BTreeMap<String, TableScope>>,
    /// How soon changes travel.
    pub(crate) latency: Latency,
    /// For how many days journals keep what is over; for ever without it.
    pub(crate) journal_keep_days: Option<u64>,
}

impl OneWay {
    /// The scope of the link to this target: tables, columns, rows and names, with the target's variables in their
    /// places. A name that is not in [`OneWay::to`] is an error.
    pub(crate) fn scope_for(&self, target: &str) -> Result<Scope> {
        let found = self.scopes.get(target).cloned();
        found.ok_or_else(|| Error::internal(format!("{target} is no target of the sync {}", self.name)))
    }
}

/// Reads the files, later ones laid over earlier ones: tables key by key, everything else as a whole.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Config> {
    let surroundings = Surroundings {
        variable: &|name| std::env::var(name),
        text: &|path, bytes_max| tidewater_core::env::read_text_max(path, bytes_max),
    };
    load_from(paths, &surroundings)
}

/// Where text comes from that is not given as an argument; tests give their own.
struct Surroundings<'a> {
    variable: &'a dyn Fn(&str) -> std::result::Result<String, VarError>,
    text: &'a dyn Fn(&Path, u64) -> io::Result<String>,
}

const TOP: Shape = Shape { keys: &["engine", "endpoint", "sync"], later: &[] };
const ENGINE: Shape = Shape {
    keys: &[],
    later: &[("listen", "the status page and metrics"), ("state", "the spool and the positions of stream links")],
};

fn load_from(paths: &[PathBuf], surroundings: &Surroundings<'_>) -> Result<Config> {
    let Some(path) = paths.first() else {
        return Err(Error::new(Kind::Invalid, code::CONFIGURATION, "no configuration file is named")
            .remedy("Name one with -c FILE."));
    };
    let files = paths.iter().map(|path| read(path, surroundings)).collect::<Result<Vec<_>>>()?;
    let problems = Problems::new(files);
    let tree = Tree::parse(&problems);
    problems.check()?;
    let config = read_config(path, &tree, surroundings, &problems);
    problems.check()?;
    Ok(config)
}

fn read(path: &Path, surroundings: &Surroundings<'_>) -> Result<File> {
    let name = path.display().to_string();
    let text = (surroundings.text)(path, FILE_BYTES_MAX).map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::PermissionDenied { Kind::Denied } else { Kind::Invalid };
        Error::new(kind, code::CONFIGURATION, format!("{name} cannot be read: {error}"))
            .meaning("Nothing was started.")
            .remedy("Name the configuration file with -c FILE.")
    })?;
    Ok(File { name, folder: path.parent().map(Path::to_path_buf).unwrap_or_default(), text })
}

/// Reads all there is, whatever is wrong with parts of it; the caller looks whether there were problems.
fn read_config(path: &Path, tree: &Tree, surroundings: &Surroundings<'_>, problems: &Problems) -> Config {
    let top = Fields::new(&tree.entries, &tree.place, "the file", &TOP, problems);
    // Every key of [engine] belongs to a later version; reading the table refuses them by name.
    top.table("engine", "[engine]", &ENGINE);
    let endpoints: BTreeMap<String, Endpoint> = top
        .named("endpoint")
        .filter_map(|entry| endpoints::read(entry, surroundings, problems))
        .map(|endpoint| (endpoint.name.clone(), endpoint))
        .collect();
    let syncs: Vec<Sync> = top.named("sync").filter_map(|entry| syncs::read(entry, &endpoints, problems)).collect();
    if top.named("sync").next().is_none() && !top.is_wrong("sync") {
        problems.add_without_excerpt(
            &Place::START,
            "there is no sync; add one as [sync.NAME] with `from` and `to`, or `between`",
        );
    }
    Config { path: path.to_path_buf(), endpoints, syncs }
}
