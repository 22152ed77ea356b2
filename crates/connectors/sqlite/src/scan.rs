//! Reading tables by key: chunks, hashes, lists and single rows, each in one short read transaction.

use crate::connection::Open;
use crate::sql::{list, quote, visible};
use crate::types::{bind, limited};
use rusqlite::{Connection, Row as SqlRow, Statement};
use tidewater_core::Result;
use tidewater_core::change::{Key, RangeHash, Row, RowBuilder, RowHash, View};
use tidewater_core::transport::Budget;
use tidewater_core::verify::{Chunk, Part, Range};

/// A part ends after the row that passes this many bytes: rows may be large, and read locks must be short.
const PART_BYTES_MAX: usize = 16 << 20;

/// Reads one view's rows out of result rows.
pub(crate) struct Reader<'v> {
    view: &'v View,
    builder: RowBuilder,
    /// Values over the limit that were read as NULL.
    pub(crate) left_out: u64,
    /// Bytes encoded so far, by hashes.
    bytes: usize,
}

impl<'v> Reader<'v> {
    pub(crate) fn new(view: &'v View) -> Self {
        Self { view, builder: RowBuilder::default(), left_out: 0, bytes: 0 }
    }

    /// Encodes the view's columns, which start at `first` in the result.
    fn encode(&mut self, from: &SqlRow<'_>, first: usize) -> rusqlite::Result<()> {
        for at in 0..self.view.columns.len() {
            let (value, left_out) = limited(from, first + at, self.view.value_bytes_max)?;
            self.left_out += u64::from(left_out);
            self.builder.push(&value);
        }
        Ok(())
    }

    pub(crate) fn row(&mut self, from: &SqlRow<'_>, first: usize) -> rusqlite::Result<Row> {
        self.encode(from, first)?;
        Ok(self.builder.take())
    }

    fn hash(&mut self, from: &SqlRow<'_>) -> rusqlite::Result<RowHash> {
        self.encode(from, 0)?;
        self.bytes += self.builder.len();
        Ok(self.builder.take_hash())
    }

    fn key(&self, from: &SqlRow<'_>) -> rusqlite::Result<Key> {
        let values = self.view.key.iter().map(|at| crate::types::column(from, *at));
        values.collect::<rusqlite::Result<Vec<_>>>().map(Row::new)
    }
}

fn names(view: &View) -> String {
    list("", view.columns.iter().map(|c| c.name.as_str()))
}

fn key_names(view: &View) -> Vec<&str> {
    view.key.iter().map(|at| view.columns[*at].name.as_str()).collect()
}

/// `SELECT … WHERE key in the range ORDER BY key`; parameters: `after`, then `through`, then the limit.
fn range_sql(view: &View, range: &Range) -> String {
    let keys = key_names(view);
    let key = list("", keys.iter().copied());
    let mut conditions = vec![visible(view.filter.as_ref(), view.deleted_when.as_ref())];
    let mut first = 1;
    for (bound, op) in [(&range.after, ">"), (&range.through, "<=")] {
        if bound.is_some() {
            let parameters: Vec<String> = (first..first + keys.len()).map(|n| format!("?{n}")).collect();
            conditions.push(format!("({key}) {op} ({})", parameters.join(", ")));
            first += keys.len();
        }
    }
    let table = quote(&view.table);
    format!("SELECT {} FROM {table} WHERE {} ORDER BY {key} LIMIT ?{first}", names(view), conditions.join(" AND "))
}

/// The rows of a view with row numbers after `?1` up to `?2`, in order: the number, whether the view sees the row, and
/// its columns.
pub(crate) fn numbered_sql(view: &View) -> String {
    let key = list("", key_names(view));
    let visible = visible(view.filter.as_ref(), view.deleted_when.as_ref());
    let (columns, table) = (names(view), quote(&view.table));
    format!("SELECT {key}, {visible}, {columns} FROM {table} WHERE {key} > ?1 AND {key} <= ?2 ORDER BY {key}")
}

/// The row numbers of a view's table after `?1` up to `?2`, in order, at most `?3`: whether the view sees the row or not.
pub(crate) fn numbers_sql(view: &View) -> String {
    let (key, table) = (list("", key_names(view)), quote(&view.table));
    format!("SELECT {key} FROM {table} WHERE {key} > ?1 AND {key} <= ?2 ORDER BY {key} LIMIT ?3")
}

fn bind_range(statement: &mut Statement<'_>, range: &Range, rows_max: usize) -> rusqlite::Result<()> {
    let mut first = 1;
    for key in [&range.after, &range.through].into_iter().flatten() {
        first = bind(statement, first, key.raw())?;
    }
    statement.raw_bind_parameter(first, i64::try_from(rows_max).unwrap_or(i64::MAX))
}

