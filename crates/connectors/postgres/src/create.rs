//! Making the target fit: tables that are missing, columns that came later. What cannot be made to fit without a
//! decision is said, with the DDL that would mend it.

use crate::ddl::{self, When};
use crate::meta::texts;
use crate::schema::{Details, cell, has_table, regclass};
use crate::session::Session;
use crate::sql::{list, table as quoted_table};
use crate::text::Carried;
use crate::wire::{quoted_name, quoted_text};
use std::collections::BTreeMap;
use tidewater_core::Result;
use tidewater_core::apply::Prepared;
use tidewater_core::change::{Column, ColumnKind, Deletes, Identity, Mapping, Table};

/// How one table fits.
enum Fit {
    Yes,
    Missing,
    Add(Vec<(String, String)>),
    No(String),
}

/// Says how the mapped tables fit; with `create`, makes what is missing. `followed` are the tables that the link
/// carries already, with the columns that it carried the last time.
pub(crate) async fn prepare(
    session: &mut Session,
    there: &BTreeMap<String, Details>,
    (mappings, tables): (&[Mapping], &[Table]),
    followed: &BTreeMap<String, Vec<String>>,
    create: bool,
) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    let carried: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let mut later = Vec::new();
    for (at, (mapping, table)) in mappings.iter().zip(tables).enumerate() {
        match fit(mapping, table, there.get(&mapping.target.table), followed.get(&table.name)) {
            Fit::Yes => {}
            Fit::No(why) => {
                prepared.unfit.insert(at, why);
            }
            Fit::Missing => {
                prepared.created.push(mapping.target.table.clone());
                let statements = ddl::definition(mapping, table, &carried);
                let (last, first): (Vec<String>, Vec<String>) =
                    statements.into_iter().partition(|statement| When::of(statement) == When::Last);
                later.extend(last);
                let is_parent = tables.iter().any(|t| t.foreign_keys.iter().any(|fk| fk.parent == table.name));
                if create {
                    make(session, mapping, first, is_parent).await?;
                }
            }
            Fit::Add(columns) => {
                for (name, statement) in columns {
                    prepared.added.push((mapping.target.table.clone(), name));
                    if create {
                        session.query(&statement).await?;
                    }
                }
            }
        }
    }
    if create {
        for statement in later {
            session.query(&statement).await?;
        }
    }
    Ok(prepared)
}

/// Makes a table. Its keys and indexes come when it is filled, unless the key is needed before.
async fn make(session: &mut Session, mapping: &Mapping, statements: Vec<String>, is_parent: bool) -> Result<()> {
    let waits = |statement: &String| !is_parent && When::of(statement) == When::Filled;
    let (later, mut now): (Vec<String>, Vec<String>) = statements.into_iter().partition(waits);
    let key = texts(mapping.target.key.iter().map(|at| mapping.target.columns[*at].name.as_str()));
    let table = quoted_text(&mapping.target.table);
    now.push(format!("DELETE FROM tidewater.later WHERE target = {table}"));
    for (number, statement) in later.iter().enumerate() {
        let statement = quoted_text(statement);
        now.push(format!("INSERT INTO tidewater.later VALUES ({table}, {number}, {statement}, {key})"));
    }
    session.query(&format!("BEGIN; {}; COMMIT", now.join("; "))).await.map(|_| ())
}

/// Carries out what waited until a table was filled; each statement once.
pub(crate) async fn complete(session: &mut Session, target: &str) -> Result<()> {
    if !has_table(session, "later").await? {
        return Ok(());
    }
    let table = quoted_text(target);
    let sql = format!("SELECT number, statement FROM tidewater.later WHERE target = {table} ORDER BY number");
    for row in session.query(&sql).await?.rows {
        let (number, statement) = (cell(&row, 0)?, cell(&row, 1)?);
        session
            .query(&format!(
                "BEGIN; {statement}; DELETE FROM tidewater.later WHERE target = {table} AND number = {number}; COMMIT"
            ))
            .await?;
    }
    Ok(())
}

