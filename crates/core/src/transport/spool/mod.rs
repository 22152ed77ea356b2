//! The spool: a bounded, durable log of transactions between capture and apply, for the time that a target is away.
//!
//! A folder for each link: `link` says whose it is, `lock` is held by the one engine that works with it, and numbered
//! segments hold transactions in order. Drawn byte by byte in `docs/formats/spool.md`.
//!
//! Invariants: what [`Spool::append`] returned for survives a loss of power, so it may be confirmed to the source;
//! nothing is handed out that is not what was appended, in the order and without a gap; a torn record at the end,
//! which nobody was told of, is cut off, anything else is damage; memory holds one record at a time.
//! Tests: `tests/it/spool.rs`, on a disk that loses power at every call.

mod card;
mod cursor;
mod record;
mod segment;

pub use card::Card;
pub use cursor::Cursor;

use crate::change::{Position, Transaction};
use crate::env::{Disk, Held};
use crate::error::{Error, Kind, Result, code};
use segment::Segment;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CARD: &str = "link";
const LOCK: &str = "lock";
/// A file that is being made; it gets its name when it is whole.
const NEW: &str = "new";
/// A segment that is this long is followed by another.
const SEGMENT_BYTES: u64 = 16 << 20;

/// The spool of one link, locked.
pub struct Spool {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    link: String,
    card: Option<Card>,
    segments: VecDeque<Segment>,
    /// After the last transaction.
    end: Option<Position>,
    damage: Option<Error>,
    segment_bytes: u64,
    _lock: Box<dyn Held>,
}

/// What a spool holds, looked at from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Its folder.
    pub folder: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// It holds what came after this position; `None` where it is empty.
    pub from: Option<Position>,
    /// Whose it is.
    pub card: Option<Card>,
}

/// Where a target's position stands to what a spool holds.
pub enum Place {
    /// Everything is in the target already.
    Past,
    /// From here on it is not.
    Within(Cursor),
    /// Between the two something is missing, or they have nothing to do with each other.
    Outside,
}

impl Spool {
    /// Opens the spool of a link, if there is one or `make` says so. Damage is noted, see [`Spool::damage`].
    pub fn open(disk: &Arc<dyn Disk>, root: &Path, link: &str, make: bool) -> Result<Option<Self>> {
        let folder = root.join(link);
        let wrong = |error: io::Error| unusable(&folder, &error);
        if !make && disk.list(&folder).map_err(wrong)?.iter().all(|name| name == LOCK) {
            return Ok(None);
        }
        disk.create_folder(&folder).map_err(wrong)?;
        let Some(lock) = disk.lock(&folder.join(LOCK)).map_err(wrong)? else { return Err(in_use(&folder)) };
        let mut spool = Self {
            disk: disk.clone(),
            folder,
            link: link.to_owned(),
            card: None,
            segments: VecDeque::new(),
            end: None,
            damage: None,
            segment_bytes: SEGMENT_BYTES,
            _lock: lock,
        };
        match spool.load() {
            Err(error) if error.kind == Kind::Lost => spool.damage = Some(error),
            loaded => loaded?,
        }
        Ok(Some(spool))
    }

