//! Rust source as the rules see it: lines, words and functions, with comments and literals blanked out.
//!
//! This is a scanner, not a parser: it knows where code ends and prose begins, and where braces match. It relies on
//! `cargo fmt` for the rest (no blanks inside paths). It never looks into macros.

/// The code of `text`: contents of comments, strings and characters become blanks; lines and columns stay.
pub(super) fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(bytes, at);
        for byte in &mut code[at..end] {
            // Quotes stay, so that a macro called with a literal can be told from one called without.
            if !matches!(byte, b'\n' | b'"') {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Where the literal or comment that starts at `at` ends; `at` itself where none starts.
fn literal_or_comment_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment_length(rest);
    }
    if rest[0] == b'"' {
        return at + quoted_length(rest);
    }
    if rest[0] == b'\'' {
        return at + character_length(rest);
    }
    if starts_word { at + raw_string_length(rest) } else { at }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn quoted_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// The length of a character literal, or 0 where the quote opens a lifetime.
fn character_length(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => rest.iter().skip(3).position(|&byte| byte == b'\'').map_or(rest.len(), |at| at + 4),
        Some(_) => {
            // One character of up to four bytes, then the closing quote.
            let character = (2..=5).find(|&end| !matches!(rest.get(end), Some(0x80..=0xBF))).unwrap_or(2);
            if rest.get(character) == Some(&b'\'') { character + 1 } else { 0 }
        }
        None => 0,
    }
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and the like, or 0 where none starts.
fn raw_string_length(rest: &[u8]) -> usize {
    let prefix = if matches!(rest[0], b'b' | b'c') { 1 } else { 0 };
    if rest.get(prefix) != Some(&b'r') {
        return 0;
    }
    let hashes = rest[prefix + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let opening = prefix + 1 + hashes;
    if rest.get(opening) != Some(&b'"') {
        return 0;
    }
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let contents = &rest[opening + 1..];
    let length = contents.windows(closing.len()).position(|window| window == closing);
    length.map_or(rest.len(), |length| opening + 1 + length + closing.len())
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The lines of a text with their numbers, from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The number of the line that holds the byte at `at`.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Where `pattern` stands in `text` as whole words: `std::io` is not in `std::iox`.
pub(super) fn find_words<'a>(text: &'a str, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (text_bytes, pattern_bytes) = (text.as_bytes(), pattern.as_bytes());
    text.match_indices(pattern).map(|(at, _)| at).filter(move |&at| {
        let end = at + pattern_bytes.len();
        let joined_left = at > 0 && is_word(pattern_bytes[0]) && is_word(text_bytes[at - 1]);
        let joined_right = end < text_bytes.len() && is_word(text_bytes[end - 1]) && is_word(text_bytes[end]);
        !joined_left && !joined_right
    })
}

/// Whether `pattern` stands in `text` as whole words.
pub(super) fn has_words(text: &str, pattern: &str) -> bool {
    find_words(text, pattern).next().is_some()
}

/// The identifiers of a line; with `-` taken as `_`, as Cargo does with the names of crates.
pub(super) fn identifiers(line: &str) -> Vec<String> {
    line.split(|character: char| !(character.is_alphanumeric() || matches!(character, '_' | '-')))
        .filter(|word| !word.is_empty())
        .map(|word| word.replace('-', "_"))
        .collect()
}

/// The modules imported by `use root::{a, b::c}`, with their lines.
pub(super) fn grouped_imports(code: &str, root: &str) -> Vec<(usize, String)> {
    let opening = format!("{root}::{{");
    let mut found = Vec::new();
    for start in find_words(code, &opening) {
        let (mut depth, mut item_starts) = (1, true);
        for (offset, character) in code[start + opening.len()..].char_indices() {
            let at = start + opening.len() + offset;
            if depth == 1 && item_starts && (character == '_' || character.is_alphabetic()) {
                found.push((line_of(code, at), word_at(code, at).to_owned()));
                item_starts = false;
            }
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => item_starts = true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// The word that starts at `at`, or nothing.
pub(super) fn word_at(text: &str, at: usize) -> &str {
    let length = text.as_bytes()[at..].iter().take_while(|&&byte| is_word(byte)).count();
    &text[at..at + length]
}

/// A function with a body.
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    /// The line of its `fn`.
    pub(super) line: usize,
    /// From the line of `fn` to that of the closing brace.
    pub(super) lines: usize,
}

/// The functions of `code` (see [`code_of`]); those without a body are left out.
pub(super) fn functions(code: &str) -> Vec<Function<'_>> {
    let named = find_words(code, "fn").filter_map(|at| {
        let name_at = at + 2 + code[at + 2..].len() - code[at + 2..].trim_start().len();
        let name = word_at(code, name_at);
        let end = body_end(code, name_at)?;
        // `fn(u8) -> u8` is a type.
        (!name.is_empty()).then(|| Function { name, line: line_of(code, at), lines: code[at..end].lines().count() })
    });
    named.collect()
}

/// Where the body of the function whose name stands at `name_at` ends; nothing for a declaration.
fn body_end(code: &str, name_at: usize) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (offset, byte) in code[name_at..].bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if brackets == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(name_at + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn prose_is_not_code() {
    let text = [
        "let a = \"tokio \\\" fs\"; // tokio",
        "let b = r#\"to\"kio\"#; /* a /* tokio */ b */ let c = 'x';",
        "let d: &'static str = \"\"; let e = '\\''; let f = b\"tokio\"; let g = '€';",
        "let quote = '\"'; tokio();",
    ];
    let text = text.join("\n");
    let code = code_of(&text);
    assert_eq!(code.len(), text.len());
    assert_eq!(find_words(&code, "tokio").map(|at| line_of(&code, at)).collect::<Vec<_>>(), [4]);
    assert!(has_words(&code, "let c") && has_words(&code, "'static") && has_words(&code, "let quote"));
    assert!(!code.contains("kio\""));
}

#[test]
fn functions_are_measured_from_fn_to_brace() {
    let text = [
        "trait T {",
        "    fn declared(&self) -> [u8; 2];",
        "}",
        "pub fn long<F>(",
        "    f: F,",
        ") -> fn(u8) -> u8",
        "where",
        "    F: Fn([u8; 3]),",
        "{",
        "    fn inner() {}",
        "    let s = \"}\";",
        "}",
        "fn short() {}",
    ];
    let code = code_of(&text.join("\n"));
    let found: Vec<_> = functions(&code).iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("long", 4, 9), ("inner", 10, 1), ("short", 13, 1)]);
}

#[test]
fn grouped_imports_are_seen() {
    let code = "use std::{\n    collections::{BTreeMap, HashMap},\n    fs, io,\n};\nuse other::{fs};\n";
    let found = grouped_imports(code, "std");
    assert_eq!(found, [(2, "collections".to_owned()), (3, "fs".to_owned()), (3, "io".to_owned())]);
}
