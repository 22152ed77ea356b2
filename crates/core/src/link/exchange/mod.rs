//! Runs one sync between replicas that all accept writes: opens those that are there, meets, and carries versions
//! round until nothing moves.
//!
//! Whoever is there exchanges with one of them, the hub, in turn: what one knows reaches all in one round, and every
//! version travels at most twice. A member that holds a part only has its place behind one that holds everything. A member that is away keeps none of the others waiting. Nothing is remembered here:
//! positions lie with the rows, at the side that read them.

mod leaves;
mod meet;
mod plan;
mod report;
mod rounds;

pub use plan::{ExchangePlan, PlannedShare};
pub use report::{ExchangeReport, MemberReport};

use super::retry::Backoff;
use super::state::{Event, Observer, State};
use super::{Run, rest};
use crate::change::{Scope, TableScope};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::merge::Policy;
use crate::replica::Replica;
use async_trait::async_trait;
use rounds::Rounds;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where a replica is, and how it is called.
#[async_trait]
pub trait Member: Send + Sync {
    /// Opens it; makes it where `create`.
    async fn open(&self, create: bool) -> Result<Box<dyn Replica>>;
    /// Whether there is something to open.
    fn exists(&self) -> bool;
    /// Its name in rules.
    fn endpoint(&self) -> String;
    /// Its name for people.
    fn shown(&self) -> String;
}

/// Whose rows count where two members differ at first contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prefer {
    /// This member's, by its place in the list.
    Member(usize),
    /// The row with the greater value in this column.
    Newest(String),
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct ExchangeSettings {
    /// The sync's name.
    pub sync: String,
    /// Which tables.
    pub scope: Scope,
    /// The rules of tables that have none of their own.
    pub policy: Policy,
    /// Rules by table name.
    pub policies: BTreeMap<String, Policy>,
    /// By member, by its place in the list, and by table: the columns and rows that it holds, where those are not all.
    /// Such a member is a leaf: it exchanges with members that hold everything.
    pub parts: BTreeMap<usize, BTreeMap<String, TableScope>>,
    /// What first contact does where rows differ; without it, nothing is written then.
    pub prefer: Option<Prefer>,
    /// For how many days journals keep conflicts that ended; `None` is for ever.
    pub journal_keep_days: Option<u64>,
    /// How long the exchange rests between rounds; zero follows at once.
    pub every: Duration,
    /// Whether it waits for members that were not there when it began.
    pub patient: bool,
    /// How long it runs; [`Run::Once`] is as [`Run::UntilInStep`].
    pub run: Run,
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        Self {
            sync: "adhoc".to_owned(),
            scope: Scope::default(),
            policy: Policy::default(),
            policies: BTreeMap::new(),
            parts: BTreeMap::new(),
            prefer: None,
            journal_keep_days: None,
            every: Duration::ZERO,
            patient: false,
            run: Run::UntilInStep,
        }
    }
}

/// One sync between replicas.
pub struct Exchange {
    members: Vec<Arc<dyn Member>>,
    settings: ExchangeSettings,
    env: Env,
    observer: Arc<dyn Observer>,
    stop: watch::Receiver<bool>,
    /// Whether enough members were open once.
    opened: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There is nothing more to do.
    Done,
    /// A schema changed.
    Again,
    /// Somebody who was away is there again.
    Back,
}

/// A schema that changes this often in a row is somebody's mistake.
const AGAIN_MAX: u32 = 100;

impl Exchange {
    /// An exchange between members; the first is asked first. It stops, with nothing half-done, when `stop` becomes
    /// true.
    pub fn new(
        members: Vec<Arc<dyn Member>>,
        settings: ExchangeSettings,
        env: Env,
        observer: Arc<dyn Observer>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { members, settings, env, observer, stop, opened: false }
    }

    /// Runs it. Retries what may pass by itself: for ever while watching, a few times otherwise.
    pub async fn run(&mut self) -> Result<ExchangeReport> {
        let start = self.env.clock.monotonic();
        let mut backoff = Backoff::default();
        let mut report = ExchangeReport::new(self.env.token()[..12].to_owned(), &self.members);
        let mut again = 0;
        loop {
            let before = report.work();
            let outcome = self.attempt(&mut report).await;
            let worked = report.work() > before;
            report.seconds = (self.env.clock.monotonic() - start).as_secs_f64();
            if worked {
                backoff.reset();
                again = 0;
            }
            match outcome {
                Err(_) if self.stopped() => break,
                Ok(Outcome::Done) => break,
                Ok(Outcome::Back) => again = 0,
                Ok(Outcome::Again) if again < AGAIN_MAX => again += 1,
                Ok(Outcome::Again) => return Err(Error::internal("the schema seems to change all the time")),
                Err(error) => self.pause_after(error, &mut backoff).await?,
            }
            if self.stopped() {
                break;
            }
        }
        self.tell(&State::Stopped);
        Ok(report)
    }

    async fn attempt(&mut self, report: &mut ExchangeReport) -> Result<Outcome> {
        self.tell(&State::Starting);
        let mut rounds = Rounds::open(self, report).await?;
        // One that is there but cannot be asked keeps none of the others waiting.
        while let Err(error) = rounds.meet().await {
            if !rounds.leave_out(&error) {
                return Err(error);
            }
        }
        rounds.go().await
    }

    async fn pause_after(&mut self, error: Error, backoff: &mut Backoff) -> Result<()> {
        let awaited = self.opened || self.settings.patient;
        let wait = backoff.after(&error, awaited, self.settings.run == Run::Watch, &self.env);
        let Some(wait) = wait else { return Err(error) };
        self.tell(&State::Waiting(error.to_string()));
        rest(&self.env, &mut self.stop, wait).await;
        Ok(())
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    fn tell(&self, state: &State) {
        self.observer.on(&self.settings.sync, Event::State(state));
    }
}
