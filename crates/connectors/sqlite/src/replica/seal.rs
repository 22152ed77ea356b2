//! Sealing: what other programs wrote becomes a version, with a dot of this node. And adopting: rows that were there
//! before get versions, once.
//!
//! A row whose hash is the one stored was not written: an update that changes nothing makes no version, and reading a
//! log entry twice is harmless.

use super::show::Here;
use super::window::{Ahead, Window};
use super::{Member, SharedTable, key, parked};
use crate::connection::Open;
use crate::scan::{self, One};
use rusqlite::{Connection, OptionalExtension};
use tidewater_core::change::{Change, Key, Op, Row};
use tidewater_core::merge::{Shown, Stamp, State, Write};
use tidewater_core::replica::{Adopted, Merged};
use tidewater_core::transport::{Budget, Pace};
use tidewater_core::verify::Range;
use tidewater_core::{Error, Kind, Result, code};

/// What `reshow` says of a table whose rows may be orphans, and nothing else is new about.
const RESHOW_ORPHANS: i64 = 2;

/// So many rows are looked up before they are sealed, and the clock is looked at.
const SEALED_AT_ONCE: usize = 256;

/// A version, as it is stored.
pub(super) struct Stored {
    /// The hash of the row in the user's table; `None` where there is none: it is deleted, or stands aside.
    pub(super) hash: Option<u128>,
    pub(super) bytes: Vec<u8>,
}

/// How far sealing came.
pub(super) enum Sealed {
    /// To the end of the log.
    All,
    /// There is more.
    Some,
    /// A table is not what it was.
    SchemaChanged,
}

/// Where a table is on its way to having versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Rows without a version are content from before the first contact.
    Adopting,
    /// Rows may have been written unseen: those without a version, or with another content, are new writes.
    Rescanning,
    /// Versions whose rows are gone are deletes.
    Sweeping,
    /// Versions are given the columns that the table has got.
    Widening,
    /// Every row has a version.
    Whole,
}

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Phase::Adopting => "adopting",
            Phase::Rescanning => "rescanning",
            Phase::Sweeping => "sweeping",
            Phase::Widening => "widening",
            Phase::Whole => "whole",
        }
    }

    /// Reads the word. Anything else is answered by looking at every row.
    pub(super) fn from_word(word: &str) -> Self {
        let all = [Self::Adopting, Self::Rescanning, Self::Sweeping, Self::Widening, Self::Whole];
        all.into_iter().find(|phase| phase.word() == word).unwrap_or(Self::Rescanning)
    }
}

pub(super) fn damaged(shown: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Data, code::DECODE, format!("a row's version in {shown} cannot be read: {error}"))
        .meaning("Somebody changed a _tidewater_ table, or the database is damaged. Nothing was written.")
        .remedy("Restore the database, or run `tidewater teardown` on it and sync again as at first contact.")
}

/// The place of each table among all, parents before their children.
fn ranks(generations: &[Vec<usize>]) -> Vec<usize> {
    let mut ranks = vec![0; generations.iter().map(Vec::len).sum()];
    for (rank, table) in generations.iter().flatten().enumerate() {
        if let Some(place) = ranks.get_mut(*table) {
            *place = rank;
        }
    }
    ranks
}

/// The version of a row.
pub(super) fn stored(c: &Connection, tab: i64, key: &Key) -> rusqlite::Result<Option<Stored>> {
    c.prepare_cached("SELECT hash, state FROM _tidewater_version WHERE tab = ?1 AND key = ?2")?
        .query_row((tab, key::Stored(key)), |row| {
            let hash: Option<[u8; 16]> = row.get(0)?;
            Ok(Stored { hash: hash.map(u128::from_le_bytes), bytes: row.get(1)? })
        })
        .optional()
}

