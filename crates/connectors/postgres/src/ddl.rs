//! Statements that make tables: a table's own, as the catalog tells them, and those for a table of another kind of
//! database.

use crate::schema::{Details, cell, regclass};
use crate::session::Session;
use crate::sql::{list, place, shown, table as quoted_table};
use crate::wire::quoted_name;
use std::collections::BTreeMap;
use tidewater_core::Result;
use tidewater_core::change::{Column, ColumnKind, Deletes, Mapping, Table};

/// How a statement begins that refers to other tables: it comes when they are there.
const REFERS: &str = "ALTER TABLE ";
/// How a statement begins that makes a key or a unique constraint.
const MAKES_KEY: &str = "ALTER TABLE ONLY ";

/// When a statement that makes a part of a table is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At first.
    First,
    /// Rows come faster into a table without it: keys and indexes.
    Filled,
    /// When all tables are there.
    Last,
}

impl When {
    pub(crate) fn of(statement: &str) -> Self {
        let filled = [MAKES_KEY, "CREATE INDEX ", "CREATE UNIQUE INDEX "];
        match statement {
            statement if filled.iter().any(|begin| statement.starts_with(begin)) => When::Filled,
            statement if statement.starts_with(REFERS) => When::Last,
            _ => When::First,
        }
    }
}

const CONSTRAINTS: &str = "SELECT n.nspname, r.relname, c.contype, c.conname, pg_catalog.pg_get_constraintdef(c.oid) \
     FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class r ON r.oid = c.conrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
     WHERE c.contype IN ('p', 'u', 'c', 'x', 'f') AND c.conparentid = 0 ORDER BY c.contype <> 'p', c.conname";

const INDEXES: &str = "SELECT n.nspname, r.relname, pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index i \
     JOIN pg_catalog.pg_class r ON r.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
     WHERE i.indisvalid AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint c WHERE c.conindid = i.indexrelid \
     AND c.contype IN ('p', 'u', 'x')) AND r.relkind = 'r' ORDER BY i.indexrelid";

/// What is special about columns: generated, identity, collation; and the statement that makes a type of the user's own,
/// which an array may be of.
const COLUMNS: &str = "SELECT n.nspname, r.relname, a.attname, a.attgenerated, a.attidentity, \
     CASE WHEN a.attcollation <> t.typcollation THEN (SELECT pg_catalog.quote_ident(cn.nspname) || '.' || \
     pg_catalog.quote_ident(co.collname) FROM pg_catalog.pg_collation co JOIN pg_catalog.pg_namespace cn \
     ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END, CASE e.typtype \
     WHEN 'e' THEN 'CREATE TYPE ' || pg_catalog.format_type(e.oid, NULL) || ' AS ENUM (' || \
     (SELECT string_agg(pg_catalog.quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l \
     WHERE l.enumtypid = e.oid) || ')' \
     WHEN 'd' THEN 'CREATE DOMAIN ' || pg_catalog.format_type(e.oid, NULL) || ' AS ' || \
     pg_catalog.format_type(e.typbasetype, e.typtypmod) || CASE WHEN e.typnotnull THEN ' NOT NULL' ELSE '' END || \
     coalesce(' DEFAULT ' || e.typdefault, '') || coalesce((SELECT string_agg(' CONSTRAINT ' || \
     pg_catalog.quote_ident(c.conname) || ' ' || pg_catalog.pg_get_constraintdef(c.oid), '' ORDER BY c.conname) \
     FROM pg_catalog.pg_constraint c WHERE c.contypid = e.oid AND c.contype = 'c'), '') \
     WHEN 'c' THEN 'CREATE TYPE ' || pg_catalog.format_type(e.oid, NULL) || ' AS (' || (SELECT string_agg( \
     pg_catalog.quote_ident(f.attname) || ' ' || pg_catalog.format_type(f.atttypid, f.atttypmod), ', ' ORDER BY f.attnum) \
     FROM pg_catalog.pg_attribute f WHERE f.attrelid = e.typrelid AND f.attnum > 0 AND NOT f.attisdropped) || ')' END \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class r ON r.oid = a.attrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     JOIN pg_catalog.pg_type e ON e.oid = CASE t.typcategory WHEN 'A' THEN t.typelem ELSE t.oid END \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p') \
     AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tidewater', 'pg_toast') \
     AND (a.attgenerated <> '' OR a.attidentity <> '' OR a.attcollation <> t.typcollation OR (e.typtype IN ('e', 'd', 'c') \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_type'::regclass \
     AND d.objid = e.oid AND d.deptype = 'e')))";

