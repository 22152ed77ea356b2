//! Runs one link: opens both ends, meets, copies, follows, tries again. The only place with control flow.
//!
//! Architecture invariants: only `link` retries; only durable positions are confirmed to the source; a link's
//! failure is its own (several links share nothing). What is durable is the target's ledger: a link that was
//! killed anywhere goes on from there. Tests: `tests/it/link.rs` on the doubles, and the connectors' own.

mod check;
mod copy;
mod drain;
mod exchange;
mod first_contact;
mod follow;
mod lanes;
mod plan;
mod quarantine;
mod report;
mod retry;
mod session;
mod spooling;
mod state;
mod status;
mod throttle;

pub use crate::apply::Existing;
pub use check::{DifferingRow, NAMED_MAX, Verdict};
pub use exchange::{
    Exchange, ExchangePlan, ExchangeReport, ExchangeSettings, Member, MemberReport, PlannedShare, Prefer,
};
pub use first_contact::Counts;
pub use plan::{Plan, PlannedTable, no_key_note};
pub use quarantine::Retried;
pub use report::Report;
pub use retry::Backoff;
pub use session::link_id;
pub use spooling::{Full, SpoolSettings, Spooling, Stage};
pub use state::{Event, Observer, State, Unwatched};
pub use status::{Behind, FollowerStatus, LinkStatus, PeerStatus, ReplicaStatus, Status, TableStatus};

use crate::apply::Target;
use crate::capture::Source;
use crate::change::Scope;
use crate::env::Env;
use crate::error::{Error, Kind, Result, code};
use crate::transport::Spool;
use async_trait::async_trait;
use session::{Outcome, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Waits, and no longer than until a stop.
async fn rest(env: &Env, stop: &mut watch::Receiver<bool>, wait: Duration) {
    let stopped = async {
        // Whoever could ask for a stop is gone: nobody will.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = stopped => {}
        () = env.clock.sleep(wait) => {}
    }
}

/// What whoever asked for a stop gets instead of an answer.
fn interrupted() -> Error {
    Error::new(Kind::Unavailable, code::INTERRUPTED, "stopped before it was done")
        .meaning("Nothing is half-done: whole chunks and batches were written, and the next run goes on from there.")
        .remedy("Run the same command again.")
}

/// A failure after which what was installed could not be taken out either.
fn left_behind(error: Error, left: &Error) -> Error {
    let meaning = format!("{}\nWhat was installed at the source is still there: {}", error.meaning, left.what);
    error.meaning(meaning)
}

/// So many times in a row a changed schema is looked at without anything being carried.
const AGAIN_MAX: u32 = 100;

/// Opens the two ends of a link; again after each failure.
#[async_trait]
pub trait Ends: Send + Sync {
    /// Opens the source.
    async fn source(&self) -> Result<Box<dyn Source>>;
    /// Opens the target.
    async fn target(&self) -> Result<Box<dyn Target>>;
    /// The source's name for people.
    fn source_name(&self) -> String;
    /// The target's name for people.
    fn target_name(&self) -> String;
    /// The source as a command takes it.
    fn source_url(&self) -> String {
        self.source_name()
    }
    /// The target as a command takes it.
    fn target_url(&self) -> String {
        self.target_name()
    }
}

/// How long a link runs, and what it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Until the target is where the source stood; positions are kept for the next time.
    UntilInStep,
    /// Until stopped.
    Watch,
    /// Compare and copy, once; nothing is installed and no position kept.
    Once,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sync's name; part of the link's identity.
    pub sync: String,
    /// What is carried.
    pub scope: Scope,
    /// What first contact may do.
    pub existing: Existing,
    /// Whether programs other than the engine are kept from writing the target's tables.
    pub protect: bool,
    /// The user's triggers at the target that run when the engine writes.
    pub run_triggers: Vec<String>,
    /// At most this many rows a second.
    pub rows_per_second_max: Option<u64>,
    /// For how many days the target's journal keeps what a run replaced or deleted, looked at as a run begins; `None`
    /// is for ever.
    pub journal_keep_days: Option<u64>,
    /// How long one wait for changes lasts; a stop is noticed after it at the latest.
    pub wait: Duration,
    /// How long the link rests between rounds; zero follows at once.
    pub every: Duration,
    /// Whether a run that ends by itself leaves in place what grows at the source until the next one, without a bound.
    pub keeps_log: bool,
    /// Whether a run, however it ends, takes out of the source what it installed there: nothing goes on from where it was.
    pub leaves: bool,
    /// Whether a watching link waits for an end that was not there when it began.
    pub patient: bool,
    /// Tables, by their names at the source, that are compared anew whatever is known of them; none are all that the link
    /// carries. Such a run begins no table, and leaves `protect` as it is.
    pub resync: Option<Vec<String>>,
    /// The buffer on disk for the time that the target of a watching link is away; `None` is none.
    pub spool: Option<SpoolSettings>,
    /// How long it runs.
    pub run: Run,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: "adhoc".to_owned(),
            scope: Scope::default(),
            existing: Existing::Refuse,
            protect: false,
            run_triggers: vec![],
            rows_per_second_max: None,
            journal_keep_days: None,
            wait: Duration::from_millis(500),
            every: Duration::ZERO,
            keeps_log: true,
            leaves: false,
            patient: false,
            resync: None,
            spool: None,
            run: Run::UntilInStep,
        }
    }
}

