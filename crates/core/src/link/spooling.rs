//! While the target is away: the source is read on into the spool, so that it can let its log go.
//!
//! The spool is a part of the source's log that lies elsewhere: what stands in it comes first, then what the source
//! still has. So nothing about the tables has to be known here. `drain.rs` applies it when the target is back.
//! Invariants: a position is confirmed only once the spool has synced it; the source is read from the spool's end, or,
//! where that is empty, from what was confirmed, and from nowhere else. Tests: `tests/it/link/spooled.rs`.

use super::retry::Backoff;
use super::session::resolve;
use super::state::{Event, State};
use super::{Ends, Link, Run, interrupted, rest};
use crate::capture::{Read, Reader, Resumed, Source, Survey};
use crate::change::{Mapping, Position, Transaction};
use crate::env::Disk;
use crate::error::{Error, Kind, Result, code};
use crate::transport::{Card, Pace, Spool};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// So many failures in a row are waited for before anything is spooled: a short absence is nothing to the source.
const FAILURES_BORNE: u32 = 2;

/// Where a spool is, how large it may get, and what happens then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The folder in which each link has its own.
    pub folder: PathBuf,
    /// It is full at this size.
    pub bytes_max: u64,
    /// What happens when it is full.
    pub full: Full,
}

impl SpoolSettings {
    /// As large as a spool gets where nothing is said.
    pub const BYTES_MAX_DEFAULT: u64 = 1 << 30;
    /// So many segments at least, which are removed one by one when they were applied.
    const SEGMENTS_MIN: u64 = 8;

    /// The spool of a link, if there is one or it is to be made.
    pub(super) fn open(&self, disk: &Arc<dyn Disk>, link: &str, make: bool) -> Result<Option<Spool>> {
        let spool = Spool::open(disk, &self.folder, link, make)?;
        Ok(spool.map(|spool| spool.with_segment_bytes(self.bytes_max / Self::SEGMENTS_MIN)))
    }
}

/// What happens when the spool is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Full {
    /// Reading stops; the source keeps what follows.
    #[default]
    Pause,
    /// The source is let go; all tables are compared when the target is back.
    GiveUp,
}

/// What a link does while its target is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooling {
    /// How it stands.
    pub stage: Stage,
    /// How large the spool is.
    pub bytes: u64,
    /// How large it may get.
    pub bytes_max: u64,
    /// The source was told that it need not keep what lies before.
    pub released: Position,
}

/// How spooling stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Changes are stored.
    Filling,
    /// It will soon be full.
    NearlyFull,
    /// It is full, and the source keeps what follows.
    Full,
    /// It was full, and the source was let go.
    GivenUp,
    /// The source's schema changed, which only the target can settle.
    SchemaChanged,
    /// The spool could not be written.
    Broken,
}

impl fmt::Display for Spooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, most) = (Bytes(self.bytes), Bytes(self.bytes_max));
        match self.stage {
            Stage::Filling => write!(
                f,
                "the target is away: changes are spooled ({size} of {most}), the source's log is released up to {}",
                self.released
            ),
            Stage::NearlyFull => write!(
                f,
                "the target is away and the spool is nearly full ({size} of {most}); then the source keeps its log, or \
                 is let go, as spool_full says"
            ),
            Stage::Full => write!(
                f,
                "{} the spool is full ({size} of {most}): reading stopped, and the source's log grows until the target \
                 is back",
                code::SPOOL_FULL
            ),
            Stage::GivenUp => write!(
                f,
                "{} the spool is full ({most}): the source's log was given up; all tables are compared when the target \
                 is back",
                code::SPOOL_FULL
            ),
            Stage::SchemaChanged => write!(
                f,
                "the source's schema changed while the target is away: reading stopped ({size} spooled), and the \
                 source's log grows until the target is back"
            ),
            Stage::Broken => write!(
                f,
                "{} the spool cannot be written: reading stopped ({size} spooled), and the source's log grows until the \
                 target is back",
                code::SPOOL_UNUSABLE
            ),
        }
    }
}

/// A size for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 30 => write!(f, "{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} kiB", bytes.div_ceil(1 << 10)),
        }
    }
}

