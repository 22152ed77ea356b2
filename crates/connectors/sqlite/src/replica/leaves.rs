//! Replicas that hold a part of a table: some of its columns, or some of its rows.
//!
//! Such a leaf is a replica like any other, whose contents lack columns, and which exchanges with full replicas only.
//! They send it what they show themselves of the part, and take rows back that have left it. What its contents lack is
//! filled in by whoever has it (`merge`); until then the column's default stands there.
//!
//! Architecture invariants: a leaf is told of no key that it was never sent and never told of; and no row is taken back that holds writes
//! which the sender has not seen.

use super::{Member, SharedTable, join, key, parked, seal};
use crate::connection::Open;
use crate::meta;
use crate::scan::One;
use crate::schema::{self, Details};
use rusqlite::{Connection, OptionalExtension};
use std::borrow::Cow;
use tidewater_core::change::{Column, Key, Row, RowBuilder, Value, View, ViewColumn};
use tidewater_core::merge::{Dot, Joined, Shown, Stamp, State, Write};
use tidewater_core::replica::{Introduction, Merged, Part, Shared, Version};
use tidewater_core::{Error, Kind, Result, code};

/// A replica that holds a part of what is here.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// The number of its first incarnation: what was sent to one was sent to all.
    number: u32,
    /// What it holds of each table of the membership.
    parts: Vec<Option<Held>>,
}

/// What a leaf holds of one table.
#[derive(Debug, Clone)]
struct Held {
    columns: Vec<usize>,
    /// The key of the rows of its part; `None` where it holds all rows.
    filtered: Option<View>,
}

impl Leaf {
    /// Whether it holds some rows only.
    pub(super) fn is_filtered(&self) -> bool {
        self.parts.iter().flatten().any(|held| held.filtered.is_some())
    }

    fn held(&self, place: usize) -> Option<&Held> {
        self.parts.get(place)?.as_ref()
    }
}

impl Held {
    /// Whether a row that is shown is of the part.
    fn has(&self, c: &Connection, key: &Key) -> rusqlite::Result<bool> {
        match &self.filtered {
            None => Ok(true),
            Some(view) => Ok(One::new(c, view)?.get(key)?.is_some()),
        }
    }
}

/// What a part adds to the name of its table in a position's scope.
pub(super) fn scope_of(part: &Part, names: &[String]) -> String {
    let columns: Vec<&str> = part.columns.iter().filter_map(|at| names.get(*at)).map(String::as_str).collect();
    let filter = part.filter.as_ref().map_or("", |filter| filter.text());
    format!("({}|{filter})", columns.join(" "))
}

impl SharedTable {
    /// A row of the table here as versions have it: with all columns, those not held absent.
    pub(super) fn whole<'r>(&self, row: &'r Row) -> Cow<'r, Row> {
        match &self.part {
            None => Cow::Borrowed(row),
            Some(part) => Cow::Owned(row.spread(part, self.names.len())),
        }
    }

    /// A row out of a version as the table here has it.
    pub(super) fn own<'r>(&self, row: &'r Row) -> Cow<'r, Row> {
        match (&self.part, &self.defaults) {
            (None, None) => Cow::Borrowed(row),
            (None, Some(defaults)) => Cow::Owned(row.or(defaults)),
            (Some(part), None) => Cow::Owned(row.pick(part)),
            (Some(part), Some(defaults)) => Cow::Owned(row.or(defaults).pick(part)),
        }
    }

    /// A row of the table here as its writer's content: what stands there in the place of a value that nobody has
    /// filled in yet (`lacked`) was not written.
    pub(super) fn written(&self, row: &Row, lacked: &[usize]) -> Row {
        let whole = self.whole(row);
        match &self.defaults {
            Some(defaults) if !lacked.is_empty() => whole.without(lacked, defaults),
            _ => whole.into_owned(),
        }
    }

    pub(super) fn own_of(&self, row: Row) -> Row {
        if self.part.is_none() && self.defaults.is_none() { row } else { self.own(&row).into_owned() }
    }

    /// Whether this file has a column.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.view.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The view of a file that holds everything. How columns that are not held here are ordered nobody asks.
    pub(super) fn whole_view(&self) -> View {
        let column = |name: &String| {
            let own = self.view.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned();
            own.unwrap_or_else(|| ViewColumn { name: name.clone(), collation: "BINARY".to_owned() })
        };
        View { columns: self.names.iter().map(column).collect(), key: self.key_in_whole(), ..self.view.clone() }
    }

    /// The places of the key in rows of versions.
    pub(super) fn key_in_whole(&self) -> Vec<usize> {
        let place = |at: &usize| self.part.as_ref().and_then(|part| part.get(*at).copied()).unwrap_or(*at);
        self.view.key.iter().map(place).collect()
    }
}

