//! Looking at a database: which tables can be carried, and why others cannot.

use crate::ddl;
use crate::session::Session;
use crate::sql::{place, shown};
use crate::wire::{Rows, quoted_text};
use std::collections::BTreeMap;
use tidewater_core::capture::{Feed, Survey};
use tidewater_core::change::{Column, ColumnKind, ForeignKey, Identity, Table, Unique};
use tidewater_core::{Error, Result};

/// Our own schema.
pub(crate) const OURS: &str = "tidewater";

/// Between the names of a list: no name holds it by accident.
const SEPARATOR: char = '\u{1f}';

/// What PostgreSQL knows about a table beyond the core's [`Table`].
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub(crate) table: Table,
    /// Its number: another table under the same name has another.
    pub(crate) oid: u32,
    /// The declared types, by column.
    pub(crate) types: BTreeMap<String, String>,
    /// Whether all columns have a binary form that means the same in every database: the types are the server's own, and
    /// hold no numbers of things in its catalog.
    pub(crate) is_portable: bool,
    /// `d`efault, `f`ull, `n`othing or by an `i`ndex: what the log says of the old row.
    pub(crate) replica_identity: char,
    /// The columns of the index that tells rows apart in the log.
    pub(crate) logged_key: Vec<String>,
    /// Whether its changes are in the server's log.
    pub(crate) is_logged: bool,
}

/// The database as a whole.
pub(crate) struct Found {
    pub(crate) identity: String,
    pub(crate) tables: BTreeMap<String, Details>,
    pub(crate) skipped: Vec<(String, String)>,
}

const TABLES: &str = "SELECT n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.oid \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition \
     AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tidewater') AND n.nspname !~ '^pg_(toast|temp)' \
     AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
     AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1, 2";

const COLUMNS: &str = "SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
     CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, a.attnotnull, \
     pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity, \
     t.typtype = 'b' AND t.oid < 16384 AND t.typsend <> 0 AND t.typreceive <> 0 AND t.typname !~ '^_?(reg|oid)' \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT oid FROM pg_catalog.pg_class \
     WHERE relkind IN ('r', 'p') AND relnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace \
     WHERE nspname IN ('pg_catalog', 'information_schema', 'tidewater', 'pg_toast'))) ORDER BY a.attrelid, a.attnum";

const UNIQUES: &str = "SELECT i.indrelid, i.indisprimary, i.indisreplident, \
     string_agg(a.attname, E'\\x1f' ORDER BY k.place), bool_and(a.attnotnull), i.indimmediate \
     FROM pg_catalog.pg_index i CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
     WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL \
     GROUP BY i.indexrelid, i.indrelid, i.indisprimary, i.indisreplident, i.indimmediate ORDER BY i.indexrelid";

const FOREIGN_KEYS: &str = "SELECT c.conrelid, n.nspname, p.relname, \
     (SELECT string_agg(a.attname, E'\\x1f' ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k(attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum), \
     (SELECT string_agg(a.attname, E'\\x1f' ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY k(attnum, place) \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum), c.confdeltype, c.confupdtype \
     FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class p ON p.oid = c.confrelid \
     JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace WHERE c.contype = 'f' AND c.conparentid = 0 ORDER BY c.conname";

/// Looks at everything.
pub(crate) async fn look(session: &mut Session) -> Result<Found> {
    let identity = identity(session).await?;
    let tables = session.query(TABLES).await?;
    let columns = by_table(session.query(COLUMNS).await?);
    let uniques = by_table(session.query(UNIQUES).await?);
    let foreign_keys = by_table(session.query(FOREIGN_KEYS).await?);
    let mut later = keys_to_come(session).await?;
    let mut found = Found { identity, tables: BTreeMap::new(), skipped: vec![] };
    for row in &tables.rows {
        let name = shown(cell(row, 0)?, cell(row, 1)?);
        let why = match cell(row, 2)? {
            "v" => Some("a view; its tables are carried"),
            "m" => Some("a materialized view; its tables are carried"),
            "f" => Some("a foreign table; sync it where it lives"),
            _ => None,
        };
        if let Some(why) = why {
            found.skipped.push((name, why.to_owned()));
            continue;
        }
        let of = |rows: &BTreeMap<String, Vec<Vec<Option<String>>>>| rows.get(row[5].as_deref().unwrap_or("")).cloned();
        let parts = [of(&columns), of(&uniques), of(&foreign_keys)].map(Option::unwrap_or_default);
        match describe(&name, row, &parts, later.remove(&name))? {
            Ok(details) => {
                found.tables.insert(name, details);
            }
            Err(why) => found.skipped.push((name, why)),
        }
    }
    ddl::statements(session, &mut found.tables).await?;
    Ok(found)
}

