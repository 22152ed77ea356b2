//! What a table is, as far as carrying its rows needs to know.

/// How rows are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// By the primary key.
    PrimaryKey,
    /// The table has none: by the hidden row number, which the database may renumber.
    RowNumber,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the database spells it.
    pub name: String,
    /// The type as declared, in the words of its database.
    pub declared: String,
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
}
