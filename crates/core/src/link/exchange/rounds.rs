//! One attempt: the members that are there, and what goes round among them.

use super::super::state::{Event, State};
use super::super::{Observer, Run, interrupted, rest};
use super::{Exchange, ExchangeReport, ExchangeSettings, Member, Outcome, Prefer, leaves};
use crate::apply::Written;
use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::merge::Node;
use crate::replica::{Merged, Preference, Replica, Shared, Versions};
use crate::transport::{Budget, Pace};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Nothing comes: the queues are looked at this often at first, and less often later.
const POLL_FIRST: Duration = Duration::from_millis(2);
const POLL_LAST: Duration = Duration::from_millis(50);

/// Members that are away are looked for this often at first, and less often while they stay away.
const AWAY_FIRST: Duration = Duration::from_secs(2);
const AWAY_LAST: Duration = Duration::from_secs(60);

/// Journals are looked at this often for what they need not keep any more.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// The member with which all others exchange, by its place among those present.
pub(super) const HUB: usize = 0;

/// A member that is there.
pub(super) struct Present {
    /// Its place in the list.
    pub(super) at: usize,
    pub(super) replica: Box<dyn Replica>,
    /// What it shares, each table with what it holds of it.
    pub(super) shared: Arc<[Shared]>,
    /// Its present incarnation.
    pub(super) node: Node,
    /// How far it has read the queue of others, by their place among those present.
    pub(super) heard: BTreeMap<usize, u64>,
    /// How much it takes in at once.
    pace: Pace,
    /// Rows of it that stand aside.
    pub(super) parked: u64,
    /// It failed, and is left alone until the next attempt.
    pub(super) out: bool,
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
    /// Who was asked last while meeting, by its place among those present.
    pub(super) asked: usize,
    pub(super) env: &'a Env,
    /// When leaves were last compared with the hub, and how long that took.
    pub(super) compared: Option<(Duration, Duration)>,
    observer: &'a dyn Observer,
    stop: watch::Receiver<bool>,
}

impl Present {
    fn new(at: usize, replica: Box<dyn Replica>) -> Self {
        let (shared, heard) = (Arc::new([]), BTreeMap::new());
        Self { at, replica, shared, node: Node([0; 16]), heard, pace: Pace::default(), parked: 0, out: false }
    }

    fn heard(&self, of: usize) -> u64 {
        self.heard.get(&of).copied().unwrap_or(0)
    }

    /// Who reads, and how much at once. Of each side one batch is taken in while the next is read, so each may have half
    /// of the memory.
    fn reader(&self) -> (Node, Budget) {
        let budget = self.pace.budget();
        (self.node, Budget { bytes_max: budget.bytes_max / 2, ..budget })
    }

    /// What comes after a number in its queue, for a reader.
    async fn hand_out(&mut self, (reader, budget): (Node, Budget), after: u64) -> Result<Option<Versions>> {
        self.replica.versions(reader, after, budget).await
    }

    /// Takes in what another handed out, and hands out what comes next, if it is asked for.
    async fn turn(
        &mut self,
        (env, run): (&Env, &str),
        from: usize,
        versions: Option<Versions>,
        prefer: Option<Preference>,
        asked: Option<((Node, Budget), u64)>,
    ) -> Result<(Option<Merged>, Result<Option<Versions>>)> {
        let merged = self.take_in(env, from, versions, prefer, run).await?;
        let next = match asked {
            Some((reader, after)) if merged.is_some() => self.hand_out(reader, after).await,
            _ => Ok(None),
        };
        Ok((merged, next))
    }

