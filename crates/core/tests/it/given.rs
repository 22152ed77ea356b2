//! What the tests begin with: rows, dice from a seed, and a world of two ends in memory with a link between them.
//!
//! A world prints its seed wherever it fails. `given/watched.rs` has the ends that count, wait and break.

mod watched;

pub(crate) use watched::{Notes, Watched, WatchedEnds};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tidewater_core::apply::MemoryTarget;
use tidewater_core::capture::MemorySource;
use tidewater_core::change::{Column, ColumnKind, ForeignKey, Identity, Key, Position, Row, Table, Value};
use tidewater_core::env::Env;
use tidewater_core::link::{Event, Existing, Link, Observer, Report, Settings, State};
use tidewater_core::{Error, Result};
use tokio::sync::watch;

/// How many rounds a randomised test does.
pub(crate) fn rounds() -> u32 {
    const ROUNDS: u32 = 200;
    std::env::var("TIDEWATER_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Numbers from a seed.
pub(crate) struct Dice(Env);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Env::seeded(seed))
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.0.random.bits() % bound
    }

    pub(crate) fn id_below(&self, bound: i64) -> i64 {
        i64::try_from(self.below(u64::try_from(bound).expect("a positive bound"))).expect("below an i64")
    }

    pub(crate) fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }
}

pub(crate) fn key(id: i64) -> Key {
    Row::new([Value::I64(id)])
}

pub(crate) fn row(id: i64, name: &str) -> Row {
    Row::new([Value::I64(id), Value::Text(name.into())])
}

/// A table of (id, name), with the key id.
pub(crate) fn table(name: &str) -> Table {
    let column = |name: &str, declared: &str| Column {
        name: name.to_owned(),
        declared: declared.to_owned(),
        kind: ColumnKind::default(),
        not_null: false,
        default: None,
        generated: false,
        collation: "BINARY".to_owned(),
    };
    Table {
        name: name.to_owned(),
        columns: vec![column("id", "INTEGER"), column("name", "TEXT")],
        key: vec!["id".to_owned()],
        identity: Identity::PrimaryKey,
        unique: vec![],
        foreign_keys: vec![],
        statements: vec![],
    }
}

/// The same, with a foreign key from its name to `parent`.
pub(crate) fn child(name: &str, parent: &str) -> Table {
    let foreign_key = ForeignKey {
        columns: vec!["name".to_owned()],
        parent: parent.to_owned(),
        parent_columns: vec![],
        on_delete: "NO ACTION".to_owned(),
        on_update: "NO ACTION".to_owned(),
    };
    Table { foreign_keys: vec![foreign_key], ..table(name) }
}

type Reaction = Box<dyn Fn(&Event<'_>) + Send + Sync>;

/// Remembers the states and notices of a link, and may do something at an event.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) states: Mutex<Vec<State>>,
    pub(crate) notices: Mutex<Vec<String>>,
    reaction: Mutex<Option<Reaction>>,
}

impl Watcher {
    pub(crate) fn states(&self) -> Vec<State> {
        self.states.lock().expect("not poisoned").clone()
    }

    pub(crate) fn count(&self, state: &State) -> usize {
        self.states().iter().filter(|s| *s == state).count()
    }
}

impl Observer for Watcher {
    fn on(&self, _: &str, event: Event<'_>) {
        match &event {
            Event::State(state) => self.states.lock().expect("not poisoned").push((*state).clone()),
            Event::Notice(text) => self.notices.lock().expect("not poisoned").push((*text).to_owned()),
            Event::Progress { .. } | Event::Applied { .. } => {}
        }
        if let Some(reaction) = &*self.reaction.lock().expect("not poisoned") {
            reaction(&event);
        }
    }
}

/// A source, a target, and a link between them that is made anew for every run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) source: MemorySource,
    pub(crate) target: MemoryTarget,
    pub(crate) settings: Settings,
    pub(crate) env: Env,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) stop: watch::Sender<bool>,
}

impl World {
    /// Empty tables of these definitions at the source, none at the target.
    pub(crate) fn new(seed: u64, tables: Vec<Table>) -> Self {
        let env = Env::seeded(seed);
        let source = MemorySource::default();
        source.with(|state| state.tables = tables);
        Self {
            seed,
            source,
            target: MemoryTarget::default(),
            settings: Settings::default(),
            watcher: Arc::default(),
            notes: Arc::new(Notes::new(&env)),
            env,
            stop: watch::Sender::new(false),
        }
    }

