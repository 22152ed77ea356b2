//! What other programs write, and what they note of it: in the same transaction, in a table that no engine carries,
//! each value that the transaction replaced, with what stood there before.
//!
//! The notes come from looking at all tables before and after the statements, so that triggers, cascades and REPLACE
//! are in them like everything else. Values that matter are tokens: texts that nobody ever writes again.

use super::Dice;
use crate::given::passes;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tidewater_core::change::{Row, Value};

/// A table, its key, and the columns that hold tokens.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) key: &'static [&'static str],
    tokens: &'static [&'static str],
}

const fn shape(name: &'static str, key: &'static [&'static str], tokens: &'static [&'static str]) -> Shape {
    Shape { name, key, tokens }
}

pub(super) const SHAPES: [Shape; 9] = [
    shape("plain", &["id"], &["a", "b", "c"]),
    shape("ruled", &["id"], &["a", "b"]),
    shape("single", &["id"], &["v", "w"]),
    shape("parent", &["id"], &["a", "last"]),
    shape("child", &["id"], &["v"]),
    shape("grandchild", &["id"], &["v"]),
    shape("tree", &["id"], &["v"]),
    shape("tag", &["name"], &["v", "w"]),
    shape("stock", &["place", "part"], &["v"]),
];

pub(super) const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE plain(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT);
    CREATE TABLE ruled(id INTEGER PRIMARY KEY, a TEXT, b TEXT);
    CREATE TABLE single(id INTEGER PRIMARY KEY, u TEXT UNIQUE, p INTEGER, q INTEGER, v TEXT, w TEXT, UNIQUE (p, q));
    CREATE TABLE parent(id INTEGER PRIMARY KEY, a TEXT, last TEXT);
    CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id) ON DELETE CASCADE, v TEXT);
    CREATE TABLE grandchild(id INTEGER PRIMARY KEY, child INTEGER REFERENCES child(id) ON DELETE CASCADE, nick TEXT UNIQUE, v TEXT);
    CREATE INDEX grandchild_child ON grandchild(child);
    CREATE TABLE tree(id INTEGER PRIMARY KEY, above INTEGER REFERENCES tree(id) ON DELETE CASCADE, slug TEXT UNIQUE, v TEXT);
    CREATE TRIGGER latest_child AFTER INSERT ON child BEGIN
      UPDATE parent SET last = NEW.v WHERE id = NEW.parent; END;
    CREATE TABLE tag(name TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, v TEXT, w TEXT);
    CREATE TABLE stock(place TEXT, part INTEGER, v TEXT, PRIMARY KEY (place, part)) WITHOUT ROWID;
    CREATE TABLE noted(id TEXT PRIMARY KEY, tab TEXT, key TEXT, col TEXT, before TEXT, after TEXT);";

/// Rows that all members have before they meet for the first time.
pub(super) const BEGINNING: &str = "
    INSERT INTO plain SELECT value, 'g-a' || value, 'g-b' || value, NULL FROM generate_series(1, 12);
    INSERT INTO ruled SELECT value, 'g-a' || value, 'g-b' || value FROM generate_series(1, 8);
    INSERT INTO single SELECT value, 'u' || value, value, value, 'g-v' || value, NULL FROM generate_series(1, 6);
    INSERT INTO parent SELECT value, 'g-a' || value, NULL FROM generate_series(1, 6);
    INSERT INTO child SELECT value, 1 + value % 6, 'g-v' || value FROM generate_series(1, 12);
    INSERT INTO grandchild SELECT value, 1 + value % 12, 'n' || value, 'g-v' || value FROM generate_series(1, 6);
    INSERT INTO tree SELECT value, nullif(value / 2, 0), 's' || value, 'g-v' || value FROM generate_series(1, 8);
    INSERT INTO tag SELECT 'k' || value, 'g-v' || value, NULL FROM generate_series(1, 6);
    INSERT INTO stock SELECT 'north', value, 'g-v' || value FROM generate_series(1, 6);";

/// A place where a token can stand: table, key, column.
pub(super) type Place = (String, String, String);