impl Open {
    /// How many rows the view sees, counted no further than `rows_max`.
    pub(crate) fn count(&self, view: &View, rows_max: u64) -> Result<u64> {
        self.read(|c| {
            if !self.has(&view.table)? {
                return Ok(0);
            }
            let condition = visible(view.filter.as_ref(), view.deleted_when.as_ref());
            let most = i64::try_from(rows_max).unwrap_or(i64::MAX);
            let rows = format!("SELECT 1 FROM {} WHERE {condition} LIMIT {most}", quote(&view.table));
            c.query_row(&format!("SELECT count(*) FROM ({rows})"), [], |row| row.get(0)).map_err(|e| self.explain(e))
        })
    }

    /// How many row numbers lie between the first and the last: two seeks. Nothing where the key is another one, or
    /// where only some rows are seen.
    pub(crate) fn estimate(&self, view: &View) -> Result<Option<u64>> {
        if view.filter.is_some() || view.deleted_when.is_some() {
            return Ok(None);
        }
        self.read(|c| {
            let work = || -> rusqlite::Result<Option<u64>> {
                match crate::schema::details(c, &view.table)? {
                    Some(details) if details.key_is_row_number => {}
                    _ => return Ok(None),
                }
                let [key] = key_names(view)[..] else { return Ok(None) };
                let (key, table) = (quote(key), quote(&view.table));
                let sql = format!("SELECT (SELECT min({key}) FROM {table}), (SELECT max({key}) FROM {table})");
                let (first, last): (Option<i64>, Option<i64>) =
                    c.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(first.zip(last).map(|(first, last)| last.abs_diff(first).saturating_add(1)))
            };
            work().map_err(|e| self.explain(e))
        })
    }

    pub(crate) fn part(&self, view: &View, range: &Range, rows_max: usize) -> Result<Part> {
        self.read(|c| {
            let mut reader = Reader::new(view);
            let mut hash = RangeHash::default();
            let mut through = None;
            let mut last = true;
            self.each(c, view, range, rows_max.saturating_add(1), |row| {
                if through.is_some() {
                    last = false;
                    return Ok(false);
                }
                hash.add(reader.hash(row)?);
                if hash.rows == rows_max as u64 || reader.bytes > PART_BYTES_MAX {
                    through = Some(reader.key(row)?);
                }
                Ok(true)
            })?;
            let through = if last { range.through.clone() } else { through };
            Ok(Part { range: Range { after: range.after.clone(), through }, hash, last })
        })
    }

    pub(crate) fn hash(&self, view: &View, range: &Range) -> Result<RangeHash> {
        self.read(|c| {
            let mut reader = Reader::new(view);
            let mut hash = RangeHash::default();
            self.each(c, view, range, usize::MAX, |row| {
                hash.add(reader.hash(row)?);
                Ok(true)
            })?;
            Ok(hash)
        })
    }

    pub(crate) fn list(&self, view: &View, range: &Range, rows_max: usize) -> Result<Vec<(Key, RowHash)>> {
        self.read(|c| {
            let mut reader = Reader::new(view);
            let mut found = Vec::new();
            self.each(c, view, range, rows_max, |row| {
                let hash = reader.hash(row)?;
                found.push((reader.key(row)?, hash));
                Ok(true)
            })?;
            Ok(found)
        })
    }

    pub(crate) fn chunk(&self, view: &View, range: &Range, budget: Budget) -> Result<Chunk> {
        self.read(|c| chunk(c, view, range, budget).map_err(|e| self.explain(e)))
    }

    pub(crate) fn fetch(&self, view: &View, keys: &[Key], bytes_max: usize) -> Result<Vec<Option<Row>>> {
        self.read(|c| {
            let mut bytes = 0;
            let mut found = Vec::new();
            let mut one = One::new(c, view).map_err(|e| self.explain(e))?;
            for key in keys {
                let row = one.get(key).map_err(|e| self.explain(e))?;
                bytes += row.as_ref().map_or(0, |row| row.as_bytes().len());
                found.push(row);
                if bytes >= bytes_max {
                    break;
                }
            }
            Ok(found)
        })
    }

    fn each(
        &self,
        c: &Connection,
        view: &View,
        range: &Range,
        rows_max: usize,
        mut goes_on: impl FnMut(&SqlRow<'_>) -> rusqlite::Result<bool>,
    ) -> Result<()> {
        if !self.has(&view.table)? {
            return Ok(());
        }
        let mut work = || -> rusqlite::Result<()> {
            let mut statement = c.prepare_cached(&range_sql(view, range))?;
            bind_range(&mut statement, range, rows_max)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                if !goes_on(row)? {
                    break;
                }
            }
            Ok(())
        };
        work().map_err(|e| self.explain(e))
    }

    /// A table that is not there yet is an empty one.
    fn has(&self, table: &str) -> Result<bool> {
        crate::meta::has_table(&self.connection, table)
            .and_then(|has| if has { Ok(true) } else { self.has_other_case(table) })
            .map_err(|e| self.explain(e))
    }

    fn has_other_case(&self, table: &str) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)",
            )?
            .query_row([table], |row| row.get(0))
    }
}

