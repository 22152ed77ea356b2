//! Making the target fit: tables that are missing, columns that came later, protection against other writers.
//! What cannot be made to fit without a decision is said, with the DDL that would mend it.

use crate::apply::TableWriter;
use crate::connection::Open;
use crate::kinds;
use crate::meta;
use crate::own_ddl;
use crate::schema::{self, Details};
use crate::sql::{list, literal, quote, tokens};
use crate::target::State;
use crate::teardown::protection_names;
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;
use tidewater_core::Result;
use tidewater_core::apply::{Prepared, Writer};
use tidewater_core::change::{Column, Deletes, ForeignKey, Identity, Mapping, Table};

/// Says how the mapped tables fit; with `create`, makes what is missing.
pub(crate) fn prepare(state: &mut State, mappings: Arc<[Mapping]>, tables: &[Table], create: bool) -> Result<Prepared> {
    let open = &state.open;
    // Without statements of its own a table comes from another kind of database.
    let here = |table: &Table| if table.statements.is_empty() { kinds::declared_here(table) } else { table.clone() };
    let tables: &[Table] = &tables.iter().map(here).collect::<Vec<_>>();
    let sqlite = |e| open.explain(e);
    if create {
        write_ahead_if_new(open)?;
        if let Some(days) = state.writer.as_ref().and_then(|writer| writer.journal_keep_days) {
            crate::undo::forget(open, days)?;
        }
    }
    let fit = |c: &Connection| fit(c, state.writer.as_ref(), &mappings, tables, create).map_err(sqlite);
    let make = |c: &Connection| {
        let before = meta::cookie(c).map_err(sqlite)?;
        state.refuse_renumbered(before, &mappings)?;
        Ok((fit(c)?, Some(own_ddl::known(c, before).map_err(sqlite)?)))
    };
    let ((prepared, writers), seen) = if create { open.write(make)? } else { (open.read(fit)?, state.seen) };
    let mode: String = open.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(sqlite)?;
    state.write_ahead = mode == "wal";
    state.seen = seen;
    state.dangling.clear();
    state.tables = writers;
    state.mappings = mappings;
    Ok(prepared)
}

/// A file of our own making has a write-ahead log: readers and the engine do not block each other then.
pub(crate) fn write_ahead_if_new(open: &Open) -> Result<()> {
    let sqlite = |e| open.explain(e);
    if meta::cookie(&open.connection).map_err(sqlite)? == 0 {
        open.connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    }
    Ok(())
}

/// Says how the mapped tables fit, and what writing them needs to know; with `create`, makes what is missing.
pub(crate) fn fit(
    c: &Connection,
    writer: Option<&Writer>,
    mappings: &[Mapping],
    tables: &[Table],
    create: bool,
) -> rusqlite::Result<(Prepared, Vec<TableWriter>)> {
    Fitting { c, writer, create }.all(mappings, tables)
}

struct Fitting<'a> {
    c: &'a Connection,
    writer: Option<&'a Writer>,
    create: bool,
}

/// How one table fits.
enum Fit {
    Yes,
    Created,
    Added(Vec<String>),
    No(String),
}