    /// Takes in what another handed out, if anything.
    async fn take_in(
        &mut self,
        env: &Env,
        from: usize,
        versions: Option<Versions>,
        prefer: Option<Preference>,
        run: &str,
    ) -> Result<Option<Merged>> {
        let Some(versions) = versions else { return Ok(Some(Merged { parked: self.parked, ..Merged::default() })) };
        let (through, rows, start) = (versions.through, versions.versions.len(), env.clock.monotonic());
        let merged = self.replica.merge(versions, prefer, run).await?;
        if let Some(merged) = &merged {
            self.pace.learn(rows, env.clock.monotonic().saturating_sub(start));
            self.heard.insert(from, through);
            self.parked = merged.parked;
        }
        Ok(merged)
    }
}

fn is_settled(versions: &Option<Versions>) -> bool {
    versions.as_ref().is_none_or(|versions| versions.settled)
}

/// What was handed out, if anything.
fn something(at: usize, read: Result<Option<Versions>>, after: u64) -> Result<Option<Versions>, Failure> {
    match read {
        // Where somebody wrote all the time there is nothing to read yet, which is not nothing.
        Ok(Some(v)) if v.versions.is_empty() && v.through == after && v.settled => Ok(None),
        Ok(Some(versions)) => Ok(Some(versions)),
        Ok(None) => Err(Failure::SchemaChanged),
        Err(error) => Err(Failure::Of(at, error)),
    }
}

impl<'a> Rounds<'a> {
    /// Opens the members that are there.
    pub(super) async fn open(exchange: &'a mut Exchange, report: &'a mut ExchangeReport) -> Result<Rounds<'a>> {
        let mut present = Vec::new();
        let mut away = None;
        // A side that is missing is made and filled from the others, if there is one.
        let create = exchange.members.iter().any(|member| member.exists());
        for (at, member) in exchange.members.iter().enumerate() {
            report.members[at].away = None;
            match member.open(create).await {
                Ok(replica) => present.push(Present::new(at, replica)),
                Err(error) if may_pass(&error) && exchange.members.len() > 2 => {
                    report.members[at].away = Some(error.to_string());
                    away = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        away = leaves::behind_others(&exchange.members, &exchange.settings, &mut present, report)?.or(away);
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
            compared: None,
            asked: HUB,
            env: &exchange.env,
            observer: &*exchange.observer,
            stop: exchange.stop.clone(),
        })
    }

