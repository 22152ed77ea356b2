//! Rows as they are, from one PostgreSQL database into another: a COPY here feeds a COPY there, in the binary form where
//! all types are the servers' own, as text otherwise.

use crate::apply::elsewhere;
use crate::error::{explain, is_rows_fault};
use crate::ledger::copied_sql;
use crate::scan::{Lines, Reader};
use crate::session::Session;
use crate::sql::{Order, list, table, within};
use crate::target::PostgresTarget;
use crate::wire::{quoted_name, quoted_text};
use async_trait::async_trait;
use tidewater_core::Result;
use tidewater_core::apply::Stretch;
use tidewater_core::change::{Key, View};
use tidewater_core::transport::RawRows;
use tidewater_core::verify::Range;

/// A part of a table has about so many bytes: what a kill makes read again.
const PART_BYTES: u64 = 16 << 20;
/// A row's size where the statistics do not tell.
const ROW_BYTES: u64 = 200;
/// Rows are passed on in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// The server compresses a value to this part of it at the most, and keeps none longer than a page in its row.
const COMPRESSION_MAX: u64 = 256;
const PAGE_BYTES: u64 = 8 << 10;

/// Rows of a range, in COPY's own form.
struct Copy<'s> {
    session: &'s mut Session,
    form: &'static str,
}

#[async_trait]
impl RawRows for Copy<'_> {
    fn form(&self) -> &'static str {
        self.form
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.session.copied_bytes(PIECE_BYTES).await
    }
}

impl Reader {
    /// Where a part of a table ends; `None` where the range ends before.
    pub(crate) async fn boundary(&mut self, view: &View, range: &Range) -> Result<Option<Key>> {
        let Some(details) = self.details(&view.table).await? else { return Ok(None) };
        let size = self.session.query(&crate::ddl::row_size_sql(&view.table)).await?;
        let size = size.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        let rows = (PART_BYTES / size.unwrap_or(ROW_BYTES).max(1)).max(1_000);
        let (conditions, terms) = within(view, &details, range, Order::Own);
        let columns = view.key.iter().map(|at| view.columns[*at].clone()).collect();
        let key = View { columns, key: (0..view.key.len()).collect(), ..view.clone() };
        let sql = format!(
            "COPY (SELECT {} FROM {} WHERE {conditions} ORDER BY {} OFFSET {} LIMIT 1) TO STDOUT",
            list("", key.columns.iter().map(|column| column.name.as_str())),
            table(&view.table),
            terms.join(", "),
            rows - 1
        );
        let mut lines = Lines::new(&key, &details);
        let mut end = None;
        self.session
            .copy_out(&sql, |line| {
                end = Some(lines.row(&line).pick(&key.key));
                true
            })
            .await?;
        Ok(end)
    }

    /// Whether a range holds a value longer than this, as text. What is stored is compressed at most so far; only what
    /// may be longer is looked into.
    async fn has_longer(&mut self, view: &View, max: u64, conditions: &str) -> Result<bool> {
        let aside = self.session.query(&crate::ddl::size_aside_sql(&view.table)).await?;
        let aside: Option<u64> = aside.rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
        if aside.is_some_and(|bytes| (bytes + PAGE_BYTES).saturating_mul(COMPRESSION_MAX) <= max) {
            return Ok(false);
        }
        let longer = |name: &str| {
            let name = quoted_name(name);
            format!(
                "CASE WHEN pg_catalog.pg_column_size({name}) > {} THEN octet_length({name}::text) > {max} END",
                max / COMPRESSION_MAX
            )
        };
        let any: Vec<String> = view.columns.iter().map(|column| longer(&column.name)).collect();
        let from = table(&view.table);
        let sql = format!("SELECT 1 FROM {from} WHERE {conditions} AND ({}) LIMIT 1", any.join(" OR "));
        Ok(!self.session.query(&sql).await?.rows.is_empty())
    }

    /// All rows of a range.
    pub(crate) async fn raw<'s>(&'s mut self, view: &View, range: &Range) -> Result<Option<Box<dyn RawRows + 's>>> {
        let Some(details) = self.details(&view.table).await? else { return Ok(None) };
        let (conditions, _) = within(view, &details, range, Order::Own);
        if let Some(max) = view.value_bytes_max
            && self.has_longer(view, max, &conditions).await?
        {
            return Ok(None);
        }
        let (form, option) = if details.is_portable { ("binary", " (FORMAT binary)") } else { ("text", "") };
        // A range is a small part of its table: each is read by the key's index, whatever the statistics say.
        self.session.query("SET enable_seqscan = off").await?;
        self.session
            .begin_copy_out(&format!(
                "COPY (SELECT {} FROM {} WHERE {conditions}) TO STDOUT{option}",
                list("", view.columns.iter().map(|column| column.name.as_str())),
                table(&view.table),
            ))
            .await?;
        Ok(Some(Box::new(Copy { session: &mut self.session, form })))
    }
}

impl PostgresTarget {
    /// Writes rows of a first copy, and the stretch that they are.
    pub(crate) async fn load_rows(
        &mut self,
        table: usize,
        rows: &mut dyn RawRows,
        stretch: Option<&Stretch>,
    ) -> Result<Option<u64>> {
        let begin = self.begin_sql().join("; ");
        let Some(writer) = self.tables.get(table).and_then(Option::as_ref) else { return Ok(None) };
        let option = if rows.form() == "binary" { " (FORMAT binary)" } else { "" };
        let copy = format!("{}{option}", writer.copy_sql());
        let link = self.writer.as_ref().map(|writer| quoted_text(&writer.link)).unwrap_or_default();
        let session = &mut self.reader.session;
        let advance = stretch
            .map_or("SELECT 1".to_owned(), |stretch| copied_sql(&link, &self.mappings[table].source.table, stretch));
        let advanced = session.query(&format!("{begin}; {advance}")).await?;
        if advanced.rows.len() != 1 {
            session.give_up();
            return Err(elsewhere(&session.shown));
        }
        match session.copy_through(&copy, rows).await? {
            Ok(rows) => {
                session.query("COMMIT").await?;
                Ok(Some(rows))
            }
            Err(error) if error.server().is_some_and(is_rows_fault) => {
                session.query("ROLLBACK").await?;
                Ok(None)
            }
            Err(error) => {
                session.give_up();
                Err(explain(error, &session.shown))
            }
        }
    }
}
