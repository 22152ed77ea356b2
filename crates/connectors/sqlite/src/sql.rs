//! Names and expressions as SQL text, and as much reading of SQL as triggers and expression indexes need.

use tidewater_core::change::{BinaryOp, Expr, Filter, Value};

/// A name, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as a literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names, quoted, with a prefix, separated by commas.
pub(crate) fn list<'a>(prefix: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("{prefix}{}", quote(name))).collect();
    quoted.join(", ")
}

/// The condition under which a view sees a row.
pub(crate) fn visible(filter: Option<&Filter>, deleted_when: Option<&Filter>) -> String {
    let mut parts = Vec::new();
    if let Some(filter) = filter {
        parts.push(format!("coalesce({}, 0)", expression(filter.expr())));
    }
    if let Some(deleted) = deleted_when {
        parts.push(format!("NOT coalesce({}, 0)", expression(deleted.expr())));
    }
    if parts.is_empty() { "1".to_owned() } else { parts.join(" AND ") }
}

fn expression(expr: &Expr) -> String {
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match expr {
        Expr::Column(name) => quote(name),
        Expr::Literal(value) => constant(value),
        Expr::Not(inner) => format!("(NOT {})", expression(inner)),
        Expr::Negate(inner) => format!("(- {})", expression(inner)),
        Expr::Binary(op, left, right) => {
            let op = match op {
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
            };
            format!("({} {op} {})", expression(left), expression(right))
        }
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

fn constant(value: &Value<'_>) -> String {
    match value {
        Value::Bool(v) => u8::from(*v).to_string(),
        Value::I64(v) => v.to_string(),
        Value::U64(v) => v.to_string(),
        // Infinity has no literal; 9e999 overflows to it.
        Value::F64(v) if v.is_infinite() => if *v > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        Value::F64(v) => format!("{v:?}"),
        Value::Text(v) => literal(v),
        _ => "NULL".to_owned(),
    }
}

/// One token of SQL: where it stands, and whether it is a name or keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'s> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) text: &'s str,
    /// Brackets open before it.
    pub(crate) depth: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.text.eq_ignore_ascii_case(keyword)
    }

    /// The name that this token spells, unquoted.
    pub(crate) fn name(&self) -> String {
        let inner = |close: char| {
            let body = &self.text[1..self.text.len() - 1];
            let doubled: String = [close, close].iter().collect();
            if close == ']' { body.to_owned() } else { body.replace(&doubled, &close.to_string()) }
        };
        match self.text.chars().next() {
            Some('"') => inner('"'),
            Some('`') => inner('`'),
            Some('\'') => inner('\''),
            Some('[') => inner(']'),
            _ => self.text.to_owned(),
        }
    }
}

/// Splits SQL that SQLite itself has accepted into tokens; comments and white space are left out.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let (mut at, mut depth, mut found) = (0, 0usize, Vec::new());
    while at < bytes.len() {
        let start = at;
        let rest = &sql[at..];
        match bytes[at] {
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'-' if rest.starts_with("--") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            b'/' if rest.starts_with("/*") => {
                at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                continue;
            }
            quote @ (b'"' | b'\'' | b'`') => at += quoted_length(rest.as_bytes(), quote),
            b'[' => at += rest.find(']').map_or(rest.len(), |end| end + 1),
            b if is_word(b) => at += rest.bytes().take_while(|b| is_word(*b)).count(),
            _ => at += 1,
        }
        let text = &sql[start..at];
        if text == ")" {
            depth = depth.saturating_sub(1);
        }
        found.push(Token { start, end: at, text, depth });
        if text == "(" {
            depth += 1;
        }
    }
    found
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$' || b >= 0x80
}

fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        if rest[at] == quote {
            if rest.get(at + 1) == Some(&quote) {
                at += 1;
            } else {
                return at + 1;
            }
        }
        at += 1;
    }
    rest.len()
}

/// The indexed expressions and the WHERE clause of a CREATE INDEX statement.
pub(crate) fn index_parts(sql: &str) -> Option<(Vec<String>, Option<String>)> {
    let tokens = tokens(sql);
    let open = tokens.iter().position(|t| t.text == "(")?;
    let close = tokens.iter().skip(open).position(|t| t.text == ")" && t.depth == 0)? + open;
    let mut parts = Vec::new();
    let mut from = open + 1;
    for at in open + 1..=close {
        if (tokens[at].text == "," && tokens[at].depth == 1) || at == close {
            let mut part = &tokens[from..at];
            if part.last().is_some_and(|t| t.is("ASC") || t.is("DESC")) && part.len() > 1 {
                part = &part[..part.len() - 1];
            }
            parts.push(sql[part.first()?.start..part.last()?.end].to_owned());
            from = at + 1;
        }
    }
    let clause = tokens.get(close + 1).filter(|t| t.is("WHERE")).map(|t| sql[t.end..].trim().to_owned());
    Some((parts, clause))
}

/// A user's trigger as a temporary one of the same effect, which runs although triggers are off.
pub(crate) fn as_temporary(sql: &str, name: &str) -> Option<String> {
    let tokens = tokens(sql);
    let trigger = tokens.iter().position(|t| t.is("TRIGGER"))?;
    let on = tokens.iter().skip(trigger).position(|t| t.is("ON") && t.depth == 0)? + trigger;
    let event = tokens[trigger..on].iter().rposition(|t| t.is("INSERT") || t.is("UPDATE") || t.is("DELETE"))? + trigger;
    let before = tokens[event.checked_sub(1)?];
    let timing = if before.is("BEFORE") || before.is("AFTER") { event - 1 } else { event };
    let table = tokens.get(on + 1)?;
    Some(format!(
        "CREATE TEMP TRIGGER {} {} ON main.{} {}",
        quote(name),
        &sql[tokens[timing].start..tokens[on].start],
        quote(&table.name()),
        &sql[table.end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_statements_are_taken_apart() {
        let sql = "CREATE UNIQUE INDEX \"a,(b\" ON t(lower(name, ')') COLLATE nocase DESC, b -- c )\n, [x y] ASC) WHERE a > 1 AND b IS NOT NULL";
        let (parts, clause) = index_parts(sql).unwrap();
        assert_eq!(parts, ["lower(name, ')') COLLATE nocase", "b", "[x y]"]);
        assert_eq!(clause.unwrap(), "a > 1 AND b IS NOT NULL");
    }

    #[test]
    fn triggers_become_temporary() {
        let sql = "CREATE TRIGGER IF NOT EXISTS \"on\" AFTER UPDATE OF a, \"on\" ON [my table] WHEN NEW.a BEGIN SELECT 1; END";
        assert_eq!(
            as_temporary(sql, "x").unwrap(),
            "CREATE TEMP TRIGGER \"x\" AFTER UPDATE OF a, \"on\"  ON main.\"my table\"  WHEN NEW.a BEGIN SELECT 1; END"
        );
        let plain = as_temporary("create trigger t insert on u begin select 1; end", "y").unwrap();
        assert_eq!(plain, "CREATE TEMP TRIGGER \"y\" insert  ON main.\"u\"  begin select 1; end");
    }
}
