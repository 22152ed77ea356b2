//! Tests of the private servers, on both releases.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "drives real processes, on the real clock")]

mod given;

use given::{exists, until};
use std::process::{Command, Stdio};
use tidewater_testing::{Access, Postgres, Release, Setup};

#[test]
fn a_server_starts_answers_and_is_gone_when_dropped() {
    for release in Release::ALL {
        let server = Postgres::start(release).unwrap();
        assert_eq!(server.execute("SELECT 1, 'a'").unwrap(), "1|a");
        assert_eq!(server.execute("SHOW wal_level; SHOW fsync").unwrap(), "logical\non");
        assert!(server.port() < 32_768);
        let refused = server.execute("SELECT 1; SELECT nothing; SELECT 2").unwrap_err().to_string();
        assert!(refused.contains("nothing"), "{refused}");
        let (pid, folder) = (server.pid().unwrap(), server.socket_folder().to_owned());
        assert!(exists(pid));
        drop(server);
        assert!(!exists(pid) && !folder.exists());
    }
}

#[test]
fn what_was_committed_outlives_a_kill_and_a_restart() {
    for release in Release::ALL {
        let mut server = Postgres::start(release).unwrap();
        server.execute("CREATE TABLE t(id int); INSERT INTO t VALUES (7)").unwrap();
        let port = server.port();
        server.kill9();
        assert!(server.execute("SELECT 1").is_err());
        server.restart().unwrap();
        assert_eq!(server.execute("SELECT id FROM t").unwrap(), "7");
        server.restart().unwrap();
        assert_eq!((server.execute("SELECT id FROM t").unwrap().as_str(), server.port()), ("7", port));
    }
}

#[test]
fn passwords_and_tls_are_set_up_where_asked_for() {
    for access in [Access::Tls { address: true }, Access::Password("md5"), Access::Password("scram-sha-256")] {
        let setup = Setup::new(Release::Debian).access(access).set("work_mem", "1MB");
        let server = Postgres::start_with(&setup).unwrap();
        let ssl = if matches!(access, Access::Tls { .. }) { "on" } else { "off" };
        assert_eq!(server.execute("SHOW ssl; SHOW work_mem").unwrap(), format!("{ssl}\n1MB"));
        assert_eq!(server.authority().exists(), ssl == "on");
    }
}

#[test]
fn a_release_that_is_built_without_tls_says_so() {
    let setup = Setup::new(Release::Newest).access(Access::Tls { address: true });
    let said = Postgres::start_with(&setup).unwrap_err().to_string();
    assert!(said.contains("built without TLS"), "{said}");
}

/// Not a test of its own: the process that the test below kills.
#[test]
fn a_process_that_holds_a_server() {
    if std::env::var_os("TIDEWATER_HOLDS_A_SERVER").is_none() {
        return;
    }
    let server = Postgres::start(Release::Debian).unwrap();
    println!("\nserver {} {}", server.pid().unwrap(), server.socket_folder().display());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_server_does_not_outlive_a_process_that_is_killed() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_holds_a_server", "--nocapture"])
        .env("TIDEWATER_HOLDS_A_SERVER", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(holder.stdout.take().unwrap()));
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("server ")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let (pid, folder) = (words[1].parse().unwrap(), std::path::PathBuf::from(words[2]));
    assert!(exists(pid) && folder.exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    until("the server and its folder are gone", || !exists(pid) && !folder.exists());
}
