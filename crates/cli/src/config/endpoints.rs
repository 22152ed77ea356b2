//! `[endpoint.NAME]`: where it is, by URL or by reference, and the variables its filters use.
//!
//! Invariants: what was read through a reference appears in no message. A password that stands in the file itself is
//! refused. It never connects. Tests: `tests.rs`.

use super::problems::{Problems, secrets};
use super::reader::{Fields, Shape, Word, check_name, table};
use super::tree::{Entry, Item};
use super::{Endpoint, Surroundings};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;
use tidewater_core::change::Value;
use tidewater_postgres::Settings;

/// The longest file that a reference may name, in bytes; a URL is one line.
const REFERENCE_BYTES_MAX: u64 = 64 * 1024;

const ENDPOINT: Shape =
    Shape { keys: &["url", "vars", "log_rows_max"], later: &[("schema", "choosing a schema inside the database")] };

/// Reads one endpoint. `None` only where it is no table at all.
pub(super) fn read(entry: &Entry, surroundings: &Surroundings<'_>, problems: &Problems) -> Option<Endpoint> {
    check_name(entry, "an endpoint", problems);
    let title = format!("[endpoint.{}]", entry.key);
    let fields = Fields::open(entry, &title, &ENDPOINT, problems)?;
    let mut endpoint = Endpoint {
        name: entry.key.clone(),
        url: String::new(),
        shown: String::new(),
        vars: fields.get("vars").map(|entry| vars(entry, problems)).unwrap_or_default(),
        log_rows_max: fields.number("log_rows_max"),
    };
    match (fields.get("url"), fields.text("url")) {
        (None, _) => problems.add(
            fields.place,
            format!(
                "{title} needs `url`, such as \"sqlite:shop.db\", \"postgres://USER@HOST/DATABASE\" or \"env:NAME\""
            ),
        ),
        (Some(_), None) => {}
        (Some(_), Some(url)) => {
            if let Some((url, shown)) = locate(url, surroundings, problems) {
                (endpoint.url, endpoint.shown) = (url, shown);
            }
        }
    }
    if let Some(entry) = fields.get("log_rows_max").filter(|_| endpoint.is_postgres()) {
        let instead = "a PostgreSQL server bounds its own log, by its setting max_slot_wal_keep_size";
        problems.add(&entry.place, format!("`log_rows_max` is for SQLite: {instead}"));
    }
    Some(endpoint)
}

fn vars(entry: &Entry, problems: &Problems) -> BTreeMap<String, Value<'static>> {
    let entries = table(&entry.node, &entry.key, problems).unwrap_or_default();
    entries.iter().filter_map(|var| Some((var.key.clone(), variable(var, problems)?))).collect()
}

fn variable(var: &Entry, problems: &Problems) -> Option<Value<'static>> {
    let starts = var.key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !var.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        problems.add(&var.place, "the name of a variable is made of letters, digits and `_`, and starts with no digit");
        return None;
    }
    match &var.node.item {
        Item::Text(text) => Some(Value::Text(Cow::Owned(text.clone()))),
        Item::Integer(number) => Some(Value::I64(*number)),
        Item::Float(number) if number.is_finite() => Some(Value::F64(*number)),
        Item::Bool(value) => Some(Value::Bool(*value)),
        _ => {
            let message = format!("`{}`: a variable is text, a finite number, or true or false", var.key);
            problems.add(&var.node.place, message);
            None
        }
    }
}

/// Follows a reference; gives the URL and what may be shown of it.
fn locate(url: Word<'_>, surroundings: &Surroundings<'_>, problems: &Problems) -> Option<(String, String)> {
    let folder = &problems.file(url.place).folder;
    let followed = if let Some(name) = url.text.strip_prefix("env:") {
        from_environment(name, surroundings).map(Some)
    } else if let Some(path) = url.text.strip_prefix("file:") {
        from_file(&folder.join(path), surroundings).map(Some)
    } else if secrets(url.text).is_empty() {
        Ok(None)
    } else {
        Err("this URL holds a password; secrets stand in the file only by reference: \"env:NAME\" or \"file:PATH\""
            .into())
    };
    let located = followed.and_then(|value| {
        let place = value.as_deref().unwrap_or(url.text);
        let located = absolute(place, folder, surroundings)?;
        let shown = if value.is_some() { url.text } else { sqlite_path(place).unwrap_or(place) };
        Ok((located, shown.to_owned()))
    });
    located.map_err(|message| problems.add(url.place, message)).ok()
}

fn from_environment(name: &str, surroundings: &Surroundings<'_>) -> Result<String, String> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("after `env:` stands the name of an environment variable, as in \"env:HQ_URL\"".into());
    }
    match (surroundings.variable)(name) {
        Ok(value) if value.trim().is_empty() => Err(format!("the environment variable {name} is empty")),
        Ok(value) => Ok(value.trim().to_owned()),
        Err(VarError::NotPresent) => Err(format!("the environment variable {name} is not set")),
        Err(VarError::NotUnicode(_)) => Err(format!("the environment variable {name} is not valid UTF-8")),
    }
}

fn from_file(path: &Path, surroundings: &Surroundings<'_>) -> Result<String, String> {
    let text = (surroundings.text)(path, REFERENCE_BYTES_MAX)
        .map_err(|error| format!("the file {} cannot be read: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("the file {} is empty", path.display())),
        url if url.contains('\n') => Err(format!("the file {} holds more than one line", path.display())),
        url => Ok(url.to_owned()),
    }
}

/// Checks that this is a URL, and joins the path of a relative SQLite file to the folder of the configuration.
fn absolute(url: &str, folder: &Path, surroundings: &Surroundings<'_>) -> Result<String, String> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    // One letter is a drive, not a scheme.
    if scheme.len() < 2 || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        return Err("this is no URL; a file is written as \"sqlite:PATH\"".into());
    }
    if scheme == "env" || scheme == "file" {
        return Err("a reference cannot name another reference".into());
    }
    if is_postgres(url) {
        // What it says against a URL holds nothing of its secrets.
        Settings::parse_in(url, |name| (surroundings.variable)(name).ok()).map_err(|error| error.to_string())?;
    }
    if let Some((stdout, state)) = url.split_once("?state=").filter(|_| scheme == "stdout") {
        let state = folder.join(state);
        let state = state.to_str().ok_or("the folder of the configuration has a name that is not valid UTF-8")?;
        return Ok(format!("{stdout}?state={state}"));
    }
    let Some(path) = sqlite_path(url) else { return Ok(url.to_owned()) };
    if path.is_empty() {
        return Err("this URL names no file; write \"sqlite:PATH\"".into());
    }
    if path == ":memory:" || Path::new(path).is_absolute() {
        return Ok(format!("sqlite:{path}"));
    }
    match folder.join(path).to_str() {
        Some(joined) => Ok(format!("sqlite:{joined}")),
        None => Err("the folder of the configuration has a name that is not valid UTF-8; use an absolute path".into()),
    }
}

/// Whether this is the URL of a PostgreSQL database.
pub(super) fn is_postgres(url: &str) -> bool {
    ["postgres:", "postgresql:"].iter().any(|scheme| url.starts_with(scheme))
}

/// The path in a URL of SQLite, which is written `sqlite:PATH` or `sqlite://PATH`.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path))
}
