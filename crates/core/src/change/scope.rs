//! Scope: which tables, columns and rows a sync sees, and under which names they stand at the target.
//!
//! A [`Scope`] is what the configuration says. Resolved against a real table it becomes a [`Mapping`]: two
//! [`View`]s with the same columns in the same order, one for each side. Everything after that speaks of views.

use super::filter::Filter;
use super::schema::{Identity, Table};
use crate::error::{Error, Kind, Result, code};
use std::collections::BTreeMap;

/// The tables of a sync, and what is special about some of them.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Which tables; empty means all ordinary ones.
    pub tables: Vec<Pattern>,
    /// By table name at the source.
    pub special: BTreeMap<String, TableScope>,
    /// The size limit for tables that are not special; see [`TableScope::value_bytes_max`].
    pub value_bytes_max: Option<u64>,
}

/// A table name, or a pattern with `*` and `?`; `!` in front takes tables out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    out: bool,
}

/// What is special about one table.
#[derive(Debug, Clone, Default)]
pub struct TableScope {
    /// Its name at the target.
    pub name: Option<String>,
    /// Column names at the target, by name at the source.
    pub rename: BTreeMap<String, String>,
    /// Only these columns, besides the key.
    pub include: Option<Vec<String>>,
    /// Not these columns.
    pub exclude: Vec<String>,
    /// Only rows for which this is true.
    pub filter: Option<Filter>,
    /// Rows for which this is true count as deleted.
    pub deleted_when: Option<Filter>,
    /// What a delete does at the target.
    pub deletes: Deletes,
    /// Values longer than this many bytes are left out (NULL at the target); `None` carries everything.
    pub value_bytes_max: Option<u64>,
}

/// What a delete at the source does at the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Deletes {
    /// The row is deleted.
    #[default]
    Apply,
    /// The row stays.
    Ignore,
    /// The row stays, and a column is set: to `value`, or to the time of the delete.
    Mark {
        /// The column at the target.
        column: String,
        /// What to set; `None` is the time, as `YYYY-MM-DD HH:MM:SS` in UTC.
        value: Option<String>,
    },
}

/// One side's view of a table: the columns that are carried, in order, and the rows that are seen.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The table's name on this side.
    pub table: String,
    /// The columns on this side.
    pub columns: Vec<ViewColumn>,
    /// Which of them are the key, in key order.
    pub key: Vec<usize>,
    /// Rows are seen only where this is true.
    pub filter: Option<Filter>,
    /// Rows are not seen where this is true.
    pub deleted_when: Option<Filter>,
    /// Longer values are read as NULL.
    pub value_bytes_max: Option<u64>,
}

/// A column in a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewColumn {
    /// Its name on this side.
    pub name: String,
    /// The collation by which key columns are ordered; the source's on both sides.
    pub collation: String,
}

/// A table of a sync, resolved: what is read at the source and written at the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// At the source.
    pub source: View,
    /// At the target; as many columns in the same order.
    pub target: View,
    /// How rows are told apart.
    pub identity: Identity,
    /// What deletes do at the target.
    pub deletes: Deletes,
    /// Whether the target's table is the source's without any difference, so that its DDL can be taken over.
    pub whole: bool,
}

impl View {
    /// The same with some of its columns only, `columns` ascending, the key's among them.
    #[must_use]
    pub fn narrowed(&self, columns: &[usize]) -> Self {
        let place = |at: &usize| columns.iter().position(|column| column == at);
        Self {
            columns: columns.iter().filter_map(|at| self.columns.get(*at).cloned()).collect(),
            key: self.key.iter().filter_map(place).collect(),
            ..self.clone()
        }
    }
}

impl Pattern {
    /// Reads a pattern.
    pub fn new(text: &str) -> Self {
        match text.strip_prefix('!') {
            Some(rest) => Self { text: rest.to_owned(), out: true },
            None => Self { text: text.to_owned(), out: false },
        }
    }