    /// Goes round until nothing moves, or until stopped.
    pub(super) async fn go(&mut self) -> Result<Outcome> {
        self.tell(&State::Following);
        let watching = self.settings.run == Run::Watch;
        let (mut poll, mut parted) = (POLL_FIRST, false);
        let (mut looked, mut away) = (self.env.clock.monotonic(), AWAY_FIRST);
        let mut forgot = None;
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
                (poll, parted, self.report.in_step) = (POLL_FIRST, false, false);
                continue;
            }
            if !(parted || watching && self.compares_later()) {
                let Some(in_step) = self.part().await? else { continue };
                (parted, self.report.in_step) = (true, in_step);
                if in_step {
                    self.tell(&State::InStep);
                }
            }
            let now = self.env.clock.monotonic();
            if forgot.is_none_or(|at| now.saturating_sub(at) >= FORGET_EVERY) {
                self.forget().await?;
                forgot = Some(now);
            }
            if !watching {
                return Ok(Outcome::Done);
            }
            if self.env.clock.monotonic() - looked >= away {
                if self.somebody_is_back().await {
                    return Ok(Outcome::Back);
                }
                (looked, away) = (self.env.clock.monotonic(), (away * 2).min(AWAY_LAST));
            }
            self.rest(if self.settings.every > Duration::ZERO { self.settings.every } else { poll }).await;
            poll = (poll * 2).min(POLL_LAST);
        }
    }

    /// Whether a member that was away can be opened.
    async fn somebody_is_back(&mut self) -> bool {
        for (at, member) in self.report.members.iter().enumerate() {
            if member.away.is_some() && self.members[at].exists() && self.members[at].open(false).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Goes on without the member that was asked last, if there are enough others and it may be another time.
    pub(super) fn leave_out(&mut self, error: &Error) -> bool {
        let asked = self.asked;
        if !may_pass(error) || asked == HUB || self.present.len() < 3 {
            return false;
        }
        let left = self.present.remove(asked);
        self.report.members[left.at].away = Some(error.to_string());
        true
    }

    /// The hub exchanges with everybody in turn. Says whether anything moved; `None` where a schema changed.
    pub(super) async fn round(&mut self) -> Result<Option<bool>> {
        let mut moved = false;
        for other in HUB + 1..self.present.len() {
            if self.present[other].out {
                continue;
            }
            match self.exchange(other).await {
                Ok(some) => moved |= some,
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

    /// Both ways at once between the hub and another: each takes in what the other handed out, and hands out what comes
    /// next without waiting for the other to have taken in.
    async fn exchange(&mut self, other: usize) -> Result<bool, Failure> {
        // Settled once, at the hub; the others get what it settled.
        let prefer = self.preference(other);
        let run = self.report.run.clone();
        let mut next: Option<[Result<Option<Versions>>; 2]> = None;
        let mut moved = false;
        loop {
            if self.stopped() {
                return Err(Failure::Of(HUB, interrupted()));
            }
            let Ok([hub, spoke]) = self.present.get_disjoint_mut([HUB, other]) else {
                return Err(Failure::Of(HUB, Error::internal("a replica exchanges with itself")));
            };
            let after = [hub.heard(other), spoke.heard(HUB)];
            let (hubs, spokes) = (hub.reader(), spoke.reader());
            let [theirs, ours] = match next.take() {
                Some(read) => read,
                None => tokio::join!(spoke.hand_out(hubs, after[0]), hub.hand_out(spokes, after[1])).into(),
            };
            let (theirs, ours) = (something(other, theirs, after[0])?, something(HUB, ours, after[1])?);
            if theirs.is_none() && ours.is_none() {
                return Ok(moved);
            }
            // Also where no row goes over: taking in seals what was written meanwhile, which has not gone over yet.
            moved = true;
            // Who goes on writing has its turn again; the others wait for theirs.
            let settled = is_settled(&theirs) && is_settled(&ours);
            let through = |versions: &Option<Versions>, after| versions.as_ref().map_or(after, |v| v.through);
            let after = [through(&theirs, after[0]), through(&ours, after[1])];
            let asked = |reader, after| (!settled).then_some((reader, after));
            let (at_hub, at_spoke) = tokio::join!(
                hub.turn((self.env, &run), other, theirs, prefer.clone(), asked(spokes, after[1])),
                spoke.turn((self.env, &run), HUB, ours, None, asked(hubs, after[0]))
            );
            let (at_hub, ours) = at_hub.map_err(|error| Failure::Of(HUB, error))?;
            let (at_spoke, theirs) = at_spoke.map_err(|error| Failure::Of(other, error))?;
            for (at, merged) in [(HUB, at_hub), (other, at_spoke)] {
                let Some(merged) = merged else { return Err(Failure::SchemaChanged) };
                self.report.members[self.present[at].at].add(&merged);
                let written = Written { upserts: merged.upserts, deletes: merged.deletes, ..Written::default() };
                self.event(Event::Applied { written: &written, lag_ms: None });
            }
            if settled {
                return Ok(moved);
            }
            next = Some([theirs, ours]);
        }
    }

    /// Whose rows count where the hub and another differ and never met.
    fn preference(&self, other: usize) -> Option<Preference> {
        match self.settings.prefer.as_ref()? {
            Prefer::Member(at) if *at == self.present[HUB].at => Some(Preference::Ours),
            Prefer::Member(at) if *at == self.present[other].at => Some(Preference::Theirs),
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

    pub(super) fn shown(&self, present: usize) -> String {
        self.members[self.present[present].at].shown()
    }

    pub(super) fn check_stop(&self) -> Result<()> {
        if self.stopped() { Err(interrupted()) } else { Ok(()) }
    }

    pub(super) fn stopped(&self) -> bool {
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