/// One link.
pub struct Link {
    ends: Arc<dyn Ends>,
    settings: Settings,
    env: Env,
    observer: Arc<dyn Observer>,
    stop: watch::Receiver<bool>,
    /// Whether both ends were open once.
    opened: bool,
    /// Whether the last attempt failed because the target is away.
    at_target: bool,
    /// Open from the time when it is needed first, so that no other engine uses it.
    spool: Option<Spool>,
}

impl Link {
    /// A link between two ends. It stops, with nothing half-done, when `stop` becomes true.
    pub fn new(
        ends: Arc<dyn Ends>,
        settings: Settings,
        env: Env,
        observer: Arc<dyn Observer>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { ends, settings, env, observer, stop, opened: false, at_target: false, spool: None }
    }

    /// Runs it. Retries what may pass by itself: for ever while watching, a few times otherwise.
    pub async fn run(&mut self) -> Result<Report> {
        let mut report = Report::default();
        let ended = self.run_until_it_ends(&mut report).await;
        let left = self.leave(&mut report).await;
        match (ended, left) {
            (Ok(()), Ok(())) => {
                self.tell(&State::Stopped);
                Ok(report)
            }
            (Ok(()), Err(error)) | (Err(error), Ok(())) => Err(error),
            (Err(error), Err(left)) => Err(left_behind(error, &left)),
        }
    }

    async fn run_until_it_ends(&mut self, report: &mut Report) -> Result<()> {
        let start = self.env.clock.monotonic();
        let mut backoff = Backoff::default();
        let mut again = 0;
        loop {
            let before = report.work();
            let outcome = self.attempt(report).await;
            if report.work() > before {
                backoff.reset();
            }
            report.seconds = (self.env.clock.monotonic() - start).as_secs_f64();
            match outcome {
                Ok(Outcome::Again) if report.work() > before => again = 0,
                Ok(Outcome::Again) if again < AGAIN_MAX => again += 1,
                Ok(Outcome::Again) => return Err(Error::internal("the schema seems to change all the time")),
                Ok(Outcome::Done) => break,
                Err(_) if self.stopped() => break,
                Err(error) => self.pause_after(error, &mut backoff).await?,
            }
            if self.stopped() {
                break;
            }
        }
        Ok(())
    }

    /// Takes out of the source what the run installed, where nothing goes on from it.
    async fn leave(&self, report: &mut Report) -> Result<()> {
        if !self.settings.leaves || report.link.is_empty() || self.settings.run == Run::Once {
            return Ok(());
        }
        self.ends.source().await?.leave(&report.link).await?;
        report.installed.clear();
        Ok(())
    }

    /// What a run would do. Writes nothing.
    pub async fn plan(&mut self) -> Result<Plan> {
        let mut report = Report::default();
        let mut session = Session::open(self, &mut report).await?;
        session.survey_plan().await
    }

    async fn attempt(&mut self, report: &mut Report) -> Result<Outcome> {
        self.tell(&State::Starting);
        let mut session = Session::open(self, report).await?;
        if session.settings.run == Run::Once {
            return session.once().await;
        }
        session.meet().await?;
        session.copy_all().await?;
        session.follow().await
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn tell(&self, state: &State) {
        self.observer.on(&self.settings.sync, Event::State(state));
    }
}