    fn matches(&self, name: &str) -> bool {
        fn at(pattern: &[char], name: &[char]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some(('*', rest)) => (0..=name.len()).any(|skip| at(rest, &name[skip..])),
                Some((p, rest)) => name
                    .split_first()
                    .is_some_and(|(n, name)| (*p == '?' || p.eq_ignore_ascii_case(n)) && at(rest, name)),
            }
        }
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        at(&chars(&self.text), &chars(name))
    }

    fn is_plain(&self) -> bool {
        !self.out && !self.text.contains(['*', '?'])
    }
}

impl Scope {
    /// Larger values are left out unless a table says otherwise: no row may fill the memory.
    pub const VALUE_BYTES_MAX_DEFAULT: u64 = 64 << 20;

    /// Which of `names` belong to this scope, in their order. A plain name that is not there is an error.
    pub fn select<'n>(&self, names: &[&'n str]) -> Result<Vec<&'n str>> {
        for pattern in self.tables.iter().filter(|p| p.is_plain()) {
            if !names.iter().any(|name| pattern.matches(name)) {
                return Err(no_such("table", &pattern.text, names.iter().copied()));
            }
        }
        for special in self.special.keys() {
            if !names.iter().any(|name| name.eq_ignore_ascii_case(special)) {
                return Err(no_such("table", special, names.iter().copied()));
            }
        }
        Ok(names.iter().copied().filter(|name| self.sees(name)).collect())
    }

    /// Whether a table is selected by its own name, rather than by a pattern or with all others.
    pub fn names(&self, name: &str) -> bool {
        self.tables.iter().any(|p| p.is_plain() && p.matches(name))
    }

    /// Whether a table of that name belongs to this scope.
    pub fn sees(&self, name: &str) -> bool {
        let all = self.tables.iter().all(|p| p.out);
        self.tables.iter().fold(all, |seen, p| if p.matches(name) { !p.out } else { seen })
    }

    /// What is special about this table.
    pub fn special(&self, table: &str) -> TableScope {
        let found = self.special.iter().find(|(name, _)| name.eq_ignore_ascii_case(table));
        let ordinary = || TableScope { value_bytes_max: self.value_bytes_max, ..TableScope::default() };
        found.map_or_else(ordinary, |(_, special)| special.clone())
    }
}