/// One value that one transaction replaced.
#[derive(Debug, Clone)]
pub(super) struct Note {
    pub(super) place: Place,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

pub(super) fn value(from: ValueRef<'_>) -> Value<'static> {
    match from {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::I64(v),
        ValueRef::Real(v) => Value::F64(v),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned().into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec().into()),
    }
}

/// The tokens that the tables show.
pub(super) fn tokens(c: &Connection) -> rusqlite::Result<BTreeMap<Place, String>> {
    let mut found = BTreeMap::new();
    for shape in &SHAPES {
        // A leaf has not all of them.
        let there = super::files::columns(c, shape.name);
        let tokens: Vec<&str> = shape.tokens.iter().copied().filter(|name| there.iter().any(|t| t == name)).collect();
        let columns = [shape.key, &tokens].concat().join(", ");
        let mut statement = c.prepare_cached(&format!("SELECT {columns} FROM {}", shape.name))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let parts = (0..shape.key.len()).map(|at| row.get_ref(at).map(value));
            let key = Row::new(parts.collect::<rusqlite::Result<Vec<_>>>()?).to_string();
            for (at, column) in tokens.iter().enumerate() {
                if let Some(token) = row.get::<_, Option<String>>(shape.key.len() + at)? {
                    found.insert((shape.name.to_owned(), key.clone(), (*column).to_owned()), token);
                }
            }
        }
    }
    Ok(found)
}

/// The column of `plain` that leaves lack.
const LACKED: &str = "c";

/// Whether it is the file of a leaf.
pub(super) fn lacks_a_column(c: &Connection) -> bool {
    !super::files::columns(c, "plain").iter().any(|held| held == LACKED)
}

/// Whether values of `plain` may not be filled in yet.
fn may_lack(c: &Connection) -> rusqlite::Result<bool> {
    let shared = "SELECT EXISTS (SELECT 1 FROM pragma_table_info('_tidewater_shared') WHERE name = 'lacking')";
    let lacking = "SELECT coalesce(max(lacking), 0) FROM _tidewater_shared WHERE name = 'plain'";
    Ok(c.query_row(shared, [], |row| row.get(0))? && c.query_row(lacking, [], |row| row.get(0))?)
}

fn rows_of_plain(c: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    c.prepare_cached("SELECT id FROM plain")?.query_map([], |row| row.get(0))?.collect()
}

/// The tokens that were there from the beginning, as if somebody had noted them.
pub(super) fn beginning(c: &Connection) -> rusqlite::Result<BTreeMap<String, Note>> {
    let note = |(at, (place, token))| (format!("beginning-{at}"), Note { place, before: None, after: Some(token) });
    Ok(tokens(c)?.into_iter().enumerate().map(note).collect())
}

/// What a file's programs noted, by number.
pub(super) fn notes(c: &Connection) -> rusqlite::Result<BTreeMap<String, Note>> {
    let mut statement = c.prepare("SELECT id, tab, key, col, before, after FROM noted")?;
    let notes = statement.query_map([], |row| {
        let place = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((row.get(0)?, Note { place, before: row.get(4)?, after: row.get(5)? }))
    })?;
    notes.collect()
}

/// A program.
pub(super) struct Program<'a> {
    pub(super) name: String,
    pub(super) dice: &'a Dice,
    pub(super) tokens: u64,
    /// The columns of `plain`, beside the key.
    pub(super) plain: Vec<String>,
}