impl Member {
    /// The version of a row that was there before this leaf first met anybody: the earliest of all writes.
    pub(super) fn leafs_genesis(&self, table: usize, row: &Row) -> State {
        let of = &self.tables[table];
        let content = Some(of.whole(row).into_owned());
        let write = Write { dot: self.ledger.next_dot(), stamp: Stamp::GENESIS, content };
        State::default().write(write, &Shown::default(), &of.rules)
    }

    /// Whether this file holds a part of anything, also in a sync that is not running now.
    pub(super) fn is_leaf(&self) -> bool {
        self.tables.iter().any(|of| of.part.is_some())
    }

    /// Whether a version knows of writes that were taken back from here. `aside`: the row stands aside.
    pub(super) fn was_taken_back(&self, stored: &seal::Stored, state: &State, aside: bool) -> bool {
        let gone = || stored.hash.is_none() && !aside;
        self.is_leaf() && state.has_taken_back() && (!State::is_settled(&stored.bytes) || gone())
    }

    /// The dot of a write to a row that knows of `seen`: of a node that never wrote it.
    pub(super) fn dot_beside(&mut self, open: &Open, state: &State) -> Dot {
        let node = self.beside.filter(|node| state.seen().counter(node) == 0);
        let node = node.unwrap_or_else(|| join::node(&open.env));
        self.beside = Some(node);
        self.ledger.also_is(&node);
        Dot::Write { node, counter: self.ledger.seq + 1 }
    }

    /// The columns that nobody has filled in yet of a row that was shown, as it is stored.
    pub(super) fn lacked(&self, open: &Open, table: usize, stored: &seal::Stored, shown: &Shown) -> Result<Vec<usize>> {
        if self.tables[table].defaults.is_none() {
            return Ok(vec![]);
        }
        if !State::is_settled(&stored.bytes) {
            return Ok(shown.content.as_ref().map(Row::absent).unwrap_or_default());
        }
        let node_of = |number| self.ledger.node_of(number);
        State::lacked(&stored.bytes, &node_of).map_err(|e| seal::damaged(&open.database.shown, &e))
    }

    /// Learns what a peer holds.
    pub(super) fn hear_parts(&mut self, peer: &Introduction) {
        let (Some(node), Some(first)) = (peer.node(), peer.incarnations.first()) else { return };
        let number = self.ledger.number_of(&first.node);
        if peer.tables.values().all(|said| said.part.is_none()) {
            return;
        }
        let held = |table: &usize| {
            let of = &self.tables[*table];
            let said = peer.tables.get(&of.view.table.to_ascii_lowercase())?;
            // It has not all rows that decide what is shown, also of tables that it holds as a whole.
            let whole = Part { columns: (0..of.names.len()).collect(), filter: None };
            let part = said.part.as_ref().unwrap_or(&whole);
            let filtered = part.filter.as_ref().map(|filter| {
                let keys = of.view.narrowed(&of.view.key);
                View { filter: Some(filter.clone()), ..keys }
            });
            Some(Held { columns: part.columns.clone(), filtered })
        };
        let parts = self.of.iter().map(held).collect();
        self.leaves.insert(node, Leaf { number, parts });
    }