/// The same for all tables that are there: nobody else will.
pub(crate) async fn complete_all(session: &mut Session) -> Result<()> {
    if !has_table(session, "later").await? {
        return Ok(());
    }
    for row in session.query("SELECT DISTINCT target FROM tidewater.later").await?.rows {
        let target = cell(&row, 0)?;
        let sql = format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", regclass(target));
        if session.query(&sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")) {
            complete(session, target).await?;
        }
    }
    Ok(())
}

fn fit(mapping: &Mapping, table: &Table, there: Option<&Details>, followed: Option<&Vec<String>>) -> Fit {
    let name = &mapping.target.table;
    if mapping.identity == Identity::RowNumber {
        return Fit::No(format!(
            "{} has no primary key, and its row numbers mean nothing in another kind of database. Give it a primary \
             key at the source, or leave it out with --tables '!{}'",
            table.name, table.name
        ));
    }
    if let Some(column) = foreign_order(mapping) {
        return Fit::No(format!(
            "the key column {column} of {} compares without regard to case at the source, and with it here: the two \
             would not agree on which rows are the same",
            table.name
        ));
    }
    let Some(there) = there else { return Fit::Missing };
    if let Some(why) = key_differs(mapping, there).or_else(|| types_differ(mapping, table, there)) {
        return Fit::No(why);
    }
    let missing: Vec<(&str, &str)> = mapping
        .source
        .columns
        .iter()
        .zip(&mapping.target.columns)
        .filter(|(_, target)| there.table.column(&target.name).is_none_or(|column| column.generated))
        .map(|(source, target)| (source.name.as_str(), target.name.as_str()))
        .collect();
    if let Some(why) = gone(mapping, table, there, followed, &missing) {
        return Fit::No(why);
    }
    if let Some(column) = demanding(mapping, there) {
        return Fit::No(format!(
            "column {column} is only at the target, refuses NULL and has no default: no row could be added"
        ));
    }
    if let Deletes::Mark { column, .. } = &mapping.deletes
        && there.table.column(column).is_none()
    {
        return Fit::No(format!(
            "deletes are to be marked in {column}, which is not there. To mend it at the target:\n\
             \x20 ALTER TABLE {} ADD COLUMN {} text;",
            quoted_table(name),
            quoted_name(column)
        ));
    }
    if missing.is_empty() { Fit::Yes } else { added(mapping, table, &missing, followed.is_some()) }
}

/// Columns that were carried and that the source has no more, with what would mend that.
fn gone(
    mapping: &Mapping,
    table: &Table,
    there: &Details,
    followed: Option<&Vec<String>>,
    missing: &[(&str, &str)],
) -> Option<String> {
    let is_gone = |name: &&String| table.column(name).is_none() && there.table.column(name).is_some();
    let gone: Vec<&String> = followed.into_iter().flatten().filter(is_gone).collect();
    let name = quoted_table(&mapping.target.table);
    match (&gone[..], missing) {
        ([], _) => None,
        ([old], [(_, new)]) => Some(format!(
            "the source renamed {old} to {new}, or dropped one and added the other. To mend it at the target:\n\
             \x20 ALTER TABLE {name} RENAME COLUMN {} TO {};",
            quoted_name(old),
            quoted_name(new)
        )),
        _ => {
            let ddl: Vec<String> = gone
                .iter()
                .map(|column| format!("  ALTER TABLE {name} DROP COLUMN {};", quoted_name(column)))
                .collect();
            Some(format!("the source dropped columns. To mend it at the target:\n{}", ddl.join("\n")))
        }
    }
}

