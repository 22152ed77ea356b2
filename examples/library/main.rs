//! Brings a copy of a SQLite database up to date from a program of your own, without the command:
//! `cargo run -p tidewater-sqlite --example library -- shop.db copy.db`
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use async_trait::async_trait;
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Link, Report, Settings, Unwatched};
use tidewater_sqlite::{Access, Database, SqliteSource, SqliteTarget};

/// The two databases. A link opens them, and again after a failure.
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
        self.source.shown.clone()
    }
    fn target_name(&self) -> String {
        self.target.shown.clone()
    }
}

/// Brings the target up to the source; later calls send what changed.
pub(crate) async fn sync(source: &str, target: &str) -> Result<Report> {
    let env = Env::real();
    let ends = Files { source: Database::new(source), target: Database::new(target), env: env.clone() };
    // Sending `true` ends the link, with nothing half-done.
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    // Settings say what is carried, what first contact may do, and whether to go on watching.
    Link::new(Arc::new(ends), Settings::default(), env, Arc::new(Unwatched), stopped).run().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = &arguments[..] else { panic!("usage: library SOURCE.db TARGET.db") };
    let report = sync(source, target).await?;
    println!("{} rows copied, {} changes applied", report.copied, report.changes());
    Ok(())
}
