//! Others at work on the same files: another engine, and programs that hold a lock.

use super::group::{exchange, exchange_in, group};
use crate::given::{lives_at_most, passes, shell, until};
use async_trait::async_trait;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidewater_core::code;
use tidewater_core::env::{Clock, Env};
use tidewater_core::link::{ExchangeSettings, Run};

const ROLE: &str = "TIDEWATER_TEST_HOLDER";
const T: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);";

/// What the other process does. Nothing, where the test binary runs as tests.
#[test]
fn another_engine() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let files: Vec<PathBuf> = role.lines().map(PathBuf::from).collect();
    lives_at_most(Duration::from_secs(40));
    let _ = exchange(&files, ExchangeSettings { run: Run::Watch, ..ExchangeSettings::default() }, 1_000_000);
}

/// A process that does not outlive its handle.
pub(super) struct Engine(Child);

impl Engine {
    pub(super) fn watches(files: &[PathBuf]) -> Self {
        let role: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let mut command = Command::new(std::env::current_exe().expect("this binary"));
        command.args(["both_ways::locks::another_engine", "--exact"]).env(ROLE, role.join("\n"));
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_engines_on_one_file_exclude_each_other_and_nothing_is_lost() {
    let g = group("abc", T);
    g.meet("abc");
    let engine = Engine::watches(&[g.path('a'), g.path('b')]);
    g.write('a', "INSERT INTO t VALUES (1, 'a')");
    until("the engine works", || g.count('b', "t") == 1);
    // Another one that needs b: refused, by name, and c is as it was.
    g.write('c', "INSERT INTO t VALUES (3, 'c')");
    let error = g.try_meet("bc").expect_err("b is taken");
    assert_eq!(error.code, code::LEASE, "{error}");
    assert!(error.to_string().contains(&format!("(process {})", engine.0.id())), "{error}");
    // Three meet without the one that is taken.
    g.write('b', "INSERT INTO t VALUES (2, 'b')");
    let error = g.try_meet("abc").expect_err("only one is left");
    assert_eq!(error.code, code::LEASE, "{error}");
    until("the first engine goes on", || g.count('a', "t") == 2);
    drop(engine);
    g.meet("abc");
    assert_eq!(g.same("abc", "t"), "1|a\n2|b\n3|c");
    assert!(g.conflicts('a').is_empty());
}

#[test]
fn a_member_that_is_taken_keeps_none_of_the_others_waiting() {
    let g = group("abcd", T);
    g.meet("abcd");
    let engine = Engine::watches(&[g.path('a'), g.path('b')]);
    g.write('a', "INSERT INTO t VALUES (1, 'a')");
    until("the engine works", || g.count('b', "t") == 1);
    g.write('c', "INSERT INTO t VALUES (3, 'c')");
    let report = g.try_meet("cbd").expect("c and d meet");
    assert!(report.members[1].away.as_deref().is_some_and(|why| why.contains("another Tidewater")), "{report:?}");
    assert_eq!(g.same("cd", "t"), "3|c");
    drop(engine);
    g.meet("abcd");
    assert_eq!(g.same("abcd", "t"), "1|a\n3|c");
}

#[test]
fn a_program_that_holds_its_lock_is_waited_for() {
    let g = group("ab", T);
    g.meet("ab");
    g.write('a', "INSERT INTO t VALUES (1, 'a')");
    let program = rusqlite::Connection::open(g.path('b')).expect("it opens");
    program.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2, 'b')").expect("it holds the lock");
    std::thread::scope(|scope| {
        let meeting = scope.spawn(|| g.meet("ab"));
        // Longer than a connection waits, shorter than an engine tries.
        passes(Duration::from_millis(6_500));
        program.execute_batch("COMMIT").expect("it gives it up");
        meeting.join().expect("they meet");
    });
    assert_eq!(g.same("ab", "t"), "1|a\n2|b");
}

#[test]
fn a_value_that_goes_to_and_fro_while_it_is_carried_arrives() {
    let g = group(
        "ab",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t SELECT value, 0 FROM generate_series(1, 40)",
    );
    g.meet("ab");
    for _ in 0..12 {
        std::thread::scope(|scope| {
            let path = g.path('a');
            scope.spawn(move || {
                let program = rusqlite::Connection::open(path).expect("it opens");
                program.busy_timeout(Duration::from_secs(10)).expect("it waits");
                program.execute_batch("PRAGMA synchronous = OFF").expect("it need not last");
                for _ in 0..151 {
                    program.execute_batch("UPDATE t SET v = 1 - v").expect("it writes");
                }
            });
            for _ in 0..3 {
                let _ = g.try_meet("ab");
            }
        });
        g.meet("ab");
        g.same("ab", "t");
    }
}

/// A program writes when the exchange looks at its clock for the n-th time: before and after each merge.
struct Moment {
    real: Env,
    at: usize,
    looked: AtomicUsize,
    path: PathBuf,
}

#[async_trait]
impl Clock for Moment {
    fn now_ms(&self) -> i64 {
        self.real.clock.now_ms()
    }
    fn monotonic(&self) -> Duration {
        if self.looked.fetch_add(1, Ordering::Relaxed) == self.at {
            shell(&self.path, "UPDATE t SET v = 'a' WHERE id = 1");
        }
        self.real.clock.monotonic()
    }
    async fn sleep(&self, duration: Duration) {
        self.real.clock.sleep(duration).await;
    }
}

#[test]
fn what_is_written_between_reading_and_taking_in_is_not_lost() {
    let mut written = 0;
    for at in 0..8 {
        let g = group("ab", T);
        g.write('a', "INSERT INTO t VALUES (1, 'before')");
        g.meet("ab");
        g.write('b', "UPDATE t SET v = 'b' WHERE id = 1");
        let real = Env::real();
        let moment = Arc::new(Moment { real: real.clone(), at, looked: AtomicUsize::new(0), path: g.path('a') });
        let env = Env { clock: moment.clone(), ..real };
        exchange_in(env, &[g.path('a'), g.path('b')], ExchangeSettings::default(), 1_000_000).expect("they meet");
        if moment.looked.load(Ordering::Relaxed) <= at {
            continue;
        }
        written += 1;
        g.meet("ab");
        // It is the later one, whether it saw what came from b or not.
        assert_eq!(g.same("ab", "t"), "1|a", "written at look {at}");
    }
    assert!(written >= 4, "the exchange looks at its clock before and after each merge, not {written} times");
}

#[test]
fn a_member_whose_lock_is_not_given_up_keeps_none_of_the_others_waiting() {
    let g = group("abc", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    g.meet("abc");
    for member in ['a', 'b', 'c'] {
        g.write(member, &format!("INSERT INTO t(v) VALUES ('{member}')"));
    }
    let program = rusqlite::Connection::open(g.path('c')).expect("it opens");
    program.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let report = g.try_meet("abc").expect("the others meet");
    assert!(report.members[2].away.is_some() && report.needs_attention(), "{report:?}");
    assert!(report.members[0].away.is_none() && report.members[1].away.is_none());
    program.execute_batch("ROLLBACK").expect("it gives up its lock");
    g.same("ab", "t");
    let report = g.meet("abc");
    assert!(report.members[2].away.is_none());
    g.same("abc", "t");
}
