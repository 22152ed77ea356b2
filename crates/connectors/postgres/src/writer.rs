//! The statements that write one table, in two sizes: a few rows as literals in one message with everything else,
//! many by COPY into a table of the session and from there as a set.

use crate::schema::Details;
use crate::sql::{list, table as quoted_table, visible};
use crate::text::{Carried, literal};
use crate::wire::{quoted_name, quoted_text};
use tidewater_core::change::{ColumnKind, Deletes, Key, Mapping, Raw, Row, View};

/// What a group of rows is for. In the order in which they are carried out: what is updated may free unique values
/// for what is inserted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Put {
    /// Over whatever is there.
    Upsert,
    /// Only where nothing is there.
    Missing,
    /// These columns of rows that are there.
    Update(Vec<usize>),
    /// They are not there; if one is, the statement fails.
    Insert,
}

/// What writing one table needs to know.
#[derive(Debug, Clone)]
pub(crate) struct TableWriter {
    table: String,
    /// The view's columns at the target, their types and how they are carried.
    columns: Vec<(String, String, Carried)>,
    key: Vec<usize>,
    deletes: Deletes,
    visible: String,
    /// Columns of the target's own are kept by rows that stay.
    pub(crate) has_own_columns: bool,
    /// The table of the session where rows gather.
    stage: String,
    /// All columns that are stored, the key's among them; for the journal.
    pub(crate) whole: View,
}

impl TableWriter {
    pub(crate) fn new(mapping: &Mapping, details: &Details) -> Self {
        let view = &mapping.target;
        let column = |name: &str| {
            let kind = details.table.column(name).map_or(ColumnKind::Text, |column| column.kind);
            let declared = details.types.get(name).cloned().unwrap_or_else(|| "text".to_owned());
            (name.to_owned(), declared, Carried::of(kind))
        };
        let stored = details.table.columns.iter().filter(|column| !column.generated);
        let own: Vec<&str> = stored
            .map(|column| column.name.as_str())
            .filter(|name| !view.columns.iter().any(|column| column.name == *name))
            .collect();
        let mut whole = View { filter: None, deleted_when: None, value_bytes_max: None, ..view.clone() };
        whole.columns.extend(own.iter().map(|name| tidewater_core::change::ViewColumn {
            name: (*name).to_owned(),
            collation: "BINARY".to_owned(),
        }));
        Self {
            table: quoted_table(&view.table),
            columns: view.columns.iter().map(|c| column(&c.name)).collect(),
            key: view.key.clone(),
            deletes: mapping.deletes.clone(),
            visible: visible(view),
            has_own_columns: !own.is_empty(),
            stage: format!("pg_temp.{}", quoted_name(&format!("tidewater_{}", mapping.digest()))),
            whole,
        }
    }

    /// Why a row cannot stand here and come back as it is; `None` where it can.
    pub(crate) fn unfit(&self, row: &Row) -> Option<String> {
        let fits = |(at, value): &(usize, Raw<'_>)| {
            let unchanged = matches!(value, Raw::Other(tidewater_core::change::Value::Unchanged));
            unchanged || self.columns.get(*at).is_none_or(|(_, _, carried)| carried.takes(value))
        };
        if let Some((at, _)) =
            row.raw().enumerate().find(|(_, value)| matches!(value, Raw::Text(text) if text.contains(&0)))
        {
            let name = &self.columns.get(at)?.0;
            return Some(format!("column {name} holds text with a zero byte, which PostgreSQL does not take"));
        }
        let (at, value) = row.raw().enumerate().find(|pair| !fits(pair))?;
        let (name, declared, _) = self.columns.get(at)?;
        let held = match value {
            Raw::I64(_) => "a whole number",
            Raw::F64(_) => "a floating point number",
            Raw::Text(_) => "text",
            Raw::Bytes(_) => "bytes",
            _ => "a value of another type",
        };
        Some(format!("column {name} is {declared} here and holds {held} at the source"))
    }

    /// Whether a row of this key can stand here.
    pub(crate) fn can_have(&self, key: &Key) -> bool {
        let fits = |(value, at): (Raw<'_>, &usize)| {
            let is_cut = matches!(&value, Raw::Text(text) if text.contains(&0));
            !is_cut && self.columns.get(*at).is_none_or(|(_, _, carried)| carried.takes(&value))
        };
        key.raw().zip(&self.key).all(fits)
    }

    fn names(&self) -> String {
        list("", self.columns.iter().map(|(name, ..)| name.as_str()))
    }

    fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|at| self.columns[*at].0.as_str()).collect()
    }

    /// What follows the rows of an INSERT.
    fn on_conflict(&self, put: &Put) -> String {
        let key = list("", self.key_names());
        match put {
            Put::Insert | Put::Update(_) => String::new(),
            Put::Missing => format!(" ON CONFLICT ({key}) DO NOTHING"),
            Put::Upsert => {
                let others = self.columns.iter().enumerate().filter(|(at, _)| !self.key.contains(at));
                let mut set: Vec<String> =
                    others.map(|(_, (name, ..))| format!("{0} = excluded.{0}", quoted_name(name))).collect();
                // A row that comes back is not deleted any more, unless the source itself fills that column.
                if let Deletes::Mark { column, .. } = &self.deletes
                    && !self.columns.iter().any(|(name, ..)| name.eq_ignore_ascii_case(column))
                {
                    set.push(format!("{} = NULL", quoted_name(column)));
                }
                let update =
                    if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
                format!(" ON CONFLICT ({key}) DO {update}")
            }
        }
    }

    /// Writes some rows, as literals.
    pub(crate) fn put_sql(&self, put: &Put, rows: &[&Row]) -> String {
        if let Put::Update(changed) = put {
            return self.update_sql(changed, &self.values(rows));
        }
        let values: Vec<String> = rows.iter().map(|row| tuple(row.raw().map(|value| literal(&value)))).collect();
        format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES {}{}",
            self.table,
            self.names(),
            values.join(", "),
            self.on_conflict(put)
        )
    }

    /// `(VALUES …) s(columns)`, each value of its column's type.
    fn values(&self, rows: &[&Row]) -> String {
        let typed = |row: &&Row| {
            let values = row.raw().zip(&self.columns);
            tuple(values.map(|(value, (_, declared, _))| format!("{}::{declared}", literal(&value))))
        };
        let rows: Vec<String> = rows.iter().map(typed).collect();
        format!("(VALUES {}) s({})", rows.join(", "), self.names())
    }

    fn update_sql(&self, changed: &[usize], from: &str) -> String {
        let set: Vec<String> =
            changed.iter().map(|at| format!("{0} = s.{0}", quoted_name(&self.columns[*at].0))).collect();
        format!("UPDATE {} t SET {} FROM {from} WHERE {}", self.table, set.join(", "), self.matches("t", "s"))
    }

    fn matches(&self, one: &str, other: &str) -> String {
        let same = |name: &&str| format!("{one}.{0} = {other}.{0}", quoted_name(name));
        self.key_names().iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// Deletes or marks the rows of some keys, as literals; `None` where deletes are not carried.
    pub(crate) fn delete_sql(&self, keys: &[&Key]) -> Option<String> {
        let typed = |key: &&Key| {
            let values = key.raw().zip(&self.key);
            tuple(values.map(|(value, at)| format!("{}::{}", literal(&value), self.columns[*at].1)))
        };
        let values: Vec<String> = keys.iter().map(typed).collect();
        self.delete_from(&format!("(VALUES {}) s({})", values.join(", "), list("", self.key_names())))
    }

    fn delete_from(&self, from: &str) -> Option<String> {
        let matches = self.matches("t", "s");
        match &self.deletes {
            Deletes::Ignore => None,
            Deletes::Apply => Some(format!("DELETE FROM {} t USING {from} WHERE {matches}", self.table)),
            Deletes::Mark { column, value } => Some(format!(
                "UPDATE {} t SET {} FROM {from} WHERE {matches}",
                self.table,
                marked(column, value.as_deref())
            )),
        }
    }

    /// Takes away everything that the mapping sees.
    pub(crate) fn empty_sql(&self) -> Option<String> {
        match &self.deletes {
            Deletes::Ignore => None,
            Deletes::Apply => Some(format!("DELETE FROM {} WHERE {}", self.table, self.visible)),
            Deletes::Mark { column, value } => {
                let set = marked(column, value.as_deref());
                Some(format!("UPDATE {} SET {set} WHERE {}", self.table, self.visible))
            }
        }
    }

    /// COPY of rows that are not there, straight into the table.
    pub(crate) fn copy_sql(&self) -> String {
        format!("COPY {} ({}) FROM STDIN", self.table, self.names())
    }

    /// Makes the table of the session where rows gather, where it is missing, and empties it.
    pub(crate) fn stage_sql(&self) -> [String; 2] {
        [
            format!(
                "CREATE TEMP TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA",
                self.stage.trim_start_matches("pg_temp."),
                self.names(),
                self.table,
            ),
            format!("TRUNCATE {}", self.stage),
        ]
    }

    /// COPY into that table; only the key's columns with `keys`.
    pub(crate) fn copy_to_stage_sql(&self, keys: bool) -> String {
        let names = if keys { list("", self.key_names()) } else { self.names() };
        format!("COPY {} ({names}) FROM STDIN", self.stage)
    }

    /// Writes the rows that have gathered.
    pub(crate) fn put_staged_sql(&self, put: &Put) -> String {
        match put {
            Put::Update(changed) => self.update_sql(changed, &format!("{} s", self.stage)),
            _ => format!(
                "INSERT INTO {} ({1}) OVERRIDING SYSTEM VALUE SELECT {1} FROM {2}{3}",
                self.table,
                self.names(),
                self.stage,
                self.on_conflict(put)
            ),
        }
    }

    /// Deletes or marks the rows whose keys have gathered.
    pub(crate) fn delete_staged_sql(&self) -> Option<String> {
        self.delete_from(&format!("{} s", self.stage))
    }
}

fn tuple(values: impl Iterator<Item = String>) -> String {
    format!("({})", values.collect::<Vec<_>>().join(", "))
}

fn marked(column: &str, value: Option<&str>) -> String {
    let value =
        value.map_or_else(|| "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')".to_owned(), quoted_text);
    format!("{} = {value}", quoted_name(column))
}