/// The public survey.
pub(crate) async fn survey(session: &mut Session) -> Result<(Survey, Found)> {
    let found = look(session).await?;
    let triggers = session
        .query(
            "SELECT t.tgname, n.nspname, c.relname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c \
             ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled = 'O' AND t.tgname <> 'tidewater_protect' ORDER BY 1",
        )
        .await?;
    let triggers = triggers.rows.iter().map(|row| Ok((cell(row, 0)?.to_owned(), shown(cell(row, 1)?, cell(row, 2)?))));
    let mut survey = Survey {
        identity: found.identity.clone(),
        dialect: "postgres",
        tables: found.tables.values().map(|details| details.table.clone()).collect(),
        skipped: found.skipped.clone(),
        triggers: triggers.collect::<Result<_>>()?,
        fed_by: vec![],
    };
    if has_table(session, "link").await? {
        let rows = session.query("SELECT link, source, source_identity FROM tidewater.link ORDER BY link").await?;
        let feed = |row: &Vec<Option<String>>| {
            Ok(Feed {
                link: cell(row, 0)?.to_owned(),
                source: cell(row, 1)?.to_owned(),
                source_identity: cell(row, 2)?.to_owned(),
            })
        };
        survey.fed_by = rows.rows.iter().map(feed).collect::<Result<_>>()?;
    }
    Ok((survey, found))
}

/// Whether one of our own tables is there.
pub(crate) async fn has_table(session: &mut Session, name: &str) -> Result<bool> {
    let sql = format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", quoted_text(&format!("{OURS}.{name}")));
    Ok(session.query(&sql).await?.rows.first().is_some_and(|row| row[0].as_deref() == Some("t")))
}

