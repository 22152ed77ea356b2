//! The stream of a slot, read ahead by a thread of its own: messages become pieces of bounded size.
//!
//! Invariants: a piece's point covers exactly what the pieces up to it hold; a transaction larger than a piece is
//! handed on in parts, each with its place, so memory has a bound; the server hears from us while nobody reads.

use crate::error::explain;
use crate::lsn::Lsn;
use crate::pgoutput::{Decoder, Message, Relation};
use crate::point::{Point, Within};
use crate::schema::Details;
use crate::settings::Settings;
use crate::shape::{Entry, NoKey, Shape};
use crate::wire::{
    Connection, Frame, Pulse, Purpose, ReplicationStream, ServerError, StreamOptions, Streaming, WireError,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tidewater_core::change::{Mapping, Origin, Verb};
use tidewater_core::env::Env;
use tidewater_core::{Error, Kind, Result, code};
use tokio::sync::{mpsc, oneshot, watch};

/// A piece is closed when it holds so many changes, or bytes.
const PIECE_CHANGES: usize = 5_000;
const PIECE_BYTES: usize = 2 << 20;
/// While catching up, fewer changes than this are not worth a piece of their own.
const PIECE_CHANGES_MIN: usize = PIECE_CHANGES / 4;
/// While catching up, more is waited for so long where a read brought fewer bytes than this.
const READ_BYTES_MIN: usize = 40_000;
const GATHER_FOR: Duration = Duration::from_millis(10);
/// So long a stream may take to end before another one is begun all the same.
const END_WITHIN: Duration = Duration::from_secs(2);
/// So many pieces are read ahead.
const PIECES_AHEAD: usize = 4;
/// How often the server is asked how far it is, while that is waited for.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// What the stream brought.
#[derive(Debug)]
pub(crate) enum Piece {
    Changes(Changes),
    /// Everything up to here was sent.
    Alive(Lsn),
    /// A table of the log has other columns than are known.
    Drift,
}

#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Tables that were emptied; then there is nothing else in the piece.
    pub(crate) emptied: Vec<usize>,
    pub(crate) entries: Vec<Entry>,
    /// Where the tables emptied and the entries come from, if that is asked for.
    pub(crate) origins: Vec<Origin>,
    pub(crate) point: Point,
    /// When the transaction committed, in milliseconds since 1970.
    pub(crate) committed_ms: Option<i64>,
    pub(crate) left_out: u64,
    pub(crate) bytes: usize,
}

/// A running stream. Dropping it ends it: the thread notices that nobody listens.
pub(crate) struct Stream {
    pub(crate) pieces: mpsc::Receiver<Result<Piece>>,
    confirm: watch::Sender<Lsn>,
    confirmed: watch::Receiver<Lsn>,
    /// What the pieces taken so far cover.
    pub(crate) handed_out: Point,
}

/// What a stream is about.
pub(crate) struct Wanted {
    pub(crate) slot: String,
    pub(crate) publication: String,
    pub(crate) from: Point,
    /// Changes up to here may be in the target already, by a copy.
    pub(crate) copied_until: Lsn,
    /// The server is asked how far it is until it is here.
    pub(crate) goal: Lsn,
    pub(crate) mappings: Arc<[Mapping]>,
    /// Whether pieces are to say where each change comes from.
    pub(crate) origins: bool,
    pub(crate) tables: BTreeMap<String, Details>,
}

