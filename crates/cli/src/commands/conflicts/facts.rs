//! Entries of a journal, for programs.
//!
//! Values: NULL is null, numbers are numbers, text is text; what JSON has no form for is an object: `{"blob": "00ff"}`,
//! `{"text_hex": "ff"}` for text that is not UTF-8, `{"real": "inf"}`. A row is an object by column.

use super::{hexadecimal, kind, state, time};
use serde_json::{Map, Value as Json, json};
use tidewater_core::change::{Row, Value};
use tidewater_core::replica::{Entry, Side};

/// One conflict with all its sides.
pub(super) fn entry(entry: &Entry) -> Json {
    let collided: Vec<&String> = entry.collided.iter().filter_map(|at| entry.columns.get(*at)).collect();
    let sides = entry.sides.iter().enumerate().map(|(at, side)| facts(at + 1, side, &entry.columns));
    json!({
        "id": hexadecimal(entry.id),
        "table": entry.table,
        "key": entry.key.to_string(),
        "kind": kind(entry.kind),
        "rule": entry.rule,
        "columns": collided,
        "sides": sides.collect::<Vec<_>>(),
        "shown": row(entry.shown.as_ref(), &entry.columns),
        "state": state(entry),
        "open": entry.open,
        "at": time(entry.at_ms),
        "at_ms": entry.at_ms,
        "superseded_at_ms": entry.ended_ms,
        "run": entry.run,
    })
}

fn facts(number: usize, side: &Side, columns: &[String]) -> Json {
    json!({
        "side": number,
        "endpoint": side.endpoint,
        "written_at_ms": side.stamp.ms(),
        "deleted": side.content.is_none(),
        "row": row(side.content.as_ref(), columns),
        "won": side.won,
    })
}

fn row(row: Option<&Row>, columns: &[String]) -> Json {
    let Some(row) = row else { return Json::Null };
    // A column that a side does not have is left out.
    let present = columns.iter().zip(row.values()).filter(|(_, value)| *value != Value::Unchanged);
    Json::Object(present.map(|(column, value)| (column.clone(), json_of(&value))).collect::<Map<_, _>>())
}

fn json_of(value: &Value<'_>) -> Json {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::F64(value) if value.is_finite() => json!(value),
        Value::F64(value) => json!({ "real": value.to_string() }),
        Value::Text(text) | Value::Json(text) => json!(text),
        Value::RawText(bytes) => json!({ "text_hex": hex(bytes) }),
        Value::Bytes(bytes) => json!({ "blob": hex(bytes) }),
        other => json!(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_one_form() {
        let columns: Vec<String> = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned).into();
        let values = [
            Value::Null,
            Value::I64(i64::MIN),
            Value::F64(1.5),
            Value::Text("ä'".into()),
            Value::Bytes((&[0_u8, 255][..]).into()),
            Value::F64(f64::INFINITY),
            Value::Unchanged,
        ];
        let wanted = json!({
            "a": null, "b": i64::MIN, "c": 1.5, "d": "ä'", "e": { "blob": "00ff" }, "f": { "real": "inf" },
        });
        assert_eq!(row(Some(&Row::new(values)), &columns), wanted);
        assert_eq!(row(None, &columns), Json::Null);
    }
}