    /// Segments that are shorter, where the whole is not to become large.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes.min(SEGMENT_BYTES);
        self
    }

    fn load(&mut self) -> Result<()> {
        let names = self.disk.list(&self.folder).map_err(|error| self.unusable(&error))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        numbers.sort_unstable();
        let card = match names.iter().any(|name| name == CARD) {
            true => Card::load(&*self.disk, &self.folder.join(CARD), &self.folder),
            false => Err(damaged(&self.folder, "the file that says whose it is is missing")),
        };
        match card {
            Ok(card) if card.link != self.link => return Err(damaged(&self.folder, "it is that of another link")),
            Ok(card) => self.card = Some(card),
            // Without segments nothing is lost with it.
            Err(error) if error.kind == Kind::Lost && numbers.is_empty() => {}
            Err(error) => return Err(error),
        }
        for (at, number) in numbers.iter().enumerate() {
            if at > 0 && numbers[at - 1] + 1 != *number {
                return Err(damaged(&self.folder, &format!("segment {} is missing", numbers[at - 1] + 1)));
            }
            self.segments.push_back(Segment::load(&*self.disk, &self.folder, &self.link, *number)?);
        }
        if let Some(last) = self.segments.back_mut() {
            self.end = Some(last.mend_end(&*self.disk, &self.folder, &self.link)?);
        }
        Ok(())
    }

    /// What is wrong with it. Nothing is to be read then, and all of it to be compared.
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }

    /// Whose it is.
    pub fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// The link that it belongs to.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How large it is.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The position after its last transaction.
    pub fn end(&self) -> Option<&Position> {
        self.end.as_ref()
    }

    /// Notes whose it is, while it is empty.
    pub fn set_card(&mut self, card: Card) -> Result<()> {
        if self.card.as_ref() == Some(&card) || !self.is_empty() {
            return Ok(());
        }
        self.put(CARD, &card.seal()).map_err(|error| self.unusable(&error))?;
        self.card = Some(card);
        Ok(())
    }

    /// Makes a file that is there whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.folder.join(NEW);
        match self.disk.remove(&new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        let mut file = self.disk.open(&new, true)?;
        file.append(bytes)?;
        file.sync()?;
        drop(file);
        self.disk.rename(&new, &self.folder.join(name))?;
        self.disk.sync_folder(&self.folder)
    }

    /// Appends a transaction that follows `base`. It survives when this returns; otherwise it may or may not be there
    /// when the spool is opened again, and nothing else has changed.
    pub fn append(&mut self, base: &Position, transaction: &Transaction) -> Result<()> {
        debug_assert!(self.end.as_ref().is_none_or(|end| end == base), "transactions follow each other");
        let payload = record::encode(transaction);
        let done = self.try_append(base, &payload);
        done.map_err(|error| self.unusable(&error))?;
        self.end = Some(transaction.position.clone());
        Ok(())
    }

    fn try_append(&mut self, base: &Position, payload: &[u8]) -> io::Result<()> {
        let is_full = self.segments.back().is_none_or(|last| last.size >= self.segment_bytes);
        if is_full {
            let number = self.segments.back().map_or(1, |last| last.number + 1);
            let header = segment::header(&self.link, number, base);
            self.put(&segment::name(number), &header)?;
            self.segments.push_back(Segment::new(number, base.clone(), header.len() as u64));
        }
        match self.segments.back_mut() {
            Some(last) => last.append(&*self.disk, &self.folder, &self.link, payload),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Where a target at `position` goes on. `order` says how two positions of the source stand to each other.
    pub fn place(&self, position: &Position, order: impl Fn(&Position, &Position) -> Option<Ordering>) -> Place {
        let (Some(first), Some(end)) = (self.segments.front(), &self.end) else { return Place::Past };
        if order(position, end).is_some_and(Ordering::is_ge) {
            return Place::Past;
        }
        if !order(position, &first.base).is_some_and(Ordering::is_ge) {
            return Place::Outside;
        }
        let reached = |segment: &&Segment| order(position, &segment.base).is_some_and(Ordering::is_ge);
        let from = self.segments.iter().rev().find(reached).unwrap_or(first);
        Place::Within(Cursor::new(from))
    }

    /// The next transaction, `None` at the end.
    pub fn next(&mut self, cursor: &mut Cursor) -> Result<Option<Transaction>> {
        let next = cursor.next(self);
        if let Err(error) = &next
            && error.kind == Kind::Lost
        {
            self.damage = Some(error.clone());
        }
        next
    }

    /// Removes the segments before this one: all that they hold is durable at the target.
    pub fn release(&mut self, segment: u64) -> Result<()> {
        while self.segments.front().is_some_and(|first| first.number < segment) {
            self.remove_first()?;
        }
        Ok(())
    }

    /// Removes all transactions.
    pub fn clear(&mut self) -> Result<()> {
        while !self.segments.is_empty() {
            self.remove_first()?;
        }
        if self.damage.take().is_some() {
            // What could not be made sense of is no more part of it.
            self.remove_files(|name| name != LOCK)?;
            self.card = None;
        }
        self.end = None;
        Ok(())
    }

    /// Removes all transactions, and what is needed to begin while the target is away.
    pub fn forget(&mut self) -> Result<()> {
        self.clear()?;
        self.card = None;
        self.remove_files(|name| name != LOCK)
    }

    /// The oldest goes first, and for good before the next: what is left has no gap.
    fn remove_first(&mut self) -> Result<()> {
        if let Some(first) = self.segments.front() {
            let gone = self.disk.remove(&self.folder.join(segment::name(first.number)));
            gone.and_then(|()| self.disk.sync_folder(&self.folder)).map_err(|error| self.unusable(&error))?;
            self.segments.pop_front();
        }
        Ok(())
    }

    fn remove_files(&self, which: impl Fn(&str) -> bool) -> Result<()> {
        let remove = || {
            for name in self.disk.list(&self.folder)?.iter().filter(|name| which(name)) {
                self.disk.remove(&self.folder.join(name))?;
                self.disk.sync_folder(&self.folder)?;
            }
            Ok(())
        };
        remove().map_err(|error| self.unusable(&error))
    }

    /// Removes the spool of a link with its folder; says whether there was one.
    pub fn destroy(disk: &Arc<dyn Disk>, root: &Path, link: &str) -> Result<bool> {
        let folder = root.join(link);
        if disk.list(&folder).map_err(|error| unusable(&folder, &error))?.is_empty() {
            return Ok(false);
        }
        let spool = match Self::open(disk, root, link, true) {
            // One of a newer version is removed as well.
            Err(error) if error.code == code::FORMAT => None,
            spool => spool?,
        };
        let remove = || {
            for name in disk.list(&folder)? {
                disk.remove(&folder.join(name))?;
            }
            disk.remove_folder(&folder)
        };
        let gone = remove().map_err(|error| unusable(&folder, &error));
        drop(spool);
        gone.map(|()| true)
    }

    /// Looks at the spool of a link beside whoever works with it; `None` where there is none.
    pub fn look(disk: &Arc<dyn Disk>, root: &Path, link: &str) -> Result<Option<SpoolStatus>> {
        let folder = root.join(link);
        let names = disk.list(&folder).map_err(|error| unusable(&folder, &error))?;
        if names.iter().all(|name| name == LOCK) {
            return Ok(None);
        }
        let card = Card::load(&**disk, &folder.join(CARD), &folder).ok();
        let mut status = SpoolStatus { folder, bytes: 0, from: None, card };
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment::number(name)).collect();
        numbers.sort_unstable();
        for number in numbers {
            // One that goes while we look was applied.
            if let Ok(segment) = Segment::load(&**disk, &status.folder, link, number) {
                status.bytes += segment.size;
                status.from.get_or_insert(segment.base);
            }
        }
        Ok(Some(status))
    }

    /// The links that have a spool here, with what is known about them.
    pub fn cards(disk: &Arc<dyn Disk>, root: &Path) -> Result<Vec<Card>> {
        let names = disk.list(root).map_err(|error| unusable(root, &error))?;
        let load = |name: &String| {
            let folder = root.join(name);
            Card::load(&**disk, &folder.join(CARD), &folder).ok().filter(|card| card.link == *name)
        };
        Ok(names.iter().filter_map(load).collect())
    }

    fn unusable(&self, error: &io::Error) -> Error {
        unusable(&self.folder, error)
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).field("segments", &self.segments).finish_non_exhaustive()
    }
}

