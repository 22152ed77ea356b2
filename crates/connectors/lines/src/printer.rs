//! The stream that lines go to, and the thread that owns it: whoever reads may be slow, and nobody else waits for that.
//!
//! Invariants: whole lines reach the stream, also where several syncs print, or a run before was killed in the middle
//! of one; what waits to be printed has a bound.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tidewater_core::{Error, Kind, Result, code};
use tokio::sync::{mpsc, oneshot};

/// What is gathered before it is written; one line more, at most.
const BUFFER: usize = 256 << 10;

/// Syncs of one process print in turn.
static TURN: Mutex<()> = Mutex::new(());

/// The beginning of every line of ours.
const BEGINNING: &[u8] = b"{\"id\":\"";

/// The stream, with the lines that are to be written next.
pub(crate) struct Printer {
    file: File,
    /// What is written there stays there: it is a file of its own.
    is_file: bool,
    pub(crate) buffer: Vec<u8>,
}

impl Printer {
    /// Standard output.
    pub(crate) fn open() -> Result<Self> {
        let stream = std::io::stdout().as_fd().try_clone_to_owned();
        let file = File::from(stream.map_err(|error| failed(&error))?);
        let is_file = file.metadata().is_ok_and(|about| about.is_file());
        if is_file {
            end_torn_line(&file, Path::new("/proc/self/fd/1")).map_err(|error| failed(&error))?;
        }
        Ok(Self { file, is_file, buffer: Vec::with_capacity(BUFFER) })
    }

    /// To be called at the end of a line: writes what has gathered, if that is much.
    pub(crate) fn line_is_done(&mut self) -> Result<()> {
        if self.buffer.len() < BUFFER { Ok(()) } else { self.flush() }
    }

    /// Writes what has gathered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.file.write_all(&self.buffer);
        drop(turn);
        self.buffer.clear();
        // A line that was larger than all others does not keep its room.
        self.buffer.shrink_to(BUFFER);
        done.map_err(|error| failed(&error))
    }

    /// Waits until what was written survives a crash of the machine, as far as that is ours to say.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.is_file { self.file.sync_data().map_err(|error| failed(&error)) } else { Ok(()) }
    }
}

fn failed(error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => {
            Error::new(Kind::Invalid, code::OUTPUT_CLOSED, "standard output was closed by whoever read it")
                .meaning("What it had not read was not sent.")
                .remedy("Nothing, if it had enough. With --state the next run goes on from there.")
        }
        _ => Error::new(Kind::Unavailable, code::DISK, format!("standard output cannot be written: {error}"))
            .meaning("What comes after the last whole line was not printed; no position went ahead of its lines.")
            .remedy("Make room, or mend the output, and run the command again."),
    }
}

/// A run that was killed may have left the beginning of a line at the end of the file. One of ours is taken away: it
/// comes again; anything else is ended, so that it is not taken for a part of the next.
fn end_torn_line(file: &File, again: &Path) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    // Whoever may not read the file cannot know how it ends.
    let Ok(mut reader) = File::open(again) else { return Ok(()) };
    let Some(from) = torn_from(&mut reader, length)? else { return Ok(()) };
    reader.seek(SeekFrom::Start(from))?;
    let mut beginning = Vec::new();
    let most = BEGINNING.len().min(usize::try_from(length - from).unwrap_or(usize::MAX));
    beginning.resize(most, 0);
    reader.read_exact(&mut beginning)?;
    if BEGINNING.starts_with(&beginning) {
        return file.set_len(from);
    }
    (&*file).write_all(b"\n")
}

/// Where the last line begins, if it has no end.
fn torn_from(reader: &mut File, length: u64) -> std::io::Result<Option<u64>> {
    const BLOCK: u64 = 64 << 10;
    let mut block = Vec::new();
    let mut until = length;
    while until > 0 {
        let from = until.saturating_sub(BLOCK);
        block.resize(usize::try_from(until - from).unwrap_or_default(), 0);
        reader.seek(SeekFrom::Start(from))?;
        reader.read_exact(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            let begins = from + at as u64 + 1;
            return Ok((begins < length).then_some(begins));
        }
        until = from;
    }
    Ok((length > 0).then_some(0))
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A handle of the thread. Nobody waits for the thread's end: who reads its output may never.
pub(crate) struct Thread {
    jobs: mpsc::Sender<Job<Printer>>,
}

impl Thread {
    pub(crate) fn start(mut printer: Printer) -> Result<Self> {
        // One job is asked for at a time; a second slot keeps a caller that was cancelled from blocking the next.
        let (jobs, mut inbox) = mpsc::channel::<Job<Printer>>(2);
        let work = move || {
            while let Some(job) = inbox.blocking_recv() {
                job(&mut printer);
            }
        };
        let thread = std::thread::Builder::new().name("lines".to_owned()).spawn(work);
        thread.map_err(|error| Error::internal(format!("no thread for standard output: {error}")))?;
        Ok(Self { jobs })
    }

    /// Runs `job` on the thread and waits for its result.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Printer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, result) = oneshot::channel();
        let job: Job<Printer> = Box::new(move |printer| {
            let _ = answer.send(job(printer));
        });
        let gone = || Error::internal("the thread of standard output ended");
        self.jobs.send(job).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_killed_run_left_is_taken_away_and_what_others_left_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let long = format!("{{\"id\":\"{}", "x".repeat(200_000));
        for (before, after) in [
            ("", ""),
            ("{\"id\":\"1\"}\n", "{\"id\":\"1\"}\n"),
            ("{\"id\":\"1\"}\n{\"id\":\"2", "{\"id\":\"1\"}\n"),
            ("{\"id\":\"1\"}\n{", "{\"id\":\"1\"}\n"),
            (&long, ""),
            ("a header", "a header\n"),
            ("x\ny", "x\ny\n"),
        ] {
            std::fs::write(&path, before).expect("written");
            let file = File::options().append(true).open(&path).expect("opened");
            end_torn_line(&file, &path).expect("mended");
            assert_eq!(tidewater_core::env::read_text_max(&path, 1 << 20).expect("read"), after, "{before:.40}");
        }
    }
}
