//! Finding the rows that REPLACE deletes without telling anybody.
//!
//! `INSERT OR REPLACE`, `UPDATE OR REPLACE` and `ON CONFLICT REPLACE` clauses delete the rows that hold a unique
//! value, and fire no delete trigger for them. So before every insert and update the keys of the rows that hold
//! the new row's unique values are logged: whatever becomes of them, they are looked at again. A probe compares
//! as its index does: with its collation, its expressions and its WHERE clause.

use crate::schema::{Details, UniqueIndex};
use crate::sql::{index_parts, list, quote, tokens};

/// The condition that finds the rows which collide with NEW on one unique index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    /// SQL over the table's columns and `NEW`.
    pub(crate) condition: String,
    /// The columns it depends on; `None` where it may depend on any.
    pub(crate) columns: Option<Vec<String>>,
}

/// The probes of a table.
pub(crate) fn probes(details: &Details) -> Vec<Probe> {
    let mut probes: Vec<Probe> =
        details.indexes.iter().filter(|i| !i.primary).filter_map(|index| probe(details, index)).collect();
    if !details.without_rowid && !details.key_is_row_number {
        // A key of its own, and a row number beside it that REPLACE also keeps unique.
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|n| details.table.column(n).is_none());
        probes.extend(free.map(|name| Probe {
            condition: format!("{name} = NEW.{name}"),
            columns: Some(["rowid", "_rowid_", "oid"].map(str::to_owned).to_vec()),
        }));
    }
    probes
}

/// A probe for each unique index, the key's own among them; `None` for one that cannot be read.
pub(crate) fn of_indexes(details: &Details) -> Vec<Option<Probe>> {
    details.indexes.iter().map(|index| probe(details, index)).collect()
}

fn probe(details: &Details, index: &UniqueIndex) -> Option<Probe> {
    let (parts, clause) = match &index.sql {
        Some(sql) => index_parts(sql)?,
        None => (vec![], None),
    };
    let mut conditions = Vec::new();
    let mut columns: Option<Vec<String>> = Some(Vec::new());
    for (at, (column, collation)) in index.terms.iter().enumerate() {
        match column {
            Some(name) => {
                let generated = details.table.column(name).is_none_or(|c| c.generated);
                conditions.push(format!("{} COLLATE {} = NEW.{}", quote(name), quote(collation), quote(name)));
                // A generated column changes when others do, and no UPDATE ever names it.
                columns = if generated { None } else { columns.map(|c| [c, vec![name.clone()]].concat()) };
            }
            None => {
                let expression = parts.get(at)?;
                let mentioned = mentioned(details, expression);
                let of_new = of_new(&mentioned, expression);
                conditions.push(format!("({expression}) COLLATE {} = {of_new}", quote(collation)));
                columns = union(columns, details, mentioned);
            }
        }
    }
    if let Some(clause) = clause {
        let mentioned = mentioned(details, &clause);
        conditions.push(format!("({clause})"));
        conditions.push(of_new(&mentioned, &clause));
        columns = union(columns, details, mentioned);
    }
    Some(Probe { condition: conditions.join(" AND "), columns })
}

/// The columns whose names occur in an expression: at least those it depends on.
fn mentioned(details: &Details, expression: &str) -> Vec<String> {
    let words: Vec<String> = tokens(expression).iter().map(|t| t.name()).collect();
    let columns = details.table.columns.iter().map(|c| c.name.clone());
    columns.filter(|name| words.iter().any(|w| w.eq_ignore_ascii_case(name))).collect()
}

/// The value of an expression for the new row: its column names are bound to the new row's values.
fn of_new(mentioned: &[String], expression: &str) -> String {
    let bound: Vec<String> = mentioned.iter().map(|n| format!("NEW.{} AS {}", quote(n), quote(n))).collect();
    let from = if bound.is_empty() { String::new() } else { format!(" FROM (SELECT {})", bound.join(", ")) };
    format!("(SELECT ({expression}){from})")
}

fn union(columns: Option<Vec<String>>, details: &Details, more: Vec<String>) -> Option<Vec<String>> {
    let generated = more.iter().any(|name| details.table.column(name).is_none_or(|c| c.generated));
    if generated { None } else { columns.map(|c| [c, more].concat()) }
}

/// `OF a, b` where it is known on which columns the probes depend, and nothing where it is not.
pub(crate) fn of_columns(probes: &[Probe]) -> String {
    let known: Option<Vec<Vec<String>>> = probes.iter().map(|p| p.columns.clone()).collect();
    match known {
        Some(columns) => {
            let mut names = columns.concat();
            names.sort();
            names.dedup();
            if names.is_empty() { String::new() } else { format!(" OF {}", list("", names.iter().map(String::as_str))) }
        }
        None => String::new(),
    }
}
