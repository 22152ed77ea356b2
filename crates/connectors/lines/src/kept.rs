//! What is remembered of a link whose target keeps nothing itself: in memory for one run, or in a state file.
//!
//! Invariants: the file is replaced as a whole and is on the disk, name and all, before anybody relies on it; one that
//! is damaged, newer, or another sync's is refused and left as it is. What it holds: `docs/stdout.md`.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tidewater_core::apply::{Existing, Ledger, Phase, Stretch, TableLedger, Writer};
use tidewater_core::change::{Key, Position};
use tidewater_core::env::read_text_max;
use tidewater_core::{Error, Kind, Result, code};

const FORMAT: u64 = 1;
/// Some hundred bytes a table; more is no state file.
const BYTES_MAX: u64 = 64 << 20;

/// Standard output as an endpoint. Clones are the same output, and remember together.
#[derive(Debug, Clone)]
pub struct Output {
    name: String,
    state: Option<PathBuf>,
    memory: Arc<Mutex<Option<Kept>>>,
}

/// What is known of a link.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) identity: String,
    pub(crate) link: String,
    pub(crate) source: String,
    pub(crate) source_identity: String,
    pub(crate) existing: Existing,
    pub(crate) position: Option<Position>,
    /// What the ids of changes begin with: another one whenever a position is taken up anew.
    pub(crate) epoch: String,
    pub(crate) tables: BTreeMap<String, KeptTable>,
    pub(crate) updated_ms: i64,
}

/// What is known of one of its tables.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptTable {
    pub(crate) ledger: TableLedger,
    /// What the ids of its rows begin with: another one whenever all of them are sent anew.
    pub(crate) token: String,
}

impl Output {
    /// An output that several syncs of one source can be told apart by, and the file in which it is remembered how far
    /// they came.
    pub fn new(name: impl Into<String>, state: Option<PathBuf>) -> Self {
        Self { name: name.into(), state, memory: Arc::default() }
    }

    /// Its name for people, and as a URL.
    pub fn shown(&self) -> String {
        match &self.state {
            Some(path) => format!("stdout:{}?state={}", self.name, path.display()),
            None => format!("stdout:{}", self.name),
        }
    }

    /// The same output with this state file.
    #[must_use]
    pub fn with_state(mut self, state: PathBuf) -> Self {
        self.state = Some(state);
        self
    }

    /// Whether a run goes on where the last one ended.
    pub fn is_resumable(&self) -> bool {
        self.state.is_some()
    }

    /// What it is known by at a source; a state file that was moved keeps what it was known by.
    pub(crate) fn identity(&self) -> Result<String> {
        if let Some(kept) = self.load()? {
            return Ok(kept.identity);
        }
        let path = self.state.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        let state = path.map(|path| format!("?state={}", path.display())).unwrap_or_default();
        Ok(format!("stdout:{}{state}", self.name))
    }

    /// What is remembered.
    pub(crate) fn load(&self) -> Result<Option<Kept>> {
        match &self.state {
            None => Ok(self.memory().clone()),
            Some(path) => read(path),
        }
    }

    /// Remembers it, durably where there is a file.
    pub(crate) fn save(&self, kept: &Kept) -> Result<()> {
        match &self.state {
            None => *self.memory() = Some(kept.clone()),
            Some(path) => replace(path, &kept.text()).map_err(|error| unwritable(path, &error))?,
        }
        Ok(())
    }

    /// Forgets it; says what is gone.
    pub(crate) fn forget(&self) -> Result<Option<String>> {
        *self.memory() = None;
        let Some(path) = &self.state else { return Ok(None) };
        std::fs::remove_file(path).map_err(|error| unwritable(path, &error))?;
        Ok(Some(format!("the state file {}", path.display())))
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// What is known of a link that begins.
    pub(crate) fn new(identity: String, writer: &Writer) -> Self {
        Self {
            identity,
            link: writer.link.clone(),
            source: writer.source.clone(),
            source_identity: writer.source_identity.clone(),
            existing: writer.existing,
            ..Self::default()
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        let tables = self.tables.iter().map(|(name, table)| (name.clone(), table.ledger.clone()));
        Ledger {
            position: self.position.clone(),
            existing: self.existing,
            tables: tables.collect(),
            ..Ledger::default()
        }
    }

    fn text(&self) -> String {
        let tables: Map<String, Value> = self.tables.iter().map(|(name, table)| (name.clone(), table.json())).collect();
        let all = json!({
            "tidewater_state": FORMAT, "identity": self.identity, "link": self.link, "source": self.source,
            "source_identity": self.source_identity, "existing": self.existing.word(),
            "position": self.position.as_ref().map(|position| &position.0), "epoch": self.epoch, "tables": tables,
            "updated_ms": self.updated_ms,
        });
        format!("{all:#}\n")
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let tables =
            value["tables"].as_object()?.iter().map(|(name, table)| Some((name.clone(), KeptTable::of(table)?)));
        Some(Self {
            identity: text("identity")?,
            link: text("link")?,
            source: text("source")?,
            source_identity: text("source_identity")?,
            existing: Existing::from_word(value["existing"].as_str()?)?,
            position: text("position").map(Position),
            epoch: text("epoch")?,
            tables: tables.collect::<Option<_>>()?,
            updated_ms: value["updated_ms"].as_i64()?,
        })
    }
}

impl KeptTable {
    fn json(&self) -> Value {
        let TableLedger { digest, phase } = &self.ledger;
        let mut table = json!({ "digest": digest, "token": self.token, "phase": word(phase) });
        match phase {
            Phase::Copying(done) => {
                let Some(key) = Stretch::reach(done) else { return table };
                table["through"] = json!({ "columns": key.raw().count(), "hex": hex(key.as_bytes()) });
            }
            Phase::Halted(why) => table["reason"] = why.as_str().into(),
            _ => {}
        }
        table
    }

    fn of(value: &Value) -> Option<Self> {
        let through = &value["through"];
        let phase = match value["phase"].as_str()? {
            "copying" if through.is_null() => Phase::Copying(vec![]),
            "copying" => {
                let columns = usize::try_from(through["columns"].as_u64()?).ok()?;
                Phase::Copying(Stretch::up_to(Key::from_bytes(&unhex(through["hex"].as_str()?)?, columns).ok()?))
            }
            "meeting" => Phase::Meeting,
            "comparing" => Phase::Comparing,
            "following" => Phase::Following,
            "halted" => Phase::Halted(value["reason"].as_str()?.to_owned()),
            _ => return None,
        };
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        Some(Self { ledger: TableLedger { digest: text("digest")?, phase }, token: text("token")? })
    }
}

/// The word of a phase.
pub(crate) fn word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Copying(_) => "copying",
        Phase::Meeting => "meeting",
        Phase::Comparing => "comparing",
        Phase::Following => "following",
        Phase::Halted(_) => "halted",
    }
}

