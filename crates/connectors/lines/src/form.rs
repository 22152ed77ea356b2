//! How the changes of a table are written: its names, escaped once, and what its columns hold.

use crate::json::{self, Written, append};
use tidewater_core::change::{Change, ColumnKind, Deletes, Key, Mapping, Op, Origin, Raw, Row, Table, Value, Verb};

/// One table.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    /// Its name at the source, under which the ledger has it.
    pub(crate) source: String,
    /// Its name as JSON.
    table: Vec<u8>,
    columns: Vec<Column>,
    key: Vec<usize>,
    /// Whether deletes are told.
    tells_deletes: bool,
}

#[derive(Debug, Clone)]
struct Column {
    /// Its name as JSON.
    name: Vec<u8>,
    written: Written,
}

/// What is the same in many lines.
pub(crate) struct Lines<'a> {
    /// What the events of this link begin with.
    pub(crate) epoch: &'a str,
    /// Where the link stands, for rows that come from no place in particular.
    pub(crate) position: &'a str,
}

impl Form {
    pub(crate) fn new(mapping: &Mapping, table: &Table) -> Self {
        let columns = mapping.source.columns.iter().zip(&mapping.target.columns).map(|(source, target)| {
            let found = table.column(&source.name);
            let declared = found.map(|column| column.declared.to_ascii_lowercase()).unwrap_or_default();
            let kind = found.map(|column| column.kind).unwrap_or_default();
            let written = match kind {
                ColumnKind::Bool => Written::Bool,
                _ if declared.contains("bool") => Written::Bool,
                // Where nothing is declared, what a column is for was only guessed, and may be guessed otherwise later.
                ColumnKind::Bytes if !declared.is_empty() => Written::Bytes,
                _ if declared.contains("blob") => Written::Bytes,
                _ => Written::AsItIs,
            };
            Column { name: quoted(&target.name), written }
        });
        Self {
            source: mapping.source.table.clone(),
            table: quoted(&mapping.target.table),
            columns: columns.collect(),
            key: mapping.source.key.clone(),
            tells_deletes: mapping.deletes == Deletes::Apply,
        }
    }

    /// Appends the line of a row that is there, read by a first copy under this `token`.
    pub(crate) fn snapshot(&self, lines: &Lines<'_>, token: &str, change: &Change, out: &mut Vec<u8>) {
        append(out, format_args!("{{\"id\":\"{token}:{:032x}\",\"op\":\"snapshot\"", change.key.hash().0));
        self.table(out);
        self.key(&change.key, out);
        if let Op::Insert(row) | Op::Update(row) | Op::Upsert(row) = &change.op {
            self.row(row, out);
        }
        out.extend_from_slice(b",\"position\":");
        json::text(lines.position, out);
        out.extend_from_slice(b"}\n");
    }

    /// Appends the line of a change. `false` where it is not told.
    pub(crate) fn change(&self, lines: &Lines<'_>, change: &Change, origin: &Origin, out: &mut Vec<u8>) -> bool {
        if change.op == Op::Delete && !self.tells_deletes {
            return false;
        }
        let op = match (&change.op, origin.verb) {
            (Op::Delete, _) => "delete",
            (Op::Insert(_), _) | (Op::Upsert(_), Some(Verb::Insert)) => "insert",
            (Op::Update(_), _) | (Op::Upsert(_), Some(Verb::Update)) => "update",
            (Op::Upsert(_), _) => "upsert",
        };
        append(out, format_args!("{{\"id\":\"{}:{}:{}\",\"op\":\"{op}\"", lines.epoch, origin.place, origin.ordinal));
        self.table(out);
        self.key(&change.key, out);
        if let Op::Insert(row) | Op::Update(row) | Op::Upsert(row) = &change.op {
            self.row(row, out);
        }
        end(origin, out);
        true
    }

    /// Appends the line of a table that was emptied, the `nth` by one statement.
    pub(crate) fn emptied(&self, lines: &Lines<'_>, origin: &Origin, nth: usize, out: &mut Vec<u8>) {
        let (epoch, Origin { place, ordinal, .. }) = (lines.epoch, origin);
        append(out, format_args!("{{\"id\":\"{epoch}:{place}:{ordinal}.{nth}\",\"op\":\"truncate\""));
        self.table(out);
        end(origin, out);
    }

    fn table(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"table\":");
        out.extend_from_slice(&self.table);
    }

    fn key(&self, key: &Key, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"key\":{");
        for (nth, (at, value)) in self.key.iter().zip(key.raw()).enumerate() {
            let Some(column) = self.columns.get(*at) else { continue };
            field(nth > 0, column, &value, out);
        }
        out.push(b'}');
    }

    /// The row, without what did not change, and the names of that.
    fn row(&self, row: &Row, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"row\":{");
        let (mut any, mut unchanged) = (false, Vec::new());
        for (column, value) in self.columns.iter().zip(row.raw()) {
            if value == Raw::Other(Value::Unchanged) {
                unchanged.push(column);
                continue;
            }
            field(any, column, &value, out);
            any = true;
        }
        out.push(b'}');
        for (nth, column) in unchanged.iter().enumerate() {
            out.extend_from_slice(if nth == 0 { b",\"unchanged\":[" } else { b"," });
            out.extend_from_slice(&column.name);
        }
        if !unchanged.is_empty() {
            out.push(b']');
        }
    }
}

fn field(follows: bool, column: &Column, value: &Raw<'_>, out: &mut Vec<u8>) {
    if follows {
        out.push(b',');
    }
    out.extend_from_slice(&column.name);
    out.push(b':');
    json::value(value, column.written, out);
}

/// Where a change comes from, and the end of its line.
fn end(origin: &Origin, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"position\":");
    json::text(&origin.place, out);
    if let Some(at_ms) = origin.at_ms {
        append(out, format_args!(",\"ts_ms\":{at_ms}"));
    }
    out.extend_from_slice(b"}\n");
}

fn quoted(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    json::text(name, &mut out);
    out
}
