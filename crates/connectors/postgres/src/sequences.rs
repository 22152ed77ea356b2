//! Sequences that give columns their values: what they gave at a source, and moving them on at a target, so that who goes
//! over to the target is given no value that a row has already. Never back. Tests: `tests/it/links/sequences.rs`.

use crate::schema::{cell, regclass};
use crate::session::Session;
use crate::sql::table as quoted_table;
use crate::wire::{quoted_name, quoted_text};
use tidewater_core::capture::Counter;
use tidewater_core::change::{Mapping, View};
use tidewater_core::{Error, Result};

/// A sequence that a column's values come from.
struct Sequence {
    table: usize,
    column: usize,
    /// As SQL names it.
    name: String,
    /// The last value it gave, where that may be read; `None` where it gave none.
    last: Option<i64>,
    start: i64,
    increment: i64,
    least: i64,
    greatest: i64,
    may_read: bool,
    may_set: bool,
}

/// What the sequences of a source gave last.
pub(crate) async fn counters(session: &mut Session, mappings: &[Mapping]) -> Result<Vec<Counter>> {
    let views: Vec<&View> = mappings.iter().map(|mapping| &mapping.source).collect();
    let counter = |found: Sequence| Some(Counter { table: found.table, column: found.column, last: found.last? });
    Ok(sequences(session, &views).await?.into_iter().filter_map(counter).collect())
}

/// Moves the sequences of a target on: to what the source's gave last, and to the last key there is. Says which could not
/// be, with the statement.
pub(crate) async fn advance(session: &mut Session, mappings: &[Mapping], counters: &[Counter]) -> Result<Vec<String>> {
    let views: Vec<&View> = mappings.iter().map(|mapping| &mapping.target).collect();
    let mut said = Vec::new();
    for found in sequences(session, &views).await? {
        let view = views[found.table];
        let mut known: Vec<i64> = counters
            .iter()
            .filter(|counter| (counter.table, counter.column) == (found.table, found.column))
            .map(|counter| counter.last)
            .collect();
        // Of a column that begins the key, there is an index.
        if view.key.first() == Some(&found.column) {
            known.extend(last_key(session, view, found.increment).await?);
        }
        let wanted = if found.increment > 0 { known.into_iter().max() } else { known.into_iter().min() };
        let Some(wanted) = wanted.map(|wanted| wanted.clamp(found.least, found.greatest)) else { continue };
        let stands = if found.increment > 0 {
            found.last >= Some(wanted)
        } else {
            found.last.is_some_and(|last| last <= wanted)
        };
        let not_begun =
            found.last.is_none() && wanted.saturating_sub(found.start).signum() * found.increment.signum() < 0;
        if stands || not_begun {
            continue;
        }
        let set = format!("SELECT setval({}, {wanted});", quoted_text(&found.name));
        if found.may_set && found.may_read {
            session.query(&format!("SELECT pg_catalog.setval({}, {wanted})", quoted_text(&found.name))).await?;
            continue;
        }
        said.push(format!(
            "{}: the sequence {} may give values that rows have already, and this user may not move it on. Before programs \
             write there: {set} Or: GRANT SELECT, UPDATE ON SEQUENCE {} TO …;",
            session.shown, found.name, found.name
        ));
    }
    Ok(said)
}

/// The last key of a table in the direction in which its sequence counts.
async fn last_key(session: &mut Session, view: &View, increment: i64) -> Result<Option<i64>> {
    let Some(column) = view.key.first().map(|at| &view.columns[*at].name) else { return Ok(None) };
    let (name, table) = (quoted_name(column), quoted_table(&view.table));
    let last = if increment > 0 { "max" } else { "min" };
    let rows = session.query(&format!("SELECT {last}({name})::text FROM {table}")).await?;
    // What is no whole number is no value of a sequence.
    Ok(rows.rows.first().and_then(|row| row[0].as_deref()?.parse().ok()))
}

/// The sequences from which columns of these tables have their values: identity columns, serial ones, and defaults that
/// name one.
async fn sequences(session: &mut Session, views: &[&View]) -> Result<Vec<Sequence>> {
    let tables: Vec<String> =
        views.iter().map(|view| format!("pg_catalog.to_regclass({})::oid", regclass(&view.table))).collect();
    let sql = format!(
        "SELECT x.at - 1, a.attname, q.oid::regclass::text, \
         CASE WHEN pg_catalog.has_sequence_privilege(q.oid, 'USAGE, SELECT') THEN pg_catalog.pg_sequence_last_value(q.oid) END, \
         s.seqstart, s.seqincrement, s.seqmin, s.seqmax, pg_catalog.has_sequence_privilege(q.oid, 'USAGE, SELECT'), \
         pg_catalog.has_sequence_privilege(q.oid, 'UPDATE') \
         FROM (SELECT t.at, d.refobjsubid AS num, d.objid AS seq FROM unnest(ARRAY[{tables}]) WITH ORDINALITY t(oid, at) \
         JOIN pg_catalog.pg_depend d ON d.refobjid = t.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass \
         AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') \
         UNION SELECT t.at, f.adnum, d.refobjid FROM unnest(ARRAY[{tables}]) WITH ORDINALITY t(oid, at) \
         JOIN pg_catalog.pg_attrdef f ON f.adrelid = t.oid JOIN pg_catalog.pg_depend d ON d.objid = f.oid \
         AND d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass) x \
         JOIN pg_catalog.pg_sequence s ON s.seqrelid = x.seq JOIN pg_catalog.pg_class q ON q.oid = s.seqrelid \
         JOIN pg_catalog.pg_attribute a ON a.attnum = x.num AND a.attrelid = (ARRAY[{tables}])[x.at] ORDER BY 3, 1, 2",
        tables = tables.join(", ")
    );
    let mut found = Vec::new();
    for row in session.query(&sql).await?.rows {
        let table: usize = cell(&row, 0)?.parse().map_err(|_| Error::internal("a place that is no number"))?;
        let Some(column) =
            views[table].columns.iter().position(|column| Some(column.name.as_str()) == row[1].as_deref())
        else {
            continue;
        };
        let number =
            |at: usize| cell(&row, at)?.parse::<i64>().map_err(|_| Error::internal("a sequence's number that is none"));
        found.push(Sequence {
            table,
            column,
            name: cell(&row, 2)?.to_owned(),
            last: row[3].as_deref().and_then(|last| last.parse().ok()),
            start: number(4)?,
            increment: number(5)?,
            least: number(6)?,
            greatest: number(7)?,
            may_read: cell(&row, 8)? == "t",
            may_set: cell(&row, 9)? == "t",
        });
    }
    Ok(found)
}
