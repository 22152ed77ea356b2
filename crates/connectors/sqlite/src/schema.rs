//! Looking at a database: which tables can be carried, and why others cannot.

use crate::kinds;
use crate::meta::{self, PREFIX};
use crate::sql::{list, quote};
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;
use tidewater_core::capture::{Feed, Survey};
use tidewater_core::change::{Column, ColumnKind, ForeignKey, Identity, Table, Unique, View};

/// The names under which SQLite shows the row number, unless a column has taken them.
const ROW_NUMBERS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// One unique index, as the probes need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UniqueIndex {
    /// The CREATE INDEX statement; `None` for constraints inside the table.
    pub(crate) sql: Option<String>,
    /// Its terms: the column (`None` for an expression) and the collation.
    pub(crate) terms: Vec<(Option<String>, String)>,
    /// Whether it is the primary key.
    pub(crate) primary: bool,
    /// Whether it has a WHERE clause.
    pub(crate) partial: bool,
}

/// What SQLite knows about a table beyond the core's [`Table`].
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) table: Table,
    pub(crate) indexes: Vec<UniqueIndex>,
    /// The key is the row number itself, by the column's name or without one.
    pub(crate) key_is_row_number: bool,
    pub(crate) without_rowid: bool,
}

impl Details {
    /// The key's column, where the row number is the key under a name of its own.
    pub(crate) fn named_row_number(&self) -> Option<&str> {
        let named = self.key_is_row_number && self.table.identity == Identity::PrimaryKey;
        if named { self.table.key.first().map(String::as_str) } else { None }
    }
}

/// Looks at everything.
pub(crate) fn survey(connection: &Connection, identity: &str) -> rusqlite::Result<Survey> {
    let mut survey = Survey { identity: identity.to_owned(), dialect: "sqlite", ..Survey::default() };
    let listed: Vec<(String, String, bool)> = connection
        .prepare("SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (name, kind, without_rowid) in listed {
        if name.starts_with("sqlite_") || name.starts_with(PREFIX) {
            continue;
        }
        match kind.as_str() {
            "table" => match describe(connection, &name, without_rowid)? {
                Ok(Details { mut table, .. }) => {
                    kinds::tell(connection, &mut table)?;
                    survey.tables.push(table);
                }
                Err(reason) => survey.skipped.push((name, reason)),
            },
            "view" => survey.skipped.push((name, "a view; its tables are carried".to_owned())),
            "shadow" => survey.skipped.push((name, "belongs to a virtual table".to_owned())),
            _ => survey.skipped.push((name, "a virtual table; list its triggers in run_triggers".to_owned())),
        }
    }
    let triggers = "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    let triggers = connection
        .prepare(triggers)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    survey.triggers = triggers.into_iter().filter(|(name, _)| !name.starts_with(PREFIX)).collect();
    if meta::has_table(connection, "_tidewater_link")? {
        survey.fed_by = connection
            .prepare("SELECT link, source, source_identity FROM _tidewater_link ORDER BY link")?
            .query_map([], |row| Ok(Feed { link: row.get(0)?, source: row.get(1)?, source_identity: row.get(2)? }))?
            .collect::<Result<_, _>>()?;
    }
    Ok(survey)
}

/// One table, or why it cannot be carried.
pub(crate) fn describe(
    connection: &Connection,
    name: &str,
    without_rowid: bool,
) -> rusqlite::Result<Result<Details, String>> {
    let (columns, key) = columns(connection, name)?;
    let indexes = unique_indexes(connection, name)?;
    let mut table = Table {
        name: name.to_owned(),
        columns,
        key,
        identity: Identity::PrimaryKey,
        unique: plain_uniques(&indexes),
        foreign_keys: foreign_keys(connection, name)?,
        statements: statements(connection, name)?,
    };
    for column in &mut table.columns {
        let primary = indexes.iter().find(|i| i.primary);
        let term = primary.and_then(|i| i.terms.iter().find(|(c, _)| c.as_deref() == Some(&column.name)));
        if let Some((_, collation)) = term {
            column.collation.clone_from(collation);
        }
    }
    let row_number_column = !without_rowid && !table.key.is_empty() && !indexes.iter().any(|i| i.primary);
    if table.key.is_empty() {
        let free = ROW_NUMBERS.iter().find(|n| table.column(n).is_none());
        let Some(free) = free else {
            return Ok(Err("no primary key, and columns hide its row number".to_owned()));
        };
        table.key = vec![(*free).to_owned()];
        table.identity = Identity::RowNumber;
    }
    let details = Details {
        key_is_row_number: row_number_column || table.identity == Identity::RowNumber,
        table,
        indexes,
        without_rowid,
    };
    Ok(match refusal(connection, &details)? {
        Some(reason) => Err(reason),
        None => Ok(details),
    })
}

