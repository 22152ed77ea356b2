//! A PostgreSQL database as a source, read by its log.

use crate::capture;
use crate::lsn::Lsn;
use crate::point::Point;
use crate::scan::{Reader, scan_by_reader};
use crate::schema::Details;
use crate::session::Session;
use crate::settings::Settings;
use crate::shape::Entry;
use crate::stream::{Changes, Piece, Stream, Wanted};
use crate::target::Access;
use crate::timeline::{self, Timeline};
use async_trait::async_trait;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidewater_core::capture::{Counter, Read, Reader as LinkReader, Resumed, Source, Start};
use tidewater_core::change::{Change, Key, Mapping, Op, Origin, Position, RangeHash, Row, RowHash, Transaction, View};
use tidewater_core::env::Env;
use tidewater_core::transport::{Budget, RawRows};
use tidewater_core::verify::{Chunk, Part, Range};
use tidewater_core::{Error, Kind, Result, code};
use tokio::sync::mpsc::error::TryRecvError;

/// While nothing comes, the position is moved up this often, so that the server's log does not wait for us.
const MOVE_UP_EVERY: Duration = Duration::from_secs(2);

/// A PostgreSQL database as a source.
pub struct PostgresSource {
    pub(crate) reader: Reader,
    settings: Settings,
    env: Env,
    access: Access,
    name: String,
    mappings: Arc<[Mapping]>,
    /// Whether whoever reads is to be told where each change comes from.
    origins: bool,
    /// The tables as they were when the mappings were made.
    known: BTreeMap<String, Details>,
    stream: Option<Stream>,
    /// A piece that did not fit the last answer.
    put_by: Option<Changes>,
    /// Where the server's log ended when reading began: the copy is complete there, and so is a run that does not watch.
    goal: Option<Lsn>,
    /// How far the server has sent everything.
    alive: Lsn,
    moved_up: Duration,
    /// The timeline on which positions are read, to be noted once the target has one.
    to_note: Option<(LinkReader, Timeline)>,
}

impl PostgresSource {
    /// Opens it.
    pub async fn open(settings: &Settings, access: Access, env: &Env) -> Result<Self> {
        let session = Session::open(settings, env).await?;
        Ok(Self {
            reader: Reader::new(session),
            settings: settings.clone(),
            env: env.clone(),
            access,
            name: String::new(),
            mappings: Arc::new([]),
            origins: false,
            known: BTreeMap::new(),
            stream: None,
            put_by: None,
            goal: None,
            alive: Lsn(0),
            moved_up: Duration::ZERO,
            to_note: None,
        })
    }

    /// A stream that goes on after a point: the one that runs, or a new one.
    async fn streaming(&mut self, after: Point) -> Result<()> {
        if self.stream.as_ref().is_some_and(|stream| stream.handed_out == after) {
            return Ok(());
        }
        self.put_by = None;
        if let Some(stream) = self.stream.take() {
            stream.end(&self.env).await;
        }
        let goal = match self.goal {
            Some(goal) => goal,
            None => capture::end_of_log(&mut self.reader.session).await?,
        };
        self.goal = Some(goal);
        let wanted = Wanted {
            slot: self.name.clone(),
            publication: self.name.clone(),
            from: after,
            // Nothing was copied since reading began: what is inserted was not there before. Where it was all the same,
            // by a copy that was killed just behind its end, the target finds out.
            copied_until: if self.reader.has_counted { goal } else { Lsn(0) },
            goal,
            mappings: self.mappings.clone(),
            origins: self.origins,
            tables: self.known.clone(),
        };
        self.stream = Some(Stream::start(&self.settings, &self.env, wanted).await?);
        Ok(())
    }

    /// The next piece, waited for until `until`; without one, until the server has sent everything up to the goal.
    async fn piece(&mut self, until: Option<Duration>) -> Result<Option<Piece>> {
        if let Some(changes) = self.put_by.take() {
            return Ok(Some(Piece::Changes(changes)));
        }
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let goal = self.goal.unwrap_or_default();
        let received = if self.alive >= goal {
            let wait = until.map_or(Duration::ZERO, |until| until.saturating_sub(self.env.clock.monotonic()));
            match stream.pieces.try_recv() {
                Ok(piece) => Some(piece),
                // A timer of no time takes some all the same.
                Err(TryRecvError::Empty) if wait == Duration::ZERO => return Ok(None),
                Err(TryRecvError::Disconnected) => None,
                Err(TryRecvError::Empty) => tokio::select! {
                    biased;
                    piece = stream.pieces.recv() => piece,
                    () = self.env.clock.sleep(wait) => return Ok(None),
                },
            }
        } else {
            stream.pieces.recv().await
        };
        match received {
            Some(Ok(piece)) => Ok(Some(piece)),
            Some(Err(error)) => {
                self.stream = None;
                Err(error)
            }
            None => {
                self.stream = None;
                Err(Error::new(
                    Kind::Unavailable,
                    code::UNREACHABLE,
                    format!("{}: the stream ended", self.reader.session.shown),
                )
                .meaning("Nothing is half-done; whatever was confirmed is there.")
                .remedy("Nothing to do: it is tried again."))
            }
        }
    }

