//! Reading tables by key: chunks, hashes, lists and single rows, each in one statement and so in one snapshot.

use crate::schema::{self, Details};
use crate::session::Session;
use crate::sql::{Order, list, table, visible, within};
use crate::text::{Carried, fields, literal};
use crate::wire::quoted_name;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tidewater_core::capture::Survey;
use tidewater_core::change::{ColumnKind, Key, RangeHash, Row, RowBuilder, RowHash, Value, View};
use tidewater_core::transport::Budget;
use tidewater_core::verify::{Chunk, Part, Range};
use tidewater_core::{Error, Result};

/// A part ends after the row that passes this many bytes.
const PART_BYTES_MAX: usize = 16 << 20;

/// So many rows are looked up by one statement.
const FETCHED_MAX: usize = 1_000;

/// A session, with what is known about the tables.
pub(crate) struct Reader {
    pub(crate) session: Session,
    pub(crate) tables: BTreeMap<String, Details>,
    /// Whether a table was counted: so begins every copy.
    pub(crate) has_counted: bool,
}

/// Turns lines into rows of a view.
pub(crate) struct Lines {
    carried: Vec<Carried>,
    bytes_max: Option<u64>,
    builder: RowBuilder,
    pub(crate) left_out: u64,
    pub(crate) bytes: usize,
}

impl Lines {
    pub(crate) fn new(view: &View, details: &Details) -> Self {
        let kind = |name: &str| details.table.column(name).map_or(ColumnKind::Text, |column| column.kind);
        let carried = view.columns.iter().map(|column| Carried::of(kind(&column.name))).collect();
        Self { carried, bytes_max: view.value_bytes_max, builder: RowBuilder::default(), left_out: 0, bytes: 0 }
    }

    /// Appends one field as the value of a column.
    pub(crate) fn push(&mut self, at: usize, field: Option<&[u8]>) {
        let too_long = |field: &[u8]| self.bytes_max.is_some_and(|max| field.len() as u64 > max);
        let value = match field {
            None => Value::Null,
            Some(field) if too_long(field) => {
                self.left_out += 1;
                Value::Null
            }
            Some(field) => self.carried.get(at).copied().unwrap_or(Carried::Text).value(field),
        };
        self.builder.push(&value);
    }

    /// Appends a column that did not change.
    pub(crate) fn push_unchanged(&mut self) {
        self.builder.push(&Value::Unchanged);
    }

    pub(crate) fn take(&mut self) -> Row {
        self.bytes += self.builder.len();
        self.builder.take()
    }

    fn encode<'f>(&mut self, fields: impl Iterator<Item = Option<Cow<'f, [u8]>>>) {
        for (at, field) in fields.enumerate().take(self.carried.len()) {
            self.push(at, field.as_deref());
        }
    }

    pub(crate) fn row(&mut self, line: &[u8]) -> Row {
        self.encode(fields(line));
        self.take()
    }

    fn hash(&mut self, line: &[u8]) -> RowHash {
        self.encode(fields(line));
        self.bytes += self.builder.len();
        self.builder.take_hash()
    }
}