/// One table by name; `None` if there is none, or it cannot be carried.
pub(crate) fn details(connection: &Connection, name: &str) -> rusqlite::Result<Option<Details>> {
    let found: Option<(String, bool)> = connection
        .prepare_cached("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name = ?1 COLLATE NOCASE")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((name, without_rowid)) = found else { return Ok(None) };
    Ok(describe(connection, &name, without_rowid)?.ok())
}

/// Why a table cannot be carried although SQLite can read it.
fn refusal(connection: &Connection, details: &Details) -> rusqlite::Result<Option<String>> {
    let table = &details.table;
    let key = list("", table.key.iter().map(String::as_str));
    let from = quote(&table.name);
    // A collation of the application's own exists only in the application.
    let ordered = format!("SELECT * FROM {from} ORDER BY {key} LIMIT 1");
    if let Err(error) = connection.prepare(&ordered) {
        return Ok(Some(format!("it cannot be read here: {}", crate::error::said(&error))));
    }
    let nullable: Vec<&str> =
        table.key.iter().filter(|k| table.column(k).is_some_and(|c| !c.not_null)).map(String::as_str).collect();
    let can_be_null = !details.key_is_row_number && !details.without_rowid;
    if can_be_null && any_null(connection, &table.name, &nullable)? {
        return Ok(Some("rows with NULL in their key cannot be told apart (E0041)".to_owned()));
    }
    Ok(None)
}

/// Whether a table holds rows with NULL in their key.
pub(crate) fn has_null_keys(connection: &Connection, view: &View) -> rusqlite::Result<bool> {
    let keys: Vec<&str> = view.key.iter().map(|at| view.columns[*at].name.as_str()).collect();
    any_null(connection, &view.table, &keys)
}

fn any_null(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<bool> {
    let nulls: Vec<String> = columns.iter().map(|k| format!("{} IS NULL", quote(k))).collect();
    if nulls.is_empty() {
        return Ok(false);
    }
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {})", quote(table), nulls.join(" OR "));
    connection.query_row(&sql, [], |row| row.get(0))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<(Vec<Column>, Vec<String>)> {
    let mut statement = connection.prepare_cached(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid",
    )?;
    let mut rows = statement.query([table])?;
    let (mut columns, mut key) = (Vec::new(), BTreeMap::new());
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let place: i64 = row.get(4)?;
        if place > 0 {
            key.insert(place, name.clone());
        }
        columns.push(Column {
            name,
            declared: row.get(1)?,
            kind: ColumnKind::default(),
            not_null: row.get(2)?,
            default: row.get(3)?,
            generated: row.get::<_, i64>(5)? >= 2,
            collation: "BINARY".to_owned(),
        });
    }
    Ok((columns, key.into_values().collect()))
}

/// The unique indexes of a table, the primary key's among them where it has one.
pub(crate) fn unique_indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<UniqueIndex>> {
    let found: Vec<(String, String, bool, Option<String>)> = connection
        .prepare_cached(
            "SELECT l.name, l.origin, l.partial, (SELECT sql FROM sqlite_schema WHERE type = 'index' AND name = l.name) \
             FROM pragma_index_list(?1) l WHERE l.\"unique\" ORDER BY l.name",
        )?
        .query_map([table], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
        .collect::<Result<_, _>>()?;
    let mut indexes = Vec::new();
    for (name, origin, partial, sql) in found {
        let terms = connection
            .prepare_cached("SELECT name, coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno")?
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        indexes.push(UniqueIndex { sql, terms, primary: origin == "pk", partial });
    }
    Ok(indexes)
}

fn plain_uniques(indexes: &[UniqueIndex]) -> Vec<Unique> {
    let plain = indexes.iter().filter(|i| !i.primary && !i.partial);
    plain
        .filter_map(|i| i.terms.iter().map(|(c, _)| c.clone()).collect::<Option<Vec<_>>>())
        .map(|columns| Unique { columns })
        .collect()
}

fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1) ORDER BY id, seq",
    )?;
    let mut rows = statement.query([table])?;
    let mut found: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (parent, on_update, on_delete) = (row.get(1)?, row.get(4)?, row.get(5)?);
        let (columns, parent_columns) = (Vec::new(), Vec::new());
        let key = ForeignKey { columns, parent, parent_columns, on_delete, on_update };
        let entry = found.entry(row.get(0)?).or_insert(key);
        entry.columns.push(row.get(2)?);
        entry.parent_columns.extend(row.get::<_, Option<String>>(3)?);
    }
    Ok(found.into_values().collect())
}

fn statements(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND type IN ('table', 'index') AND sql IS NOT NULL \
             ORDER BY type <> 'table', name",
        )?
        .query_map([table], |row| row.get(0))?
        .collect()
}
