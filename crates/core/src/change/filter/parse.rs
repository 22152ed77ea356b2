//! The grammar of filters: recursive descent, one function per level of precedence, loosest first.
//!
//! Invariants: recursion ends at [`Filter::DEPTH_MAX`]; no built tree is deeper. Every operand carries the sort of
//! value it gives, so that conditions, numbers and texts are not taken for one another, as some engines would.
//! It never guesses: whatever does not fit is an error at its place. Tests: `tests.rs`.

use super::tokens::{Token, tokens};
use super::{BinaryOp, Expr, Filter, FilterError};
use crate::change::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What kind of value an expression gives, as far as can be known without the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Truth,
    Number,
    Text,
    /// A column or NULL.
    Any,
}

/// An expression under construction.
struct Part {
    expr: Expr,
    sort: Sort,
    depth: usize,
    at: usize,
}

struct Parser<'a> {
    tokens: Vec<(Token, usize)>,
    next: usize,
    level: usize,
    vars: &'a BTreeMap<String, Value<'static>>,
}

type Parsed<T = Part> = Result<T, FilterError>;

fn error<T>(at: usize, message: impl Into<String>) -> Parsed<T> {
    Err(FilterError { message: message.into(), at })
}

fn too_deep<T>(at: usize) -> Parsed<T> {
    error(at, format!("the expression nests deeper than {} levels", Filter::DEPTH_MAX))
}