/// The tables and what their changes count in, as a spool notes it.
pub(super) fn noted(mappings: &[Mapping]) -> Vec<(String, String)> {
    mappings.iter().map(|mapping| (mapping.source.table.clone(), mapping.digest())).collect()
}

/// Reads on from a source into the spool.
struct Spooler {
    source: Box<dyn Source>,
    end: Position,
    stage: Stage,
}

impl Link {
    /// After a failure: waits before the next attempt, and spools meanwhile where it is the target that is away.
    pub(super) async fn pause_after(&mut self, error: Error, backoff: &mut Backoff) -> Result<()> {
        let Some(mut wait) = self.wait_after(&error, backoff) else { return Err(error) };
        self.tell(&State::Waiting(error.to_string()));
        let is_away = std::mem::take(&mut self.at_target) && backoff.failures() > FAILURES_BORNE;
        let spooler = if is_away { self.spooler().await } else { Ok(None) };
        let spooler = spooler.unwrap_or_else(|error| {
            tracing::warn!(code = %error.code, what = %error.what, "nothing is spooled");
            None
        });
        let Some(mut spooler) = spooler else {
            rest(&self.env, &mut self.stop, wait).await;
            return Ok(());
        };
        self.tell_spooling(&spooler);
        loop {
            if spooler.stage == Stage::Broken {
                spooler.stage = Stage::Filling;
            }
            match self.spool_for(&mut spooler, wait).await {
                Err(error) if error.kind == Kind::Unavailable && !self.stopped() => {
                    match self.wait_after(&error, backoff) {
                        Some(next) => wait = next,
                        None => return Ok(()),
                    }
                }
                // It is back, or fails otherwise, which the next attempt meets.
                _ => return Ok(()),
            }
        }
    }

    fn wait_after(&self, error: &Error, backoff: &mut Backoff) -> Option<Duration> {
        let awaited = self.opened || self.settings.patient;
        backoff.after(error, awaited, self.settings.run == Run::Watch, &self.env)
    }

    /// Begins to read on without the target, where everything that this takes is known.
    async fn spooler(&mut self) -> Result<Option<Spooler>> {
        let Some(settings) = self.settings.spool.clone() else { return Ok(None) };
        if self.settings.run != Run::Watch {
            return Ok(None);
        }
        let mut source = self.ends.source().await?;
        if !source.grows() {
            return Ok(None);
        }
        let survey = source.survey().await?;
        let mappings = resolve(&self.settings, &survey, &self.ends.source_name())?.1;
        if self.spool.is_none() {
            self.spool = self.find_spool(&survey, &settings)?;
        }
        let Some(spool) = &mut self.spool else { return Ok(None) };
        if let Some(damage) = spool.damage() {
            return Err(damage.clone());
        }
        // Changes count in the mappings: with others, nothing can follow what is there.
        let card = spool.card().filter(|card| card.mappings == noted(&mappings)).cloned();
        let Some(Card { link, target, target_identity, .. }) = card else { return Ok(None) };
        let end = match spool.end().cloned() {
            Some(end) => Some(end),
            None => source.kept(&link).await?,
        };
        let Some(end) = end else { return Ok(None) };
        let start =
            source.begin(&Reader { link, target, target_identity, origins: false }, mappings, Some(&end)).await?;
        if start.resumed != Resumed::At {
            // The source has let go of it: all tables are compared when the target is back.
            spool.forget()?;
            return Ok(None);
        }
        Ok(Some(Spooler { source, end, stage: Stage::Filling }))
    }

    /// The spool of this link, by what is known of it while the target cannot be asked who it is.
    fn find_spool(&self, survey: &Survey, settings: &SpoolSettings) -> Result<Option<Spool>> {
        let target = self.ends.target_name();
        let is_mine = |card: &Card| {
            card.sync == self.settings.sync && card.source_identity == survey.identity && card.target == target
        };
        let mut mine = Spool::cards(&self.env.disk, &settings.folder)?.into_iter().filter(is_mine);
        // Where another database was the target under that name, nobody knows which one comes back.
        let (Some(card), None) = (mine.next(), mine.next()) else { return Ok(None) };
        settings.open(&self.env.disk, &card.link, false)
    }

