//! One attempt: the members that are there, and what goes round among them.

use super::super::state::{Event, State};
use super::super::{Observer, Run, interrupted, rest};
use super::{Exchange, ExchangeReport, ExchangeSettings, Member, Outcome, Prefer};
use crate::apply::Written;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::merge::Node;
use crate::replica::{Preference, Replica, Shared};
use crate::transport::Pace;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Nothing comes: the queues are looked at this often at first, and less often later.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_LAST: Duration = Duration::from_millis(50);

/// Members that are away are looked for this often.
const AWAY: Duration = Duration::from_secs(2);

/// The member with which all others exchange, by its place among those present.
pub(super) const HUB: usize = 0;

/// A member that is there.
pub(super) struct Present {
    /// Its place in the list.
    pub(super) at: usize,
    pub(super) replica: Box<dyn Replica>,
    /// Its present incarnation.
    pub(super) node: Node,
    /// How far it has read the queue of others, by their place among those present.
    pub(super) heard: BTreeMap<usize, u64>,
    /// How much it takes in at once.
    pace: Pace,
    /// It failed, and is left alone until the next attempt.
    out: bool,
}

/// Why a pair did not get to its end.
enum Failure {
    /// A schema is not what it was.
    SchemaChanged,
    /// One of the two failed, by its place among those present.
    Of(usize, Error),
}

pub(super) struct Rounds<'a> {
    pub(super) members: &'a [Arc<dyn Member>],
    pub(super) settings: &'a ExchangeSettings,
    pub(super) report: &'a mut ExchangeReport,
    pub(super) present: Vec<Present>,
    pub(super) shared: Arc<[Shared]>,
    pub(super) env: &'a Env,
    observer: &'a dyn Observer,
    stop: watch::Receiver<bool>,
}

