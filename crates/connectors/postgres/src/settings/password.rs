//! Passwords, and the file that holds them: one line a password, `host:port:database:user:password`.

use super::{Host, Settings, SettingsError, error};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tidewater_core::env::read_text_max;

/// Longer than any password file of a person.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A password. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Password(String);

impl Password {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The password that a file has for these settings. A file that is not there has none.
pub(super) fn from_file(path: &Path, settings: &Settings) -> Result<Option<Password>, SettingsError> {
    let Ok(found) = fs::metadata(path) else { return Ok(None) };
    if !found.is_file() {
        return Ok(None);
    }
    let shown = path.display();
    if found.mode() & 0o077 != 0 {
        return Err(error(&format!("the password file {shown} may be read by others: chmod 600 {shown}")));
    }
    let text = read_text_max(path, FILE_BYTES_MAX)
        .map_err(|why| error(&format!("the password file {shown} cannot be read: {why}")))?;
    Ok(text.lines().find_map(|line| from_line(line, settings)))
}

fn from_line(line: &str, settings: &Settings) -> Option<Password> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, user, password] = fields.as_slice() else { return None };
    let is = |field: &str, wanted: &str| field == "*" || field == wanted;
    let is_host = match &settings.host {
        Host::Name(name) => is(host, name),
        Host::Socket(folder) => is(host, "localhost") || is(host, &folder.to_string_lossy()),
    };
    let matches =
        is_host && is(port, &settings.port.to_string()) && is(database, &settings.database) && is(user, &settings.user);
    (matches && !password.is_empty()).then(|| Password::new(password.clone()))
}

/// Divided at colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            // The password is the last field, and may hold colons all the same.
            ':' if last < 4 => fields.push(String::new()),
            '\\' => fields[last].extend(characters.next()),
            other => fields[last].push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_found_by_where_it_is_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pass");
        let lines = [
            "# a comment:*:*:*:no",
            "db:1:shop:ana:first",
            "db:*:shop:ana:second\\:with\\\\both",
            "localhost:*:*:ana:socket",
            "*:*:*:bo:any:colon",
            "short:line",
        ];
        fs::write(&path, lines.join("\n")).unwrap();
        let find = |url: &str| {
            let path = path.to_string_lossy().into_owned();
            let settings = Settings::parse_in(url, |name| (name == "PGPASSFILE").then(|| path.clone())).unwrap();
            settings.password().map(|found| found.map(|password| password.reveal().to_owned()))
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(find("postgres://ana@db:1/shop").unwrap_err().to_string().contains("chmod 600"));
        assert_eq!(find("postgres://ana:own@db:1/shop").unwrap().unwrap(), "own");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for (url, wanted) in [
            ("postgres://ana@db:1/shop", Some("first")),
            ("postgres://ana@db:2/shop", Some("second:with\\both")),
            ("postgres://ana@db:2/other", None),
            ("postgres://ana@%2Frun/other", Some("socket")),
            ("postgres://bo@db/other", Some("any:colon")),
        ] {
            assert_eq!(find(url).unwrap().as_deref(), wanted, "{url}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(find("postgres://ana@db:1/shop").unwrap(), None);
    }
}