    /// Spools for a while, then asks the target whether it is back; spools on until it has answered.
    async fn spool_for(&mut self, spooler: &mut Spooler, wait: Duration) -> Result<()> {
        let (env, ends, mut stop) = (self.env.clone(), self.ends.clone(), self.stop.clone());
        let answered = AtomicBool::new(false);
        let ask = async {
            rest(&env, &mut stop, wait).await;
            let answer = if *stop.borrow() { Err(interrupted()) } else { is_back(&*ends, &mut stop).await };
            answered.store(true, Ordering::Relaxed);
            answer
        };
        let work = async {
            while !answered.load(Ordering::Relaxed) {
                self.spool_next(spooler).await?;
                tokio::task::yield_now().await;
            }
            Ok::<(), Error>(())
        };
        let (answer, worked) = tokio::join!(ask, work);
        // Where the source is away too, the next attempt begins anew.
        worked.map_or(Ok(()), |()| answer)
    }

    async fn spool_next(&mut self, spooler: &mut Spooler) -> Result<()> {
        if !matches!(spooler.stage, Stage::Filling | Stage::NearlyFull) {
            rest(&self.env, &mut self.stop, self.settings.wait).await;
            return Ok(());
        }
        match spooler.source.read(&spooler.end, Pace::default().budget(), self.settings.wait).await? {
            Read::Nothing => Ok(()),
            Read::SchemaChanged => {
                spooler.stage = Stage::SchemaChanged;
                self.tell_spooling(spooler);
                Ok(())
            }
            Read::Changes(transaction) => self.spool_one(spooler, &transaction).await,
        }
    }

    /// Stores a transaction, and only then lets the source forget it.
    async fn spool_one(&mut self, spooler: &mut Spooler, transaction: &Transaction) -> Result<()> {
        let (Some(spool), Some(settings)) = (&mut self.spool, &self.settings.spool) else { return Ok(()) };
        let bytes: usize = transaction.changes.iter().map(crate::change::Change::bytes).sum();
        if spool.bytes() + bytes as u64 > settings.bytes_max {
            return self.spool_full(spooler).await;
        }
        match spool.append(&spooler.end, transaction) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(code = %error.code, what = %error.what, "the spool cannot be written");
                spooler.stage = Stage::Broken;
                self.tell_spooling(spooler);
                return Ok(());
            }
        }
        spooler.end = transaction.position.clone();
        if spool.bytes() > settings.bytes_max / 5 * 4 {
            spooler.stage = Stage::NearlyFull;
        }
        spooler.source.confirm(&spooler.end, false).await?;
        self.tell_spooling(spooler);
        Ok(())
    }

    async fn spool_full(&mut self, spooler: &mut Spooler) -> Result<()> {
        let (Some(spool), Some(settings)) = (&mut self.spool, &self.settings.spool) else { return Ok(()) };
        spooler.stage = Stage::Full;
        if settings.full == Full::GiveUp
            && let Some(card) = spool.card().cloned()
        {
            spooler.source.leave(&card.link).await?;
            // What comes after it is lost, so all tables are compared, and it serves nothing any more.
            spool.forget()?;
            spooler.stage = Stage::GivenUp;
        }
        self.tell_spooling(spooler);
        Ok(())
    }

    fn tell_spooling(&self, spooler: &Spooler) {
        let bytes_max = self.settings.spool.as_ref().map_or(0, |settings| settings.bytes_max);
        let spooling = Spooling {
            stage: spooler.stage,
            bytes: self.spool.as_ref().map_or(0, Spool::bytes),
            bytes_max,
            released: spooler.end.clone(),
        };
        let state = State::Spooling(spooling);
        self.observer.on(&self.settings.sync, Event::State(&state));
    }
}

/// Whether the target answers.
async fn is_back(ends: &dyn Ends, stop: &mut tokio::sync::watch::Receiver<bool>) -> Result<()> {
    let ask = async { ends.target().await?.survey().await.map(|_| ()) };
    tokio::select! {
        biased;
        Ok(_) = stop.wait_for(|stop| *stop) => Err(interrupted()),
        answer = ask => answer,
    }
}

/// What an error of the target leaves behind for whoever waits for it.
pub(super) fn of_target<T>(at_target: &mut bool, result: Result<T>) -> Result<T> {
    *at_target = matches!(&result, Err(error) if error.kind == Kind::Unavailable);
    result
}