impl Stream {
    pub(crate) async fn start(settings: &Settings, env: &Env, wanted: Wanted) -> Result<Self> {
        let (settings, env, handed_out) = (settings.clone(), env.clone(), wanted.from);
        let (send, pieces) = mpsc::channel(PIECES_AHEAD);
        let (confirm, to_confirm) = watch::channel(Lsn(0));
        let (said, confirmed) = watch::channel(Lsn(0));
        let (began, begins) = oneshot::channel();
        let threads = std::thread::Builder::new().name("tidewater-stream".to_owned());
        let work = async move {
            let opened = open(&settings, &env, &wanted).await;
            let reading = opened.map(|stream| Reading {
                stream,
                env,
                shown: settings.shown(),
                decoder: Decoder::new(1),
                goal: wanted.goal,
                send,
                to_confirm,
                said,
                gathering: Gathering::new(wanted),
            });
            match reading {
                // Who is gone needs no answer.
                Err(error) => drop(began.send(Err(error))),
                Ok(reading) if began.send(Ok(())).is_ok() => reading.run().await,
                Ok(_) => {}
            }
        };
        let own = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let own = own.map_err(|error| Error::internal(format!("no event loop can be started: {error}")))?;
        let started = threads.spawn(move || own.block_on(work));
        started.map_err(|error| Error::internal(format!("no thread can be started: {error}")))?;
        begins.await.map_err(|_| Error::internal("the thread of a stream ended"))??;
        Ok(Self { pieces, confirm, confirmed, handed_out })
    }

    /// The server may forget what lies before.
    pub(crate) fn confirm(&self, lsn: Lsn) {
        self.confirm.send_if_modified(|known| {
            let is_news = lsn > *known;
            *known = lsn.max(*known);
            is_news
        });
    }

    /// Ends it, and waits until the connection is closed, so that the server lets another one read the slot.
    pub(crate) async fn end(self, env: &Env) {
        let Self { pieces, confirm, mut confirmed, .. } = self;
        drop((pieces, confirm));
        let ended = async { while confirmed.changed().await.is_ok() {} };
        tokio::select! {
            () = ended => {}
            () = env.clock.sleep(END_WITHIN) => {}
        }
    }

    /// Waits until the server was told so, or the stream has ended.
    pub(crate) async fn told(&mut self, lsn: Lsn) {
        let _ended = self.confirmed.wait_for(|confirmed| *confirmed >= lsn).await;
    }
}

async fn open(settings: &Settings, env: &Env, wanted: &Wanted) -> Result<ReplicationStream> {
    let shown = settings.shown();
    let wrong = |error| explain(error, &shown);
    let connection = Connection::open(settings, Purpose::Replication, env).await.map_err(wrong)?;
    let mut options = StreamOptions::new([&wanted.publication], connection.major_version());
    options.version = 1;
    options.streaming = Streaming::Off;
    options.messages = false;
    let pulse = Pulse::within(settings.network_timeout);
    connection.start_replication(&wanted.slot, wanted.from.end, &options, pulse).await.map_err(|error| match &error {
        // Somebody took it out since it was looked at: looked at again, its place is lost, and that is mended.
        WireError::Server(said) if said.sqlstate == ServerError::UNDEFINED_OBJECT => {
            Error::new(Kind::Unavailable, code::POSITION_LOST, format!("{shown}: {said}"))
                .meaning("Somebody else took the slot out, and with it the place up to which changes were read.")
                .remedy("It is made again, and the tables are compared. A running sync does so by itself.")
        }
        _ => explain(error, &shown),
    })
}

/// What the thread does.
struct Reading {
    stream: ReplicationStream,
    env: Env,
    shown: String,
    decoder: Decoder,
    goal: Lsn,
    send: mpsc::Sender<Result<Piece>>,
    to_confirm: watch::Receiver<Lsn>,
    said: watch::Sender<Lsn>,
    gathering: Gathering,
}