    /// One table, `products`, with the rows `1..=count` at the source.
    pub(crate) fn of_products(count: i64) -> Self {
        let world = Self::new(0, vec![table("products")]);
        world.stored_at_source("products", (1..=count).map(|id| (id, format!("product {id}"))));
        world
    }

    pub(crate) fn with_existing(mut self, existing: Existing) -> Self {
        self.settings.existing = existing;
        self
    }

    /// Rows that the source has without ever having written them down in its log.
    pub(crate) fn stored_at_source(&self, table: &str, rows: impl IntoIterator<Item = (i64, String)>) {
        self.source.with(|state| {
            let rows = rows.into_iter().map(|(id, name)| (key(id), row(id, &name)));
            state.rows.table(table).extend(rows);
        });
    }

    /// Rows that the target had before; makes the table where it is missing.
    pub(crate) fn stored_at_target(&self, name: &str, rows: impl IntoIterator<Item = (i64, String)>) {
        self.target.with(|state| {
            if !state.tables.iter().any(|t| t.name == name) {
                state.tables.push(table(name));
            }
            state.rows.table(name).extend(rows.into_iter().map(|(id, text)| (key(id), row(id, &text))));
        });
    }

    /// An application writes a row at the source; `None` deletes it.
    pub(crate) fn writes(&self, table: &str, id: i64, name: Option<&str>) {
        self.source.write(table, key(id), name.map(|name| row(id, name)));
    }

    pub(crate) fn link(&self) -> Link {
        let ends = WatchedEnds::new(&self.source, &self.target, &self.notes);
        let (observer, stop) = (self.watcher.clone(), self.stop.subscribe());
        Link::new(Arc::new(ends), self.settings.clone(), self.env.clone(), observer, stop)
    }

    /// Runs the link until it ends by itself; a link that never does is a failure, not a long wait.
    pub(crate) async fn run(&self) -> Result<Report> {
        const POLLS_MAX: u64 = 200_000;
        let ended = self.run_until_killed(POLLS_MAX, || {}).await;
        ended.unwrap_or_else(|| {
            panic!("seed {}: the link does not end; its states: {:?}", self.seed, self.last_states())
        })
    }

    fn last_states(&self) -> Vec<State> {
        let states = self.watcher.states();
        states[states.len().saturating_sub(8)..].to_vec()
    }

    #[track_caller]
    pub(crate) fn ran(&self, result: Result<Report>) -> Report {
        result.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed))
    }

    pub(crate) async fn refused(&self) -> Error {
        self.run().await.expect_err("this run is refused")
    }

    /// Runs the link for so many polls and then drops it wherever it is, as a killed process would. `meanwhile` is
    /// called between polls. `None` when it was killed.
    pub(crate) async fn run_until_killed(&self, polls: u64, meanwhile: impl Fn()) -> Option<Result<Report>> {
        let mut link = self.link();
        let mut run = pin!(link.run());
        let mut left = polls;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            meanwhile();
            run.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Calls `reaction` at every event from now on.
    pub(crate) fn whenever(&self, reaction: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        *self.watcher.reaction.lock().expect("not poisoned") = Some(Box::new(reaction));
    }

    pub(crate) fn source_rows(&self, table: &str) -> BTreeMap<Key, Row> {
        self.source.with(|state| state.rows.table(table).clone())
    }

    pub(crate) fn target_rows(&self, table: &str) -> BTreeMap<Key, Row> {
        self.target.with(|state| state.rows.table(table).clone())
    }

    /// How many rows were ever written at the target.
    pub(crate) fn written(&self) -> u64 {
        self.target.with(|state| state.written)
    }

    pub(crate) fn stored_position(&self) -> Option<Position> {
        self.target.with(|state| state.ledger.position.clone())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// Both sides hold the same rows.
    #[track_caller]
    pub(crate) fn is_in_step(&self) {
        let tables = self.source.with(|state| state.tables.clone());
        for table in tables {
            let (source, target) = (self.source_rows(&table.name), self.target_rows(&table.name));
            let differing = source.iter().find(|(key, row)| target.get(*key) != Some(*row));
            assert!(differing.is_none(), "seed {}: {}: {differing:?} is not so at the target", self.seed, table.name);
            let extra = target.keys().find(|key| !source.contains_key(*key));
            assert!(extra.is_none(), "seed {}: {}: {extra:?} is only at the target", self.seed, table.name);
        }
    }
}