    /// Whether a table has other columns now than when the mappings were made.
    async fn has_drifted(&mut self) -> Result<bool> {
        self.reader.survey().await?;
        let columns = |tables: &BTreeMap<String, Details>, mapping: &Mapping| {
            tables.get(&mapping.source.table).map(|details| details.table.columns.clone())
        };
        let mut mappings = self.mappings.iter();
        Ok(mappings.any(|mapping| columns(&self.known, mapping) != columns(&self.reader.tables, mapping)))
    }

    /// Pieces as one transaction. Rows to be looked up are, as they stand now.
    async fn transaction(&mut self, pieces: Gathered, settled: bool) -> Result<Read> {
        let mut changes = Vec::with_capacity(pieces.entries.len());
        let mut wanted: BTreeMap<usize, Vec<(usize, Key)>> = BTreeMap::new();
        for entry in pieces.entries {
            match entry {
                Entry::Change(change) => changes.push(change),
                Entry::Fetch(table, key) => {
                    wanted.entry(table).or_default().push((changes.len(), key.clone()));
                    changes.push(Change { table, key, op: Op::Delete });
                }
            }
        }
        let limit = self.mappings.clone();
        for (table, places) in wanted {
            let view = &limit[table].source;
            let mut rest = &places[..];
            while !rest.is_empty() {
                let keys: Vec<Key> = rest.iter().map(|(_, key)| key.clone()).collect();
                let rows = self.reader.fetch(view, &keys, usize::MAX).await?;
                let read = rows.len().max(1);
                for ((place, _), row) in rest.iter().zip(rows) {
                    if let Some(row) = row {
                        changes[*place].op = Op::Upsert(row);
                    }
                }
                rest = &rest[read.min(rest.len())..];
            }
        }
        Ok(Read::Changes(Transaction {
            emptied: pieces.emptied,
            changes,
            origins: pieces.origins,
            position: pieces.point.position(),
            settled,
            folded: false,
            after_ms: pieces.after_ms,
            left_out: pieces.left_out,
        }))
    }
}

/// Pieces that become one transaction.
#[derive(Default)]
struct Gathered {
    emptied: Vec<usize>,
    entries: Vec<Entry>,
    origins: Vec<Origin>,
    point: Point,
    after_ms: Option<i64>,
    left_out: u64,
    bytes: usize,
    any: bool,
}

impl Gathered {
    fn add(&mut self, piece: Changes) {
        self.emptied.extend(piece.emptied);
        self.entries.extend(piece.entries);
        self.origins.extend(piece.origins);
        self.point = piece.point;
        self.after_ms = self.after_ms.or(piece.committed_ms);
        self.left_out += piece.left_out;
        self.bytes += piece.bytes;
        self.any = true;
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.emptied.is_empty()
    }
}

scan_by_reader!(PostgresSource);

#[async_trait]
impl Source for PostgresSource {
    async fn begin(&mut self, link: &LinkReader, mappings: Arc<[Mapping]>, resume: Option<&Position>) -> Result<Start> {
        if self.access == Access::Read {
            return Err(Error::internal("capture is installed by who only looks"));
        }
        (self.stream, self.put_by, self.goal, self.alive) = (None, None, None, Lsn(0));
        self.reader.survey().await?;
        self.reader.has_counted = false;
        self.known = self.reader.tables.clone();
        self.name = capture::name(&link.link);
        self.origins = link.origins;
        let start =
            capture::begin((&mut self.reader.session, &self.env), &self.known, &self.name, &mappings, resume).await?;
        let timeline = timeline::current(&mut self.reader.session).await?;
        let at = start.resumed == Resumed::At;
        // What the target has to record first stays noted until it has, or a kill in between would forget it.
        let is_recorded = at && start.void.is_empty();
        if is_recorded || !at {
            capture::note_target(&mut self.reader.session, &self.name, link, at.then_some(timeline)).await?;
        }
        self.to_note = (!is_recorded).then(|| (link.clone(), timeline));
        self.mappings = mappings;
        Ok(start)
    }

