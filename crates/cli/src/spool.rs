//! Spools: where they are and how large they get, as flags and configuration say; what `status` and `teardown` do
//! about them. What they are: `tidewater_core::transport::Spool`.

use crate::output::bytes;
use serde_json::{Value, json};
use std::env::var_os;
use std::path::{Path, PathBuf};
use tidewater_core::Result;
use tidewater_core::env::Env;
use tidewater_core::link::{Full, SpoolSettings};
use tidewater_core::transport::{Spool, SpoolStatus};

/// The word for no spool.
const OFF: &str = "off";

/// What was said about the spool of a sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SpoolChoice {
    /// The folder of all spools, or `off`; that of the user where nothing was said.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) bytes_max: Option<u64>,
    pub(crate) full: Full,
}

impl SpoolChoice {
    /// For the engine; `None` where there is none.
    pub(crate) fn settings(&self) -> Option<SpoolSettings> {
        let folder = match &self.folder {
            Some(word) if word == Path::new(OFF) => return None,
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        let bytes_max = self.bytes_max.unwrap_or(SpoolSettings::BYTES_MAX_DEFAULT);
        Some(SpoolSettings { folder, bytes_max, full: self.full })
    }
}

/// The folder of a configuration, relative to that of its file; `off` stays as it is.
pub(crate) fn folder_of(word: &str, beside: &Path) -> PathBuf {
    if word == OFF { PathBuf::from(OFF) } else { beside.join(word) }
}

/// In the folder for what programs of this user keep between runs; none where there is no such folder.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let absolute = |name: &str| var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("tidewater").join("spool"))
}

/// A size such as `1 GiB`, `500MB` or `1048576`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// The spools of these links, wherever they may be. One that cannot be looked at is not shown.
pub(crate) fn found<'l>(folders: &[PathBuf], links: impl Iterator<Item = &'l str>) -> Vec<SpoolStatus> {
    let disk = Env::real().disk;
    let mut found = Vec::new();
    for link in links {
        let look = |folder: &PathBuf| Spool::look(&disk, folder, link).ok().flatten();
        found.extend(folders.iter().filter_map(look).filter(|status| status.bytes > 0));
    }
    found
}

/// What a spool holds, for people.
pub(crate) fn line(status: &SpoolStatus) -> String {
    let target = status.card.as_ref().map_or("its target", |card| card.target.as_str());
    let from = status.from.as_ref().map(|from| format!(", what came after {from}")).unwrap_or_default();
    format!("  spool: {} for {target}{from}  ({})", bytes(status.bytes), status.folder.display())
}

/// What a spool holds, as facts.
pub(crate) fn facts(status: &SpoolStatus) -> Value {
    json!({
        "folder": status.folder.display().to_string(), "bytes": status.bytes,
        "target": status.card.as_ref().map(|card| &card.target),
        "from": status.from.as_ref().map(|from| &from.0),
    })
}

/// Removes the spools of a link; says which.
pub(crate) fn remove(folders: &[PathBuf], link: &str) -> Result<Vec<String>> {
    let disk = Env::real().disk;
    let mut gone = Vec::new();
    for folder in folders {
        if Spool::destroy(&disk, folder, link)? {
            gone.push(format!("the spool {}", folder.join(link).display()));
        }
    }
    Ok(gone)
}

/// What `plan` says.
pub(crate) fn planned(settings: &SpoolSettings) -> String {
    let full = match settings.full {
        Full::Pause => "when it is full, reading stops and the log grows",
        Full::GiveUp => "when it is full, the log is given up and all tables are compared",
    };
    format!(
        "With --watch or run, while the target is away: changes go to a spool in {}, at most {}, so that the source's log \
         need not be kept; {full}.",
        settings.folder.display(),
        bytes(settings.bytes_max)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_unit() {
        for (text, bytes) in [("1 GiB", 1 << 30), ("500MB", 500_000_000), ("1048576", 1 << 20), (" 7 B ", 7)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "GiB", "0", "-1", "1.5 GiB", "1 gib", "99999999999 TiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn off_is_none_and_a_folder_is_beside_the_file() {
        let off = SpoolChoice { folder: Some(folder_of("off", Path::new("/etc"))), ..SpoolChoice::default() };
        assert_eq!(off.settings(), None);
        let beside = SpoolChoice { folder: Some(folder_of("kept", Path::new("/etc"))), ..SpoolChoice::default() };
        let settings = beside.settings().unwrap();
        assert_eq!((settings.folder, settings.bytes_max), ("/etc/kept".into(), SpoolSettings::BYTES_MAX_DEFAULT));
    }
}
