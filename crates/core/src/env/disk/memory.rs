//! A disk in memory that loses power: what was not synced is there afterwards in part, or not, or otherwise.

use super::{Disk, DiskFile, Held};
use crate::env::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk in memory. Clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The files by name, as programs see them; and as they would be after a loss of power.
    names: BTreeMap<PathBuf, usize>,
    surviving: BTreeMap<PathBuf, usize>,
    files: Vec<Contents>,
    locks: BTreeSet<PathBuf>,
    /// So many more calls succeed.
    calls_left: Option<u64>,
    /// So many more bytes fit.
    bytes_free: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
}

impl MemoryDisk {
    /// After so many calls every call fails, until [`MemoryDisk::lose_power`].
    pub fn fail_after(&self, calls: u64) {
        self.state().calls_left = Some(calls);
    }

    /// Whether calls fail by now.
    pub fn has_failed(&self) -> bool {
        self.state().calls_left == Some(0)
    }

    /// So many more bytes can be appended; `None` is as many as wished.
    pub fn set_free(&self, bytes: Option<usize>) {
        self.state().bytes_free = bytes;
    }

    /// The power goes and comes back. Of what was not synced a part survives, by chance; locks are gone.
    pub fn lose_power(&self, random: &dyn Random) {
        let mut state = self.state();
        let state = &mut *state;
        state.locks.clear();
        state.calls_left = None;
        let paths: BTreeSet<PathBuf> = state.names.keys().chain(state.surviving.keys()).cloned().collect();
        for path in paths {
            let (now, synced) = (state.names.get(&path).copied(), state.surviving.get(&path).copied());
            let survives = if random.bits().is_multiple_of(2) { now } else { synced };
            match survives {
                Some(file) => state.names.insert(path, file),
                None => state.names.remove(&path),
            };
        }
        state.surviving.clone_from(&state.names);
        for file in &mut state.files {
            file.now = torn(file, random);
            file.synced.clone_from(&file.now);
        }
    }

    /// The process is killed: what it wrote is there, its locks are gone.
    pub fn kill(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.calls_left = None;
    }

    /// Looks at or changes the bytes of a file, past all caches.
    pub fn with_file<T>(&self, path: &Path, look: impl FnOnce(&mut Vec<u8>) -> T) -> Option<T> {
        let mut state = self.state();
        let file = *state.names.get(path)?;
        let file = state.files.get_mut(file)?;
        let found = look(&mut file.now);
        file.synced.clone_from(&file.now);
        Some(found)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if let Some(left) = &mut state.calls_left {
            if *left == 0 {
                return Err(Error::other("the disk is gone"));
            }
            *left -= 1;
        }
        Ok(state)
    }
}

/// What is left of a file when the power goes: what was synced, and some of the rest, with holes.
fn torn(file: &Contents, random: &dyn Random) -> Vec<u8> {
    let Some(rest) = file.now.strip_prefix(&file.synced[..]) else {
        // It was cut short; that may or may not have come through.
        return if random.bits().is_multiple_of(2) { file.now.clone() } else { file.synced.clone() };
    };
    let kept = usize::try_from(random.bits() % (rest.len() as u64 + 1)).unwrap_or(0);
    let mut left = file.synced.clone();
    left.extend_from_slice(&rest[..kept]);
    if kept > 0 && random.bits().is_multiple_of(2) {
        let hole = file.synced.len() + usize::try_from(random.bits() % kept as u64).unwrap_or(0);
        left[hole..].fill(0);
    }
    left
}

impl Disk for MemoryDisk {
    fn create_folder(&self, _: &Path) -> Result<()> {
        self.call().map(|_| ())
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        let state = self.call()?;
        let inside = state.names.keys().filter_map(|path| path.strip_prefix(folder).ok()?.components().next());
        let names: BTreeSet<String> = inside.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect();
        Ok(names.into_iter().collect())
    }

    fn open(&self, path: &Path, make: bool) -> Result<Box<dyn DiskFile>> {
        let mut state = self.call()?;
        let file = match state.names.get(path) {
            Some(file) => *file,
            None if make => {
                state.files.push(Contents::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                file
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Box::new(MemoryFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.call()?;
        let file = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.call()?.names.remove(path).map(|_| ()).ok_or(ErrorKind::NotFound.into())
    }

    fn remove_folder(&self, _: &Path) -> Result<()> {
        self.call().map(|_| ())
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        let mut state = self.call()?;
        let is_in = |path: &Path| path.parent() == Some(folder);
        state.surviving.retain(|path, _| !is_in(path));
        let inside: Vec<_> = state.names.iter().filter(|(path, _)| is_in(path)).map(|(p, f)| (p.clone(), *f)).collect();
        state.surviving.extend(inside);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Option<Box<dyn Held>>> {
        drop(self.open(path, true)?);
        let is_free = self.call()?.locks.insert(path.to_owned());
        Ok(is_free.then(|| Box::new(Lock { disk: self.clone(), path: path.to_owned() }) as Box<dyn Held>))
    }
}

struct Lock {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Held for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl DiskFile for MemoryFile {
    fn size(&self) -> Result<u64> {
        Ok(self.disk.call()?.files[self.file].now.len() as u64)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let state = self.disk.call()?;
        let bytes = &state.files[self.file].now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let failed = self.disk.call().err();
        let mut state = self.disk.state();
        // The call that fails may have been carried out in part.
        let fits =
            state.bytes_free.unwrap_or(usize::MAX).min(if failed.is_some() { bytes.len() / 2 } else { usize::MAX });
        let fits = fits.min(bytes.len());
        state.files[self.file].now.extend_from_slice(&bytes[..fits]);
        if let Some(free) = &mut state.bytes_free {
            *free -= fits;
        }
        match failed {
            Some(error) => Err(error),
            None if fits < bytes.len() => Err(ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    fn cut(&mut self, size: u64) -> Result<()> {
        let mut state = self.disk.call()?;
        state.files[self.file].now.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let mut state = self.disk.call()?;
        let file = &mut state.files[self.file];
        file.synced.clone_from(&file.now);
        Ok(())
    }
}