impl<'a> Rounds<'a> {
    /// Opens the members that are there.
    pub(super) async fn open(exchange: &'a mut Exchange, report: &'a mut ExchangeReport) -> Result<Rounds<'a>> {
        let mut present = Vec::new();
        let mut away = None;
        // A side that is missing is made and filled from the others, if there is one.
        let create = exchange.members.iter().any(|member| member.exists());
        for (at, member) in exchange.members.iter().enumerate() {
            (report.members[at].away, report.members[at].halted) = (None, BTreeMap::new());
            match member.open(create).await {
                Ok(replica) => {
                    let (node, heard) = (Node([0; 16]), BTreeMap::new());
                    present.push(Present { at, replica, node, heard, pace: Pace::default(), out: false });
                }
                Err(error) if may_pass(&error) && exchange.members.len() > 2 => {
                    report.members[at].away = Some(error.to_string());
                    away = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if present.len() < 2 {
            return Err(away.unwrap_or_else(|| Error::internal("an exchange with nobody")));
        }
        exchange.opened = true;
        Ok(Self {
            members: &exchange.members,
            settings: &exchange.settings,
            report,
            present,
            shared: Arc::new([]),
            env: &exchange.env,
            observer: &*exchange.observer,
            stop: exchange.stop.clone(),
        })
    }

    /// Goes round until nothing moves, or until stopped.
    pub(super) async fn go(&mut self) -> Result<Outcome> {
        self.tell(&State::Following);
        let watching = self.settings.run == Run::Watch;
        let mut poll = POLL_FIRST;
        let mut looked = self.env.clock.monotonic();
        self.report.in_step = false;
        loop {
            let moved = match self.round().await? {
                Some(moved) => moved,
                None => return Ok(Outcome::Again),
            };
            if self.stopped() {
                return Ok(Outcome::Done);
            }
            if moved {
                if self.report.in_step {
                    self.tell(&State::Following);
                }
                (poll, self.report.in_step) = (POLL_FIRST, false);
                continue;
            }
            if !self.report.in_step {
                self.tell(&State::InStep);
                self.report.in_step = true;
            }
            if !watching {
                return Ok(Outcome::Done);
            }
            if self.env.clock.monotonic() - looked >= AWAY {
                looked = self.env.clock.monotonic();
                let mut members = self.report.members.iter().enumerate();
                if members.any(|(at, member)| member.away.is_some() && self.members[at].exists()) {
                    return Ok(Outcome::Again);
                }
            }
            self.rest(if self.settings.every > Duration::ZERO { self.settings.every } else { poll }).await;
            poll = (poll * 2).min(POLL_LAST);
        }
    }

    /// From everybody to the hub, and from the hub to everybody. Says whether anything moved; `None` where a schema
    /// changed.
    async fn round(&mut self) -> Result<Option<bool>> {
        let mut moved = false;
        let all = self.present.len();
        let others = || 1..all;
        let pairs: Vec<(usize, usize)> = others().map(|i| (i, HUB)).chain(others().map(|i| (HUB, i))).collect();
        for (from, to) in pairs {
            if self.present[from].out || self.present[to].out {
                continue;
            }
            match self.carry(from, to).await {
                Ok(carried) => moved |= carried,
                Err(Failure::SchemaChanged) => return Ok(None),
                Err(Failure::Of(at, error)) if may_pass(&error) && at != HUB && self.present.len() > 2 => {
                    let present = &mut self.present[at];
                    present.out = true;
                    self.report.members[present.at].away = Some(error.to_string());
                }
                Err(Failure::Of(_, error)) => return Err(error),
            }
        }
        Ok(Some(moved))
    }

    /// Carries what is new from one to another. The next versions are read while the ones before are written.
    async fn carry(&mut self, from: usize, to: usize) -> Result<bool, Failure> {
        let prefer = self.preference(from, to);
        let mut after = self.present[to].heard.get(&from).copied().unwrap_or(0);
        let mut moved = false;
        let run = self.report.run.clone();
        let Ok([source, target]) = self.present.get_disjoint_mut([from, to]) else {
            return Err(Failure::Of(from, Error::internal("a replica exchanges with itself")));
        };
        let mut read = source.replica.versions(target.node, after, target.pace.budget()).await;
        loop {
            if *self.stop.borrow() {
                return Err(Failure::Of(from, interrupted()));
            }
            let Some(versions) = read.map_err(|e| Failure::Of(from, e))? else { return Err(Failure::SchemaChanged) };
            if versions.through == after && versions.versions.is_empty() {
                return Ok(moved);
            }
            let (through, settled, rows) = (versions.through, versions.settled, versions.versions.len());
            moved |= rows > 0;
            let start = self.env.clock.monotonic();
            let merging = target.replica.merge(versions, prefer.clone(), &run);
            let merged;
            (merged, read) = if settled {
                (merging.await, Ok(None))
            } else {
                tokio::join!(merging, source.replica.versions(target.node, through, target.pace.budget()))
            };
            let Some(merged) = merged.map_err(|e| Failure::Of(to, e))? else { return Err(Failure::SchemaChanged) };
            target.pace.learn(rows, self.env.clock.monotonic().saturating_sub(start));
            after = through;
            target.heard.insert(from, through);
            let report = &mut self.report.members[target.at];
            report.upserts += merged.upserts;
            report.deletes += merged.deletes;
            report.known += merged.known;
            report.conflicts += merged.conflicts;
            report.parked = merged.parked;
            let written = Written { upserts: merged.upserts, deletes: merged.deletes, ..Written::default() };
            let event = Event::Applied { written: &written, lag_ms: None };
            self.observer.on(&self.settings.sync, event);
            if settled {
                return Ok(moved);
            }
        }
    }

    /// Whose rows count where the two differ and never met.
    fn preference(&self, from: usize, to: usize) -> Option<Preference> {
        match self.settings.prefer.as_ref()? {
            Prefer::Member(at) if *at == self.present[to].at => Some(Preference::Ours),
            Prefer::Member(at) if *at == self.present[from].at => Some(Preference::Theirs),
            Prefer::Member(_) => None,
            Prefer::Newest(column) => {
                let place =
                    |shared: &Shared| shared.view.columns.iter().position(|c| c.name.eq_ignore_ascii_case(column));
                let tables = self.shared.iter().enumerate();
                Some(Preference::Newest(tables.filter_map(|(at, shared)| Some((at, place(shared)?))).collect()))
            }
        }
    }

    pub(super) fn tell(&self, state: &State) {
        self.event(Event::State(state));
    }

    pub(super) fn event(&self, event: Event<'_>) {
        self.observer.on(&self.settings.sync, event);
    }

    pub(super) fn check_stop(&self) -> Result<()> {
        if self.stopped() { Err(interrupted()) } else { Ok(()) }
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    async fn rest(&mut self, wait: Duration) {
        rest(self.env, &mut self.stop, wait).await;
    }
}

/// Whether it may be another time.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind, Kind::Unavailable | Kind::Lost)
}