    /// What a leaf is handed of a row that was written; nothing, where that does not concern it.
    pub(super) fn for_leaf(
        &self,
        c: &Connection,
        leaf: &Leaf,
        (place, known, shown): (usize, bool, bool),
        row: Option<&Row>,
        version: Version,
    ) -> rusqlite::Result<Option<Version>> {
        let Some(held) = leaf.held(place) else { return Ok((!known).then_some(version)) };
        let (table, key) = (&self.tables[self.of[place]], &version.key);
        if shown && held.has(c, key)? {
            if known {
                return Ok(None);
            }
            if held.filtered.is_some() {
                send(c, leaf, table.tab, key)?;
            }
            return Ok(Some(Version { state: version.state.projected(&held.columns), ..version }));
        }
        if held.filtered.is_some() && !was_sent(c, leaf, table.tab, key)? {
            return Ok(None);
        }
        let deleted = !shown && row.is_none();
        Ok(match deleted {
            true if known => None,
            true => Some(Version { state: version.state.projected(&held.columns), ..version }),
            false => Some(Version { state: version.state.projected(&[]), withdrawn: true, ..version }),
        })
    }

    /// Of what a leaf tells it is told from now on, also of a row that it gave back or deleted: it may be put back to when
    /// it had it.
    pub(super) fn told_by_leaf(
        &self,
        c: &Connection,
        leaf: &Leaf,
        (place, key): (usize, &Key),
    ) -> rusqlite::Result<()> {
        match leaf.held(place) {
            Some(held) if held.filtered.is_some() => send(c, leaf, self.tables[self.of[place]].tab, key),
            _ => Ok(()),
        }
    }

    /// What came from a leaf it has. Where it is not shown here or not of its part, and what came is no news, it is told
    /// so.
    pub(super) fn had_by_leaf(
        &mut self,
        c: &Connection,
        leaf: &Leaf,
        (place, key): (usize, &Key),
        news: bool,
    ) -> rusqlite::Result<()> {
        let Some(held) = leaf.held(place) else { return Ok(()) };
        let tab = self.tables[self.of[place]].tab;
        if news || (is_shown(c, tab, key)? && held.has(c, key)?) { Ok(()) } else { self.hand_out_again(c, tab, key) }
    }

    /// A leaf gave a row back to somebody else. Where it is of its part here, it gets it again.
    pub(super) fn lost_by_leaf(
        &mut self,
        c: &Connection,
        leaf: &Leaf,
        (place, key): (usize, &Key),
    ) -> rusqlite::Result<()> {
        let Some(held) = leaf.held(place) else { return Ok(()) };
        let tab = self.tables[self.of[place]].tab;
        if is_shown(c, tab, key)? && held.has(c, key)? { self.hand_out_again(c, tab, key) } else { Ok(()) }
    }

    /// A row's version, which has not changed, gets another place in the queue.
    pub(super) fn hand_out_again(&mut self, c: &Connection, tab: i64, key: &Key) -> rusqlite::Result<()> {
        let seq = i64::try_from(self.ledger.advance()).unwrap_or(i64::MAX);
        c.prepare_cached("UPDATE _tidewater_version SET seq = ?3 WHERE tab = ?1 AND key = ?2")?.execute((
            tab,
            key::Stored(key),
            seq,
        ))?;
        c.prepare_cached("INSERT INTO _tidewater_queue(seq, via, tab, key) VALUES (?1, 0, ?2, ?3)")?
            .execute((seq, tab, key::Stored(key)))
            .map(drop)
    }

