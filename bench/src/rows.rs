//! The data: a table like many applications have, and the writes to it. All texts are made before a clock runs.

use crate::Result;
use rusqlite::Connection;

/// The table, with or without indexes beside its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The key only.
    Plain,
    /// Two secondary indexes and a unique one.
    Indexed,
}

impl Shape {
    /// The word for it in names and arguments.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Shape::Plain => "plain",
            Shape::Indexed => "indexed",
        }
    }

    fn indexes(self) -> &'static str {
        match self {
            Shape::Plain => "",
            Shape::Indexed => {
                "CREATE INDEX items_at ON items(at); CREATE INDEX items_amount ON items(amount); \
                 CREATE UNIQUE INDEX items_name ON items(name);"
            }
        }
    }
}

/// The table.
pub(crate) const SCHEMA: &str =
    "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, doc TEXT, at TEXT, amount REAL);";

/// Makes the table and fills it. Rows are about 170 bytes.
pub(crate) fn fill(c: &Connection, rows: u64, shape: Shape) -> Result<()> {
    c.execute_batch(SCHEMA)?;
    c.execute(
        "WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < ?1) INSERT INTO items \
         SELECT i, printf('%08x%08x%08x%08x-%d', i*2654435761 % 4294967296, i*40503 % 4294967296, \
         i*97 % 4294967296, i*13 % 4294967296, i % 1000), \
         json_object('k', i % 1000, 'tag', printf('%032x', i*7), 'ok', i % 2 = 0), \
         datetime(1767225600 + i, 'unixepoch'), (i % 100000) / 100.0 FROM g",
        [rows],
    )?;
    c.execute_batch(shape.indexes())?;
    Ok(())
}

/// One write, with its values.
enum Write {
    Insert { id: u64, name: String, doc: String, amount: f64 },
    Update { id: u64, doc: String },
    Delete { id: u64 },
}

/// A list of writes, in transactions of equal size.
pub(crate) struct Writes {
    writes: Vec<Write>,
    per_transaction: usize,
}

impl Writes {
    /// The writes of this kind to a table of `rows` rows.
    pub(crate) fn new(kind: &str, rows: u64, count: u64, per_transaction: usize) -> Result<Self> {
        let writes = match kind {
            "insert" => (1..=count).map(|i| insert(rows, i)).collect(),
            "update-scattered" => (1..=count).map(|i| update(scattered(rows * 9 / 10, i), i)).collect(),
            "mixed-elsewhere" => (1..=count).map(|i| mixed_elsewhere(rows, count, i)).collect(),
            "update-in-order" => (1..=count).map(|i| update(i % rows + 1, i)).collect(),
            "delete-scattered" => (1..=count.min(rows)).map(|i| Write::Delete { id: scattered(rows, i) }).collect(),
            "delete-in-order" => (1..=count.min(rows)).map(|id| Write::Delete { id }).collect(),
            "mixed" => (1..=count).map(|i| mixed(rows, i)).collect(),
            other => return Err(format!("no kind of write is called {other}").into()),
        };
        Ok(Self { writes, per_transaction })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.writes.len() as u64
    }

    /// Carries them out, as an application would: statements prepared once.
    pub(crate) fn run(&self, c: &Connection) -> Result<()> {
        let mut insert = c.prepare("INSERT INTO items VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut update = c.prepare("UPDATE items SET doc = ?1, amount = amount + 1 WHERE id = ?2")?;
        let mut delete = c.prepare("DELETE FROM items WHERE id = ?1")?;
        let (mut begin, mut commit) = (c.prepare("BEGIN")?, c.prepare("COMMIT")?);
        for transaction in self.writes.chunks(self.per_transaction) {
            begin.execute([])?;
            for write in transaction {
                match write {
                    Write::Insert { id, name, doc, amount } => {
                        insert.execute((id, name, doc, "2026-06-01 00:00:00", amount))?
                    }
                    Write::Update { id, doc } => update.execute((doc, id))?,
                    Write::Delete { id } => delete.execute([id])?,
                };
            }
            commit.execute([])?;
        }
        Ok(())
    }
}

fn insert(rows: u64, i: u64) -> Write {
    let doc = format!("{{\"k\":1,\"tag\":\"{i:032x}\"}}");
    Write::Insert { id: rows + i, name: format!("n{i:032x}"), doc, amount: i as f64 / 100.0 }
}

fn update(id: u64, i: u64) -> Write {
    Write::Update { id, doc: format!("{{\"k\":2,\"tag\":\"{i:032x}\"}}") }
}

/// The key of a row far from the one before. The factor is prime: no row twice before all had their turn.
fn scattered(rows: u64, i: u64) -> u64 {
    i * 7_919 % rows + 1
}

/// 60 inserts, 30 updates and 10 deletes in a hundred; `changeset.py` writes the same.
fn mixed(rows: u64, i: u64) -> Write {
    match i % 10 {
        0..6 => insert(rows, i),
        6..9 => update(scattered(rows * 9 / 10, i), i),
        _ => Write::Delete { id: rows * 9 / 10 + i / 10 + 1 },
    }
}

/// The same mixture to other rows, but for one update in thirty, which meets one of [`mixed`].
fn mixed_elsewhere(rows: u64, count: u64, i: u64) -> Write {
    match i % 10 {
        0..6 => insert(rows + count, i),
        6..9 if i % 100 == 6 => update(scattered(rows * 9 / 10, i), i + count),
        6..9 => update(scattered(rows * 9 / 10, i + 5), i + count),
        _ => Write::Delete { id: rows * 19 / 20 + i / 10 + 1 },
    }
}
