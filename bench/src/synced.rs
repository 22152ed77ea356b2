//! Tidewater, through its public interface: two SQLite files as the ends of a link, as the command makes them.

use crate::Result;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidewater_core::apply::Target;
use tidewater_core::capture::Source;
use tidewater_core::change::Scope;
use tidewater_core::env::Env;
use tidewater_core::link::{Ends, Exchange, ExchangeSettings, Link, Member, Report, Run, Settings, Unwatched};
use tidewater_core::replica::Replica;
use tidewater_sqlite::{Access, Database, SqliteReplica, SqliteSource, SqliteTarget};
use tokio::sync::watch;

struct Files {
    source: PathBuf,
    target: PathBuf,
    looking: bool,
    env: Env,
}

#[async_trait]
impl Ends for Files {
    async fn source(&self) -> tidewater_core::Result<Box<dyn Source>> {
        let access = if self.looking { Access::Read } else { Access::Write };
        Ok(Box::new(SqliteSource::open(&Database::new(&self.source), access, &self.env)?))
    }

    async fn target(&self) -> tidewater_core::Result<Box<dyn Target>> {
        let access = if self.looking { Access::Read } else { Access::Create };
        Ok(Box::new(SqliteTarget::open(&Database::new(&self.target), access, &self.env)?))
    }

    fn source_name(&self) -> String {
        self.source.display().to_string()
    }

    fn target_name(&self) -> String {
        self.target.display().to_string()
    }
}

fn link(source: &Path, target: &Path, run: Run, looking: bool, stop: watch::Receiver<bool>) -> Link {
    let env = Env::real();
    let scope = Scope { value_bytes_max: Some(Scope::VALUE_BYTES_MAX_DEFAULT), ..Scope::default() };
    let ends = Files { source: source.to_owned(), target: target.to_owned(), looking, env: env.clone() };
    let settings = Settings { scope, run, ..Settings::default() };
    Link::new(Arc::new(ends), settings, env, Arc::new(Unwatched), stop)
}

struct File(PathBuf, Env);

#[async_trait]
impl Member for File {
    async fn open(&self, _: bool) -> tidewater_core::Result<Box<dyn Replica>> {
        Ok(Box::new(SqliteReplica::open(&Database::new(&self.0), Access::Create, &self.1)?))
    }

    fn exists(&self) -> bool {
        self.0.exists()
    }

    fn endpoint(&self) -> String {
        self.shown()
    }

    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

/// `tidewater sync ONE OTHER --both-ways`: how many rows were written on either side.
pub(crate) fn meet(one: &Path, other: &Path) -> Result<u64> {
    let (_go, stop) = watch::channel(false);
    let env = Env::real();
    let member = |path: &Path| -> Arc<dyn Member> { Arc::new(File(path.to_owned(), env.clone())) };
    let members = vec![member(one), member(other)];
    let mut exchange = Exchange::new(members, ExchangeSettings::default(), env.clone(), Arc::new(Unwatched), stop);
    let report = block_on(exchange.run())?;
    if report.needs_attention() || !report.in_step {
        return Err(format!("the exchange needs attention: {report:?}").into());
    }
    Ok(report.members.iter().map(|member| member.upserts + member.deletes).sum())
}

fn block_on<T>(work: impl Future<Output = tidewater_core::Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work).map_err(|error| error.to_string().into())
}

/// `tidewater sync SOURCE TARGET`.
pub(crate) fn sync(source: &Path, target: &Path) -> Result<Report> {
    let (_go, stop) = watch::channel(false);
    let report = block_on(link(source, target, Run::UntilInStep, false, stop).run())?;
    if report.needs_attention() {
        return Err(format!("the sync needs attention: {report:?}").into());
    }
    Ok(report)
}

/// `tidewater sync SOURCE TARGET --watch`, until told to stop.
pub(crate) fn watch(source: &Path, target: &Path, stop: watch::Receiver<bool>) -> Result<Report> {
    block_on(link(source, target, Run::Watch, false, stop).run())
}

/// `tidewater verify SOURCE TARGET`: how many rows of the source were compared, all equal.
pub(crate) fn verify(source: &Path, target: &Path) -> Result<u64> {
    let (_go, stop) = watch::channel(false);
    let (verdicts, _) = block_on(link(source, target, Run::UntilInStep, true, stop).verify(false))?;
    match verdicts.iter().find(|v| !v.equal()) {
        Some(verdict) => Err(format!("verify found a difference: {verdict:?}").into()),
        None => Ok(verdicts.iter().map(|v| v.source_rows).sum()),
    }
}