impl Reading {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            // Whoever reads is gone, or hears of it.
            let _gone = self.send.send(Err(error)).await;
        }
    }

    async fn read(&mut self) -> Result<()> {
        loop {
            let shown = &self.shown;
            let ask = self.goal > Lsn(0);
            let frame = tokio::select! {
                biased;
                changed = self.to_confirm.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    self.tell().await?;
                    continue;
                }
                frame = self.stream.next() => frame.map_err(|error| explain(error, shown))?,
                () = self.env.clock.sleep(ASK_EVERY), if ask => {
                    self.stream.ask().await.map_err(|error| explain(error, shown))?;
                    continue;
                }
            };
            let mut bytes = frame.bytes();
            self.frame(frame).await?;
            while let Some(frame) = self.stream.buffered().map_err(|error| explain(error, &self.shown))? {
                bytes += frame.bytes();
                self.frame(frame).await?;
            }
            // Where transactions come without a pause, nobody asks how far the server is.
            if self.gathering.end >= self.goal {
                self.goal = Lsn(0);
            }
            // Nothing more is there just now: what is complete goes on, unless it is little and more will come.
            let is_behind = self.goal > Lsn(0);
            if !(is_behind && self.gathering.is_small())
                && let Some(piece) = self.gathering.complete()
            {
                self.hand_on(piece).await?;
            }
            // A server whose messages are awaited sends each by itself, and that costs it more than making them. Where
            // nobody reads for a while, the system packs them together.
            if is_behind && bytes < READ_BYTES_MIN {
                self.env.clock.stand_still(GATHER_FOR);
            }
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<()> {
        match frame {
            Frame::Changes { data, .. } => {
                let message = self.decoder.decode(&data).map_err(|error| garbled(&self.shown, &error.to_string()))?;
                let done = self.gathering.take(message).map_err(|error| no_key(&self.shown, &error))?;
                for piece in done {
                    self.hand_on(piece).await?;
                }
            }
            Frame::Alive { end, .. } => {
                if let Some(piece) = self.gathering.complete() {
                    self.hand_on(piece).await?;
                }
                // In the middle of a transaction nothing is complete yet.
                if let Some(piece) = self.gathering.alive(end) {
                    if end >= self.goal {
                        self.goal = Lsn(0);
                    }
                    self.hand_on(piece).await?;
                }
            }
            Frame::Ended => {
                return Err(Error::new(Kind::Unavailable, code::UNREACHABLE, format!("{} shuts down", self.shown))
                    .meaning("Nothing is half-done; whatever was confirmed is there.")
                    .remedy("Nothing to do: it is tried again."));
            }
        }
        Ok(())
    }

    /// Hands a piece on, and lets the server hear from us as long as nobody takes it.
    async fn hand_on(&mut self, piece: Piece) -> Result<()> {
        let send = self.send.clone();
        loop {
            tokio::select! {
                biased;
                permit = send.reserve() => {
                    match permit {
                        Ok(permit) => permit.send(Ok(piece)),
                        Err(_) => return Err(Error::internal("nobody reads any more")),
                    }
                    return Ok(());
                }
                changed = self.to_confirm.changed() => {
                    if changed.is_ok() {
                        self.tell().await?;
                    }
                }
                () = self.env.clock.sleep(Duration::from_secs(1)) => {
                    self.stream.keep_alive().await.map_err(|error| explain(error, &self.shown))?;
                }
            }
        }
    }

    async fn tell(&mut self) -> Result<()> {
        let lsn = *self.to_confirm.borrow_and_update();
        self.stream.confirm(lsn, lsn, lsn).await.map_err(|error| explain(error, &self.shown))?;
        self.said.send_replace(lsn);
        Ok(())
    }
}

/// What was read of the transaction that is under way, and of what came before.
struct Gathering {
    mappings: Arc<[Mapping]>,
    tables: BTreeMap<String, Details>,
    origins: bool,
    copied_until: Lsn,
    shapes: HashMap<u32, Option<Shape>>,
    piece: Changes,
    /// The end of the last transaction that was read.
    end: Lsn,
    /// The transaction under way.
    commit: Lsn,
    /// Its name in origins, if they are asked for.
    place: Option<Arc<str>>,
    committed_ms: Option<i64>,
    in_transaction: bool,
    /// Whether a transaction ended since the last piece: small ones go on together.
    is_complete: bool,
    /// Its changes so far, and how many of them are not to be carried again.
    changes: u64,
    skip: Option<Within>,
}