/// What makes one column special.
#[derive(Default, Clone)]
struct Special {
    generated: String,
    identity: String,
    collation: Option<String>,
    /// The statement that makes its type.
    made_by: Option<String>,
}

/// What else makes one table.
#[derive(Default)]
struct Parts {
    /// Constraints that stand in its own statement.
    inside: Vec<String>,
    /// Statements that make keys and indexes.
    keys: Vec<String>,
    /// Statements that refer to other tables.
    refer: Vec<String>,
}

/// Fills in the statements that make each table.
pub(crate) async fn statements(session: &mut Session, tables: &mut BTreeMap<String, Details>) -> Result<()> {
    let constraints = session.query(CONSTRAINTS).await?;
    let indexes = session.query(INDEXES).await?;
    let mut special: BTreeMap<(String, String), Special> = BTreeMap::new();
    for row in session.query(COLUMNS).await?.rows {
        let found = Special {
            generated: cell(&row, 3)?.to_owned(),
            identity: cell(&row, 4)?.to_owned(),
            collation: row[5].clone(),
            made_by: row[6].clone(),
        };
        special.insert((shown(cell(&row, 0)?, cell(&row, 1)?), cell(&row, 2)?.to_owned()), found);
    }
    let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
    for row in &constraints.rows {
        let name = shown(cell(row, 0)?, cell(row, 1)?);
        let text = format!("CONSTRAINT {} {}", quoted_name(cell(row, 3)?), cell(row, 4)?);
        let parts = parts.entry(name.clone()).or_default();
        match cell(row, 2)? {
            "f" => parts.refer.push(format!("{REFERS}{} ADD {text}", quoted_table(&name))),
            "p" | "u" | "x" => parts.keys.push(format!("{MAKES_KEY}{} ADD {text}", quoted_table(&name))),
            _ => parts.inside.push(text),
        }
    }
    for row in &indexes.rows {
        let name = shown(cell(row, 0)?, cell(row, 1)?);
        parts.entry(name).or_default().keys.push(cell(row, 2)?.to_owned());
    }
    for (name, details) in tables {
        let parts = parts.remove(name).unwrap_or_default();
        details.table.statements = made(name, &details.table, parts, &special);
    }
    Ok(())
}

fn made(name: &str, table: &Table, parts: Parts, special: &BTreeMap<(String, String), Special>) -> Vec<String> {
    let mut before = Vec::new();
    let (schema, _) = place(name);
    if schema != "public" {
        before.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quoted_name(schema)));
    }
    let mut lines = Vec::new();
    for column in &table.columns {
        let special = special.get(&(name.to_owned(), column.name.clone())).cloned().unwrap_or_default();
        if let Some(statement) = &special.made_by {
            before.push(format!(
                "DO $tidewater$ BEGIN {statement}; EXCEPTION WHEN duplicate_object THEN NULL; END $tidewater$"
            ));
        }
        if let Some(sequence) = column.default.as_deref().and_then(sequence) {
            before.push(format!("CREATE SEQUENCE IF NOT EXISTS {sequence}"));
        }
        lines.push(own_column(column, &special));
    }
    lines.extend(parts.inside);
    before.push(format!("CREATE TABLE {} ({})", quoted_table(name), lines.join(", ")));
    before.extend(parts.keys);
    before.extend(parts.refer);
    before
}

fn own_column(column: &Column, special: &Special) -> String {
    let mut text = format!("{} {}", quoted_name(&column.name), column.declared);
    if let Some(collation) = &special.collation {
        text += &format!(" COLLATE {collation}");
    }
    match (special.identity.as_str(), &column.default) {
        ("a", _) => text += " GENERATED ALWAYS AS IDENTITY",
        ("d", _) => text += " GENERATED BY DEFAULT AS IDENTITY",
        (_, Some(expression)) if !special.generated.is_empty() => {
            let stored = if special.generated == "v" { "VIRTUAL" } else { "STORED" };
            text += &format!(" GENERATED ALWAYS AS ({expression}) {stored}");
        }
        (_, Some(default)) => text += &format!(" DEFAULT {default}"),
        _ => {}
    }
    if column.not_null {
        text += " NOT NULL";
    }
    text
}

/// The sequence of a `nextval('…'::regclass)`.
fn sequence(default: &str) -> Option<&str> {
    default.strip_prefix("nextval('")?.strip_suffix("'::regclass)")
}

