//! What a person may do with a replica at rest: look at its conflicts, and settle them. And rules that changed.

use super::ledger::Ledger;
use super::show::Here;
use super::{Member, READER, SharedTable, key, seal};
use crate::capture;
use crate::connection::Open;
use crate::meta;
use crate::schema;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewater_core::change::{Column, Row, Value};
use tidewater_core::merge::{Kind as Collided, Shown, Stamp, State, Write};
use tidewater_core::replica::{Choice, Entry, Membership, Merged, Part, Selection, Shared, Side};
use tidewater_core::{Error, Kind, Result, code};

impl super::State {
    /// The conflicts in the journal, with the columns as the tables have them.
    pub(super) fn conflicts(&mut self, selection: &Selection) -> Result<Vec<Entry>> {
        let open = &self.open;
        let found = self.looking(|c, member| {
            let mut orders: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
            let mut entries = member.entries(open, c, selection)?;
            for entry in &mut entries {
                if !orders.contains_key(&entry.table) {
                    let details = schema::details(c, &entry.table).map_err(|e| open.explain(e))?;
                    let declared = details.map(|details| details.table.columns).unwrap_or_default();
                    let place = |Column { name, .. }: Column| {
                        let at = entry.columns.iter().position(|known| known.eq_ignore_ascii_case(&name))?;
                        Some((at, name))
                    };
                    orders.insert(entry.table.clone(), declared.into_iter().filter_map(place).collect());
                }
                arrange_columns(entry, &orders[&entry.table]);
            }
            Ok(entries)
        });
        found.map(Option::unwrap_or_default)
    }

    /// How many conflicts a selection has.
    pub(super) fn count_conflicts(&mut self, selection: &Selection) -> Result<u64> {
        let open = &self.open;
        let count = self.looking(|c, member| member.count_entries(c, selection).map_err(|e| open.explain(e)));
        count.map(Option::unwrap_or_default)
    }

    /// Looks at what it has as a member, in one read, without taking part. `None` where it never did.
    fn looking<T>(&self, look: impl FnOnce(&Connection, &Member) -> Result<T>) -> Result<Option<T>> {
        let open = &self.open;
        open.read(|c| {
            let sqlite = |e| open.explain(e);
            if !meta::has_table(c, "_tidewater_replica").map_err(sqlite)? {
                return Ok(None);
            }
            let Some(ledger) = Ledger::load(c).map_err(sqlite)? else { return Ok(None) };
            let following = capture::Following::nowhere(READER);
            let nobody = Membership { endpoint: String::new(), tables: Arc::new([]) };
            let member = Member::new(ledger, following, self.tables(c)?, &nobody)?;
            look(c, &member).map(Some)
        })
    }

    /// Settles a conflict.
    pub(super) fn settle(&mut self, id: &[u8; 16], choice: &Choice) -> Result<bool> {
        if self.member.is_none() {
            self.rejoin()?;
        }
        let changed = self.sealed(|open, c, member| {
            let Some(entry) = member.entry_of(open, c, id)? else { return Err(unknown(&open.database.shown)) };
            member.choose(open, c, &entry, choice).map(Some)
        })?;
        changed.ok_or_else(|| {
            Error::new(Kind::Unavailable, code::HALTED, "a table changed its schema meanwhile")
                .meaning("Nothing was written.")
                .remedy("Sync once, then try again.")
        })
    }

    /// Takes part again with what it has, without anybody else.
    fn rejoin(&mut self) -> Result<()> {
        let open = &self.open;
        let (endpoint, tables) = open.read(|c| {
            let sqlite = |e| open.explain(e);
            let takes_part = meta::has_table(c, "_tidewater_replica").map_err(sqlite)?;
            let ledger = if takes_part { Ledger::load(c).map_err(sqlite)? } else { None };
            let Some(ledger) = ledger else { return Err(unknown(&open.database.shown)) };
            Ok((ledger.endpoint().to_owned(), self.tables(c)?))
        })?;
        let shared = |table: SharedTable| {
            let part = table.part.clone().map(|columns| Part { columns, filter: None });
            Shared { view: table.whole_view(), policy: table.policy, journal_keep_days: table.keep_days, part }
        };
        let membership = Membership { endpoint, tables: tables.into_iter().map(shared).collect() };
        let joined = self.join(&membership, &[])?;
        for table in joined.unadopted {
            while !self.adopt(table, super::join::ADOPTED_MAX)?.done {}
        }
        Ok(())
    }
}