impl Member {
    /// Writes a version under the next number. `before` is the hash of the row that was shown, `hash` of
    /// what is now, `via` from whom exactly this state came.
    pub(super) fn store(
        &mut self,
        c: &Connection,
        (table, key): (usize, &Key),
        before: Option<u128>,
        hash: Option<u128>,
        via: Option<u32>,
        state: &State,
    ) -> rusqlite::Result<()> {
        self.ledger.count(self.tables[table].tab, before, hash);
        self.moved(table, key, before.is_some(), hash.is_some());
        let bytes = self.ledger.encode(state, &self.tables[table].rules);
        let seq = i64::try_from(self.ledger.advance()).unwrap_or(i64::MAX);
        c.prepare_cached(
            "INSERT INTO _tidewater_version(tab, key, seq, hash, state) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (tab, key) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, state = excluded.state",
        )?
        .execute((self.tables[table].tab, key::Stored(key), seq, hash.map(u128::to_le_bytes), bytes))?;
        c.prepare_cached("INSERT INTO _tidewater_queue(seq, via, tab, key) VALUES (?1, ?2, ?3, ?4)")?
            .execute((seq, via.unwrap_or(0), self.tables[table].tab, key::Stored(key)))
            .map(drop)
    }

    /// The state that is stored, with the content that `row` is. Where the row was written since, what changed is
    /// absent.
    pub(super) fn decode(&self, open: &Open, table: usize, stored: &Stored, row: Option<&Row>) -> Result<State> {
        let whole = row.map(|row| self.tables[table].whole(row));
        self.decode_with(open, stored, row, whole.as_deref())
    }

    /// The same, of a row that has these columns as a whole.
    pub(super) fn decode_with(
        &self,
        open: &Open,
        stored: &Stored,
        row: Option<&Row>,
        whole: Option<&Row>,
    ) -> Result<State> {
        let state = self.decode_whole(open, stored, whole)?;
        let unseen = matches!(state.siblings(), [only] if only.content.as_ref() == whole);
        let written = || row.is_some_and(|row| stored.hash.is_some_and(|hash| hash != row.hash().0));
        // The row was written, but no column seems so: then all of them count as written.
        if unseen && written() { self.decode_whole(open, stored, None) } else { Ok(state) }
    }

    /// The same for a row that is known to be as it was sealed.
    pub(super) fn decode_sealed(&self, open: &Open, table: usize, stored: &Stored, row: Option<&Row>) -> Result<State> {
        let whole = row.map(|row| self.tables[table].whole(row));
        self.decode_whole(open, stored, whole.as_deref())
    }

    fn decode_whole(&self, open: &Open, stored: &Stored, whole: Option<&Row>) -> Result<State> {
        let node_of = |number| self.ledger.node_of(number);
        State::decode(&stored.bytes, whole, &node_of).map_err(|e| damaged(&open.database.shown, &e))
    }

    /// The row shown for a state.
    pub(super) fn shown(&self, table: usize, state: &State) -> Shown {
        let belongs = |node: &tidewater_core::merge::Node, endpoint: &str| {
            self.ledger.endpoint_of(node).is_some_and(|of| of == endpoint)
        };
        if self.is_leaf() && state.has_taken_back() {
            return Shown::new(&state.known(), &self.tables[table].rules, &belongs);
        }
        Shown::new(state, &self.tables[table].rules, &belongs)
    }

    /// The same, where the database may show the fallback instead: `hash` is of what it shows.
    pub(super) fn shown_as(&self, table: usize, state: &State, hash: Option<u128>) -> Shown {
        let shown = self.shown(table, state);
        let own = |row: &Row| self.tables[table].own(row).hash().0;
        let other = || hash.is_some() && shown.content.as_ref().map(own) != hash;
        if shown.sources.len() > 1 && other() { Shown::fallback(state, &self.tables[table].rules) } else { shown }
    }

    /// Reads ahead what is to be sealed next, so that no lock is held meanwhile.
    pub(super) fn read_ahead(&mut self, open: &Open, c: &Connection) -> Result<()> {
        if self.window.is_none()
            && let Ahead::Window(window) = self.ahead(open, c)?
        {
            self.window = Some(window);
        }
        Ok(())
    }

