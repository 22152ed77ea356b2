//! Rows that are taken away for a moment, so that their unique values are free for others. Written again, they get
//! back the columns of the target's own, which nobody carries. Tests: `tests/it/uniques.rs`.

use crate::scan::One;
use crate::sql::quote;
use crate::types::bind;
use rusqlite::Connection;
use tidewater_core::change::{Key, Row, View, ViewColumn};

/// What a row that was taken away had in columns of the target's own.
pub(crate) struct Aside {
    /// The key's columns, and then the target's own.
    view: View,
    row: Row,
}

/// Deletes a row, and remembers what of it `carried` does not see.
pub(crate) fn take(c: &Connection, carried: &View, key: &Key) -> rusqlite::Result<Option<Aside>> {
    let view = uncarried(c, carried)?;
    let aside = match view.columns.len() > view.key.len() {
        true => One::new(c, &view)?.get(key)?,
        false => None,
    };
    let mut statement = c.prepare_cached(&format!("DELETE FROM {} WHERE {}", quote(&view.table), matches(&view)))?;
    bind(&mut statement, 1, key.raw())?;
    statement.raw_execute()?;
    Ok(aside.map(|row| Aside { view, row }))
}

impl Aside {
    /// The table that the row belongs to.
    pub(crate) fn table(&self) -> &str {
        &self.view.table
    }

    /// Writes what was remembered into the row that is there again.
    pub(crate) fn give_back(&self, c: &Connection) -> rusqlite::Result<()> {
        let keys = self.view.key.len();
        let own = self.view.columns.iter().enumerate().skip(keys);
        let set: Vec<String> = own.map(|(at, column)| format!("{} = ?{}", quote(&column.name), at + 1)).collect();
        let (table, matches) = (quote(&self.view.table), matches(&self.view));
        let mut statement =
            c.prepare_cached(&format!("UPDATE OR ABORT {table} SET {} WHERE {matches}", set.join(", ")))?;
        bind(&mut statement, 1, self.row.raw())?;
        statement.raw_execute().map(drop)
    }
}

/// All the columns of the table: what `carried` sees, and then the target's own.
pub(crate) fn whole(c: &Connection, carried: &View) -> rusqlite::Result<View> {
    let own = uncarried(c, carried)?.columns.into_iter().skip(carried.key.len());
    Ok(View { columns: carried.columns.iter().cloned().chain(own).collect(), ..carried.clone() })
}

/// The key, and the columns of the table that `carried` does not see.
fn uncarried(c: &Connection, carried: &View) -> rusqlite::Result<View> {
    let mut columns: Vec<ViewColumn> = carried.key.iter().map(|at| carried.columns[*at].clone()).collect();
    let key = (0..columns.len()).collect();
    let mut statement = c.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([&carried.table], |row| row.get::<_, String>(0))?;
    for name in names {
        let name = name?;
        if !carried.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&name)) {
            columns.push(ViewColumn { name, collation: "BINARY".to_owned() });
        }
    }
    Ok(View { columns, key, filter: None, deleted_when: None, value_bytes_max: None, table: carried.table.clone() })
}

/// The row whose key is bound to the first parameters.
fn matches(view: &View) -> String {
    let keys = view.key.iter().map(|at| format!("{} = ?{}", quote(&view.columns[*at].name), at + 1));
    keys.collect::<Vec<_>>().join(" AND ")
}
