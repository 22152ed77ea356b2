//! What a table is, as far as carrying its rows needs to know.

/// How rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// By the primary key.
    PrimaryKey,
    /// The table has none: by the hidden row number, which the database may renumber.
    RowNumber,
}

/// What a column is for: chosen among what every database has, so that a table can be made in the words of another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColumnKind {
    /// A truth value; carried as 0 or 1.
    Bool,
    /// A whole number of so many bytes: 2, 4 or 8.
    Integer(u8),
    /// A binary floating point number of so many bytes: 4 or 8.
    Float(u8),
    /// An exact decimal; carried as text.
    Decimal,
    /// Bytes.
    Bytes,
    /// A calendar day; carried as text, as are all that follow.
    Date,
    /// A time of day.
    Time,
    /// A timestamp without a zone.
    Timestamp,
    /// A point in time.
    TimestampTz,
    /// A UUID.
    Uuid,
    /// JSON.
    Json,
    /// Text, or anything else in the canonical words of its database.
    #[default]
    Text,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the database spells it.
    pub name: String,
    /// The type as declared, in the words of its database.
    pub declared: String,
    /// What it is for.
    pub kind: ColumnKind,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The default, as an expression in the words of its database.
    pub default: Option<String>,
    /// Computed from other columns: never carried.
    pub generated: bool,
    /// The name of its collation.
    pub collation: String,
}

/// A unique constraint or index over plain columns, all rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// Its columns, by name.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The referring columns.
    pub columns: Vec<String>,
    /// The table referred to.
    pub parent: String,
    /// The columns referred to; empty for the parent's primary key.
    pub parent_columns: Vec<String>,
    /// What a delete or key change at the parent does, in SQL: `CASCADE`, `NO ACTION`, …
    pub on_delete: String,
    /// The same for key changes.
    pub on_update: String,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, as the database spells it.
    pub name: String,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// The names of the key columns, in key order. For [`Identity::RowNumber`] the name under which the row
    /// number can be read.
    pub key: Vec<String>,
    /// How rows are told apart.
    pub identity: Identity,
    /// Unique constraints other than the key.
    pub unique: Vec<Unique>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// The statements that create the table and its indexes, in the words of its database; the first is the table.
    pub statements: Vec<String>,
}

impl Table {
    /// The column of that name; names are compared as SQL does, without regard to ASCII case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// The table as a database of another kind may take it: without what is said in the words of its own. Of the
    /// defaults, plain numbers and texts stay.
    #[must_use]
    pub fn in_other_words(mut self) -> Self {
        self.statements.clear();
        for column in &mut self.columns {
            column.default = column.default.take().and_then(|text| constant(&text));
        }
        self
    }
}

/// A default that is the same in every database: a number or a text, without a cast behind it.
fn constant(text: &str) -> Option<String> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.parse::<f64>().is_ok_and(f64::is_finite);
    if is_number {
        return Some(text.to_owned());
    }
    let inner = text.strip_prefix('\'')?;
    let end = closing_quote(inner)?;
    let rest = &inner[end + 1..];
    let is_cast =
        rest.strip_prefix("::").is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || " _()".contains(c)));
    (rest.is_empty() || is_cast).then(|| format!("'{}'", &inner[..end]))
}

/// Where a quoted text ends; `''` within it is a quote.
fn closing_quote(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_defaults_are_taken_into_other_words() {
        for (text, wanted) in [
            ("7", Some("7")),
            ("-1.5", Some("-1.5")),
            ("'new'::text", Some("'new'")),
            ("'it''s'::character varying", Some("'it''s'")),
            ("'a' || 'b'", None),
            ("now()", None),
            ("nextval('s'::regclass)", None),
            ("NULL", None),
        ] {
            assert_eq!(constant(text).as_deref(), wanted, "{text}");
        }
    }
}