    fn ahead(&mut self, open: &Open, c: &Connection) -> Result<Ahead> {
        // Parents before their children, as they are wanted elsewhere.
        let ranks = ranks(&self.generations);
        Window::read(open, c, &mut self.following, &self.ledger.sealed, &ranks)
    }

    /// Seals the next rows that the log tells of.
    pub(super) fn seal(&mut self, open: &Open, c: &Connection) -> Result<Sealed> {
        let start = open.env.clock.monotonic();
        // What was appended gets an entry of its own, which the end of the log then counts.
        if self.following.has_lost_appended(c).map_err(|e| open.explain(e))? {
            return Ok(Sealed::SchemaChanged);
        }
        self.following.cut(c).map_err(|e| open.explain(e))?;
        // Whatever happens, a window that was not gone on with is read again.
        let mut window = match self.window.take() {
            Some(window) => window,
            None => match self.ahead(open, c)? {
                Ahead::SchemaChanged => return Ok(Sealed::SchemaChanged),
                Ahead::Nothing if self.unpruned => return self.confirm(open, c),
                Ahead::Nothing => return Ok(Sealed::All),
                Ahead::Window(window) => window,
            },
        };
        let Some(ends) = open.ends(c, &self.following, &self.ledger.sealed)? else {
            return Ok(Sealed::SchemaChanged);
        };
        let mappings = self.following.mappings.clone();
        let (mut rows, took) = (0, || open.env.clock.monotonic().saturating_sub(start));
        // Rows that lie together take a fraction of the time of those that do not, and the one follows on the other.
        let rows_max = self.pace.budget().rows_max;
        let budget = Budget { rows_max: rows_max.min(SEALED_AT_ONCE), bytes_max: Pace::BYTES_MAX };
        while rows == 0 || (rows < rows_max && took() < Pace::TARGET) {
            let changes = window.next(c, &mappings, budget).map_err(|e| open.explain(e))?;
            if changes.is_empty() {
                break;
            }
            rows += changes.len();
            self.seal_changes(open, c, changes)?;
        }
        self.withdraw(open, c, false)?;
        self.pace.learn(rows, took());
        let (done, through, within) = (window.left() == 0, window.through, window.within);
        if done {
            (self.ledger.sealed.seq, self.ledger.sealed.within) = (through, within);
        } else {
            self.window = Some(window);
        }
        let sealed = self.confirm(open, c)?;
        Ok(if done && through == ends.last && within.is_none() { sealed } else { Sealed::Some })
    }

    /// Forgets what is sealed of the log, as far as is done at once.
    fn confirm(&mut self, open: &Open, c: &Connection) -> Result<Sealed> {
        let confirmed = crate::capture::confirm_here(c, &mut self.following, &self.ledger.sealed);
        self.unpruned = confirmed.map_err(|e| open.explain(e))?;
        Ok(if self.unpruned { Sealed::Some } else { Sealed::All })
    }

    fn seal_changes(&mut self, open: &Open, c: &Connection, changes: Vec<(Change, Option<i64>)>) -> Result<()> {
        let now = open.env.clock.now_ms();
        for (change, written) in changes {
            let row = match change.op {
                Op::Insert(row) | Op::Update(row) | Op::Upsert(row) => Some(row),
                Op::Delete => None,
            };
            self.seal_one(open, c, change.table, &change.key, row.as_ref(), written.unwrap_or(now))?;
        }
        Ok(())
    }

    /// Whether what was read ahead will be sealed, or pruned, in more than one transaction.
    pub(super) fn seals_in_parts(&self) -> bool {
        self.unpruned || self.window.as_ref().is_some_and(|window| window.left() > self.pace.budget().rows_max)
    }