impl TableScope {
    /// Resolves this against the source's table.
    pub fn resolve(&self, table: &Table) -> Result<Mapping> {
        self.check_names(table)?;
        let key_name = |name: &str| table.key.iter().any(|k| k.eq_ignore_ascii_case(name));
        let listed = |list: &[String], name: &str| list.iter().any(|l| l.eq_ignore_ascii_case(name));
        let carried = |name: &str| {
            key_name(name)
                || (self.include.as_ref().is_none_or(|list| listed(list, name)) && !listed(&self.exclude, name))
        };
        let mut names: Vec<(String, String)> = Vec::new();
        if table.identity == Identity::RowNumber {
            names.push((table.key[0].clone(), "BINARY".to_owned()));
        }
        let columns = table.columns.iter().filter(|c| !c.generated && carried(&c.name));
        names.extend(columns.map(|c| (c.name.clone(), c.collation.clone())));
        let key = table
            .key
            .iter()
            .map(|k| names.iter().position(|(name, _)| name.eq_ignore_ascii_case(k)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal(format!("the key of {} is not among its columns", table.name)))?;
        let side = |name: String, rename: bool, filter: Option<Filter>, deleted_when: Option<Filter>| View {
            table: name,
            columns: names
                .iter()
                .map(|(name, collation)| ViewColumn {
                    name: if rename { self.renamed(name) } else { name.clone() },
                    collation: collation.clone(),
                })
                .collect(),
            key: key.clone(),
            filter,
            deleted_when,
            value_bytes_max: self.value_bytes_max,
        };
        let at_target = |filter: &Option<Filter>| {
            let filter = filter.as_ref()?;
            let there = filter.columns().iter().all(|c| names.iter().any(|(n, _)| n.eq_ignore_ascii_case(c)));
            there.then(|| filter.renamed(&|name| self.renamed(name)))
        };
        // Rows that are marked deleted at the target are not there, as far as comparisons go.
        let marked = match &self.deletes {
            Deletes::Mark { column, value } => Some(marked_when(column, value.as_deref())?),
            Deletes::Apply | Deletes::Ignore => None,
        };
        let generated = table.columns.iter().filter(|c| c.generated).count();
        let carried_all = names.len() + generated >= table.columns.len();
        Ok(Mapping {
            target: side(
                self.name.clone().unwrap_or_else(|| table.name.clone()),
                true,
                at_target(&self.filter),
                marked.or_else(|| at_target(&self.deleted_when)),
            ),
            source: side(table.name.clone(), false, self.filter.clone(), self.deleted_when.clone()),
            identity: table.identity,
            deletes: self.deletes.clone(),
            whole: carried_all && self.rename.is_empty() && !matches!(self.deletes, Deletes::Mark { .. }),
        })
    }

    fn renamed(&self, name: &str) -> String {
        let found = self.rename.iter().find(|(from, _)| from.eq_ignore_ascii_case(name));
        found.map_or_else(|| name.to_owned(), |(_, to)| to.clone())
    }

    fn check_names(&self, table: &Table) -> Result<()> {
        let filters = [&self.filter, &self.deleted_when];
        let filtered = filters.iter().filter_map(|f| f.as_ref()).flat_map(|f| f.columns());
        let named = self.rename.keys().chain(self.include.iter().flatten()).chain(&self.exclude).cloned();
        for name in named.chain(filtered) {
            if table.column(&name).is_none() {
                let what = format!("column of {}", table.name);
                return Err(no_such(&what, &name, table.columns.iter().map(|c| c.name.as_str())));
            }
        }
        if let Some(key) = self.exclude.iter().find(|e| table.key.iter().any(|k| k.eq_ignore_ascii_case(e))) {
            return Err(Error::new(Kind::Invalid, code::SCOPE, format!("{}.{key} is part of the key", table.name))
                .meaning("Without its key a row cannot be found again at the target.")
                .remedy("Take it out of `exclude`."));
        }
        Ok(())
    }
}

impl Mapping {
    /// A digest of everything that decides what this mapping carries; part of a position's identity.
    pub fn digest(&self) -> String {
        let hash = blake3::hash(format!("{:?}|{:?}|{:?}", self.source, self.target, self.deletes).as_bytes());
        hash.to_hex()[..16].to_owned()
    }
}

fn marked_when(column: &str, value: Option<&str>) -> Result<Filter> {
    let name = format!("\"{}\"", column.replace('"', "\"\""));
    let text = match value {
        Some(value) => format!("{name} = '{}'", value.replace('\'', "''")),
        None => format!("{name} IS NOT NULL"),
    };
    Filter::parse(&text, &BTreeMap::new()).map_err(|error| {
        Error::new(Kind::Invalid, code::SCOPE, format!("deletes cannot be marked in {column}: {error}"))
            .meaning("Nothing was read or written.")
            .remedy("Name another column or value in `deletes`.")
    })
}

fn no_such<'a>(what: &str, name: &str, there: impl Iterator<Item = &'a str>) -> Error {
    let there: Vec<&str> = there.collect();
    let shown = there.iter().take(20).copied().collect::<Vec<_>>().join(", ");
    let more = if there.len() > 20 { ", …" } else { "" };
    Error::new(Kind::Invalid, code::SCOPE, format!("no {what} is called {name}"))
        .meaning("Nothing was read or written.")
        .remedy(if shown.is_empty() {
            "There is none to choose from.".into()
        } else {
            format!("There are: {shown}{more}")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_in_and_out() {
        let scope = |patterns: &[&str]| Scope {
            tables: patterns.iter().map(|p| Pattern::new(p)).collect(),
            ..Scope::default()
        };
        let names = ["products", "prices_eu", "prices_tmp", "orders"];
        assert_eq!(scope(&[]).select(&names).unwrap(), names);
        assert_eq!(scope(&["products", "prices_*", "!prices_tmp"]).select(&names).unwrap(), ["products", "prices_eu"]);
        assert_eq!(scope(&["!orders"]).select(&names).unwrap(), ["products", "prices_eu", "prices_tmp"]);
        assert_eq!(scope(&["Products"]).select(&names).unwrap(), ["products"]);
        assert!(scope(&["prodcuts"]).select(&names).unwrap_err().remedy.contains("products"));
    }
}