impl Reader {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, tables: BTreeMap::new(), has_counted: false }
    }

    pub(crate) async fn survey(&mut self) -> Result<Survey> {
        let (survey, found) = schema::survey(&mut self.session).await?;
        self.tables = found.tables;
        Ok(survey)
    }

    /// What is known about a table; looked up again where it is not known.
    pub(crate) async fn details(&mut self, name: &str) -> Result<Option<Details>> {
        if !self.tables.contains_key(name) {
            self.tables = schema::look(&mut self.session).await?.tables;
        }
        Ok(self.tables.get(name).cloned())
    }

    /// `SELECT` of the rows of a range, in an order.
    fn range_sql(view: &View, details: &Details, range: &Range, order: Order, rows_max: usize) -> String {
        let (conditions, terms) = within(view, details, range, order);
        let columns = list("", view.columns.iter().map(|column| column.name.as_str()));
        let limit = if rows_max == usize::MAX { String::new() } else { format!(" LIMIT {rows_max}") };
        format!(
            "COPY (SELECT {columns} FROM {} WHERE {} ORDER BY {}{limit}) TO STDOUT",
            table(&view.table),
            conditions,
            terms.join(", ")
        )
    }

    /// Reads a range line by line. A table that is not there is an empty one.
    async fn each(
        &mut self,
        view: &View,
        (range, order, rows_max): (&Range, Order, usize),
        mut each: impl FnMut(&mut Lines, Bytes) -> bool,
    ) -> Result<()> {
        let Some(details) = self.details(&view.table).await? else { return Ok(()) };
        let sql = Self::range_sql(view, &details, range, order, rows_max);
        let mut lines = Lines::new(view, &details);
        self.session.copy_out(&sql, |line| each(&mut lines, line)).await
    }

    pub(crate) async fn count(&mut self, view: &View, rows_max: u64) -> Result<u64> {
        self.has_counted = true;
        if self.details(&view.table).await?.is_none() {
            return Ok(0);
        }
        let most = rows_max.min(i64::MAX as u64);
        let rows = format!("SELECT 1 FROM {} WHERE {} LIMIT {most}", table(&view.table), visible(view));
        let found = self.session.query(&format!("SELECT count(*) FROM ({rows}) counted")).await?;
        let row = found.rows.first().ok_or_else(|| Error::internal("count(*) without a row"))?;
        schema::cell(row, 0)?.parse().map_err(|_| Error::internal("count(*) is not a number"))
    }

    pub(crate) async fn estimate(&mut self, view: &View) -> Result<Option<u64>> {
        if view.filter.is_some() || view.deleted_when.is_some() {
            return Ok(None);
        }
        let found = self.session.query(&crate::ddl::estimate_sql(&view.table)).await?;
        let text = found.rows.first().and_then(|row| row.first().cloned().flatten());
        Ok(text.and_then(|text| text.parse::<u64>().ok()))
    }

    pub(crate) async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        let mut hash = RangeHash::default();
        let (mut through, mut last) = (None, true);
        let at_most = rows_max.saturating_add(1);
        self.each(view, (range, Order::Common, at_most), |lines, line| {
            if through.is_some() {
                last = false;
                return false;
            }
            let row = lines.row(&line);
            hash.add(row.hash());
            if hash.rows == rows_max as u64 || lines.bytes > PART_BYTES_MAX {
                through = Some(row.pick(&view.key));
            }
            true
        })
        .await?;
        let through = if last { range.through.clone() } else { through };
        Ok(Part { range: Range { after: range.after.clone(), through }, hash, last })
    }

    pub(crate) async fn hash(&mut self, view: &View, range: &Range) -> Result<RangeHash> {
        let mut hash = RangeHash::default();
        self.each(view, (range, Order::Common, usize::MAX), |lines, line| {
            hash.add(lines.hash(&line));
            true
        })
        .await?;
        Ok(hash)
    }

    pub(crate) async fn list(&mut self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        let mut found = Vec::new();
        self.each(view, (range, Order::Common, rows_max), |lines, line| {
            let row = lines.row(&line);
            found.push((row.pick(&view.key), row.hash()));
            true
        })
        .await?;
        Ok(found)
    }

    pub(crate) async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> Result<Chunk> {
        let (mut rows, mut left_out, mut full) = (Vec::new(), 0, false);
        self.each(view, (range, Order::Own, budget.rows_max), |lines, line| {
            rows.push(lines.row(&line));
            left_out = lines.left_out;
            full = lines.bytes >= budget.bytes_max;
            !full
        })
        .await?;
        full |= rows.len() == budget.rows_max;
        let through = if full { rows.last().map(|row: &Row| row.pick(&view.key)) } else { None };
        Ok(Chunk { rows, through, left_out })
    }

    pub(crate) async fn fetch(&mut self, view: &View, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Row>>> {
        let keys = &keys[..keys.len().min(FETCHED_MAX)];
        let mut found = vec![None; keys.len()];
        let Some(details) = self.details(&view.table).await? else { return Ok(found) };
        if keys.is_empty() {
            return Ok(found);
        }
        let mut lines = Lines::new(view, &details);
        let sql = fetch_sql(view, &details, keys);
        let mut read = keys.len();
        self.session
            .copy_out(&sql, |line| {
                let mut rest = fields(&line);
                let at = rest.next().flatten().and_then(|at| std::str::from_utf8(&at).ok()?.parse::<usize>().ok());
                lines.encode(rest);
                let row = lines.take();
                if let Some(place) = at.and_then(|at| found.get_mut(at)) {
                    *place = Some(row);
                }
                // The rows come in the order of the keys: those behind this one are for the next call.
                if lines.bytes >= bytes_max {
                    read = at.map_or(read, |at| at + 1);
                }
                lines.bytes < bytes_max
            })
            .await?;
        found.truncate(read);
        Ok(found)
    }
}