    async fn read(&mut self, after: &Position, budget: Budget, wait: Duration) -> Result<Read> {
        let after =
            Point::read(after).ok_or_else(|| Error::internal(format!("{after} is no position of PostgreSQL")))?;
        self.streaming(after).await?;
        let until = self.env.clock.monotonic() + wait;
        let mut gathered = Gathered { point: after, ..Gathered::default() };
        let mut drained = false;
        while !drained && gathered.entries.len() < budget.rows_max && gathered.bytes < budget.bytes_max {
            let patience = if gathered.is_empty() { Some(until) } else { None };
            match self.piece(patience).await? {
                None => drained = true,
                Some(Piece::Alive(end)) => {
                    self.alive = self.alive.max(end);
                    if gathered.point.within.is_none() {
                        gathered.point = Point::at(gathered.point.end.max(end));
                    }
                }
                Some(Piece::Drift) => {
                    if self.has_drifted().await? {
                        if gathered.is_empty() {
                            return Ok(Read::SchemaChanged);
                        }
                        // What came before goes first; the stream is begun again after it, and meets this again.
                        self.stream = None;
                        return self.transaction(gathered, false).await;
                    }
                }
                Some(Piece::Changes(piece)) if !piece.emptied.is_empty() && gathered.any => {
                    self.put_by = Some(piece);
                    break;
                }
                Some(Piece::Changes(piece)) => {
                    if piece.point.within.is_none() {
                        self.alive = self.alive.max(piece.point.end);
                    }
                    let emptied = !piece.emptied.is_empty();
                    gathered.add(piece);
                    if emptied {
                        break;
                    }
                }
            }
        }
        if let Some(stream) = &mut self.stream {
            stream.handed_out = gathered.point;
        }
        if !gathered.is_empty() {
            self.moved_up = self.env.clock.monotonic();
            let goal = self.goal.unwrap_or_default();
            // Who does not watch ends where the log ended when it began, also if others write all the time.
            let is_there = wait == Duration::ZERO && gathered.point.end >= goal;
            let settled = gathered.point.within.is_none() && (is_there || (drained && self.alive >= goal));
            return self.transaction(gathered, settled).await;
        }
        // Nothing for this link, but the log went on: the position follows now and then, and the log is let go.
        let now = self.env.clock.monotonic();
        let is_due = now.saturating_sub(self.moved_up) >= MOVE_UP_EVERY;
        if gathered.point != after && (is_due || wait == Duration::ZERO) {
            self.moved_up = now;
            return self.transaction(gathered, drained).await;
        }
        if let Some(stream) = &mut self.stream {
            // What was passed over is passed over again from there.
            stream.handed_out = after;
        }
        Ok(Read::Nothing)
    }

    async fn boundary(&mut self, view: &View, range: &Range) -> Result<Option<Key>> {
        self.reader.boundary(view, range).await
    }

    async fn raw<'s>(&'s mut self, view: &View, range: &Range) -> Result<Option<Box<dyn RawRows + 's>>> {
        self.reader.raw(view, range).await
    }

    async fn confirm(&mut self, position: &Position, flush: bool) -> Result<()> {
        let Some(point) = Point::read(position) else { return Ok(()) };
        if let Some((link, timeline)) = self.to_note.take() {
            capture::note_target(&mut self.reader.session, &self.name, &link, Some(timeline)).await?;
        }
        if let Some(stream) = &mut self.stream {
            stream.confirm(point.end);
            if flush {
                stream.told(point.end).await;
            }
        }
        Ok(())
    }

    fn grows(&self) -> bool {
        true
    }

    async fn kept(&mut self, link: &str) -> Result<Option<Position>> {
        self.stream = None;
        let confirmed = capture::kept(&mut self.reader.session, &self.env, &capture::name(link)).await?;
        Ok(confirmed.map(|lsn| Point::at(lsn).position()))
    }

    fn order(&self, one: &Position, other: &Position) -> Option<Ordering> {
        Some(Point::read(one)?.order(&Point::read(other)?))
    }

    async fn rest(&mut self) -> Result<Option<String>> {
        if capture::log_is_bounded(&mut self.reader.session).await? {
            return Ok(None);
        }
        // The server lets go of a slot when it has noticed that nobody reads it any more.
        self.stream = None;
        capture::drop_slot(&mut self.reader.session, &self.env, &self.name).await?;
        Ok(Some(format!(
            "{}: the replication slot was dropped, or the server's log would grow until the next run, which compares all \
             tables instead; --keep-slot keeps it, --watch follows",
            self.reader.session.shown
        )))
    }

    async fn counters(&mut self, mappings: &[Mapping]) -> Result<Vec<Counter>> {
        crate::sequences::counters(&mut self.reader.session, mappings).await
    }

    async fn leave(&mut self, link: &str) -> Result<Vec<String>> {
        self.stream = None;
        capture::leave(&mut self.reader.session, &self.env, &capture::name(link)).await
    }
}
