//! Rows whose foreign key leads to no row: they stand aside, until there is one.
//!
//! Which rows are orphans follows from the states of all rows alone (`docs/decisions/0012-orphans.md`). Tables are
//! arranged parents first; tables that refer to each other in a cycle, or to themselves, are one *generation*. In a
//! generation, a row whose parent in an earlier one is not shown is no candidate: it claims no unique value. Among the
//! candidates the places are given away ([`Member::arrange_once`]); then whoever refers to a row that is not shown goes,
//! and whoever refers to that one, until nobody does. So rows that refer to each other are shown together.
//!
//! Withdrawing can be done at any time, and is done in the transaction in which a parent went or a child came. Orphans
//! are looked at again only when the end of what a peer has to say was reached: until then a parent that is missing may
//! be on its way.

use super::{Member, SharedTable, journal, parked, seal, show::Refused};
use crate::connection::Open;
use crate::create::affinity;
use crate::meta;
use crate::schema::{self, Details};
use crate::sql::{list, quote};
use crate::types::bind;
use rusqlite::{Connection, OptionalExtension};
use tidewater_core::change::{ForeignKey, Key, Row, RowBuilder, Value, View};
use tidewater_core::merge::{Orphans, Policy};
use tidewater_core::replica::Shared;
use tidewater_core::{Error, Kind, Result, code};

/// A foreign key of a table.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    /// The table that is referred to, by its place.
    table: usize,
    /// The referring columns, by their places in a row.
    pub(super) columns: Vec<usize>,
    /// Whether both tables are of one generation.
    inner: bool,
    /// Whether the parent's key is referred to: then a row that is only changed is still the parent.
    by_key: bool,
    /// Finds the parent by the values of the referring columns.
    parent: String,
    /// Finds the row under a key, if its parent is not there.
    orphan: String,
    /// The keys of all rows whose parent is not there.
    orphans: String,
    /// The keys of the children of a parent's key, where an index leads there.
    children: Option<String>,
}

/// To whom the rows of a table refer, who refers to them, and what is to be looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Kin {
    pub(super) parents: Vec<Parent>,
    /// Foreign keys that refer to this table: the place of their table, and their own among its parents.
    children: Vec<(usize, usize)>,
    /// Rows that may be orphans.
    suspects: Vec<Key>,
    /// Every row may be an orphan.
    suspect: bool,
    /// Rows that are not shown any more.
    gone: Vec<Key>,
    /// Rows that are still shown were changed.
    changed: bool,
    /// Rows came for which orphans may have waited.
    came: bool,
}

impl Kin {
    /// Every row is looked at, and every orphan.
    pub(super) fn look_at_all(&mut self) {
        (self.suspect, self.came) = (true, true);
    }

    /// Every orphan is looked at: what was to be looked at when an engine died is not known.
    pub(super) fn new() -> Self {
        Self { came: true, ..Self::default() }
    }

    /// Nobody is a suspect: the table is about to be looked at as a whole.
    pub(super) fn clear(&mut self) {
        self.suspects.clear();
    }
}

/// The foreign key with the columns that it refers to; `None` where SQLite does not enforce it, because they are not
/// unique.
pub(super) fn resolved(c: &Connection, fk: &ForeignKey) -> rusqlite::Result<Option<ForeignKey>> {
    let Some(parent) = schema::details(c, &fk.parent)? else { return Ok(Some(fk.clone())) };
    let mut fk = fk.clone();
    if fk.parent_columns.is_empty() {
        fk.parent_columns.clone_from(&parent.table.key);
    }
    let unique = is_set(&fk.parent_columns, &parent.table.key)
        || parent.table.unique.iter().any(|unique| is_set(&fk.parent_columns, &unique.columns));
    Ok((fk.parent_columns.len() == fk.columns.len() && unique).then_some(fk))
}

fn is_set(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.iter().any(|o| o.eq_ignore_ascii_case(name)))
}