impl Fitting<'_> {
    fn all(&self, mappings: &[Mapping], tables: &[Table]) -> rusqlite::Result<(Prepared, Vec<TableWriter>)> {
        let (mut prepared, mut writers) = (Prepared::default(), Vec::new());
        for (at, (mapping, table)) in mappings.iter().zip(tables).enumerate() {
            match self.one(mapping, table)? {
                Fit::Yes => {}
                Fit::Created => prepared.created.push(mapping.target.table.clone()),
                Fit::Added(columns) => {
                    prepared.added.extend(columns.into_iter().map(|c| (mapping.target.table.clone(), c)));
                }
                Fit::No(why) => {
                    prepared.unfit.insert(at, why);
                }
            }
            if self.create && !prepared.unfit.contains_key(&at) {
                self.protect(&mapping.target.table)?;
            }
        }
        for mapping in mappings {
            let details = schema::details(self.c, &mapping.target.table)?;
            let set_key = details.as_ref().is_none_or(|d| !d.key_is_row_number);
            let foreign_keys = match &details {
                Some(details) => self.foreign_keys(details)?,
                None => vec![],
            };
            writers.push(TableWriter::new(mapping, set_key, &foreign_keys));
        }
        Ok((prepared, writers))
    }

    fn one(&self, mapping: &Mapping, table: &Table) -> rusqlite::Result<Fit> {
        let name = &mapping.target.table;
        let kind: Option<String> = self
            .c
            .prepare_cached("SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        match kind.as_deref() {
            None => {
                if self.create {
                    for statement in definition(mapping, table) {
                        self.c.execute_batch(&statement)?;
                    }
                }
                Ok(Fit::Created)
            }
            Some("table") => match schema::details(self.c, name)? {
                Some(there) => self.compare(mapping, table, &there),
                None => Ok(Fit::No(format!(
                    "{name} cannot be written: its rows cannot be told apart, or it cannot be read"
                ))),
            },
            Some(other) => Ok(Fit::No(format!("{name} is a {other} at the target, not a table"))),
        }
    }

    /// How a table that is there fits its mapping.
    fn compare(&self, mapping: &Mapping, table: &Table, there: &Details) -> rusqlite::Result<Fit> {
        let name = quote(&mapping.target.table);
        if let Some(why) = key_differs(mapping, there) {
            return Ok(Fit::No(why));
        }
        let before = self.carried_before(&table.name)?;
        let pairs = || mapping.source.columns.iter().zip(&mapping.target.columns);
        let is_column = |c: &str| there.table.column(c).is_some_and(|c| !c.generated);
        let row_number = |at: usize| mapping.identity == Identity::RowNumber && mapping.target.key == [at];
        let missing: Vec<(&str, &str)> = pairs()
            .enumerate()
            .filter(|(at, (_, t))| !row_number(*at) && !is_column(&t.name))
            .map(|(_, (s, t))| (s.name.as_str(), t.name.as_str()))
            .collect();
        let gone: Vec<&String> = before
            .iter()
            .flatten()
            .filter(|old| table.column(old).is_none() && is_column(old) && !table.key.contains(old))
            .collect();
        if let ([old], [(_, new)]) = (&gone[..], &missing[..]) {
            return Ok(Fit::No(format!(
                "the source renamed {old} to {new}, or dropped one and added the other. To mend it at the target:\n\
                 \x20 ALTER TABLE {name} RENAME COLUMN {} TO {};",
                quote(old),
                quote(new)
            )));
        }
        if !gone.is_empty() {
            let mut ddl = self.indexes_on(&mapping.target.table, &gone)?;
            ddl.extend(gone.iter().map(|c| format!("  ALTER TABLE {name} DROP COLUMN {};", quote(c))));
            return Ok(Fit::No(format!("the source dropped columns. To mend it at the target:\n{}", ddl.join("\n"))));
        }
        if let Some(why) = types_differ(mapping, table, there).or_else(|| demands_more(mapping, there)) {
            return Ok(Fit::No(why));
        }
        if missing.is_empty() {
            return Ok(self.marked(mapping, there));
        }
        let followed = before.is_some() || meta::is_shared(self.c, &there.table.name)?;
        self.add(mapping, table, &missing, followed)
    }

    /// Drops the indexes that would keep columns from being dropped.
    fn indexes_on(&self, table: &str, columns: &[&String]) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.c.prepare(
            "SELECT DISTINCT l.name FROM pragma_index_list(?1) l, pragma_index_info(l.name) i \
             WHERE l.origin = 'c' AND i.name = ?2 COLLATE NOCASE",
        )?;
        let mut names: Vec<String> = Vec::new();
        for column in columns {
            let found = statement.query_map([table, column.as_str()], |row| row.get(0))?;
            names.extend(found.collect::<rusqlite::Result<Vec<String>>>()?);
        }
        names.sort();
        names.dedup();
        Ok(names.iter().map(|name| format!("  DROP INDEX {};", quote(name))).collect())
    }

    /// Adds columns to a table that is followed already; of any other, says what is missing.
    fn add(&self, mapping: &Mapping, table: &Table, missing: &[(&str, &str)], followed: bool) -> rusqlite::Result<Fit> {
        let name = quote(&mapping.target.table);
        let mut ddl = Vec::new();
        let mut addable = true;
        for (source, target) in missing {
            let Some(column) = table.column(source) else { continue };
            // SQLite adds no column that refuses NULL without a constant default, nor one with a computed default.
            let constant = column.default.as_deref().is_some_and(is_constant);
            addable &= constant || (!column.not_null && column.default.is_none());
            let addition = match constant {
                true => column.clone(),
                false => Column { not_null: false, default: None, ..column.clone() },
            };
            let references = if self.writer.is_none() { references(table, source) } else { String::new() };
            ddl.push(format!("ALTER TABLE {name} ADD COLUMN {}{references}", column_definition(&addition, target)));
        }
        if followed && addable {
            if self.create {
                for statement in &ddl {
                    self.c.execute_batch(statement)?;
                }
            }
            return Ok(Fit::Added(missing.iter().map(|(_, target)| (*target).to_owned()).collect()));
        }
        Ok(Fit::No(format!("columns are missing at the target. To mend it there:\n  {};", ddl.join(";\n  "))))
    }

    fn marked(&self, mapping: &Mapping, there: &Details) -> Fit {
        match &mapping.deletes {
            Deletes::Mark { column, .. } if there.table.column(column).is_none() => Fit::No(format!(
                "deletes are to be marked in {column}, which is not there. To mend it at the target:\n\
                 \x20 ALTER TABLE {} ADD COLUMN {} TEXT;",
                quote(&mapping.target.table),
                quote(column)
            )),
            _ => Fit::Yes,
        }
    }

    /// The columns carried the last time, by their names at the source; `None` for a table not yet followed.
    fn carried_before(&self, source: &str) -> rusqlite::Result<Option<Vec<String>>> {
        let Some(writer) = self.writer else { return Ok(None) };
        if !meta::has_table(self.c, "_tidewater_link_table")? {
            return Ok(None);
        }
        let stored: Option<Option<String>> = self
            .c
            .query_row(
                "SELECT columns FROM _tidewater_link_table WHERE link = ?1 AND name = ?2",
                [&writer.link, source],
                |row| row.get(0),
            )
            .optional()?;
        Ok(stored.flatten().map(|list| tokens(&list).iter().filter(|t| t.text != ",").map(|t| t.name()).collect()))
    }

    /// Foreign keys with the parent's columns spelled out.
    fn foreign_keys(&self, details: &Details) -> rusqlite::Result<Vec<ForeignKey>> {
        let mut keys = Vec::new();
        for mut fk in details.table.foreign_keys.clone() {
            let Some(parent) = schema::details(self.c, &fk.parent)? else { continue };
            if fk.parent_columns.len() != fk.columns.len() {
                fk.parent_columns = parent.table.key;
            }
            if fk.parent_columns.len() == fk.columns.len() {
                keys.push(fk);
            }
        }
        Ok(keys)
    }

    /// Keeps programs other than the engine from writing a replica, or lets them again. Our own connection runs
    /// no triggers.
    fn protect(&self, table: &str) -> rusqlite::Result<()> {
        let Some(writer) = self.writer else { return Ok(()) };
        let Some(protect) = writer.protect else { return Ok(()) };
        for (name, event) in protection_names(table).iter().zip(["INSERT", "UPDATE", "DELETE"]) {
            let text = format!("{table} is a protected replica of {}: write there", writer.source);
            let wanted = protect.then(|| {
                let (name, table, text) = (quote(name), quote(table), literal(&text));
                format!("CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, {text}); END")
            });
            let there: Option<String> = self
                .c
                .query_row("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1", [name], |row| {
                    row.get(0)
                })
                .optional()?;
            // Only where it differs: every change of the schema is looked at by whoever reads this database.
            if there != wanted {
                self.c.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", quote(name)))?;
                self.c.execute_batch(&wanted.unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// Why rows could not be found again by their key at the target.
fn key_differs(mapping: &Mapping, there: &Details) -> Option<String> {
    let name = &mapping.target.table;
    if mapping.identity == Identity::RowNumber {
        let same = there.table.identity == Identity::RowNumber && there.table.key[0] == mapping.source.columns[0].name;
        return (!same).then(|| format!("{name} has no primary key at the source, but has one at the target"));
    }
    let keys: Vec<&str> = mapping.target.key.iter().map(|at| mapping.target.columns[*at].name.as_str()).collect();
    let same_set = |columns: &[String]| {
        columns.len() == keys.len() && keys.iter().all(|k| columns.iter().any(|c| c.eq_ignore_ascii_case(k)))
    };
    let primary = there.table.identity == Identity::PrimaryKey && same_set(&there.table.key);
    if !primary && !there.table.unique.iter().any(|u| same_set(&u.columns)) {
        let index = format!("{name}_key");
        return Some(format!(
            "nothing makes ({}) unique at the target, so rows cannot be found again. To mend it there:\n\
             \x20 CREATE UNIQUE INDEX {} ON {} ({});",
            keys.join(", "),
            quote(&index),
            quote(name),
            list("", keys.iter().copied())
        ));
    }
    for at in &mapping.target.key {
        let column = &mapping.target.columns[*at];
        let other = there.table.column(&column.name).map_or("BINARY", |c| c.collation.as_str());
        if primary && !other.eq_ignore_ascii_case(&column.collation) {
            return Some(format!(
                "the key {} compares by {} at the source and by {other} at the target: the two would not agree \
                 on which rows are the same",
                column.name, column.collation
            ));
        }
    }
    None
}

/// To what a column refers by itself. Replicas have the same foreign keys.
fn references(table: &Table, column: &str) -> String {
    let of = |fk: &&ForeignKey| matches!(&fk.columns[..], [only] if only.eq_ignore_ascii_case(column));
    let text = |fk: &ForeignKey| {
        let referred = fk.parent_columns.iter().map(String::as_str);
        let referred = if fk.parent_columns.is_empty() { String::new() } else { format!("({})", list("", referred)) };
        let (parent, on_delete, on_update) = (quote(&fk.parent), &fk.on_delete, &fk.on_update);
        format!(" REFERENCES {parent}{referred} ON DELETE {on_delete} ON UPDATE {on_update}")
    };
    table.foreign_keys.iter().filter(of).map(text).collect()
}

/// How a declared type changes what is stored in it (SQLite's rules of affinity).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    Text,
    Number,
    Real,
    None,
}

pub(crate) fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|w| declared.contains(w));
    if has(&["INT"]) {
        Affinity::Number
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if has(&["BLOB"]) || declared.is_empty() || declared == "ANY" {
        Affinity::None
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Number
    }
}

/// Columns of the target that would change what is written into them.
fn types_differ(mapping: &Mapping, table: &Table, there: &Details) -> Option<String> {
    for (source, target) in mapping.source.columns.iter().zip(&mapping.target.columns) {
        let (Some(from), Some(to)) = (table.column(&source.name), there.table.column(&target.name)) else { continue };
        let (a, b) = (affinity(&from.declared), affinity(&to.declared));
        if a != b && b != Affinity::None {
            return Some(format!(
                "column {} is {} at the source and {} at the target, which would change values. To mend it, rebuild \
                 the target's table, or drop it there and let it be created again:\n  DROP TABLE {};",
                target.name,
                if from.declared.is_empty() { "of no type" } else { &from.declared },
                to.declared,
                quote(&mapping.target.table)
            ));
        }
    }
    None
}

/// Columns that only the target has, and that refuse rows which do not fill them.
fn demands_more(mapping: &Mapping, there: &Details) -> Option<String> {
    let carried = |name: &str| mapping.target.columns.iter().any(|c| c.name.eq_ignore_ascii_case(name));
    let mut extra = there.table.columns.iter().filter(|c| !c.generated && !carried(&c.name));
    let demanding = extra.find(|c| c.not_null && c.default.is_none())?;
    Some(format!(
        "column {} is only at the target, refuses NULL and has no default: no row could be added",
        demanding.name
    ))
}

/// The statements that make a table.
fn definition(mapping: &Mapping, table: &Table) -> Vec<String> {
    if mapping.whole && mapping.target.table == table.name && !table.statements.is_empty() {
        return table.statements.clone();
    }
    let names: Vec<&str> = mapping.target.columns.iter().map(|c| c.name.as_str()).collect();
    let target_name = |source: &str| {
        let at = mapping.source.columns.iter().position(|c| c.name.eq_ignore_ascii_case(source));
        at.map(|at| names[at])
    };
    let single = mapping.target.key.len() == 1;
    let mut parts = Vec::new();
    for column in &table.columns {
        let at = mapping.source.columns.iter().position(|source| source.name.eq_ignore_ascii_case(&column.name));
        let Some(at) = at else { continue };
        let mut part = column_definition(column, names[at]);
        if single && mapping.target.key[0] == at && mapping.identity == Identity::PrimaryKey {
            part.push_str(" PRIMARY KEY");
        }
        parts.push(part);
    }
    if let Deletes::Mark { column, .. } = &mapping.deletes
        && !names.iter().any(|n| n.eq_ignore_ascii_case(column))
    {
        parts.push(format!("{} TEXT", quote(column)));
    }
    if !single && mapping.identity == Identity::PrimaryKey {
        parts.push(format!("PRIMARY KEY ({})", list("", mapping.target.key.iter().map(|at| names[*at]))));
    }
    for unique in &table.unique {
        if let Some(columns) = unique.columns.iter().map(|c| target_name(c)).collect::<Option<Vec<_>>>() {
            parts.push(format!("UNIQUE ({})", list("", columns)));
        }
    }
    vec![format!("CREATE TABLE {} ({})", quote(&mapping.target.table), parts.join(", "))]
}

/// Whether a default is a plain literal.
pub(crate) fn is_constant(default: &str) -> bool {
    let literal = default.starts_with(['\'', '"']) || default.parse::<f64>().is_ok();
    literal || ["true", "false"].iter().any(|word| default.eq_ignore_ascii_case(word))
}

fn column_definition(column: &Column, name: &str) -> String {
    let mut text = quote(name);
    if !column.declared.is_empty() {
        text.push(' ');
        text.push_str(&column.declared);
    }
    if column.collation != "BINARY" {
        text.push_str(&format!(" COLLATE {}", quote(&column.collation)));
    }
    if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT ({default})"));
    }
    if column.not_null {
        text.push_str(" NOT NULL");
    }
    text
}