/// The keys of tables that are being filled and get them afterwards.
async fn keys_to_come(session: &mut Session) -> Result<BTreeMap<String, Vec<String>>> {
    if !has_table(session, "later").await? {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT DISTINCT target, array_to_string(key, E'\\x1f') FROM tidewater.later";
    let rows = session.query(sql).await?.rows;
    rows.iter().map(|row| Ok((cell(row, 0)?.to_owned(), names(cell(row, 1)?)))).collect()
}

/// Which database this is: the cluster it was made in, and its number there.
pub(crate) async fn identity(session: &mut Session) -> Result<String> {
    let sql = "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text || '-' || \
               (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    let rows = session.query(sql).await?;
    let row = rows.rows.first().ok_or_else(|| Error::internal("a server without an identity"))?;
    Ok(cell(row, 0)?.to_owned())
}

fn by_table(rows: Rows) -> BTreeMap<String, Vec<Vec<Option<String>>>> {
    let mut found: BTreeMap<String, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for row in rows.rows {
        found.entry(row.first().cloned().flatten().unwrap_or_default()).or_default().push(row);
    }
    found
}

fn describe(
    name: &str,
    row: &[Option<String>],
    [columns, uniques, foreign_keys]: &[Vec<Vec<Option<String>>>; 3],
    later: Option<Vec<String>>,
) -> Result<Result<Details, String>> {
    let mut types = BTreeMap::new();
    let mut found = Vec::new();
    for column in columns {
        let (name, declared) = (cell(column, 1)?.to_owned(), cell(column, 2)?.to_owned());
        types.insert(name.clone(), declared.clone());
        let is_identity = !cell(column, 7)?.is_empty();
        found.push(Column {
            name,
            declared,
            kind: kind(cell(column, 3)?),
            not_null: cell(column, 4)? == "t",
            default: column[5].clone().filter(|_| !is_identity),
            generated: !cell(column, 6)?.is_empty(),
            collation: "BINARY".to_owned(),
        });
    }
    let (mut key, mut logged_key, mut unique) = (None, vec![], vec![]);
    for index in uniques {
        let columns = names(cell(index, 3)?);
        let (is_primary, is_logged) = (cell(index, 1)? == "t", cell(index, 2)? == "t");
        if is_logged || (is_primary && logged_key.is_empty()) {
            logged_key.clone_from(&columns);
        }
        let tells_apart = cell(index, 4)? == "t" && cell(index, 5)? == "t";
        match is_primary {
            true => unique.extend(key.replace(columns).map(|columns| Unique { columns })),
            false if key.is_none() && tells_apart => key = Some(columns),
            false => unique.push(Unique { columns }),
        }
    }
    let Some(key) = key.or(later) else {
        return Ok(Err("no primary key, and no unique index over columns that are NOT NULL".to_owned()));
    };
    let foreign_keys = foreign_keys.iter().map(|row| foreign_key(row)).collect::<Result<_>>()?;
    let table = Table {
        name: name.to_owned(),
        columns: found,
        key,
        identity: Identity::PrimaryKey,
        unique,
        foreign_keys,
        statements: vec![],
    };
    Ok(Ok(Details {
        table,
        oid: cell(row, 5)?.parse().map_err(|_| Error::internal("a table without a number"))?,
        types,
        replica_identity: cell(row, 4)?.chars().next().unwrap_or('d'),
        logged_key,
        is_portable: columns.iter().all(|column| column[8].as_deref() == Some("t")),
        is_logged: cell(row, 3)? == "p",
    }))
}

fn foreign_key(row: &[Option<String>]) -> Result<ForeignKey> {
    let action = |letter: &str| {
        match letter {
            "c" => "CASCADE",
            "n" => "SET NULL",
            "d" => "SET DEFAULT",
            "r" => "RESTRICT",
            _ => "NO ACTION",
        }
        .to_owned()
    };
    Ok(ForeignKey {
        columns: names(cell(row, 3)?),
        parent: shown(cell(row, 1)?, cell(row, 2)?),
        parent_columns: names(cell(row, 4)?),
        on_delete: action(cell(row, 5)?),
        on_update: action(cell(row, 6)?),
    })
}

fn names(list: &str) -> Vec<String> {
    list.split(SEPARATOR).map(str::to_owned).collect()
}

/// What a type is for, by its number in the catalog.
fn kind(oid: &str) -> ColumnKind {
    match oid {
        "16" => ColumnKind::Bool,
        "21" => ColumnKind::Integer(2),
        "23" => ColumnKind::Integer(4),
        "20" | "26" => ColumnKind::Integer(8),
        "700" => ColumnKind::Float(4),
        "701" => ColumnKind::Float(8),
        "1700" => ColumnKind::Decimal,
        "17" => ColumnKind::Bytes,
        "1082" => ColumnKind::Date,
        "1083" => ColumnKind::Time,
        "1114" => ColumnKind::Timestamp,
        "1184" => ColumnKind::TimestampTz,
        "2950" => ColumnKind::Uuid,
        "114" | "3802" => ColumnKind::Json,
        _ => ColumnKind::Text,
    }
}

/// A cell that is never NULL.
pub(crate) fn cell(row: &[Option<String>], at: usize) -> Result<&str> {
    row.get(at)
        .and_then(Option::as_deref)
        .ok_or_else(|| Error::internal(format!("the catalog answered nothing in column {at}")))
}

/// The catalog's own name for a table, as a text for `regclass`.
pub(crate) fn regclass(name: &str) -> String {
    let (schema, table) = place(name);
    quoted_text(&format!("{}.{}", crate::wire::quoted_name(schema), crate::wire::quoted_name(table)))
}