/// Reads the whole text as one condition.
pub(super) fn condition(text: &str, vars: &BTreeMap<String, Value<'static>>) -> Parsed<Expr> {
    if text.len() > Filter::BYTES_MAX {
        return error(Filter::BYTES_MAX, format!("the expression is longer than {} bytes", Filter::BYTES_MAX));
    }
    let tokens = tokens(text)?;
    if tokens.len() == 1 {
        return error(0, "the expression is empty");
    }
    let mut parser = Parser { tokens, next: 0, level: 0, vars };
    let part = parser.or()?;
    match parser.peek() {
        Token::End => Ok(part.truth()?.expr),
        _ => parser.no_operator(),
    }
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.next += usize::from(found);
        found
    }

    fn sees_keyword(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.tokens.get(self.next + ahead), Some((Token::Word(w), _)) if w.eq_ignore_ascii_case(keyword))
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.sees_keyword(0, keyword);
        self.next += usize::from(found);
        found
    }

    /// Runs one level of nesting.
    fn deeper(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.level == Filter::DEPTH_MAX {
            return too_deep(self.at());
        }
        self.level += 1;
        let parsed = parse(self);
        self.level -= 1;
        parsed
    }

    fn or(&mut self) -> Parsed {
        self.chain("OR", BinaryOp::Or, Self::and)
    }

    fn and(&mut self) -> Parsed {
        self.chain("AND", BinaryOp::And, Self::not)
    }

    fn chain(&mut self, keyword: &str, op: BinaryOp, operand: fn(&mut Self) -> Parsed) -> Parsed {
        let mut parts = vec![operand(self)?];
        while self.keyword(keyword) {
            parts.push(operand(self)?);
        }
        if parts.len() > 1 {
            parts = parts.into_iter().map(Part::truth).collect::<Parsed<_>>()?;
        }
        balanced(op, parts)
    }

    fn not(&mut self) -> Parsed {
        let at = self.at();
        if !self.keyword("NOT") {
            return self.comparison();
        }
        let inner = self.deeper(Self::not)?.truth()?;
        let depth = inner.depth;
        Part { at, ..Part::truth_of(Expr::Not(Box::new(inner.expr)), at) }.above(depth)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let at = self.at();
        let negated = self.sees_keyword(0, "NOT") && (self.sees_keyword(1, "IN") || self.sees_keyword(1, "BETWEEN"));
        self.next += usize::from(negated);
        let part = if let Some(op) = self.comparison_operator() {
            let right = self.sum()?;
            not_null(op, &left, at)?;
            not_null(op, &right, at)?;
            comparable(&left, &right)?;
            let (start, depth) = (left.at, left.depth.max(right.depth));
            let expr = Expr::Binary(op, Box::new(left.expr), Box::new(right.expr));
            Part::truth_of(expr, start).above(depth)?
        } else if self.keyword("IS") {
            self.is_null(left)?
        } else if self.keyword("IN") {
            self.in_list(left, negated)?
        } else if self.keyword("BETWEEN") {
            self.between(left, negated)?
        } else {
            return Ok(left);
        };
        let chained = self.at();
        let follows = ["IS", "IN", "NOT", "BETWEEN"].iter().any(|k| self.sees_keyword(0, k));
        if follows || self.comparison_operator().is_some() {
            return error(chained, "a comparison cannot follow a comparison; join them with AND, or use parentheses");
        }
        Ok(part)
    }

    fn comparison_operator(&mut self) -> Option<BinaryOp> {
        let Token::Sign(sign) = self.peek() else { return None };
        let op = match *sign {
            "=" => BinaryOp::Eq,
            "<>" => BinaryOp::NotEq,
            "<" => BinaryOp::Lt,
            "<=" => BinaryOp::LtEq,
            ">" => BinaryOp::Gt,
            ">=" => BinaryOp::GtEq,
            _ => return None,
        };
        self.next += 1;
        Some(op)
    }

    fn is_null(&mut self, left: Part) -> Parsed {
        let negated = self.keyword("NOT");
        if !self.keyword("NULL") {
            return error(self.at(), "after IS stands NULL or NOT NULL; nothing else is the same on every engine");
        }
        let expr = Expr::IsNull { expr: Box::new(left.expr), negated };
        Part::truth_of(expr, left.at).above(left.depth)
    }

    fn in_list(&mut self, left: Part, negated: bool) -> Parsed {
        if !self.sign("(") {
            return error(self.at(), "after IN stands a list in parentheses, as in `IN (1, 2)`");
        }
        if matches!(self.peek(), Token::Sign(")")) {
            return error(self.at(), "the list of IN is empty");
        }
        let (mut list, mut depth) = (Vec::new(), left.depth);
        loop {
            let item = self.sum()?;
            if item.expr == Expr::Literal(Value::Null) {
                return error(item.at, "NULL equals nothing, so it has no place in a list; use IS NULL beside IN");
            }
            comparable(&left, &item)?;
            depth = depth.max(item.depth);
            list.push(item.expr);
            if !self.sign(",") {
                break;
            }
        }
        self.close()?;
        Part::truth_of(Expr::In { expr: Box::new(left.expr), list, negated }, left.at).above(depth)
    }

    fn between(&mut self, left: Part, negated: bool) -> Parsed {
        let low = self.sum()?;
        if !self.keyword("AND") {
            return error(self.at(), "BETWEEN needs both ends, as in `BETWEEN 1 AND 5`");
        }
        let high = self.sum()?;
        for end in [&low, &high] {
            if end.expr == Expr::Literal(Value::Null) {
                return error(end.at, "nothing lies between NULL and a value; use IS NULL");
            }
            comparable(&left, end)?;
        }
        let (at, depth) = (left.at, left.depth.max(low.depth).max(high.depth));
        let [expr, low, high] = [left, low, high].map(|part| Box::new(part.expr));
        Part::truth_of(Expr::Between { expr, low, high, negated }, at).above(depth)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let op = match self.peek() {
                Token::Sign("+") => BinaryOp::Add,
                Token::Sign("-") => BinaryOp::Subtract,
                _ => return Ok(left),
            };
            self.next += 1;
            let right = self.product()?;
            left = arithmetic(op, left, right)?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        while self.sign("*") {
            let right = self.unary()?;
            left = arithmetic(BinaryOp::Multiply, left, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        if !self.sign("-") {
            return self.primary();
        }
        if let Token::Number(digits) = self.peek() {
            let value = number(&format!("-{digits}"), at)?;
            self.next += 1;
            return Ok(Part { expr: Expr::Literal(value), sort: Sort::Number, depth: 1, at });
        }
        let inner = self.deeper(Self::unary)?.number()?;
        Part { expr: Expr::Negate(Box::new(inner.expr)), sort: Sort::Number, depth: 0, at }.above(inner.depth)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let (expr, sort) = match self.take() {
            Token::Number(digits) => (Expr::Literal(number(&digits, at)?), Sort::Number),
            Token::Text(text) => (Expr::Literal(Value::Text(Cow::Owned(text))), Sort::Text),
            Token::Variable(name) => self.variable(&name, at)?,
            Token::Sign("(") => {
                let inner = self.deeper(Self::or)?;
                self.close()?;
                return Ok(Part { at, ..inner });
            }
            Token::Quoted(name) => (self.column(name, at)?, Sort::Any),
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "TRUE" => (Expr::Literal(Value::Bool(true)), Sort::Truth),
                "FALSE" => (Expr::Literal(Value::Bool(false)), Sort::Truth),
                "NULL" => (Expr::Literal(Value::Null), Sort::Any),
                "NOT" => return error(at, "NOT inside a comparison needs parentheses around it"),
                upper => match refused_value(upper) {
                    Some(reason) => return error(at, reason),
                    None => (self.column(word, at)?, Sort::Any),
                },
            },
            Token::Sign("+") => return error(at, "a sign + has no meaning here; leave it out"),
            other => return error(at, format!("expected a column or a value, found {}", shown(&other))),
        };
        Ok(Part { expr, sort, depth: 1, at })
    }

    fn column(&self, name: String, at: usize) -> Parsed<Expr> {
        match self.peek() {
            Token::Sign("(") => error(at, format!("functions are not part of the portable subset: `{name}`")),
            _ => Ok(Expr::Column(name)),
        }
    }

    fn variable(&self, name: &str, at: usize) -> Parsed<(Expr, Sort)> {
        let Some(value) = self.vars.get(name) else {
            let there: Vec<String> = self.vars.keys().map(|v| format!(":{v}")).collect();
            let there =
                if there.is_empty() { "there are none".into() } else { format!("there are {}", there.join(", ")) };
            return error(at, format!("no variable is called `:{name}`; {there}"));
        };
        let sort = match value {
            Value::Bool(_) => Sort::Truth,
            Value::I64(_) | Value::U64(_) | Value::F64(_) | Value::Decimal(_) => Sort::Number,
            Value::Text(_) => Sort::Text,
            _ => Sort::Any,
        };
        Ok((Expr::Literal(value.clone()), sort))
    }

    fn close(&mut self) -> Parsed<()> {
        if self.sign(")") {
            return Ok(());
        }
        match self.peek() {
            Token::Sign(",") => error(self.at(), "a list of values stands only after IN"),
            Token::End => error(self.at(), "a parenthesis is not closed"),
            _ => self.no_operator(),
        }
    }

    /// The error where an operator or the end should stand.
    fn no_operator<T>(&self) -> Parsed<T> {
        let found = self.peek();
        let reason = match found {
            Token::Word(word) => refused_operator(&word.to_ascii_uppercase()),
            Token::Sign(")") => Some("this parenthesis closes none"),
            _ => None,
        };
        let message =
            reason.map_or_else(|| format!("expected an operator or the end, found {}", shown(found)), Into::into);
        error(self.at(), message)
    }
}