    /// Whether contents of a table, here or in what comes in, may lack columns that are held here.
    pub(super) fn may_lack(&mut self, open: &Open, c: &Connection, table: usize, theirs: &State) -> Result<bool> {
        let sqlite = |e| open.explain(e);
        let of = &mut self.tables[table];
        if !theirs.lacks_columns(of.names.len()) {
            return Ok(of.defaults.is_some());
        }
        if of.defaults.is_none()
            && let Some(details) = schema::details(c, &of.view.table).map_err(sqlite)?
        {
            of.defaults = Some(defaults(c, &details, &of.names).map_err(sqlite)?);
        }
        // Each time: a transaction that said so before may not have come to its end.
        c.prepare_cached("UPDATE _tidewater_shared SET lacking = 1 WHERE tab = ?1 AND NOT lacking")
            .and_then(|mut s| s.execute([of.tab]))
            .map_err(sqlite)?;
        Ok(true)
    }

    /// The state, where what a leaf held before it first met anybody is what is shown here.
    pub(super) fn says_the_same(&self, ours: &State, theirs: &State) -> Option<State> {
        let ([here], [there]) = (ours.siblings(), theirs.siblings()) else { return None };
        if there.stamp != Stamp::GENESIS || matches!(there.dot, Dot::Genesis(_)) || ours.seen().meets(theirs.seen()) {
            return None;
        }
        let (here, there) = (here.content.as_ref()?, there.content.as_ref()?);
        let same = here.without(&there.absent(), here) == *there;
        (same && !self.is_leaf()).then(|| ours.absorbed(theirs))
    }

    /// A row is not of this leaf's part any more: it goes. Which writes were taken back stays known, so that no later
    /// write here claims to have seen them. Others are told, too: they may see the part otherwise. Not while it holds
    /// writes that the sender has not seen: those go there first.
    pub(super) fn take_back(
        &mut self,
        open: &Open,
        c: &Connection,
        version: &Version,
        via: u32,
        merged: &mut Merged,
    ) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let table = self.of[version.table];
        let (tab, key) = (self.tables[table].tab, &version.key);
        let Some(stored) = seal::stored(c, tab, key).map_err(sqlite)? else { return Ok(()) };
        let row = match stored.hash {
            Some(_) => self.tables[table].row(c, key).map_err(sqlite)?,
            None => parked::row(c, tab, key).map_err(sqlite)?,
        };
        let ours = self.decode(open, table, &stored, row.as_ref())?;
        let gone = row.is_none() && ours.seen().dominates(version.state.seen());
        if gone || !version.state.seen().dominates(ours.known().seen()) {
            merged.known += 1;
            return Ok(());
        }
        if stored.hash.is_some() {
            self.tables[table].writer.delete(c, key).map_err(sqlite)?;
            self.tables[table].touched = true;
        }
        parked::forget(c, tab, key).map_err(sqlite)?;
        let (ours, theirs) = (ours.projected(&[]), &version.state);
        let state = match State::join(&ours, theirs) {
            Joined::Same | Joined::Left => ours,
            Joined::Right => theirs.clone(),
            Joined::New(state) => state,
        };
        self.store(c, (table, key), stored.hash, None, Some(via), &state).map_err(sqlite)?;
        super::journal::end(c, tab, key, None, open.env.clock.now_ms()).map_err(sqlite)?;
        merged.withdrawn += 1;
        Ok(())
    }
}

/// What stands in the place of columns that nobody has filled in yet: a constant default, or nothing.
pub(super) fn defaults(c: &Connection, details: &Details, names: &[String]) -> rusqlite::Result<Row> {
    let mut row = RowBuilder::default();
    for name in names {
        let constant = |column: &&Column| column.default.as_deref().is_some_and(crate::create::is_constant);
        match details.table.column(name).filter(constant) {
            Some(column) => super::widen::push_default(c, column, &mut row)?,
            None => row.push(&Value::Null),
        }
    }
    Ok(row.take())
}

/// Notes that a leaf is told of a row.
fn send(c: &Connection, leaf: &Leaf, tab: i64, key: &Key) -> rusqlite::Result<()> {
    c.prepare_cached("INSERT OR IGNORE INTO _tidewater_sent(leaf, tab, key) VALUES (?1, ?2, ?3)")?
        .execute((leaf.number, tab, key::Stored(key)))
        .map(drop)
}

