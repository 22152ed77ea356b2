//! Filters: the subset of SQL expressions that means the same on every engine, for `where` and `deleted_when`.
//!
//! What is in: columns, whole numbers (64 bit), decimals (as binary floating point), `'text'`, TRUE, FALSE, NULL,
//! `:variables`; `= == <> != < <= > >=`, `+ - *`, AND, OR, NOT, IS NULL, IN, BETWEEN and parentheses, with SQL's
//! precedence. A column that stands alone as a condition must be boolean. Whatever engines read differently is
//! refused here with its reason: division, LIKE, functions, casts, chained comparisons, numbers against text.
//! What the subset leaves to the engines: the collation of text, and arithmetic past 64 bits, which some refuse.
//!
//! Invariants: pure; no input panics; a tree is never deeper than [`Filter::DEPTH_MAX`], so that who walks it may
//! recurse. Chains of AND and of OR are kept balanced, so their length is no depth.
//! It never evaluates and never writes SQL: connectors do, from [`Filter::expr`].
//! Tests: `filter/tests.rs`.

mod parse;
#[cfg(test)]
mod tests;
mod tokens;

use super::value::Value;
use std::collections::BTreeMap;

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A column, by name.
    Column(String),
    /// A literal, or the value of a variable.
    Literal(Value<'static>),
    /// `NOT …`
    Not(Box<Expr>),
    /// `-…`; the sign of a literal is part of the literal.
    Negate(Box<Expr>),
    /// Two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `… IS NULL`
    IsNull {
        /// What is looked at.
        expr: Box<Expr>,
        /// `IS NOT NULL`.
        negated: bool,
    },
    /// `… IN (…, …)`
    In {
        /// What is looked for.
        expr: Box<Expr>,
        /// Where; at least one.
        list: Vec<Expr>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `… BETWEEN low AND high`, both ends included.
    Between {
        /// What is compared.
        expr: Box<Expr>,
        /// The lower end.
        low: Box<Expr>,
        /// The upper end.
        high: Box<Expr>,
        /// `NOT BETWEEN`.
        negated: bool,
    },
}

/// An operator between two operands. There is no division: of two integers it is an integer on some engines only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
}

/// A condition on the rows of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: String,
    expr: Expr,
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at byte {at})")]
pub struct FilterError {
    /// What is wrong, and what to write instead where there is something.
    pub message: String,
    /// Where, as a byte offset into the text.
    pub at: usize,
}

impl Filter {
    /// How deep expressions may nest. SQLite takes 1000 levels at most, other engines their stack.
    pub const DEPTH_MAX: usize = 64;
    /// How long the text may be.
    pub const BYTES_MAX: usize = 10_000;

    /// Reads an expression; `:name` stands for the value of that name in `vars`.
    pub fn parse(text: &str, vars: &BTreeMap<String, Value<'static>>) -> Result<Self, FilterError> {
        let expr = parse::condition(text, vars)?;
        Ok(Self { text: text.to_owned(), expr })
    }

    /// The expression, with the values of variables in their places.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The columns it reads, each once, in order of first use. Names that differ only in ASCII case are one.
    pub fn columns(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.expr.columns(&mut found);
        found
    }

    /// The same condition over columns of other names. [`Filter::text`] stays as it was written.
    pub fn renamed(&self, rename: &dyn Fn(&str) -> String) -> Self {
        Self { text: self.text.clone(), expr: self.expr.renamed(rename) }
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Expr {
    fn columns(&self, found: &mut Vec<String>) {
        match self {
            Self::Column(name) => {
                if !found.iter().any(|f| f.eq_ignore_ascii_case(name)) {
                    found.push(name.clone());
                }
            }
            Self::Literal(_) => {}
            Self::Not(expr) | Self::Negate(expr) | Self::IsNull { expr, .. } => expr.columns(found),
            Self::Binary(_, left, right) => [left, right].into_iter().for_each(|e| e.columns(found)),
            Self::In { expr, list, .. } => std::iter::once(&**expr).chain(list).for_each(|e| e.columns(found)),
            Self::Between { expr, low, high, .. } => [expr, low, high].into_iter().for_each(|e| e.columns(found)),
        }
    }

    fn renamed(&self, rename: &dyn Fn(&str) -> String) -> Self {
        let boxed = |expr: &Expr| Box::new(expr.renamed(rename));
        match self {
            Self::Column(name) => Self::Column(rename(name)),
            Self::Literal(value) => Self::Literal(value.clone()),
            Self::Not(expr) => Self::Not(boxed(expr)),
            Self::Negate(expr) => Self::Negate(boxed(expr)),
            Self::Binary(op, left, right) => Self::Binary(*op, boxed(left), boxed(right)),
            Self::IsNull { expr, negated } => Self::IsNull { expr: boxed(expr), negated: *negated },
            Self::In { expr, list, negated } => Self::In {
                expr: boxed(expr),
                list: list.iter().map(|e| e.renamed(rename)).collect(),
                negated: *negated,
            },
            Self::Between { expr, low, high, negated } => {
                Self::Between { expr: boxed(expr), low: boxed(low), high: boxed(high), negated: *negated }
            }
        }
    }
}
