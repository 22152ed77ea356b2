//! The words of a filter. Cuts the text into tokens and refuses, with their reason, the signs that have no place.
//!
//! Invariants: every token's `at` is a byte offset at a character boundary; the last token is [`Token::End`].
//! It never decides what a word means: that is `parse.rs`. Tests: `tests.rs`.

use super::FilterError;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a plain name.
    Word(String),
    /// A name in double quotes.
    Quoted(String),
    /// A text in single quotes.
    Text(String),
    /// Digits, perhaps with a point and an exponent; no sign.
    Number(String),
    /// `:name`
    Variable(String),
    /// An operator or a bracket; `==` and `!=` come as `=` and `<>`.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SIGNS: [(&str, &str); 14] = [
    ("==", "="),
    ("<>", "<>"),
    ("!=", "<>"),
    ("<=", "<="),
    (">=", ">="),
    ("=", "="),
    ("<", "<"),
    (">", ">"),
    ("+", "+"),
    ("-", "-"),
    ("*", "*"),
    ("(", "("),
    (")", ")"),
    (",", ","),
];

/// What people try, and why it is not there.
const REFUSED: [(&str, &str); 19] = [
    ("--", "comments are not part of the portable subset; write `- -1` for a number subtracted twice"),
    ("/*", "comments are not part of the portable subset"),
    ("::", "casts are not part of the portable subset"),
    ("||", "joining texts is not part of the portable subset"),
    ("&&", "`&&` is not part of the portable subset; write AND"),
    ("<<", "operators on bits are not part of the portable subset"),
    (">>", "operators on bits are not part of the portable subset"),
    ("->", "reading JSON is not part of the portable subset"),
    ("/", "division is not part of the portable subset: of two integers it is an integer on some engines only"),
    ("%", "remainders are not part of the portable subset: engines differ on signs and decimals"),
    ("?", "`?` has no value here; name a variable of the endpoint, as in `:store`"),
    ("$", "`$` has no value here; name a variable of the endpoint, as in `:store`"),
    ("@", "`@` has no value here; name a variable of the endpoint, as in `:store`"),
    ("!", "`!` is not part of the portable subset; write NOT"),
    ("`", "names are written plain or in \"double quotes\""),
    ("[", "names are written plain or in \"double quotes\""),
    (".", "columns stand alone, without the name of their table"),
    (";", "a filter is one expression, without `;`"),
    (":", "`:` is followed by the name of a variable, as in `:store`"),
];

/// Cuts the text into tokens with their offsets.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, FilterError> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        let (token, length) =
            token(&text[at..]).map_err(|(message, offset)| FilterError { message, at: at + offset })?;
        let end = token == Token::End;
        found.push((token, at));
        if end {
            return Ok(found);
        }
        at += length;
    }
}

/// The token at the start of `rest` and its length in bytes, or a message and where.
fn token(rest: &str) -> Result<(Token, usize), (String, usize)> {
    let Some(first) = rest.chars().next() else {
        return Ok((Token::End, 0));
    };
    let digit_next = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
    if first.is_ascii_digit() || (first == '.' && digit_next) {
        return number(rest);
    }
    if starts_name(first) {
        let length = name_length(rest);
        if matches!(&rest[..length], "x" | "X" | "b" | "B" | "e" | "E" | "n" | "N") && rest[length..].starts_with('\'')
        {
            return Err(("a text is written '…', without a letter in front".into(), 0));
        }
        return Ok((Token::Word(rest[..length].to_owned()), length));
    }
    if first == '\'' || first == '"' {
        let (content, length) = quoted(rest, first)?;
        return match (first, content.is_empty()) {
            ('"', true) => Err(("a name in double quotes is empty".into(), 0)),
            ('"', false) => Ok((Token::Quoted(content), length)),
            _ => Ok((Token::Text(content), length)),
        };
    }
    if first == ':' && rest[1..].starts_with(starts_name) {
        let length = 1 + name_length(&rest[1..]);
        if rest[length..].starts_with('.') {
            return Err(("variables have no dots in their names; claims of a token are not built yet".into(), length));
        }
        return Ok((Token::Variable(rest[1..length].to_owned()), length));
    }
    if let Some((_, reason)) = REFUSED.iter().find(|(sign, _)| rest.starts_with(sign) && !rest.starts_with("!=")) {
        return Err(((*reason).to_owned(), 0));
    }
    match SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        Some((sign, meaning)) => Ok((Token::Sign(meaning), sign.len())),
        None => Err((format!("`{}` is not part of the portable subset", first.escape_debug()), 0)),
    }
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn name_length(rest: &str) -> usize {
    rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len())
}

/// What stands between quotes, where a doubled quote is one.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), (String, usize)> {
    let mut content = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\0' {
            return Err(("a zero byte cannot stand in text on every engine".into(), at));
        }
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Ok((content, at + 1));
        }
        content.push(c);
    }
    let what = if quote == '"' { "name" } else { "text" };
    Err((format!("this {what} has no closing {quote}"), 0))
}

fn number(rest: &str) -> Result<(Token, usize), (String, usize)> {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    if rest[length..].starts_with('.') {
        length += 1 + digits(length + 1);
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        match digits(length + 1 + sign) {
            0 => {}
            exponent => length += 1 + sign + exponent,
        }
    }
    if rest[length..].starts_with(|c: char| starts_name(c) || c == '.') {
        return Err(("this number runs into what follows it; numbers are written as 12, 1.5 or 1e6".into(), 0));
    }
    Ok((Token::Number(rest[..length].to_owned()), length))
}
