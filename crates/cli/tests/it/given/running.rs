//! The real binary as a child of the test: started, watched, sent signals, and ended at the latest with the test.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; whoever waits longer hangs.
const DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(5);

static STARTED: AtomicU32 = AtomicU32::new(0);

/// Waits for a state.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "waited {} s in vain: {what}", DEADLINE.as_secs());
        std::thread::sleep(POLL);
    }
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) arguments: String,
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    pub(crate) fn of(arguments: &str, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self { arguments: arguments.to_owned(), code: output.status.code(), out, err }
    }

    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code of {self}");
        self
    }

    /// It printed this, for people on standard output or standard error.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.out.contains(text) || self.err.contains(text), "not said: {text:?} by {self}");
        self
    }

    /// It printed this nowhere.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        assert!(!self.out.contains(text) && !self.err.contains(text), "said: {text:?} by {self}");
        self
    }

    /// The one JSON object that it printed, and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let all = self.json_lines();
        assert_eq!(all.len(), 1, "one object by {self}");
        all.into_iter().next().expect("one")
    }

    /// The JSON objects that it printed, a line each, and nothing else.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<serde_json::Value> {
        assert_eq!(self.err, "", "facts go to standard output: {self}");
        let read = |line: &str| match serde_json::from_str::<serde_json::Value>(line) {
            Ok(value) if value.is_object() => value,
            _ => panic!("not a JSON object: {line}\nby {self}"),
        };
        self.out.lines().map(read).collect()
    }

    /// A count out of the one JSON object.
    #[track_caller]
    pub(crate) fn count(&self, name: &str) -> u64 {
        let json = self.json();
        json[name].as_u64().unwrap_or_else(|| panic!("no count {name} in {json}"))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { arguments, code, out, err } = self;
        write!(f, "tidewater {arguments}\nended with {code:?}\nstandard output:\n{out}\nstandard error:\n{err}")
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: RefCell<Child>,
    id: u32,
    arguments: String,
    printed: PathBuf,
    complained: PathBuf,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(folder: &Path, printed: &Path, arguments: &[&str]) -> Self {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let to = |name: &str| printed.join(format!("{number}.{name}"));
        let (out, err) = (to("out"), to("err"));
        let file = |path: &Path| File::create(path).expect("a file for what is printed");
        let child = Command::new(env!("CARGO_BIN_EXE_tidewater"))
            .args(arguments)
            .current_dir(folder)
            .env("XDG_STATE_HOME", printed.join("state"))
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(file(&out))
            .stderr(file(&err))
            .spawn()
            .expect("the binary starts");
        let (id, child) = (child.id(), RefCell::new(child));
        Self { child, id, arguments: arguments.join(" "), printed: out, complained: err }
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What it has printed on standard output so far.
    pub(crate) fn out(&self) -> String {
        text_of(&self.printed)
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.borrow_mut().try_wait().expect("its state")
    }

    fn outcome(&self, status: ExitStatus) -> Outcome {
        let (out, err) = (self.out(), text_of(&self.complained));
        Outcome { arguments: self.arguments.clone(), code: status.code(), out, err }
    }

    /// Waits for a state that comes about while it runs.
    #[track_caller]
    pub(crate) fn brings(&self, what: &str, mut holds: impl FnMut() -> bool) {
        until(what, || {
            let ended = self.status();
            let holds = holds();
            assert!(holds || ended.is_none(), "before {what} it ended: {}", self.outcome(ended.expect("an end")));
            holds
        });
    }

    /// Waits until it has printed this on standard output.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        self.brings(&format!("saying {text:?}"), || self.out().contains(text));
        self
    }

    /// A watcher that is in step.
    #[track_caller]
    pub(crate) fn in_step(self) -> Self {
        self.says("in step, watching for changes")
    }

    /// Sends it a signal by name: `INT`, `TERM`, `KILL`.
    #[track_caller]
    pub(crate) fn gets(self, signal: &str) -> Self {
        if let Some(status) = self.status() {
            panic!("before the signal {signal} it ended: {}", self.outcome(status));
        }
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.id)]).status();
        assert!(sent.expect("there is a shell").success(), "the signal {signal} is sent");
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ends(self) -> Outcome {
        let mut status = None;
        until(&format!("the end of tidewater {}", self.arguments), || {
            status = self.status();
            status.is_some()
        });
        self.outcome(status.expect("it has ended"))
    }

    /// Ends it at once, as the machine's loss of power would.
    #[track_caller]
    pub(crate) fn dies(self) {
        assert_eq!(self.gets("KILL").ends().code, None, "a signal ended it");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