impl Program<'_> {
    /// Writes some transactions.
    pub(super) fn run(&mut self, path: &Path, transactions: u64, pause_ms: u64) -> rusqlite::Result<()> {
        let c = Connection::open(path)?;
        c.busy_timeout(Duration::from_secs(20))?;
        c.execute_batch("PRAGMA synchronous = OFF;")?;
        // Some leave orphans.
        let enforced = self.dice.roll(8) > 0;
        c.pragma_update(None, "foreign_keys", enforced)?;
        self.plain = super::files::columns(&c, "plain").into_iter().filter(|name| name != "id").collect();
        c.pragma_update(None, "recursive_triggers", self.dice.roll(2) == 0)?;
        for at in 0..transactions {
            match self.dice.roll(40) {
                0 => c.execute_batch("VACUUM")?,
                1 => {
                    // A table that is dropped would delete its children.
                    c.execute_batch("PRAGMA foreign_keys = OFF")?;
                    self.transaction(&c, at, Self::migrate)?;
                    c.pragma_update(None, "foreign_keys", enforced)?;
                }
                2 => self.transaction(&c, at, |of, c| (0..30).try_for_each(|_| of.statement(c)))?,
                _ => self.transaction(&c, at, |of, c| (0..=of.dice.roll(3)).try_for_each(|_| of.statement(c)))?,
            }
            if pause_ms > 0 {
                passes(Duration::from_millis(self.dice.roll(pause_ms)));
            }
        }
        Ok(())
    }

    fn transaction(
        &mut self,
        c: &Connection,
        number: u64,
        work: impl FnOnce(&mut Self, &Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        c.execute_batch("BEGIN IMMEDIATE")?;
        let (rows_before, before) = (rows_of_plain(c)?, tokens(c)?);
        work(self, c)?;
        let (rows_after, after) = (rows_of_plain(c)?, tokens(c)?);
        let mut note = c.prepare_cached("INSERT INTO noted VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let places: BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
        for (at, place) in places.into_iter().enumerate() {
            let (was, is) = (before.get(place), after.get(place));
            if was != is {
                note.execute((format!("{}-{number}-{at}", self.name), &place.0, &place.1, &place.2, was, is))?;
            }
        }
        // Who does not see a column, or not all that was written to it, takes values away with the row, or with his own,
        // and cannot say which those were.
        if may_lack(c)? || !self.plain.iter().any(|held| held == LACKED) {
            let token = |of: &BTreeMap<Place, String>, key: &i64| {
                of.get(&("plain".to_owned(), key.to_string(), LACKED.to_owned())).cloned()
            };
            let gone = |key: &&i64| !rows_after.contains(key) || token(&before, key) != token(&after, key);
            for key in rows_before.iter().filter(gone) {
                let id = format!("{}-{number}-gone-{key}", self.name);
                note.execute((id, "plain", key.to_string(), LACKED, None::<String>, None::<String>))?;
            }
        }
        drop(note);
        c.execute_batch("COMMIT")
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("{}-{}", self.name, self.tokens)
    }

    /// One statement; one that breaks a constraint does nothing.
    fn statement(&mut self, c: &Connection) -> rusqlite::Result<()> {
        let sql = match self.dice.roll(12) {
            0..3 => self.plain(),
            3..5 => self.ruled(),
            5..8 => self.single(),
            8 => self.family(),
            9 => self.descendants(),
            10 => self.tag(),
            _ => self.stock(),
        };
        match c.execute_batch(&sql) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(()),
            done => done,
        }
    }

    fn plain(&mut self) -> String {
        let (id, other, t) = (1 + self.dice.roll(14), 1 + self.dice.roll(14), self.token());
        let column = self.dice.pick(&self.plain);
        let last = self.plain.last().expect("columns");
        match self.dice.roll(9) {
            0 => format!("INSERT OR IGNORE INTO plain(id, a, b) VALUES ({id}, '{t}', '{t}')"),
            1 => format!("REPLACE INTO plain(id, {last}) VALUES ({id}, '{t}')"),
            2 => format!("DELETE FROM plain WHERE id = {id}"),
            3 => format!("UPDATE OR IGNORE plain SET id = {other}, {column} = '{t}' WHERE id = {id}"),
            4 => format!("UPDATE OR REPLACE plain SET id = {other} WHERE id = {id}"),
            5 => format!(
                "INSERT INTO plain(id, {column}) VALUES ({id}, '{t}') ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column}"
            ),
            6 => format!("UPDATE plain SET {column} = '{t}.' || id WHERE id BETWEEN {id} AND {other}"),
            _ => format!("UPDATE plain SET {column} = '{t}' WHERE id = {id}"),
        }
    }

    fn ruled(&mut self) -> String {
        let (id, t) = (1 + self.dice.roll(9), self.token());
        let column = ["a", "b"][self.dice.roll(2) as usize];
        match self.dice.roll(6) {
            0 => format!("INSERT OR IGNORE INTO ruled VALUES ({id}, '{t}', '{t}')"),
            1 => format!("DELETE FROM ruled WHERE id = {id}"),
            2 => format!("REPLACE INTO ruled VALUES ({id}, '{t}', NULL)"),
            _ => format!("UPDATE ruled SET {column} = '{t}' WHERE id = {id}"),
        }
    }

    fn single(&mut self) -> String {
        let (id, other, t) = (1 + self.dice.roll(9), 1 + self.dice.roll(9), self.token());
        let (u, p, q) = (self.dice.roll(9), self.dice.roll(4), self.dice.roll(4));
        match self.dice.roll(9) {
            0 => format!("INSERT OR IGNORE INTO single VALUES ({id}, 'u{u}', {p}, {q}, '{t}', NULL)"),
            1 => format!("REPLACE INTO single VALUES ({id}, 'u{u}', {p}, {q}, '{t}', '{t}')"),
            2 => format!("DELETE FROM single WHERE id = {id}"),
            3 => format!("UPDATE OR REPLACE single SET u = 'u{u}', v = '{t}' WHERE id = {id}"),
            4 => format!("UPDATE OR IGNORE single SET p = {p}, q = {q} WHERE id = {id}"),
            5 => format!(
                "CREATE TEMP TABLE IF NOT EXISTS swap(u, w); DELETE FROM swap; \
                 INSERT INTO swap SELECT (SELECT u FROM single WHERE id = {id}), (SELECT u FROM single WHERE id = {other}); \
                 UPDATE single SET u = NULL WHERE id IN ({id}, {other}); \
                 UPDATE single SET u = (SELECT w FROM swap), v = '{t}' WHERE id = {id}; \
                 UPDATE OR IGNORE single SET u = (SELECT u FROM swap) WHERE id = {other}"
            ),
            6 => format!("UPDATE OR REPLACE single SET id = {other} WHERE id = {id}"),
            _ => format!("UPDATE single SET w = '{t}' WHERE id = {id}"),
        }
    }

    /// A parent and its children.
    fn family(&mut self) -> String {
        let (id, child, t) = (1 + self.dice.roll(7), 1 + self.dice.roll(16), self.token());
        match self.dice.roll(8) {
            0 => format!("INSERT OR IGNORE INTO parent VALUES ({id}, '{t}', NULL)"),
            1 => format!("DELETE FROM parent WHERE id = {id}"),
            2 => format!("UPDATE parent SET a = '{t}' WHERE id = {id}"),
            3 => format!("UPDATE child SET v = '{t}' WHERE id = {child}"),
            4 => format!("DELETE FROM child WHERE id = {child}"),
            5 => format!(
                "UPDATE OR IGNORE child SET parent = (SELECT id FROM parent WHERE id >= {id}) WHERE id = {child}"
            ),
            _ => format!("INSERT OR REPLACE INTO child SELECT {child}, id, '{t}' FROM parent WHERE id = {id}"),
        }
    }

    /// The children of children, and a table that refers to itself.
    fn descendants(&mut self) -> String {
        let (id, other, t) = (1 + self.dice.roll(12), 1 + self.dice.roll(12), self.token());
        let name = self.dice.roll(9);
        match self.dice.roll(9) {
            0 => format!(
                "INSERT OR REPLACE INTO grandchild SELECT {id}, id, 'n{name}', '{t}' FROM child WHERE id = {other}"
            ),
            1 => format!("DELETE FROM grandchild WHERE id = {id}"),
            2 => format!("UPDATE OR IGNORE grandchild SET child = {other} WHERE id = {id}"),
            3 => format!("UPDATE grandchild SET v = '{t}' WHERE id = {id}"),
            4 | 5 => {
                format!("INSERT OR REPLACE INTO tree SELECT {id}, id, 's{name}', '{t}' FROM tree WHERE id = {other}")
            }
            6 => format!("DELETE FROM tree WHERE id = {id}"),
            7 => format!("UPDATE OR IGNORE tree SET above = {other}, v = '{t}' WHERE id = {id}"),
            _ => format!("INSERT OR IGNORE INTO tree VALUES ({id}, NULL, 's{name}', '{t}')"),
        }
    }

    fn tag(&mut self) -> String {
        let t = self.token();
        let name = format!("{}{}", ["k", "K"][self.dice.roll(2) as usize], 1 + self.dice.roll(7));
        match self.dice.roll(6) {
            0 => format!("INSERT OR IGNORE INTO tag VALUES ('{name}', '{t}', '{t}')"),
            1 => format!("DELETE FROM tag WHERE name = '{name}'"),
            2 => format!("UPDATE tag SET name = '{name}', w = '{t}' WHERE name = '{name}'"),
            3 => format!(
                "INSERT INTO tag VALUES ('{name}', '{t}', NULL) ON CONFLICT (name) DO UPDATE SET v = excluded.v"
            ),
            _ => format!("UPDATE tag SET v = '{t}' WHERE name = '{name}'"),
        }
    }

    fn stock(&mut self) -> String {
        let (part, other, t) = (1 + self.dice.roll(7), 1 + self.dice.roll(7), self.token());
        let place = ["north", "söuth"][self.dice.roll(2) as usize];
        match self.dice.roll(5) {
            0 => format!("INSERT OR REPLACE INTO stock VALUES ('{place}', {part}, '{t}')"),
            1 => format!("DELETE FROM stock WHERE place = '{place}' AND part = {part}"),
            2 => format!(
                "UPDATE OR IGNORE stock SET part = {other}, v = '{t}' WHERE place = '{place}' AND part = {part}"
            ),
            _ => format!("UPDATE stock SET v = '{t}' WHERE place = '{place}' AND part = {part}"),
        }
    }

    /// A table is built anew, as migrations do: it loses its triggers, and what is written meanwhile is seen by none.
    fn migrate(&mut self, c: &Connection) -> rusqlite::Result<()> {
        let columns = self.plain.iter().map(|name| format!(", {name} TEXT")).collect::<String>();
        c.execute_batch(&format!(
            "CREATE TABLE plain_new(id INTEGER PRIMARY KEY{columns});
             INSERT INTO plain_new SELECT * FROM plain; DROP TABLE plain; ALTER TABLE plain_new RENAME TO plain;",
        ))?;
        (0..self.dice.roll(4)).try_for_each(|_| {
            let sql = self.plain();
            c.execute_batch(&sql)
        })
    }
}