fn is_shown(c: &Connection, tab: i64, key: &Key) -> rusqlite::Result<bool> {
    let shown = c
        .prepare_cached("SELECT hash IS NOT NULL FROM _tidewater_version WHERE tab = ?1 AND key = ?2")?
        .query_row((tab, key::Stored(key)), |row| row.get(0))
        .optional()?;
    Ok(shown.unwrap_or(false))
}

fn was_sent(c: &Connection, leaf: &Leaf, tab: i64, key: &Key) -> rusqlite::Result<bool> {
    c.prepare_cached("SELECT EXISTS (SELECT 1 FROM _tidewater_sent WHERE leaf = ?1 AND tab = ?2 AND key = ?3)")?
        .query_row((leaf.number, tab, key::Stored(key)), |row| row.get(0))
}

/// The columns of a part, as they are stored.
pub(super) fn packed_part(part: &Part, columns: &[String]) -> Vec<u8> {
    let names: Vec<String> = part.columns.iter().filter_map(|at| columns.get(*at).cloned()).collect();
    join::packed(&names)
}

/// Refuses a part with other columns than before, while nothing is written yet.
pub(super) fn refuse_other_parts(open: &Open, c: &Connection, shared: &[Shared]) -> Result<()> {
    let sqlite = |e| open.explain(e);
    let stored = meta::has_table(c, "_tidewater_shared").map_err(sqlite)?;
    if !stored {
        return Ok(());
    }
    let parted = if meta::has_column(c, "_tidewater_shared", "part").map_err(sqlite)? { "part" } else { "NULL" };
    let sql = format!("SELECT columns, {parted} FROM _tidewater_shared WHERE name = ?1 COLLATE NOCASE");
    for one in shared {
        let name = &one.view.table;
        let there: Option<(Vec<u8>, Option<Vec<u8>>)> = c
            .prepare_cached(&sql)
            .and_then(|mut s| s.query_row([name], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(sqlite)?;
        let Some((columns_before, before)) = there else { continue };
        let columns: Vec<String> = one.view.columns.iter().map(|c| c.name.to_ascii_lowercase()).collect();
        let now = one.part.as_ref().map(|part| packed_part(part, &columns));
        if !is_same_part(before.as_deref(), now.as_deref(), &columns_before)? {
            return Err(part_changed(&open.database.shown, name, before.is_some()));
        }
    }
    Ok(())
}

/// Whether a replica holds the columns that it held, but for those that came to the table since.
fn is_same_part(before: Option<&[u8]>, now: Option<&[u8]>, columns_before: &[u8]) -> Result<bool> {
    let there = join::unpacked(columns_before)?;
    let names = |part: Option<&[u8]>| part.map(join::unpacked).transpose();
    let (before, now) = (names(before)?, names(now)?);
    Ok(match (before, now) {
        (None, None) => true,
        // Who holds all columns of some rows may come to hold all rows, but not the other way round: nobody knows
        // which of its rows to take back.
        (Some(before), None) => before == there,
        (None, Some(_)) => false,
        (Some(before), Some(now)) => before == now.into_iter().filter(|name| there.contains(name)).collect::<Vec<_>>(),
    })
}

fn part_changed(shown: &str, table: &str, is_part: bool) -> Error {
    let what = match is_part {
        true => format!("{shown} holds some columns of {table}, and is to hold others now"),
        false => format!("{shown} holds all of {table}, and is to hold a part now"),
    };
    Error::new(Kind::Conflict, code::PART_CHANGED, what)
        .meaning("What is known of its rows is about the columns that they were filled with. Nothing was exchanged.")
        .remedy(format!(
            "Bring it in step as it is, then either run `tidewater teardown` on it, drop {table} there and sync again, \
             or begin with a new file."
        ))
}
