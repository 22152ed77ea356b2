//! Values that a person types, as SQL writes them: `12`, `-1.5e3`, `'text'` with `''` for a quote, `x'00ff'`, `NULL`.
//!
//! A bare word is refused, never guessed: whoever means text says so.

use tidewater_core::change::Value;

/// Reads `COLUMN=VALUE`.
pub(super) fn assignment(text: &str) -> Result<(&str, Value<'static>), String> {
    let (column, value) = text.split_once('=').ok_or_else(|| format!("{text}: write it as COLUMN=VALUE"))?;
    let (column, value) = (column.trim(), value.trim());
    if column.is_empty() {
        return Err(format!("{text}: in front of = stands a column"));
    }
    let value = literal(value).ok_or_else(|| {
        let quoted = value.trim_matches('\'').replace('\'', "''");
        format!(
            "{column}: {value} is no value; write a number, 'text', x'00ff' or NULL. As text, in a shell: \
             --set \"{column}='{quoted}'\""
        )
    })?;
    Ok((column, value))
}

/// Reads one value; `None` if it is none.
fn literal(text: &str) -> Option<Value<'static>> {
    if text.eq_ignore_ascii_case("null") {
        return Some(Value::Null);
    }
    if let Some(digits) = text.strip_prefix(['x', 'X']).and_then(within_quotes) {
        return bytes(digits).map(|bytes| Value::Bytes(bytes.into()));
    }
    if let Some(inside) = within_quotes(text) {
        // Quotes inside stand in pairs.
        let alone = inside.replace("''", "").contains('\'');
        return (!alone).then(|| Value::Text(inside.replace("''", "'").into()));
    }
    // Rust also reads `inf` and `nan` as numbers, which SQL does not.
    if !text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c)) {
        return None;
    }
    text.parse().map(Value::I64).ok().or_else(|| text.parse().ok().filter(|f: &f64| f.is_finite()).map(Value::F64))
}

fn within_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.strip_suffix('\'')
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_sql_writes_them() {
        let text = |text: &str| Value::Text(text.to_owned().into());
        for (typed, value) in [
            ("12", Value::I64(12)),
            ("-9223372036854775808", Value::I64(i64::MIN)),
            ("1.5", Value::F64(1.5)),
            ("-2e3", Value::F64(-2000.0)),
            ("99999999999999999999", Value::F64(1e20)),
            ("null", Value::Null),
            ("''", text("")),
            ("'Ana''s = anchor'", text("Ana's = anchor")),
            ("'12'", text("12")),
            ("''''", text("'")),
            ("x'00fF'", Value::Bytes(vec![0, 255].into())),
            ("X''", Value::Bytes(vec![].into())),
        ] {
            assert_eq!(assignment(&format!("c={typed}")), Ok(("c", value)), "{typed}");
        }
        assert_eq!(assignment(" a b = 1 ").map(|(column, _)| column), Ok("a b"));
        for bad in ["Anchor", "'", "'a'b'", "x'0'", "x'0g'", "inf", "NaN", "1 2", "", "\"a\"", "-", "1e999", "'a"] {
            assert!(assignment(&format!("c={bad}")).is_err(), "{bad}");
        }
        assert!(assignment("price").is_err() && assignment("=1").is_err());
        let said = assignment("name=Anchor").expect_err("a bare word");
        assert!(said.ends_with("--set \"name='Anchor'\""), "{said}");
    }
}