impl Member {
    /// Writes what was chosen.
    fn choose(&mut self, open: &Open, c: &Connection, entry: &Entry, choice: &Choice) -> Result<bool> {
        let sqlite = |e| open.explain(e);
        let Some(table) = self.tables.iter().position(|of| of.view.table == entry.table) else {
            return Err(unknown(&open.database.shown));
        };
        let (tab, key) = (self.tables[table].tab, &entry.key);
        let Some(stored) = seal::stored(c, tab, key).map_err(sqlite)? else {
            return Err(unknown(&open.database.shown));
        };
        let of = &self.tables[table];
        let now_row = of.row(c, key).map_err(sqlite)?;
        let now_whole = now_row.as_ref().map(|row| of.whole(row).into_owned());
        if let Choice::Set(values) = choice
            && let Some((name, _)) = values.iter().find(|(name, _)| !of.holds(name))
        {
            return Err(no_column(&entry.table, name, of.view.columns.iter().map(|column| &column.name[..])));
        }
        let content = content(entry, choice, now_whole.as_ref())?;
        if content.as_ref().is_some_and(|row| !row.has(&of.key_in_whole(), key)) {
            return Err(other_key(&entry.table));
        }
        if entry.stands_aside() && entry.ended_ms.is_none() && !matches!(choice, Choice::Set(_)) {
            let orphan = entry.kind == Collided::ForeignKey;
            return Err(if orphan { is_an_orphan(&entry.table) } else { stands_aside(&entry.table) });
        }
        let aside = if stored.hash.is_none() { super::parked::row(c, tab, key).map_err(sqlite)? } else { None };
        let state = self.decode(open, table, &stored, now_row.as_ref().or(aside.as_ref()))?;
        if self.was_taken_back(&stored, &state, aside.is_some()) {
            return Err(unknown(&open.database.shown));
        }
        let shown: Shown = self.shown_as(table, &state, stored.hash);
        let wall = u64::try_from(open.env.clock.now_ms()).unwrap_or(0);
        let stamp = Stamp::next(wall, state.stamp_max());
        let write = Write { dot: self.ledger.take_dot(), stamp, content: content.clone() };
        let settled = state.resolve(write, &shown, &self.tables[table].rules);
        let here = Here { hash: stored.hash, aside: aside.is_some(), disputed: true };
        let showing = self.showing(table, key.clone(), settled, None, here);
        self.show(open, c, &showing, "", &mut Merged::default())?;
        self.arrange(open, c)?;
        let content = content.map(|row| self.tables[table].own_of(row));
        match self.tables[table].row(c, key).map_err(sqlite)? == content {
            true => Ok(content != now_row),
            false => Err(in_the_way(&entry.table)),
        }
    }

    /// Rows in conflict are shown as the rules say now.
    pub(super) fn show_by_new_rules(&mut self, open: &Open, c: &Connection, table: usize) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let tab = self.tables[table].tab;
        let mut disputed = Vec::new();
        {
            let mut statement =
                c.prepare("SELECT key, state FROM _tidewater_version WHERE tab = ?1").map_err(sqlite)?;
            let mut rows = statement.query([tab]).map_err(sqlite)?;
            while let Some(row) = rows.next().map_err(sqlite)? {
                let bytes: Vec<u8> = row.get(1).map_err(sqlite)?;
                if !State::is_settled(&bytes) {
                    disputed.push(row.get::<_, key::Read>(0).map_err(sqlite)?.0);
                }
            }
        }
        for key in disputed {
            let Some(stored) = seal::stored(c, tab, &key).map_err(sqlite)? else { continue };
            let now_row = self.tables[table].row(c, &key).map_err(sqlite)?;
            // Written since: sealing sees to it.
            if stored.hash.is_some() && stored.hash != now_row.as_ref().map(|row| row.hash().0) {
                continue;
            }
            let state = self.decode(open, table, &stored, now_row.as_ref())?;
            let aside = stored.hash.is_none() && super::parked::row(c, tab, &key).map_err(sqlite)?.is_some();
            let here = Here { hash: stored.hash, aside, disputed: true };
            let showing = self.showing(table, key, state, None, here);
            self.show(open, c, &showing, "", &mut Merged::default())?;
        }
        Ok(())
    }
}