/// The first rows of a range, in the caller's transaction.
pub(crate) fn chunk(c: &Connection, view: &View, range: &Range, budget: Budget) -> rusqlite::Result<Chunk> {
    let mut statement = c.prepare_cached(&range_sql(view, range))?;
    bind_range(&mut statement, range, budget.rows_max)?;
    let mut found = statement.raw_query();
    let mut reader = Reader::new(view);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let row = reader.row(row, 0)?;
        bytes += row.as_bytes().len();
        rows.push(row);
        if bytes >= budget.bytes_max {
            break;
        }
    }
    let full = rows.len() == budget.rows_max || bytes >= budget.bytes_max;
    let through = if full { rows.last().map(|row: &Row| row.pick(&view.key)) } else { None };
    Ok(Chunk { rows, through, left_out: reader.left_out })
}

/// Looks up single rows by key, as the database itself compares keys.
pub(crate) struct One<'c, 'v> {
    statement: rusqlite::CachedStatement<'c>,
    reader: Reader<'v>,
}

impl<'c, 'v> One<'c, 'v> {
    pub(crate) fn new(connection: &'c Connection, view: &'v View) -> rusqlite::Result<Self> {
        let keys = key_names(view);
        let mut conditions: Vec<String> =
            keys.iter().enumerate().map(|(at, key)| format!("{} = ?{}", quote(key), at + 1)).collect();
        conditions.push(visible(view.filter.as_ref(), view.deleted_when.as_ref()));
        let sql = format!("SELECT {} FROM {} WHERE {}", names(view), quote(&view.table), conditions.join(" AND "));
        Ok(Self { statement: connection.prepare_cached(&sql)?, reader: Reader::new(view) })
    }

    pub(crate) fn get(&mut self, key: &Key) -> rusqlite::Result<Option<Row>> {
        bind(&mut self.statement, 1, key.raw())?;
        let mut rows = self.statement.raw_query();
        let found = match rows.next()? {
            Some(row) => Some(self.reader.row(row, 0)?),
            None => None,
        };
        Ok(found)
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.reader.left_out
    }
}

/// Implements `Scan` for an endpoint whose connection, `open`, lives on the thread of its `worker`.
macro_rules! scan_on_its_thread {
    ($endpoint:ty) => {
        #[async_trait::async_trait]
        impl tidewater_core::verify::Scan for $endpoint {
            async fn survey(&mut self) -> tidewater_core::Result<tidewater_core::capture::Survey> {
                self.worker
                    .call(|s| {
                        s.open.read(|c| crate::schema::survey(c, &s.open.identity).map_err(|e| s.open.explain(e)))
                    })
                    .await
            }

            async fn count(
                &mut self,
                view: &tidewater_core::change::View,
                rows_max: u64,
            ) -> tidewater_core::Result<u64> {
                let view = view.clone();
                self.worker.call(move |s| s.open.count(&view, rows_max)).await
            }

            async fn estimate(&mut self, view: &tidewater_core::change::View) -> tidewater_core::Result<Option<u64>> {
                let view = view.clone();
                self.worker.call(move |s| s.open.estimate(&view)).await
            }

            async fn part(
                &mut self,
                view: &tidewater_core::change::View,
                range: &tidewater_core::verify::Range,
                rows_max: usize,
            ) -> tidewater_core::Result<tidewater_core::verify::Part> {
                let (view, range) = (view.clone(), range.clone());
                self.worker.call(move |s| s.open.part(&view, &range, rows_max)).await
            }

            async fn hash(
                &mut self,
                view: &tidewater_core::change::View,
                range: &tidewater_core::verify::Range,
            ) -> tidewater_core::Result<tidewater_core::change::RangeHash> {
                let (view, range) = (view.clone(), range.clone());
                self.worker.call(move |s| s.open.hash(&view, &range)).await
            }

            async fn list(
                &mut self,
                view: &tidewater_core::change::View,
                range: &tidewater_core::verify::Range,
                rows_max: usize,
            ) -> tidewater_core::Result<Vec<(tidewater_core::change::Key, tidewater_core::change::RowHash)>> {
                let (view, range) = (view.clone(), range.clone());
                self.worker.call(move |s| s.open.list(&view, &range, rows_max)).await
            }

            async fn chunk(
                &mut self,
                view: &tidewater_core::change::View,
                range: &tidewater_core::verify::Range,
                budget: tidewater_core::transport::Budget,
            ) -> tidewater_core::Result<tidewater_core::verify::Chunk> {
                let (view, range) = (view.clone(), range.clone());
                self.worker.call(move |s| s.open.chunk(&view, &range, budget)).await
            }

            async fn fetch(
                &mut self,
                view: &tidewater_core::change::View,
                keys: &[tidewater_core::change::Key],
                bytes_max: usize,
            ) -> tidewater_core::Result<Vec<Option<tidewater_core::change::Row>>> {
                let (view, keys) = (view.clone(), keys.to_vec());
                self.worker.call(move |s| s.open.fetch(&view, &keys, bytes_max)).await
            }
        }
    };
}
pub(crate) use scan_on_its_thread;