impl Gathering {
    fn new(wanted: Wanted) -> Self {
        Self {
            mappings: wanted.mappings,
            tables: wanted.tables,
            origins: wanted.origins,
            copied_until: wanted.copied_until,
            shapes: HashMap::new(),
            piece: Changes::default(),
            end: wanted.from.end,
            commit: Lsn(0),
            place: None,
            committed_ms: None,
            in_transaction: false,
            is_complete: false,
            changes: 0,
            skip: wanted.from.within,
        }
    }

    /// Takes a message; says which pieces are full.
    fn take(&mut self, message: Message<'_>) -> Result<Vec<Piece>, TableWithoutKey> {
        let mut full = Vec::new();
        match message {
            Message::Begin(begin) => {
                (self.commit, self.changes, self.in_transaction) = (begin.commit, 0, true);
                self.committed_ms = Some(begin.committed_at / 1000 + EPOCH_MS);
                self.piece.committed_ms = self.piece.committed_ms.or(self.committed_ms);
                self.place = self.origins.then(|| begin.commit.to_string().into());
            }
            Message::Commit(commit) => {
                (self.end, self.in_transaction, self.is_complete) = (commit.end, false, true);
                self.skip = None;
            }
            Message::Relation(relation) => self.relation(&relation, &mut full),
            Message::Insert(insert) => {
                let is_new = self.commit > self.copied_until;
                let insert_it = |shape: &mut Shape| Ok((None, shape.insert(insert.new, is_new)?));
                self.one(insert.relation, Verb::Insert, insert_it, &mut full)?;
            }
            Message::Update(update) => {
                self.one(update.relation, Verb::Update, |shape| shape.update(update.old, update.new), &mut full)?;
            }
            Message::Delete(delete) => {
                let delete_it = |shape: &mut Shape| Ok((None, shape.delete(delete.old)?));
                self.one(delete.relation, Verb::Delete, delete_it, &mut full)?;
            }
            Message::Truncate(truncate) => self.truncate(truncate.relations.iter(), &mut full),
            _ => {}
        }
        Ok(full)
    }

    /// Everything up to here was sent: nothing is missing between the last transaction and this place.
    fn alive(&mut self, end: Lsn) -> Option<Piece> {
        if self.in_transaction {
            return None;
        }
        self.end = self.end.max(end);
        Some(Piece::Alive(self.end))
    }

    fn relation(&mut self, relation: &Relation<'_>, full: &mut Vec<Piece>) {
        let name = crate::sql::shown(relation.schema, relation.name);
        let found = self.mappings.iter().position(|mapping| mapping.source.table == name);
        // What the log still holds of a table that was dropped is nothing to the one that has its name now.
        let details = self.tables.get(&name).filter(|details| details.oid == relation.id);
        let found = found.and_then(|at| Some((at, self.mappings.get(at)?, details?)));
        let Some((at, mapping, details)) = found else {
            self.shapes.insert(relation.id, None);
            return;
        };
        let (shape, as_known) = Shape::new(at, mapping, details, relation);
        self.shapes.insert(relation.id, Some(shape));
        if !as_known {
            full.extend(self.close());
            full.push(Piece::Drift);
        }
    }

    fn one(
        &mut self,
        relation: u32,
        verb: Verb,
        make: impl FnOnce(&mut Shape) -> Result<(Option<Entry>, Entry), NoKey>,
        full: &mut Vec<Piece>,
    ) -> Result<(), TableWithoutKey> {
        if self.is_in_already() {
            return Ok(());
        }
        let Some(Some(shape)) = self.shapes.get_mut(&relation) else { return Ok(()) };
        let name = &self.mappings[shape.table].source.table;
        let (gone, entry) = make(shape).map_err(|NoKey| TableWithoutKey(name.clone()))?;
        self.piece.left_out += shape.left_out();
        let moved = gone.is_some();
        for (half, entry) in (0..).zip(gone.into_iter().chain([entry])) {
            let verb = match (&entry, moved, half) {
                (Entry::Fetch(..), ..) => None,
                (Entry::Change(_), false, _) => Some(verb),
                // A row that was given another key went, and came.
                (Entry::Change(_), true, 0) => Some(Verb::Delete),
                (Entry::Change(_), true, _) => Some(Verb::Insert),
            };
            self.note_origin(half, verb);
            self.piece.bytes += match &entry {
                Entry::Change(change) => change.bytes(),
                Entry::Fetch(_, key) => key.as_bytes().len(),
            };
            self.piece.entries.push(entry);
        }
        if self.piece.entries.len() >= PIECE_CHANGES || self.piece.bytes >= PIECE_BYTES {
            full.extend(self.close());
        }
        Ok(())
    }