/// The rows `c` of a table that refer to something that is not there.
fn condition(fk: &ForeignKey) -> String {
    let refers = fk.columns.iter().map(|column| format!("c.{} IS NOT NULL", quote(column)));
    // The parent's collation and affinity count, as SQLite has it.
    let pairs = fk.columns.iter().zip(&fk.parent_columns);
    let meets: Vec<String> =
        pairs.map(|(child, parent)| format!("p.{} = +c.{}", quote(parent), quote(child))).collect();
    let missing = format!("NOT EXISTS (SELECT 1 FROM {} p WHERE {})", quote(&fk.parent), meets.join(" AND "));
    refers.chain([missing]).collect::<Vec<_>>().join(" AND ")
}

/// Finds out who refers to whom. `details` are of the tables, in their order.
pub(super) fn relate(c: &Connection, tables: &mut [SharedTable], details: &[Details]) -> rusqlite::Result<()> {
    for child in 0..tables.len() {
        if tables[child].policy.orphans == Orphans::Keep {
            continue;
        }
        for fk in &details[child].table.foreign_keys {
            let place = tables.iter().position(|table| table.view.table.eq_ignore_ascii_case(&fk.parent));
            let (Some(place), Some(fk)) = (place, resolved(c, fk)?) else { continue };
            let Some(parent) = parent(c, &tables[child].view, place, &fk, [&details[child], &details[place]])? else {
                continue;
            };
            let number = tables[child].kin.parents.len();
            tables[child].kin.parents.push(parent);
            tables[place].kin.children.push((child, number));
        }
    }
    for generation in generations(tables) {
        for table in &generation {
            for parent in &mut tables[*table].kin.parents {
                parent.inner = generation.contains(&parent.table);
            }
        }
    }
    Ok(())
}

/// The tables, parents before their children; those that refer to each other together.
pub(super) fn generations(tables: &[SharedTable]) -> Vec<Vec<usize>> {
    let ancestors = |table: usize| {
        let (mut known, mut at) = (vec![table], 0);
        while let Some(next) = known.get(at).copied() {
            at += 1;
            for parent in &tables[next].kin.parents {
                if !known.contains(&parent.table) {
                    known.push(parent.table);
                }
            }
        }
        known.sort_unstable();
        known
    };
    // Who refers to a table has all of its ancestors, and more; unless each refers to the other.
    let mut all: Vec<(Vec<usize>, usize)> = (0..tables.len()).map(|table| (ancestors(table), table)).collect();
    all.sort_by(|one, other| (one.0.len(), one).cmp(&(other.0.len(), other)));
    let groups = all.chunk_by(|one, other| one.0 == other.0);
    groups.map(|group| group.iter().map(|(_, table)| *table).collect()).collect()
}

/// A foreign key made ready; `None` where it refers by a generated column, of which rows here know nothing.
fn parent(
    c: &Connection,
    view: &View,
    table: usize,
    fk: &ForeignKey,
    [child, parent]: [&Details; 2],
) -> rusqlite::Result<Option<Parent>> {
    let place = |name: &String| view.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    let Some(columns) = fk.columns.iter().map(place).collect::<Option<Vec<_>>>() else { return Ok(None) };
    let key = list("c.", view.key.iter().map(|at| view.columns[*at].name.as_str()));
    let under = view.key.iter().enumerate();
    let under: Vec<String> =
        under.map(|(n, at)| format!("c.{} = ?{}", quote(&view.columns[*at].name), n + 1)).collect();
    let (of, missing) = (quote(&view.table), condition(fk));
    let meets = fk.parent_columns.iter().enumerate().map(|(n, name)| format!("{} = ?{}", quote(name), n + 1));
    let by_key = is_set(&fk.parent_columns, &parent.table.key);
    let of_key = |(child, referred): (&String, &String)| {
        let n = parent.table.key.iter().position(|name| name.eq_ignore_ascii_case(referred)).unwrap_or(0);
        format!("c.{} = ?{}", quote(child), n + 1)
    };
    let children = (by_key && alike(child, parent, fk) && indexed(c, child, &fk.columns)?).then(|| {
        let refers: Vec<String> = fk.columns.iter().zip(&fk.parent_columns).map(of_key).collect();
        format!("SELECT {key} FROM {of} c WHERE {}", refers.join(" AND "))
    });
    Ok(Some(Parent {
        table,
        columns,
        inner: false,
        by_key,
        parent: format!("SELECT 1 FROM {} WHERE {}", quote(&fk.parent), meets.collect::<Vec<_>>().join(" AND ")),
        orphan: format!("SELECT 1 FROM {of} c WHERE {} AND {missing}", under.join(" AND ")),
        orphans: format!("SELECT {key} FROM {of} c WHERE {missing}"),
        children,
    }))
}