impl Part {
    fn truth_of(expr: Expr, at: usize) -> Self {
        Self { expr, sort: Sort::Truth, depth: 0, at }
    }

    /// Sets the depth to one more than that of the deepest operand.
    fn above(self, operands: usize) -> Parsed {
        if operands >= Filter::DEPTH_MAX { too_deep(self.at) } else { Ok(Self { depth: operands + 1, ..self }) }
    }

    fn truth(self) -> Parsed {
        match self.sort {
            Sort::Truth | Sort::Any => Ok(self),
            _ => error(self.at, "this is a value, not a condition; compare it with something"),
        }
    }

    fn number(self) -> Parsed {
        match self.sort {
            Sort::Number | Sort::Any => Ok(self),
            _ => error(self.at, "one can only count with numbers, and this is none"),
        }
    }
}

/// Joins a chain as a tree of little depth: AND and OR do not mind how their operands are grouped.
fn balanced(op: BinaryOp, mut parts: Vec<Part>) -> Parsed {
    while parts.len() > 1 {
        let mut joined = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                None => left,
                Some(right) => {
                    let (at, depth) = (left.at, left.depth.max(right.depth));
                    let expr = Expr::Binary(op, Box::new(left.expr), Box::new(right.expr));
                    Part::truth_of(expr, at).above(depth)?
                }
            });
        }
        parts = joined;
    }
    parts.pop().map_or_else(|| error(0, "the expression is empty"), Ok)
}