    fn truncate(&mut self, relations: impl Iterator<Item = u32>, full: &mut Vec<Piece>) {
        let shapes = &self.shapes;
        let tables: Vec<usize> =
            relations.filter_map(|id| shapes.get(&id)?.as_ref().map(|shape| shape.table)).collect();
        let before = Within { commit: self.commit, changes: self.changes };
        if self.is_in_already() || tables.is_empty() {
            return;
        }
        if !self.piece.entries.is_empty() {
            let point = Point { end: self.end, within: Some(before) };
            full.push(Piece::Changes(Changes { point, ..std::mem::take(&mut self.piece) }));
        }
        for _ in &tables {
            self.note_origin(0, Some(Verb::Delete));
        }
        self.piece.emptied = tables;
        full.extend(self.close());
    }

    /// Notes where a change comes from. Each counts for two: one that gives a row another key is two changes.
    fn note_origin(&mut self, half: i64, verb: Option<Verb>) {
        if let Some(place) = self.place.clone() {
            let ordinal = i64::try_from(self.changes).unwrap_or(i64::MAX / 2) * 2 + half;
            self.piece.origins.push(Origin { place, ordinal, at_ms: self.committed_ms, verb });
        }
    }

    /// Counts a change; says whether it was carried before the stream was taken up again.
    fn is_in_already(&mut self) -> bool {
        self.changes += 1;
        self.skip.is_some_and(|skip| skip.commit == self.commit && self.changes <= skip.changes)
    }

    fn is_small(&self) -> bool {
        self.is_complete && self.piece.entries.len() < PIECE_CHANGES_MIN
    }

    /// The transactions that have ended, unless another one is under way.
    fn complete(&mut self) -> Option<Piece> {
        if self.is_complete && !self.in_transaction { self.close() } else { None }
    }

    /// The piece so far, with the place that it reaches.
    fn close(&mut self) -> Option<Piece> {
        self.is_complete = false;
        let within = self.in_transaction.then_some(Within { commit: self.commit, changes: self.changes });
        let piece = std::mem::take(&mut self.piece);
        let is_empty = piece.entries.is_empty() && piece.emptied.is_empty();
        if is_empty && within.is_some() {
            return None;
        }
        let point = Point { end: self.end, within };
        let committed_ms = piece.committed_ms.or(self.committed_ms);
        Some(Piece::Changes(Changes { point, committed_ms, ..piece }))
    }
}

/// From 1970, where our clock begins, to 2000, where the server's does.
const EPOCH_MS: i64 = 946_684_800_000;

struct TableWithoutKey(String);

fn no_key(shown: &str, table: &TableWithoutKey) -> Error {
    Error::new(
        Kind::Data,
        code::REPLICA_IDENTITY,
        format!("{shown}: the log does not say which row of {} changed", table.0),
    )
    .meaning("The table's replica identity does not hold its key. Nothing was carried past that change.")
    .remedy(format!(
        "ALTER TABLE {} REPLICA IDENTITY DEFAULT; then take the table up anew.",
        crate::sql::table(&table.0)
    ))
}

fn garbled(shown: &str, why: &str) -> Error {
    Error::new(Kind::Internal, code::DECODE, format!("{shown}: a message of the stream is not understood: {why}"))
        .meaning("Nothing of it was carried.")
        .remedy("Please report it with the server's version.")
}
