//! Pieces of SQL: names, conditions, and keys in an order that every database can follow.

use crate::schema::Details;
use crate::text::literal;
use crate::wire::quoted_name;
use tidewater_core::change::{BinaryOp, ColumnKind, Expr, Filter, Key, Value, View};
use tidewater_core::verify::Range;

/// A table's name as people and configurations know it: without its schema where that is `public`.
pub(crate) fn shown(schema: &str, table: &str) -> String {
    if schema == "public" && !table.contains('.') { table.to_owned() } else { format!("{schema}.{table}") }
}

/// The schema and the name of a table that is called so.
pub(crate) fn place(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("public", name))
}

/// A table as SQL takes it.
pub(crate) fn table(name: &str) -> String {
    let (schema, table) = place(name);
    format!("{}.{}", quoted_name(schema), quoted_name(table))
}

/// Names with commas between them, each behind `before`.
pub(crate) fn list<'n>(before: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(|name| format!("{before}{}", quoted_name(name))).collect::<Vec<_>>().join(", ")
}

/// The condition under which a view sees a row.
pub(crate) fn visible(view: &View) -> String {
    let seen = view.filter.as_ref().map(|filter| format!("coalesce({}, false)", condition(filter)));
    let deleted = view.deleted_when.as_ref().map(|filter| format!("NOT coalesce({}, false)", condition(filter)));
    let parts: Vec<String> = seen.into_iter().chain(deleted).collect();
    if parts.is_empty() { "true".to_owned() } else { parts.join(" AND ") }
}

fn condition(filter: &Filter) -> String {
    expression(filter.expr())
}

fn expression(expr: &Expr) -> String {
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match expr {
        Expr::Column(name) => quoted_name(name),
        Expr::Literal(value) => constant(value),
        Expr::Not(inner) => format!("(NOT {})", expression(inner)),
        Expr::Negate(inner) => format!("(- {})", expression(inner)),
        Expr::Binary(op, left, right) => format!("({} {} {})", expression(left), operator(*op), expression(right)),
        Expr::IsNull { expr, negated } => format!("({} IS {}NULL)", expression(expr), not(negated)),
        Expr::In { expr, list, negated } => {
            let list: Vec<String> = list.iter().map(expression).collect();
            format!("({} {}IN ({}))", expression(expr), not(negated), list.join(", "))
        }
        Expr::Between { expr, low, high, negated } => {
            format!("({} {}BETWEEN {} AND {})", expression(expr), not(negated), expression(low), expression(high))
        }
    }
}

fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "AND",
        BinaryOp::Or => "OR",
        BinaryOp::Eq => "=",
        BinaryOp::NotEq => "<>",
        BinaryOp::Lt => "<",
        BinaryOp::LtEq => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::GtEq => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
    }
}

fn constant(value: &Value<'_>) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F64(number) => format!("'{number:?}'::float8"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        _ => "NULL".to_owned(),
    }
}

/// In which order keys are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the key's own index has them.
    Own,
    /// As every database can: numbers by size, everything else by the bytes of its text.
    Common,
}

/// The key's columns as terms to order and compare by.
fn key_terms(view: &View, details: &Details, order: Order) -> Vec<String> {
    let term = |at: &usize| {
        let name = &view.columns[*at].name;
        let quoted = quoted_name(name);
        let column = details.table.column(name);
        match (order, column.map(|column| column.kind)) {
            (Order::Own, _) | (_, Some(ColumnKind::Integer(_) | ColumnKind::Bool | ColumnKind::Float(_))) => quoted,
            (_, Some(ColumnKind::Bytes | ColumnKind::Uuid)) => quoted,
            _ => format!("{quoted}::text COLLATE \"C\""),
        }
    };
    view.key.iter().map(term).collect()
}

/// The conditions of a range of what a view sees, and the key's terms.
pub(crate) fn within(view: &View, details: &Details, range: &Range, order: Order) -> (String, Vec<String>) {
    let terms = key_terms(view, details, order);
    let mut conditions = vec![visible(view)];
    for (bound, op) in [(&range.after, ">"), (&range.through, "<=")] {
        conditions.extend(bound.as_ref().map(|key| compared(&terms, op, key)));
    }
    (conditions.join(" AND "), terms)
}

/// `key > (…)` for terms of [`key_terms`].
fn compared(terms: &[String], op: &str, key: &Key) -> String {
    let values: Vec<String> = key.raw().map(|value| literal(&value)).collect();
    format!("({}) {op} ({})", terms.join(", "), values.join(", "))
}
