//! Two ends of any kind, and links between them.

use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Link, Report, Run, Settings, Unwatched};
use tidewater_postgres::{PostgresSource, PostgresTarget};
use tidewater_sqlite::{Database, SqliteSource, SqliteTarget};
use tidewater_testing::{Postgres, Release};
use tokio::sync::watch;

/// One end.
#[derive(Clone)]
pub(super) enum End {
    Sqlite(PathBuf),
    Postgres(String),
}

#[derive(Clone)]
pub(super) struct Pair {
    source: End,
    target: End,
    settings: Settings,
    env: Env,
}

fn settings(url: &str) -> tidewater_postgres::Settings {
    tidewater_postgres::Settings::parse(url).unwrap()
}

#[async_trait]
impl Ends for Pair {
    async fn source(&self) -> Result<Box<dyn Source>> {
        Ok(match &self.source {
            End::Sqlite(path) => Box::new(SqliteSource::open(
                &Database::new(path.to_str().unwrap()),
                tidewater_sqlite::Access::Write,
                &self.env,
            )?),
            End::Postgres(url) => {
                Box::new(PostgresSource::open(&settings(url), tidewater_postgres::Access::Write, &self.env).await?)
            }
        })
    }

    async fn target(&self) -> Result<Box<dyn Target>> {
        Ok(match &self.target {
            End::Sqlite(path) => Box::new(SqliteTarget::open(
                &Database::new(path.to_str().unwrap()),
                tidewater_sqlite::Access::Create,
                &self.env,
            )?),
            End::Postgres(url) => {
                Box::new(PostgresTarget::open(&settings(url), tidewater_postgres::Access::Write, &self.env).await?)
            }
        })
    }

    fn source_name(&self) -> String {
        "source".to_owned()
    }

    fn target_name(&self) -> String {
        "target".to_owned()
    }
}

/// A runtime for one test.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A server with a database for each side.
pub(super) fn server(release: Release) -> Postgres {
    let server = Postgres::start(release).unwrap();
    server.execute("CREATE DATABASE shop").unwrap();
    server.execute("CREATE DATABASE till").unwrap();
    server
}

impl Pair {
    pub(super) fn new(source: End, target: End) -> Self {
        Self { source, target, settings: Settings::default(), env: Env::real() }
    }

    /// The same, with other settings.
    pub(super) fn with(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The same, comparing and copying once.
    pub(super) fn once(self) -> Self {
        let settings = Settings { run: Run::Once, ..self.settings.clone() };
        self.with(settings)
    }

    fn link(&self, settings: Settings) -> (Link, watch::Sender<bool>) {
        let (stop, stopped) = watch::channel(false);
        (Link::new(Arc::new(self.clone()), settings, self.env.clone(), Arc::new(Unwatched), stopped), stop)
    }

    /// `tidewater sync SOURCE TARGET`.
    pub(super) async fn sync(&self) -> Result<Report> {
        let (mut link, _stop) = self.link(self.settings.clone());
        link.run().await
    }

    /// `tidewater sync SOURCE TARGET --watch`, until this process is killed.
    pub(super) async fn watch(&self) {
        let (mut link, _stop) = self.link(Settings { run: Run::Watch, ..self.settings.clone() });
        let _report = link.run().await;
    }

    /// The same beside the test, until what comes back is called.
    pub(super) fn watching(&self) -> impl FnOnce() + use<> {
        let (stop, pair) = (Arc::new(tokio::sync::Notify::new()), self.clone());
        let stopped = stop.clone();
        let watching = std::thread::spawn(move || {
            block_on(async {
                tokio::select! { () = pair.watch() => {}, () = stopped.notified() => {} }
            });
        });
        move || {
            stop.notify_one();
            watching.join().unwrap();
        }
    }

    /// `tidewater teardown SOURCE TARGET`.
    pub(super) async fn leave(&self, link: &str) {
        self.source().await.unwrap().leave(link).await.unwrap();
        self.target().await.unwrap().leave(link).await.unwrap();
    }

    /// `tidewater verify SOURCE TARGET`: what differs.
    pub(super) async fn differences(&self) -> Vec<String> {
        let (mut link, _stop) = self.link(self.settings.clone());
        let (verdicts, _) = link.verify(false).await.unwrap();
        verdicts.iter().filter(|verdict| !verdict.equal()).map(|verdict| format!("{verdict:?}")).collect()
    }
}

/// Runs statements as a program would, over a connection of its own.
pub(super) fn psql(url: &str, sql: &str) -> std::result::Result<(), String> {
    block_on(async {
        let env = Env::real();
        let purpose = tidewater_postgres::wire::Purpose::Sql;
        let mut connection = tidewater_postgres::wire::Connection::open(&settings(url), purpose, &env)
            .await
            .map_err(|error| error.to_string())?;
        connection.query(sql).await.map(|_| ()).map_err(|error| error.to_string())
    })
}

/// Waits for a point in time; what happens meanwhile happens in other processes.
pub(super) fn wait_until(until: std::time::Instant) {
    while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Waits until something is so.
#[track_caller]
pub(super) fn until(is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}