/// Puts an entry's columns into this order, with these names: versions have them by name in small letters.
fn arrange_columns(entry: &mut Entry, order: &[(usize, String)]) {
    if order.len() != entry.columns.len() {
        return;
    }
    let (places, names): (Vec<usize>, Vec<String>) = order.iter().cloned().unzip();
    entry.columns = names;
    entry.collided = (0..places.len()).filter(|at| entry.collided.contains(&places[*at])).collect();
    let contents = entry.sides.iter_mut().map(|side| &mut side.content).chain([&mut entry.shown]);
    contents.flatten().for_each(|row| *row = row.pick(&places));
}

/// The row that a choice makes; `None` for a delete.
fn content(entry: &Entry, choice: &Choice, now: Option<&Row>) -> Result<Option<Row>> {
    match choice {
        Choice::Take(number) => {
            let side = number.checked_sub(1).and_then(|at| entry.sides.get(at));
            let side = side.ok_or_else(|| {
                let what = format!("this conflict has no side {number}");
                Error::new(Kind::Invalid, code::USAGE, what)
                    .meaning("Nothing was changed.")
                    .remedy(format!("Its sides are 1 to {}; `tidewater conflicts show` shows them.", entry.sides.len()))
            })?;
            Ok(side.content.clone())
        }
        Choice::Set(values) => {
            let latest = || entry.sides.iter().rev().find_map(|side| side.content.as_ref());
            let Some(row) = now.or_else(latest) else { return Ok(None) };
            set(entry, row, values).map(Some)
        }
        Choice::Restore => {
            // What is not shown now, whoever won when the conflict was met.
            let other = |side: &&Side| side.content.as_ref() != now;
            let lost = entry.sides.iter().rev().find(|side| !side.won && other(side));
            let loser = lost.or_else(|| entry.sides.iter().rev().find(other));
            let Some(loser) = loser else { return Ok(now.cloned()) };
            match (&loser.content, now) {
                (Some(lost), Some(now)) if !entry.collided.is_empty() && entry.shown.is_some() => {
                    let lost: Vec<Value<'_>> = lost.values().collect();
                    let values = now.values().enumerate();
                    let pick = |(at, value)| match lost.get(at) {
                        Some(lost) if entry.collided.contains(&at) => lost.clone(),
                        _ => value,
                    };
                    Ok(Some(values.map(pick).collect()))
                }
                (content, _) => Ok(content.clone()),
            }
        }
    }
}

fn set(entry: &Entry, row: &Row, values: &[(String, Value<'static>)]) -> Result<Row> {
    let mut columns: Vec<Value<'_>> = row.values().collect();
    for (name, value) in values {
        let place = entry.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let Some(place) = place else {
            return Err(no_column(&entry.table, name, entry.columns.iter().map(|name| &name[..])));
        };
        columns[place] = value.clone();
    }
    Ok(columns.into_iter().collect())
}

fn no_column<'a>(table: &str, name: &str, there: impl Iterator<Item = &'a str>) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("{table} has no column {name}"))
        .meaning("Nothing was changed.")
        .remedy(format!("There are: {}", there.collect::<Vec<_>>().join(", ")))
}

fn other_key(table: &str) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("the key of a row of {table} cannot be set"))
        .meaning("It would be another row. Nothing was changed.")
        .remedy("Set other columns; change the key with a statement of your own.")
}

fn in_the_way(table: &str) -> Error {
    Error::new(Kind::Conflict, code::ROW_HELD, format!("{table}: the row cannot be written as chosen"))
        .meaning(
            "It breaks a constraint of the table, another row has a unique value of it, or it refers to a row that is \
             not there. Nothing was changed.",
        )
        .remedy("Choose other values with --set, or change what is in the way.")
}

fn unknown(shown: &str) -> Error {
    Error::new(Kind::Invalid, code::SCOPE, format!("{shown} has no such conflict"))
        .meaning("Nothing was changed.")
        .remedy("`tidewater conflicts list` shows those there are.")
}

fn stands_aside(table: &str) -> Error {
    let what = format!("this row of {table} stands aside for another with the same unique value");
    Error::new(Kind::Conflict, code::ROW_HELD, what)
        .meaning("It cannot be shown as it is. Nothing was changed.")
        .remedy("Give it another value with --set COLUMN=VALUE, or change or delete the row in its way.")
}

fn is_an_orphan(table: &str) -> Error {
    let what = format!("this row of {table} stands aside because a row that it refers to is not there");
    Error::new(Kind::Conflict, code::ROW_HELD, what)
        .meaning("It comes back by itself, on all sides, when that row does. Nothing was changed.")
        .remedy(
            "Insert the row that it refers to, or put it back where a conflict of its own deleted it (`conflicts list` \
             names those); or let this one refer to another with --set COLUMN=VALUE.",
        )
}