    /// Seals what is left of the log, and sees to the rows that stand aside. False where the schema changed.
    pub(super) fn seal_to_end(&mut self, open: &Open, c: &Connection) -> Result<bool> {
        loop {
            match self.seal(open, c)? {
                Sealed::All => break,
                Sealed::Some => {}
                Sealed::SchemaChanged => return Ok(false),
            }
        }
        let changed: Vec<(i64, i64)> = c
            .prepare_cached("SELECT tab, reshow FROM _tidewater_shared WHERE reshow")
            .and_then(|mut s| s.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(|e| open.explain(e))?;
        for (tab, reshow) in changed {
            if let Some(table) = self.tables.iter().position(|of| of.tab == tab) {
                if reshow != RESHOW_ORPHANS {
                    self.show_by_new_rules(open, c, table)?;
                }
                self.tables[table].kin.look_at_all();
            }
            c.execute("UPDATE _tidewater_shared SET reshow = 0 WHERE tab = ?1", [tab]).map_err(|e| open.explain(e))?;
        }
        self.arrange(open, c).map(|()| true)
    }

    /// Seals one row as it stands now, if it was written.
    pub(super) fn seal_one(
        &mut self,
        open: &Open,
        c: &Connection,
        table: usize,
        key: &Key,
        row: Option<&Row>,
        written_ms: i64,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let tab = self.tables[table].tab;
        let stored = stored(c, tab, key).map_err(sqlite)?;
        let hash = row.map(|row| row.hash().0);
        if stored.as_ref().and_then(|stored| stored.hash) == hash {
            return Ok(());
        }
        let Some(stored) = stored else {
            let content = row.map(|row| self.tables[table].written(row, &[]));
            let state = self.written(State::default(), &Shown::default(), table, content, written_ms);
            return self.store(c, (table, key), None, hash, None, &state).map_err(sqlite);
        };
        let aside = if stored.hash.is_none() { parked::row(c, tab, key).map_err(sqlite)? } else { None };
        if let Some(aside) = &aside {
            // Whoever wrote under the key of a row that stands aside has not seen it: what it was is in the journal.
            self.enter_aside(open, c, (table, key), &stored, aside)?;
            parked::forget(c, tab, key).map_err(sqlite)?;
        }
        let before = self.decode(open, table, &stored, aside.as_ref().or(row))?;
        let shown = self.shown_as(table, &before, stored.hash);
        let disputed = before.siblings().len() > 1 || aside.is_some();
        let lacked = self.lacked(open, table, &stored, &shown)?;
        let content = row.map(|row| self.tables[table].written(row, &lacked));
        let state = match self.was_taken_back(&stored, &before, aside.is_some()) {
            true => {
                let dot = self.dot_beside(open, &before);
                let stamp = Stamp::next(u64::try_from(written_ms).unwrap_or(0), before.stamp_max());
                before.write_beside(Write { dot, stamp, content }, &shown, &self.tables[table].rules)
            }
            false => self.written(before, &shown, table, content, written_ms),
        };
        self.store(c, (table, key), stored.hash, hash, None, &state).map_err(sqlite)?;
        if disputed {
            super::journal::end(c, tab, key, None, open.env.clock.now_ms()).map_err(sqlite)?;
        }
        self.tables[table].touched = true;
        if state.siblings().len() > 1 {
            // Under `manual` a write leaves other sides standing: the conflict is another one now, and after a delete
            // it is one of those sides that the state shows.
            let here = Here { hash, aside: false, disputed: true };
            let left = self.showing(table, key.clone(), state, None, here);
            self.show(open, c, &left, "", &mut Merged::default())?;
        }
        Ok(())
    }

    /// The state after a write of this node.
    fn written(&self, before: State, shown: &Shown, table: usize, content: Option<Row>, written_ms: i64) -> State {
        let stamp = Stamp::next(u64::try_from(written_ms).unwrap_or(0), before.stamp_max());
        let write = Write { dot: self.ledger.next_dot(), stamp, content };
        before.write(write, shown, &self.tables[table].rules)
    }

    /// Gives versions to the next rows of a table.
    pub(super) fn adopt(&mut self, open: &Open, c: &Connection, table: usize, rows_max: usize) -> Result<Adopted> {
        let sqlite = |e| open.explain(e);
        let (phase, through) = self.tables[table].phase(c).map_err(sqlite)?;
        let budget = Budget { rows_max, bytes_max: Pace::BYTES_MAX };
        let (rows, next) = match phase {
            Phase::Whole => return Ok(Adopted { rows: 0, done: true }),
            Phase::Sweeping => (0, self.sweep(open, c, table, through, rows_max)?),
            Phase::Widening => (0, self.widen(open, c, table, through, rows_max)?),
            Phase::Adopting | Phase::Rescanning => {
                let view = self.tables[table].view.clone();
                let after = through.map(|bytes| crate::ledger::key(&bytes)).transpose()?;
                let chunk =
                    scan::chunk(c, &view, &Range { after: after.clone(), through: None }, budget).map_err(sqlite)?;
                for row in &chunk.rows {
                    self.adopt_one(open, c, table, row, phase)?;
                }
                let next = match (&chunk.through, phase) {
                    (Some(key), _) => (phase, Some(key.as_bytes().to_vec())),
                    // Rows may have gone since they were given versions.
                    (None, _) => (Phase::Sweeping, None),
                };
                (chunk.rows.len(), next)
            }
        };
        self.tables[table].enter(c, next.0, next.1.as_deref()).map_err(sqlite)?;
        // Which of its rows are orphans is known when it is whole.
        self.tables[table].kin.clear();
        self.withdraw(open, c, false)?;
        if next.0 == Phase::Whole && !self.tables[table].kin.parents.is_empty() {
            let sql = "UPDATE _tidewater_shared SET reshow = ?2 WHERE tab = ?1 AND reshow = 0";
            c.execute(sql, (self.tables[table].tab, RESHOW_ORPHANS)).map_err(sqlite)?;
        }
        Ok(Adopted { rows: rows as u64, done: next.0 == Phase::Whole })
    }

    fn adopt_one(&mut self, open: &Open, c: &Connection, table: usize, row: &Row, phase: Phase) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let key = row.pick(&self.tables[table].view.key);
        if phase == Phase::Adopting && stored(c, self.tables[table].tab, &key).map_err(sqlite)?.is_none() {
            let state = match self.tables[table].part {
                None => State::genesis(&key, row.clone(), Stamp::GENESIS),
                // Of other columns than elsewhere no content can have the same name as there.
                Some(_) => self.leafs_genesis(table, row),
            };
            return self.store(c, (table, &key), None, Some(row.hash().0), None, &state).map_err(sqlite);
        }
        self.seal_one(open, c, table, &key, Some(row), open.env.clock.now_ms())
    }