fn read(path: &Path) -> Result<Option<Kept>> {
    let text = match read_text_max(path, BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unwritable(path, &error)),
    };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    match value["tidewater_state"].as_u64() {
        Some(format) if format > FORMAT => Err(Error::new(
            Kind::Invalid,
            code::FORMAT,
            format!("{}: a state file of format {format}, written by a newer version", path.display()),
        )
        .meaning(format!("This version knows format {FORMAT}. Nothing was printed."))
        .remedy("Use the newer version, or another state file: all rows are then sent again.")),
        Some(_) => Kept::of(&value).map(Some).ok_or_else(|| damaged(path)),
        None => Err(damaged(path)),
    }
}

fn damaged(path: &Path) -> Error {
    Error::new(Kind::Invalid, code::STATE, format!("{} is no state file", path.display()))
        .meaning("It holds something else, or was damaged. It was left as it is, and nothing was printed.")
        .remedy("Name another file. Where this one was a state file, remove it: all rows are then sent again.")
}

/// The refusal of a state file in which another sync is remembered.
pub(crate) fn another(output: &Output, kept: &Kept) -> Error {
    let what = format!("{}: the state file belongs to a sync from {}", output.shown(), kept.source);
    Error::new(Kind::Invalid, code::STATE, what)
        .meaning("One file remembers one sync: its source and its name. Nothing was printed.")
        .remedy("Give each sync a state file of its own.")
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let (kind, code) = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (Kind::Denied, code::READ_ONLY),
        ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => (Kind::Invalid, code::STATE),
        _ => (Kind::Unavailable, code::DISK),
    };
    Error::new(kind, code, format!("the state file {}: {error}", path.display()))
        .meaning("How far the sync came is not remembered beyond the last time; what was printed since comes again.")
        .remedy("Mend it, or name a file that can be written.")
}

/// Replaces a file as a whole: whenever the machine dies, the old text is there or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidewater_core::change::Value as Cell;

    fn kept() -> Kept {
        let key = Key::new([Cell::I64(7), Cell::Text("ü\n".into())]);
        let phases = [
            Phase::Copying(vec![]),
            Phase::Copying(Stretch::up_to(key)),
            Phase::Following,
            Phase::Halted("why".into()),
        ];
        let table = |(n, phase): (usize, Phase)| {
            let ledger = TableLedger { digest: "d".into(), phase };
            (format!("t{n}"), KeptTable { ledger, token: "token".into() })
        };
        Kept {
            link: "link".into(),
            identity: "stdout:".into(),
            position: Some(Position("0/16B3748".into())),
            tables: phases.into_iter().enumerate().map(table).collect(),
            updated_ms: 1_790_936_430_000,
            ..Kept::default()
        }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let output = Output::new("", Some(folder.path().join("state")));
        assert_eq!(output.load().expect("nothing yet"), None);
        for position in [None, kept().position] {
            let kept = Kept { position, ..kept() };
            output.save(&kept).expect("it is written");
            assert_eq!(output.load().expect("it is read"), Some(kept));
        }
        assert_eq!(output.identity().expect("as it was"), "stdout:");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_state_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let output = Output::new("", Some(path.clone()));
        let cut = kept().text().replace("following", "folowing");
        for (text, code) in [
            ("", code::STATE),
            ("{}", code::STATE),
            ("[1,2", code::STATE),
            (&cut, code::STATE),
            ("{\"tidewater_state\": 2}", code::FORMAT),
        ] {
            std::fs::write(&path, text).expect("written");
            assert_eq!(output.load().expect_err(text).code, code, "{text}");
            assert_eq!(std::fs::metadata(&path).expect("there").len(), text.len() as u64);
        }
        let nowhere = Output::new("", Some(folder.path().join("no/such/folder")));
        assert_eq!(nowhere.save(&kept()).expect_err("no folder").code, code::STATE);
    }
}