/// How a column of another kind of database is declared here.
pub(crate) fn declared_here(column: &Column) -> &'static str {
    match column.kind {
        ColumnKind::Bool => "boolean",
        ColumnKind::Integer(2) => "smallint",
        ColumnKind::Integer(4) => "integer",
        ColumnKind::Integer(_) => "bigint",
        ColumnKind::Float(4) => "real",
        ColumnKind::Float(_) => "double precision",
        ColumnKind::Decimal => "numeric",
        ColumnKind::Bytes => "bytea",
        ColumnKind::Date => "date",
        ColumnKind::Time => "time",
        ColumnKind::Timestamp => "timestamp",
        ColumnKind::TimestampTz => "timestamptz",
        ColumnKind::Uuid => "uuid",
        ColumnKind::Json => "json",
        ColumnKind::Text => "text",
    }
}

/// The statements that make a table as its mapping wants it; foreign keys last.
pub(crate) fn definition(mapping: &Mapping, table: &Table, carried: &[&str]) -> Vec<String> {
    if mapping.whole && mapping.target.table == table.name && !table.statements.is_empty() {
        return table.statements.clone();
    }
    let own = !table.statements.is_empty();
    let names: Vec<&str> = mapping.target.columns.iter().map(|column| column.name.as_str()).collect();
    let at_target = |source: &String| {
        let at = mapping.source.columns.iter().position(|column| column.name.eq_ignore_ascii_case(source));
        at.map(|at| names[at])
    };
    let mut lines = Vec::new();
    for (source, name) in mapping.source.columns.iter().zip(&names) {
        let Some(column) = table.column(&source.name) else { continue };
        let declared = if own { column.declared.as_str() } else { declared_here(column) };
        let mut line = format!("{} {declared}", quoted_name(name));
        match &column.default {
            Some(default) if column.kind == ColumnKind::Bool => {
                line += &format!(" DEFAULT {}", if default == "0" { "false" } else { "true" });
            }
            Some(default) if sequence(default).is_none() => line += &format!(" DEFAULT {default}"),
            _ => {}
        }
        if column.not_null {
            line += " NOT NULL";
        }
        lines.push(line);
    }
    if let Deletes::Mark { column, .. } = &mapping.deletes
        && !names.iter().any(|name| name.eq_ignore_ascii_case(column))
    {
        lines.push(format!("{} text", quoted_name(column)));
    }
    let key = mapping.target.key.iter().map(|at| names[*at]);
    lines.push(format!("PRIMARY KEY ({})", list("", key)));
    for unique in &table.unique {
        if let Some(columns) = unique.columns.iter().map(at_target).collect::<Option<Vec<_>>>() {
            lines.push(format!("UNIQUE ({})", list("", columns)));
        }
    }
    let name = &mapping.target.table;
    let mut statements = vec![format!("CREATE TABLE {} ({})", quoted_table(name), lines.join(", "))];
    let (schema, _) = place(name);
    if schema != "public" {
        statements.insert(0, format!("CREATE SCHEMA IF NOT EXISTS {}", quoted_name(schema)));
    }
    for fk in table.foreign_keys.iter().filter(|fk| carried.contains(&fk.parent.as_str())) {
        let Some(columns) = fk.columns.iter().map(at_target).collect::<Option<Vec<_>>>() else { continue };
        let parents = fk.parent_columns.iter().map(String::as_str);
        let parents = if fk.parent_columns.is_empty() { String::new() } else { format!(" ({})", list("", parents)) };
        statements.push(format!(
            "{REFERS}{} ADD FOREIGN KEY ({}) REFERENCES {}{parents} ON DELETE {} ON UPDATE {}",
            quoted_table(name),
            list("", columns),
            quoted_table(&fk.parent),
            fk.on_delete,
            fk.on_update
        ));
    }
    statements
}

/// How many bytes a row takes, by the statistics.
pub(crate) fn row_size_sql(name: &str) -> String {
    format!(
        "SELECT pg_catalog.pg_table_size(oid) / reltuples::bigint FROM pg_catalog.pg_class \
         WHERE oid = pg_catalog.to_regclass({}) AND reltuples >= 1",
        regclass(name)
    )
}

/// How many bytes of long values are stored aside of the rows; nothing where a table has partitions.
pub(crate) fn size_aside_sql(name: &str) -> String {
    format!(
        "SELECT coalesce(pg_catalog.pg_relation_size(nullif(reltoastrelid, 0)), 0) FROM pg_catalog.pg_class \
         WHERE oid = pg_catalog.to_regclass({}) AND relkind = 'r'",
        regclass(name)
    )
}

/// How many rows the statistics know of.
pub(crate) fn estimate_sql(name: &str) -> String {
    format!("SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass({})", regclass(name))
}