/// Whether the child's columns compare as the parent's do: then a child is found by its parent's values.
fn alike(child: &Details, parent: &Details, fk: &ForeignKey) -> bool {
    fk.columns.iter().zip(&fk.parent_columns).all(|(ours, theirs)| {
        let (Some(ours), Some(theirs)) = (child.table.column(ours), parent.table.column(theirs)) else { return false };
        ours.collation.eq_ignore_ascii_case(&theirs.collation) && affinity(&ours.declared) == affinity(&theirs.declared)
    })
}

/// Whether an index leads to rows by these columns.
fn indexed(c: &Connection, of: &Details, columns: &[String]) -> rusqlite::Result<bool> {
    if of.key_is_row_number && is_set(columns, &of.table.key) {
        return Ok(true);
    }
    let names: Vec<String> = c
        .prepare_cached("SELECT name FROM pragma_index_list(?1) WHERE NOT partial")?
        .query_map([&of.table.name], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        let terms: Vec<Option<String>> = c
            .prepare_cached("SELECT name FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno LIMIT ?2")?
            .query_map((name, columns.len()), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if terms.into_iter().collect::<Option<Vec<_>>>().is_some_and(|terms| is_set(&terms, columns)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keys that a statement finds.
fn keys(c: &Connection, sql: &str, of: Option<&Key>, parts: usize) -> rusqlite::Result<Vec<Key>> {
    let mut statement = c.prepare_cached(sql)?;
    if let Some(of) = of {
        bind(&mut statement, 1, of.raw())?;
    }
    let (mut rows, mut found, mut builder) = (statement.raw_query(), Vec::new(), RowBuilder::default());
    while let Some(row) = rows.next()? {
        for part in 0..parts {
            builder.push(&crate::types::column(row, part)?);
        }
        found.push(builder.take());
    }
    Ok(found)
}

impl SharedTable {
    /// Whether a row refers to a row of an earlier generation that is not shown.
    pub(super) fn is_no_candidate(&self, c: &Connection, row: &Row) -> rusqlite::Result<bool> {
        for parent in self.kin.parents.iter().filter(|parent| !parent.inner) {
            let values = row.pick(&parent.columns);
            if values.values().any(|value| value == Value::Null) {
                continue;
            }
            let mut statement = c.prepare_cached(&parent.parent)?;
            bind(&mut statement, 1, values.raw())?;
            if statement.raw_query().next()?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of some rows whose parent is not there.
    fn orphans(&self, c: &Connection, suspects: &[Key], all: bool) -> rusqlite::Result<Vec<Key>> {
        let mut found = Vec::new();
        for parent in &self.kin.parents {
            if all {
                found.extend(keys(c, &parent.orphans, None, self.view.key.len())?);
                continue;
            }
            let mut statement = c.prepare_cached(&parent.orphan)?;
            for key in suspects {
                bind(&mut statement, 1, key.raw())?;
                if statement.raw_query().next()?.is_some() {
                    found.push(key.clone());
                }
            }
        }
        Ok(found)
    }
}

impl Member {
    /// A row was there before, or not; it is shown now, or not.
    pub(super) fn moved(&mut self, table: usize, key: &Key, there: bool, shown: bool) {
        let kin = &mut self.tables[table].kin;
        if shown && !kin.parents.is_empty() {
            kin.suspects.push(key.clone());
        }
        if !kin.children.is_empty() {
            kin.came |= shown;
            kin.changed |= there && shown;
            if there && !shown {
                kin.gone.push(key.clone());
            }
        }
    }

    /// Sets aside who refers to rows that are not there, and who refers to them in turn. `sealed`: the log is sealed to
    /// its end; where it is not, a row that was written since is left to its own sealing.
    pub(super) fn withdraw(&mut self, open: &Open, c: &Connection, sealed: bool) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let mut again = true;
        while again {
            again = false;
            for table in 0..self.tables.len() {
                self.suspect_children(c, table).map_err(sqlite)?;
            }
            for table in 0..self.tables.len() {
                let kin = &mut self.tables[table].kin;
                let (suspects, all) = (std::mem::take(&mut kin.suspects), std::mem::take(&mut kin.suspect));
                if suspects.is_empty() && !all {
                    continue;
                }
                for key in self.tables[table].orphans(c, &suspects, all).map_err(sqlite)? {
                    self.withdraw_one(open, c, table, &key, sealed)?;
                    again = true;
                }
            }
        }
        Ok(())
    }

    /// Rows of a table are gone: who refers to them is looked at.
    fn suspect_children(&mut self, c: &Connection, table: usize) -> rusqlite::Result<()> {
        let kin = &mut self.tables[table].kin;
        let (gone, changed) = (std::mem::take(&mut kin.gone), std::mem::take(&mut kin.changed));
        if gone.is_empty() && !changed {
            return Ok(());
        }
        for (child, number) in kin.children.clone() {
            let of = &mut self.tables[child];
            let parent = &of.kin.parents[number];
            match &parent.children {
                Some(sql) => {
                    for key in &gone {
                        of.kin.suspects.extend(keys(c, sql, Some(key), of.view.key.len())?);
                    }
                }
                None => of.kin.suspect |= !gone.is_empty() || !parent.by_key,
            }
        }
        Ok(())
    }

    fn withdraw_one(&mut self, open: &Open, c: &Connection, table: usize, key: &Key, sealed: bool) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let of = &self.tables[table];
        let Some(row) = of.row(c, key).map_err(sqlite)? else { return Ok(()) };
        let stored = seal::stored(c, of.tab, key).map_err(sqlite)?;
        if stored.and_then(|stored| stored.hash) != Some(row.hash().0) {
            return if sealed { Err(self.unsealed(table)) } else { Ok(()) };
        }
        of.writer.delete(c, key).map_err(sqlite)?;
        parked::keep(c, of.tab, key, &row, &orphan()).map_err(sqlite)?;
        self.tables[table].touched = true;
        self.now_shown(c, table, key, Some(&row), None).map_err(sqlite)
    }

    /// Brings every table that was written to where its rows that stand aside have a reason to, parents first.
    pub(super) fn arrange(&mut self, open: &Open, c: &Connection) -> Result<()> {
        self.withdraw(open, c, true)?;
        for generation in 0..self.generations.len() {
            let tables = self.generations[generation].clone();
            self.arrange_generation(open, c, &tables)?;
        }
        if !self.catching_up {
            self.tables.iter_mut().for_each(|table| table.kin.came = false);
        }
        Ok(())
    }

    fn arrange_generation(&mut self, open: &Open, c: &Connection, tables: &[usize]) -> Result<()> {
        let sqlite = |e| open.explain(e);
        let parents = || tables.iter().flat_map(|table| &self.tables[*table].kin.parents);
        let came = !self.catching_up && parents().any(|parent| self.tables[parent.table].kin.came);
        let cyclic = parents().any(|parent| parent.inner);
        if !came && !tables.iter().any(|table| self.tables[*table].touched) {
            return Ok(());
        }
        let mut aside = false;
        for table in tables {
            aside |= parked::any(c, self.tables[*table].tab).map_err(sqlite)?;
        }
        if !aside {
            tables.iter().for_each(|table| self.tables[*table].touched = false);
            return Ok(());
        }
        if cyclic {
            // They have a claim, and are shown only together.
            let again = self.take_for_candidates(c, tables).map_err(sqlite)?;
            if !again {
                return Ok(());
            }
        }
        let mut shown = Vec::new();
        loop {
            let before = shown.len();
            for table in tables {
                let of = &self.tables[*table];
                let orphans = came || cyclic || of.kin.parents.is_empty();
                if parked::any(c, of.tab).map_err(sqlite)? {
                    self.arrange_once(open, c, *table, orphans, &mut shown)?;
                }
            }
            if shown.len() == before {
                break;
            }
        }
        self.withdraw(open, c, true)?;
        tables.iter().for_each(|table| self.tables[*table].touched = false);
        for (table, key, state) in shown {
            let of = &self.tables[table];
            if parked::row(c, of.tab, &key).map_err(sqlite)?.is_none() {
                journal::end_parked(c, &of.view.table, &key, &state, open.env.clock.now_ms()).map_err(sqlite)?;
            }
        }
        Ok(())
    }

    /// The orphans of a cycle are candidates like any other. False where that has to wait for what is still to come.
    fn take_for_candidates(&self, c: &Connection, tables: &[usize]) -> rusqlite::Result<bool> {
        for table in tables {
            let tab = self.tables[*table].tab;
            if self.catching_up && parked::any_orphan(c, tab)? {
                return Ok(false);
            }
            parked::take_for_candidates(c, tab)?;
        }
        Ok(true)
    }
}

/// Why an orphan stands aside.
pub(super) fn orphan() -> Refused {
    Refused::Orphan("a row that it refers to is not there".to_owned())
}

/// Refuses tables with orphans, before they are first shared: those rows would vanish unasked.
pub(super) fn refuse_standing(c: &Connection, shown: &str, shared: &[Shared]) -> rusqlite::Result<Result<()>> {
    let known = meta::has_table(c, "_tidewater_shared")?;
    for table in shared.iter().filter(|shared| shared.policy.orphans == Orphans::Park) {
        let name = &table.view.table;
        let stored: Option<Vec<u8>> = match known {
            true => c
                .query_row("SELECT rules FROM _tidewater_shared WHERE name = ?1 COLLATE NOCASE", [name], |r| r.get(0))
                .optional()?,
            false => None,
        };
        let words = stored.and_then(|bytes| super::join::unpacked(&bytes).ok());
        if words.is_some_and(|words| Policy::parks(&words)) {
            continue;
        }
        let orphans = standing(c, &table.view, shared)?;
        if orphans > 0 {
            return Ok(Err(stand_there(shown, name, orphans)));
        }
    }
    Ok(Ok(()))
}

/// How many rows of a table refer to rows of shared tables that are not there.
fn standing(c: &Connection, view: &View, shared: &[Shared]) -> rusqlite::Result<u64> {
    let Some(details) = schema::details(c, &view.table)? else { return Ok(0) };
    let mut conditions = Vec::new();
    for fk in &details.table.foreign_keys {
        let carried = shared.iter().any(|other| other.view.table.eq_ignore_ascii_case(&fk.parent));
        let plain = |name: &String| view.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        if !(carried || meta::is_shared(c, &fk.parent)?) || !fk.columns.iter().all(plain) {
            continue;
        }
        if schema::details(c, &fk.parent)?.is_none() {
            let refers = fk.columns.iter().map(|column| format!("c.{} IS NOT NULL", quote(column)));
            conditions.push(refers.collect::<Vec<_>>().join(" AND "));
        } else if let Some(fk) = resolved(c, fk)? {
            conditions.push(condition(&fk));
        }
    }
    if conditions.is_empty() {
        return Ok(0);
    }
    let sql = format!("SELECT count(*) FROM {} c WHERE ({})", quote(&view.table), conditions.join(") OR ("));
    c.query_row(&sql, [], |row| row.get(0))
}

fn stand_there(shown: &str, table: &str, orphans: u64) -> Error {
    let rows = if orphans == 1 { "row of it refers" } else { "rows of it refer" };
    let what = format!("{shown}: {table} has orphans: {orphans} {rows} to rows that are not there");
    Error::new(Kind::Conflict, code::ORPHANS, what)
        .meaning("Both ways, a row whose foreign key leads to no row stands aside on all sides. Nothing was written.")
        .remedy(format!(
            "Repair them; `PRAGMA foreign_key_check({})` lists them. Or write orphans = \"keep\" for this table in \
             the configuration: then they stay, and its foreign keys are not looked at.",
            quote(table)
        ))
}
