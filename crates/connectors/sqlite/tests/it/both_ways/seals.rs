//! Sealing many rows takes more than one transaction: an engine that dies between two of them seals each row once.

use super::group::{exchange_of, group, member_in};
use crate::given::lives_at_most;
use async_trait::async_trait;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tidewater_core::env::{Clock, Env};
use tidewater_core::link::ExchangeSettings;

const ROLE: &str = "TIDEWATER_TEST_SEALER";

/// More than are sealed at once.
const ROWS: usize = 6_000;

/// The engine dies where some of the rows are sealed, and some are not.
struct Dies {
    real: Env,
    path: PathBuf,
}

/// Versions that were given out after the first contact.
fn sealed(path: &Path) -> usize {
    let c = rusqlite::Connection::open(path).expect("it opens");
    c.query_row("SELECT count(*) FROM _tidewater_queue", [], |row| row.get(0)).expect("a number")
}

#[async_trait]
impl Clock for Dies {
    fn now_ms(&self) -> i64 {
        self.real.clock.now_ms()
    }
    fn monotonic(&self) -> Duration {
        if (1..ROWS).contains(&sealed(&self.path)) {
            std::process::abort();
        }
        self.real.clock.monotonic()
    }
    async fn sleep(&self, duration: Duration) {
        self.real.clock.sleep(duration).await;
    }
}

/// What the other process does. Nothing, where the test binary runs as tests.
#[test]
fn an_engine_that_dies() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let files: Vec<PathBuf> = role.lines().map(PathBuf::from).collect();
    lives_at_most(Duration::from_secs(40));
    let real = Env::real();
    let env = Env { clock: Arc::new(Dies { real: real.clone(), path: files[0].clone() }), ..real.clone() };
    let _ = exchange_of(member_in(&env, 1_000_000), real, &files, ExchangeSettings::default());
}

#[test]
fn an_engine_that_dies_while_sealing_seals_no_row_twice() {
    let g = group("ab", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);");
    g.meet("ab");
    // Against the order of keys, and each twice: only the last write of a row counts.
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT {ROWS} UNION ALL SELECT i - 1 FROM n WHERE i > 1)");
    g.write('a', &format!("{numbers} INSERT INTO t SELECT i, 'first' FROM n"));
    g.write('a', "UPDATE t SET v = 'last ' || id");

    let role: Vec<String> = "ab".chars().map(|member| g.path(member).display().to_string()).collect();
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["both_ways::seals::an_engine_that_dies", "--exact"]).env(ROLE, role.join("\n"));
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it starts");
    assert!(!status.success(), "it dies");
    let before = sealed(&g.path('a'));
    assert!((1..ROWS).contains(&before), "it dies between two transactions, with {before} rows sealed");
    assert_eq!(g.count('b', "t"), 0, "nothing is handed out before all is sealed");

    g.meet("ab");
    assert_eq!(sealed(&g.path('a')), ROWS, "each row is sealed once");
    assert_eq!(g.count('a', "_tidewater_log WHERE seq > 0"), 1, "the log is pruned, but for its newest entry");
    assert_eq!(g.same("ab", "t").lines().count(), ROWS);
    assert_eq!(g.count('b', "t WHERE v = 'last ' || id"), ROWS);
}