/// Adds columns to a table that is followed already; of any other, says what is missing.
fn added(mapping: &Mapping, table: &Table, missing: &[(&str, &str)], followed: bool) -> Fit {
    let own = !table.statements.is_empty();
    let mut statements = Vec::new();
    for (source, target) in missing {
        let Some(column) = table.column(source) else { continue };
        let declared = if own { column.declared.as_str() } else { ddl::declared_here(column) };
        let default = column.default.as_ref().filter(|_| column.not_null);
        let default = default.map_or(String::new(), |default| format!(" DEFAULT {default} NOT NULL"));
        let name = quoted_table(&mapping.target.table);
        statements.push((
            (*target).to_owned(),
            format!("ALTER TABLE {name} ADD COLUMN {} {declared}{default}", quoted_name(target)),
        ));
    }
    if followed {
        return Fit::Add(statements);
    }
    let ddl: Vec<&str> = statements.iter().map(|(_, statement)| statement.as_str()).collect();
    Fit::No(format!("columns are missing at the target. To mend it there:\n  {};", ddl.join(";\n  ")))
}

/// A key column that the source compares otherwise than by all its bytes.
fn foreign_order(mapping: &Mapping) -> Option<&str> {
    let columns = mapping.source.key.iter().map(|at| &mapping.source.columns[*at]);
    columns
        .into_iter()
        .find(|column| !column.collation.eq_ignore_ascii_case("BINARY"))
        .map(|column| column.name.as_str())
}

/// Why rows could not be found again by their key at the target.
fn key_differs(mapping: &Mapping, there: &Details) -> Option<String> {
    let name = &mapping.target.table;
    let keys: Vec<&str> = mapping.target.key.iter().map(|at| mapping.target.columns[*at].name.as_str()).collect();
    let same_set =
        |columns: &[String]| columns.len() == keys.len() && keys.iter().all(|key| columns.iter().any(|c| c == key));
    if same_set(&there.table.key) || there.table.unique.iter().any(|unique| same_set(&unique.columns)) {
        return None;
    }
    Some(format!(
        "nothing makes ({}) unique at the target, so rows cannot be found again. To mend it there:\n\
         \x20 CREATE UNIQUE INDEX ON {} ({});",
        keys.join(", "),
        quoted_table(name),
        list("", keys.iter().copied())
    ))
}

/// Columns of the target that would change what is written into them, or take it in another form.
fn types_differ(mapping: &Mapping, table: &Table, there: &Details) -> Option<String> {
    for (source, target) in mapping.source.columns.iter().zip(&mapping.target.columns) {
        let (Some(from), Some(to)) = (table.column(&source.name), there.table.column(&target.name)) else { continue };
        if fits(from, to, !table.statements.is_empty()) {
            continue;
        }
        return Some(format!(
            "column {} is {} at the source and {} at the target, which would change values. To mend it, change the \
             target's column, or drop the table there and let it be created again:\n  DROP TABLE {};",
            target.name,
            if from.declared.is_empty() { "of no type" } else { &from.declared },
            to.declared,
            quoted_table(&mapping.target.table)
        ));
    }
    None
}

/// Whether whatever stands in one column can stand in the other and look the same there. What is only wider fits; a
/// single value that does not is held by itself.
fn fits(from: &Column, to: &Column, is_same_kind: bool) -> bool {
    let narrow = |kind: ColumnKind| match kind {
        ColumnKind::Integer(bytes) | ColumnKind::Float(bytes) => bytes,
        _ => 0,
    };
    let form = |kind: ColumnKind| match Carried::of(kind) {
        Carried::Single => Carried::Float,
        other => other,
    };
    // Another kind of database has one size for all numbers: there, single values decide.
    let same_form = form(from.kind) == form(to.kind) && (!is_same_kind || narrow(from.kind) <= narrow(to.kind));
    // Empty or mixed columns of a database without strict types are taken for text; single values decide.
    let is_text = |kind: ColumnKind| Carried::of(kind) == Carried::Text;
    same_form
        && (from.kind == to.kind || !is_text(from.kind) || to.kind == ColumnKind::Text || from.kind == ColumnKind::Text)
}

/// A column that only the target has, and that refuses rows which do not fill it.
fn demanding<'d>(mapping: &Mapping, there: &'d Details) -> Option<&'d str> {
    let carried = |name: &str| mapping.target.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    let mut extra = there.table.columns.iter().filter(|column| !column.generated && !carried(&column.name));
    extra.find(|column| column.not_null && column.default.is_none()).map(|column| column.name.as_str())
}