    /// Looks whether the rows of versions are still there.
    fn sweep(
        &mut self,
        open: &Open,
        c: &Connection,
        table: usize,
        through: Option<Vec<u8>>,
        rows_max: usize,
    ) -> Result<(Phase, Option<Vec<u8>>)> {
        let sqlite = |e| open.explain(e);
        let SharedTable { tab, view, .. } = self.tables[table].clone();
        let after = through.map(|bytes| crate::ledger::key(&bytes)).transpose()?;
        let beyond = if after.is_some() { "key > ?2" } else { "?2 IS NULL" };
        let keys: Vec<Key> = c
            .prepare_cached(&format!(
                "SELECT key FROM _tidewater_version WHERE tab = ?1 AND {beyond} AND hash IS NOT NULL \
                 ORDER BY key LIMIT ?3"
            ))
            .and_then(|mut s| {
                let after = after.as_ref().map(key::Stored);
                s.query_map((tab, after, rows_max), |row| row.get::<_, key::Read>(0).map(|key| key.0))?.collect()
            })
            .map_err(sqlite)?;
        let now = open.env.clock.now_ms();
        let mut gone = Vec::new();
        {
            let mut one = One::new(c, &view).map_err(sqlite)?;
            for key in &keys {
                if one.get(key).map_err(sqlite)?.is_none_or(|row| !row.has(&view.key, key)) {
                    gone.push(key.clone());
                }
            }
        }
        for key in gone {
            self.seal_one(open, c, table, &key, None, now)?;
        }
        let full = keys.len() == rows_max;
        let last = keys.last().filter(|_| full).map(|key| key.as_bytes().to_vec());
        Ok(if full { (Phase::Sweeping, last) } else { (Phase::Whole, None) })
    }
}