fn unusable(folder: &Path, error: &io::Error) -> Error {
    let what = format!("the spool {} cannot be used: {error}", folder.display());
    Error::new(Kind::Unavailable, code::SPOOL_UNUSABLE, what)
        .meaning("Nothing that it holds was skipped, and nothing that it does not hold was confirmed to the source.")
        .remedy("See to the disk and to the rights of the folder, or name another with --spool.")
}

fn damaged(folder: &Path, why: &str) -> Error {
    let what = format!("the spool {} is damaged: {why}", folder.display());
    Error::new(Kind::Lost, code::SPOOL_DAMAGED, what)
        .meaning("What it held cannot be had from the source's log any more. Nothing is skipped: tables are compared.")
        .remedy("Nothing to do for the rows. Look at the disk: files of ours do not change by themselves.")
}

fn newer(folder: &Path, format: u16) -> Error {
    let what = format!("the spool {} has format {format}, which a newer Tidewater wrote", folder.display());
    Error::new(Kind::Invalid, code::FORMAT, what)
        .meaning("Nothing was read from it, and nothing written.")
        .remedy("Use the newer version; or remove the folder, and all tables are compared.")
}

fn in_use(folder: &Path) -> Error {
    let what = format!("another Tidewater works with the spool {}", folder.display());
    Error::new(Kind::Unavailable, code::LEASE, what)
        .meaning("Two engines on one link could overtake each other. Nothing was changed.")
        .remedy("Wait for it or stop it. The lock is gone with its process.")
}