fn arithmetic(op: BinaryOp, left: Part, right: Part) -> Parsed {
    let (left, right) = (left.number()?, right.number()?);
    let (at, depth) = (left.at, left.depth.max(right.depth));
    let expr = Expr::Binary(op, Box::new(left.expr), Box::new(right.expr));
    Part { expr, sort: Sort::Number, depth: 0, at }.above(depth)
}

fn not_null(op: BinaryOp, part: &Part, at: usize) -> Parsed<()> {
    if part.expr != Expr::Literal(Value::Null) {
        return Ok(());
    }
    let instead = if op == BinaryOp::NotEq { "IS NOT NULL" } else { "IS NULL" };
    error(at, format!("a comparison with NULL is never true; use {instead}"))
}

fn comparable(left: &Part, right: &Part) -> Parsed<()> {
    if left.sort == right.sort || left.sort == Sort::Any || right.sort == Sort::Any {
        return Ok(());
    }
    let name = |sort| match sort {
        Sort::Truth => "a truth value",
        Sort::Number => "a number",
        Sort::Text => "a text",
        Sort::Any => "a column",
    };
    let (left, right, at) = (name(left.sort), name(right.sort), right.at);
    error(at, format!("{left} is compared with {right}, on which engines disagree"))
}

/// Reads a number; whole ones must fit 64 bits, the others must be finite.
fn number(digits: &str, at: usize) -> Parsed<Value<'static>> {
    if !digits.contains(['.', 'e', 'E']) {
        return match digits.parse() {
            Ok(value) => Ok(Value::I64(value)),
            Err(_) => error(at, "this whole number does not fit into 64 bits"),
        };
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::F64(value)),
        _ => error(at, "this number is too large"),
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Quoted(name) => format!("\"{name}\""),
        Token::Text(_) => "a text".into(),
        Token::Number(digits) => format!("`{digits}`"),
        Token::Variable(name) => format!("`:{name}`"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".into(),
    }
}

/// Words that cannot stand for a column without quotes.
fn refused_value(upper: &str) -> Option<&'static str> {
    match upper {
        "SELECT" | "EXISTS" | "WITH" | "VALUES" => Some("subqueries are not part of the portable subset"),
        "CASE" => Some("CASE is not part of the portable subset; write the cases with AND and OR"),
        "CAST" => Some("casts are not part of the portable subset"),
        "CURRENT_DATE" | "CURRENT_TIME" | "CURRENT_TIMESTAMP" | "LOCALTIME" | "LOCALTIMESTAMP" => {
            Some("functions are not part of the portable subset: what changes with the clock cannot be followed")
        }
        "AND" | "OR" | "IN" | "IS" | "BETWEEN" => Some(
            "expected a column or a value before this operator; a column of this name is written in \"double quotes\"",
        ),
        _ => None,
    }
}

/// Words that stand where an operator should, with the reason why they are none.
fn refused_operator(upper: &str) -> Option<&'static str> {
    match upper {
        "LIKE" | "ILIKE" | "GLOB" | "REGEXP" | "RLIKE" | "SIMILAR" | "MATCH" => {
            Some("LIKE and its relatives are not part of the portable subset: engines differ on upper and lower case")
        }
        "DIV" | "MOD" => {
            Some("division is not part of the portable subset: of two integers it is an integer on some engines only")
        }
        "ISNULL" => Some("write IS NULL"),
        "NOTNULL" => Some("write IS NOT NULL"),
        "COLLATE" => Some("COLLATE is not part of the portable subset: collations have no common names"),
        "XOR" => Some("XOR is not part of the portable subset; write it with AND, OR and NOT"),
        "NOT" => Some("after NOT stands IN or BETWEEN here; LIKE is not part of the portable subset"),
        _ => None,
    }
}
