//! Whether a table is like that of the others, in what decides which rows are shown.

use super::orphans;
use crate::schema;
use rusqlite::Connection;
use tidewater_core::change::Table;
use tidewater_core::merge::Orphans;
use tidewater_core::replica::Shared;

/// Why replicas with this table and that of the others could not show the same rows, if they could not.
pub(super) fn differs(c: &Connection, shared: &Shared, theirs: &Table) -> rusqlite::Result<Option<String>> {
    let Some(details) = schema::details(c, &shared.view.table)? else { return Ok(None) };
    let ours = &details.table;
    let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>();
    if lower(&ours.key) != lower(&theirs.key) {
        return Ok(Some(format!(
            "its key is ({}) here and ({}) elsewhere; both ways, the columns and their order must be the same",
            ours.key.join(", "),
            theirs.key.join(", ")
        )));
    }
    let own = shared.own();
    let holds = |name: &str| own.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    // What a leaf does not hold it cannot hold to a constraint.
    let whole = |columns: &Vec<String>| columns.iter().all(|name| holds(name));
    let uniques = |table: &Table| {
        let mut all: Vec<Vec<String>> =
            table.unique.iter().map(|unique| lower(&unique.columns)).filter(whole).collect();
        all.iter_mut().for_each(|columns| columns.sort());
        all.sort();
        all
    };
    if uniques(ours) != uniques(theirs) {
        return Ok(Some(
            "its unique constraints are not the same on all sides, so that a row could be shown on one and not on \
             another; make the same ones everywhere"
                .to_owned(),
        ));
    }
    let parks = shared.policy.orphans == Orphans::Park && shared.part.is_none();
    if parks && references(c, ours, ours)? != references(c, theirs, ours)? {
        return Ok(Some(
            "its foreign keys are not the same on all sides, so that a row could be shown on one and not on another; \
             make the same ones everywhere, or write orphans = \"keep\" for this table in the configuration"
                .to_owned(),
        ));
    }
    for column in &theirs.columns {
        let Some(own) = ours.column(&column.name).filter(|_| holds(&column.name)) else { continue };
        if crate::create::affinity(&own.declared) != crate::create::affinity(&column.declared) {
            return Ok(Some(format!(
                "column {} is {} here and {} elsewhere, which would change values",
                column.name,
                if own.declared.is_empty() { "of no type" } else { &own.declared },
                if column.declared.is_empty() { "of no type" } else { &column.declared },
            )));
        }
    }
    Ok(None)
}

/// The tables that a table refers to, each with the columns that refer and those referred to; of columns that are here.
type References = Vec<(String, Vec<(String, String)>)>;

fn references(c: &Connection, of: &Table, here: &Table) -> rusqlite::Result<References> {
    let mut all = Vec::new();
    for fk in of.foreign_keys.iter().filter(|fk| fk.columns.iter().all(|name| here.column(name).is_some())) {
        let Some(fk) = orphans::resolved(c, fk)? else { continue };
        let referred =
            fk.parent_columns.iter().map(|name| name.to_ascii_lowercase()).chain(std::iter::repeat("".into()));
        let mut pairs: Vec<_> = fk.columns.iter().map(|name| name.to_ascii_lowercase()).zip(referred).collect();
        pairs.sort();
        all.push((fk.parent.to_ascii_lowercase(), pairs));
    }
    all.sort();
    all.dedup();
    Ok(all)
}