/// The rows of some keys, each behind its key's place in the list.
fn fetch_sql(view: &View, details: &Details, keys: &[Key]) -> String {
    let names: Vec<&str> = view.key.iter().map(|at| view.columns[*at].name.as_str()).collect();
    let values: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(at, key)| {
            let values: Vec<String> = key.raw().map(|value| literal(&value)).collect();
            format!("({at}, {})", values.join(", "))
        })
        .collect();
    let matches: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let declared = details.types.get(*name).map_or("text", String::as_str);
            format!("t.{} = wanted.tidewater_k{at}::{declared}", quoted_name(name))
        })
        .collect();
    let places: Vec<String> = (0..names.len()).map(|at| format!("tidewater_k{at}")).collect();
    format!(
        "COPY (SELECT wanted.tidewater_place, {} FROM (VALUES {}) wanted(tidewater_place, {}) JOIN {} t ON {} WHERE {} \
         ORDER BY wanted.tidewater_place) TO STDOUT",
        list("t.", view.columns.iter().map(|column| column.name.as_str())),
        values.join(", "),
        places.join(", "),
        table(&view.table),
        matches.join(" AND "),
        visible(view)
    )
}

/// Implements `Scan` for an endpoint that reads through its `reader`.
macro_rules! scan_by_reader {
    ($endpoint:ty) => {
        #[async_trait::async_trait]
        impl tidewater_core::verify::Scan for $endpoint {
            async fn survey(&mut self) -> tidewater_core::Result<tidewater_core::capture::Survey> {
                self.reader.survey().await
            }
            async fn count(&mut self, view: &View, rows_max: u64) -> tidewater_core::Result<u64> {
                self.reader.count(view, rows_max).await
            }
            async fn estimate(&mut self, view: &View) -> tidewater_core::Result<Option<u64>> {
                self.reader.estimate(view).await
            }
            async fn part(&mut self, view: &View, range: &Range, rows_max: usize) -> tidewater_core::Result<Part> {
                self.reader.part(view, range, rows_max).await
            }
            async fn hash(&mut self, view: &View, range: &Range) -> tidewater_core::Result<RangeHash> {
                self.reader.hash(view, range).await
            }
            async fn list(
                &mut self,
                view: &View,
                range: &Range,
                rows_max: usize,
            ) -> tidewater_core::Result<Vec<(Key, RowHash)>> {
                self.reader.list(view, range, rows_max).await
            }
            async fn chunk(&mut self, view: &View, range: &Range, budget: Budget) -> tidewater_core::Result<Chunk> {
                self.reader.chunk(view, range, budget).await
            }
            async fn fetch(
                &mut self,
                view: &View,
                keys: &[Key],
                bytes_max: usize,
            ) -> tidewater_core::Result<Vec<Option<Row>>> {
                self.reader.fetch(view, keys, bytes_max).await
            }
        }
    };
}
pub(crate) use scan_by_reader;
