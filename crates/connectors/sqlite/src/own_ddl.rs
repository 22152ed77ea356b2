//! Our own changes of a schema: nobody may take them for somebody else's, nor may they hide one.
//!
//! A schema version that is not the one stored means DDL or VACUUM, and for tables without a key a comparison. What
//! we make or drop changes it, too: then those who knew the version before know the one after, and nobody else.

use crate::meta;
use rusqlite::Connection;

/// Ends a transaction of ours that began at the schema version `before`. Says the version now.
pub(crate) fn known(c: &Connection, before: i64) -> rusqlite::Result<i64> {
    let after = meta::cookie(c)?;
    if after != before {
        for table in ["_tidewater_control", "_tidewater_link"] {
            if meta::has_table(c, table)? {
                c.execute(&format!("UPDATE {table} SET cookie = ?2 WHERE cookie = ?1"), [before, after])?;
            }
        }
    }
    Ok(after)
}
