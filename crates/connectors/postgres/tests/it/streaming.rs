//! Streams of real servers, through the decoder: what programs write there arrives here.

use crate::given::{messages, replication, run, server, stream, until_while_others_work};
use crate::pgoutput::{Change, Column, Model};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;
use tidewater_postgres::Lsn;
use tidewater_postgres::pgoutput::Decoder;
use tidewater_postgres::wire::{Frame, NewSlot, Pulse, Snapshot, StreamOptions, Streaming, WireError};
use tidewater_testing::{Postgres, Release};

fn text(text: &str) -> Column {
    Column::Text(text.as_bytes().to_owned())
}

/// The messages since the stream began, decoded.
async fn decoded(server: &Postgres, change: impl FnOnce(&mut StreamOptions), sql: &str) -> Vec<Model> {
    let mut version = 0;
    let mut stream = stream(server, |options| {
        change(options);
        version = options.version;
    })
    .await;
    server.execute(sql).expect("the statements run");
    let mut decoder = Decoder::new(version);
    let found = messages(server, &mut stream).await;
    let decoded = found.iter().map(|bytes| {
        let model = Model::of(&decoder.decode(bytes).unwrap_or_else(|e| panic!("{}: {e}", bytes.escape_ascii())));
        assert_eq!(model.encode(), *bytes, "the encoder of the tests agrees with the server");
        model
    });
    decoded.collect()
}

/// What happened to rows, by table: `+` new, `~` changed, `-` gone, `!` emptied.
fn changes(models: &[Model]) -> Vec<String> {
    let mut names = BTreeMap::new();
    let row = |columns: &[Column]| {
        let shown = columns.iter().map(|column| match column {
            Column::Null => "null".to_owned(),
            Column::Unchanged => "unchanged".to_owned(),
            Column::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Column::Binary(bytes) => format!("x{}", bytes.escape_ascii()),
        });
        shown.collect::<Vec<_>>().join(",")
    };
    let old = |(mark, columns): &(u8, Vec<Column>)| format!("{}({})", char::from(*mark), row(columns));
    let mut found = Vec::new();
    for model in models {
        let Model::Change(_, change) = model else { continue };
        let name = |id: &u32, names: &BTreeMap<u32, String>| names.get(id).cloned().expect("a relation comes first");
        found.push(match change {
            Change::Relation(id, schema, table, identity, _) => {
                names.insert(*id, format!("{schema}.{table}:{}", char::from(*identity)));
                continue;
            }
            Change::Type(..) => continue,
            Change::Insert(id, new) => format!("{} +({})", name(id, &names), row(new)),
            Change::Update(id, None, new) => format!("{} ~({})", name(id, &names), row(new)),
            Change::Update(id, Some(was), new) => format!("{} {}~({})", name(id, &names), old(was), row(new)),
            Change::Delete(id, was) => format!("{} -{}", name(id, &names), old(was)),
            Change::Truncate(ids, cascade, restart) => {
                let tables: Vec<String> = ids.iter().map(|id| name(id, &names)).collect();
                format!("{} ! cascade={cascade} restart={restart}", tables.join(" "))
            }
            Change::Logical(is_transactional, _, prefix, content) => {
                format!("message {is_transactional} {prefix} {}", String::from_utf8_lossy(content))
            }
        });
    }
    found
}

const IDENTITIES: &str = "
CREATE TABLE by_key(id int PRIMARY KEY, v text);
CREATE TABLE by_all(id int, v text); ALTER TABLE by_all REPLICA IDENTITY FULL;
CREATE TABLE by_index(id int NOT NULL, v text NOT NULL); CREATE UNIQUE INDEX v_once ON by_index(v);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX v_once;
CREATE TABLE by_nothing(id int PRIMARY KEY); ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
CREATE PUBLICATION p FOR ALL TABLES;";

#[test]
fn rows_arrive_under_every_replica_identity() {
    for release in Release::ALL {
        let server = server(release);
        server.execute(IDENTITIES).unwrap();
        let sql = "
            INSERT INTO by_key VALUES (1, 'a'), (2, NULL);
            UPDATE by_key SET v = 'b' WHERE id = 1;
            UPDATE by_key SET id = 3 WHERE id = 2;
            DELETE FROM by_key WHERE id = 1;
            INSERT INTO by_all VALUES (1, 'a'); UPDATE by_all SET v = 'b'; DELETE FROM by_all;
            INSERT INTO by_index VALUES (1, 'a'); UPDATE by_index SET id = 2; UPDATE by_index SET v = 'b';
            DELETE FROM by_index;
            INSERT INTO by_nothing VALUES (1);
            TRUNCATE by_key, by_all RESTART IDENTITY; TRUNCATE by_index CASCADE;";
        let found = run(decoded(&server, |_| {}, sql));
        let wanted = [
            "public.by_key:d +(1,a)",
            "public.by_key:d +(2,null)",
            "public.by_key:d ~(1,b)",
            "public.by_key:d K(2,null)~(3,null)",
            "public.by_key:d -K(1,null)",
            "public.by_all:f +(1,a)",
            "public.by_all:f O(1,a)~(1,b)",
            "public.by_all:f -O(1,b)",
            "public.by_index:i +(1,a)",
            "public.by_index:i ~(2,a)",
            "public.by_index:i K(null,a)~(2,b)",
            "public.by_index:i -K(null,b)",
            "public.by_nothing:n +(1)",
            "public.by_key:d public.by_all:f ! cascade=false restart=true",
            "public.by_index:i ! cascade=true restart=false",
        ];
        assert_eq!(changes(&found), wanted, "{release:?}");
        let Some(Model::Begin(begin)) = found.first() else { panic!("{:?}", found.first()) };
        let Some(Model::Commit(commit)) = found.iter().find(|model| matches!(model, Model::Commit(_))) else {
            panic!("no commit")
        };
        assert_eq!((commit.commit, commit.committed_at), (begin.commit, begin.committed_at));
        assert!(commit.end > commit.commit);
    }
}

#[test]
fn every_version_of_the_protocol_brings_the_same_rows() {
    let server = server(Release::Newest);
    server.execute("CREATE TABLE t(id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t").unwrap();
    for version in 1..=4 {
        let options = |options: &mut StreamOptions| {
            options.version = version;
            options.streaming = Streaming::Off;
        };
        let found = run(decoded(&server, options, "INSERT INTO t VALUES (1, 'a'); DELETE FROM t"));
        assert_eq!(changes(&found), ["public.t:d +(1,a)", "public.t:d -K(1,null)"], "{version}");
    }
}

#[test]
fn values_arrive_in_binary_and_large_ones_stay_unchanged() {
    for release in Release::ALL {
        let server = server(release);
        let sql = "CREATE TYPE mood AS ENUM ('sad', 'ok');
            CREATE TABLE t(id int PRIMARY KEY, large text, at mood, empty bytea);
            ALTER TABLE t ALTER large SET STORAGE EXTERNAL;
            INSERT INTO t VALUES (1, repeat('x', 10000), 'sad', '');
            CREATE PUBLICATION p FOR TABLE t";
        server.execute(sql).unwrap();
        let sql = "UPDATE t SET at = 'ok'; UPDATE t SET large = 'short'";
        let found = run(decoded(&server, |options| options.binary = true, sql));
        assert_eq!(
            changes(&found),
            ["public.t:d ~(x\\x00\\x00\\x00\\x01,unchanged,xok,x)", "public.t:d ~(x\\x00\\x00\\x00\\x01,xshort,xok,x)"]
        );
        let kinds = found.iter().filter(|model| matches!(model, Model::Change(_, Change::Type(_, schema, name)) if schema == "public" && name == "mood"));
        assert_eq!(kinds.count(), 1);
        server.execute("UPDATE t SET large = repeat('y', 10000)").unwrap();
        let found = run(decoded(&server, |_| {}, "UPDATE t SET at = 'sad'"));
        assert_eq!(changes(&found), ["public.t:d ~(1,unchanged,sad,\\x)"]);
    }
}

#[test]
fn partitions_arrive_as_their_root_and_messages_beside_them() {
    for release in Release::ALL {
        let server = server(release);
        let sql = "CREATE TABLE t(id int PRIMARY KEY) PARTITION BY RANGE (id);
            CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (10);
            CREATE TABLE high PARTITION OF t FOR VALUES FROM (10) TO (20);
            CREATE PUBLICATION p FOR TABLE t WITH (publish_via_partition_root)";
        server.execute(sql).unwrap();
        let sql = "INSERT INTO t VALUES (1), (11); UPDATE t SET id = 12 WHERE id = 1;
            BEGIN; SELECT pg_logical_emit_message(true, 'ours', 'hello'); DELETE FROM t WHERE id = 11; COMMIT;
            BEGIN; SELECT pg_logical_emit_message(true, 'ours', 'lost'); SELECT pg_logical_emit_message(false, 'ours', 'kept'); ROLLBACK;";
        let found = run(decoded(&server, |_| {}, sql));
        let wanted = [
            "public.t:d +(1)",
            "public.t:d +(11)",
            "public.t:d -K(1)",
            "public.t:d +(12)",
            "message true ours hello",
            "public.t:d -K(11)",
            "message false ours kept",
        ];
        assert_eq!(changes(&found), wanted);
    }
}

/// The rows of a transaction that came in parts, without what was rolled back.
fn surviving(models: &[Model]) -> (usize, Vec<String>) {
    let (mut parts, mut rows, mut committed) = (0, Vec::new(), None);
    for model in models {
        match model {
            Model::StreamStart(xid, is_first) => {
                assert_eq!(*is_first, parts == 0, "the first part says that it is");
                parts += 1;
                committed = Some(*xid);
            }
            Model::StreamAbort(abort) => {
                assert_eq!(Some(abort.xid), committed);
                rows.retain(|(xid, _)| *xid != abort.subtransaction);
            }
            Model::StreamCommit(commit) => assert_eq!(Some(commit.xid), committed),
            Model::Change(xid, Change::Insert(_, columns)) => {
                let Some(Column::Text(id)) = columns.first() else { panic!("{columns:?}") };
                rows.push((xid.expect("a transaction"), String::from_utf8_lossy(id).into_owned()));
            }
            _ => {}
        }
    }
    (parts, rows.into_iter().map(|(_, id)| id).collect())
}

#[test]
fn large_transactions_arrive_in_parts_and_rolled_back_savepoints_are_told() {
    for release in Release::ALL {
        let server = server(release);
        server.execute("CREATE TABLE t(id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t").unwrap();
        let rows = |from: u32| {
            format!("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series({from}, {from} + 499) i;")
        };
        let sql = format!(
            "BEGIN; {} SAVEPOINT a; {} SAVEPOINT b; {} ROLLBACK TO a; {} SAVEPOINT c; {} RELEASE c; COMMIT;",
            rows(0),
            rows(1000),
            rows(2000),
            rows(3000),
            rows(4000)
        );
        let found = run(decoded(&server, |_| {}, &sql));
        let (parts, ids) = surviving(&found);
        let wanted: Vec<String> = (0..500).chain(3000..3500).chain(4000..4500).map(|id| id.to_string()).collect();
        assert!(parts > 3, "{parts} parts");
        assert_eq!(ids, wanted, "{release:?}");
        let aborts: Vec<_> =
            found.iter().filter_map(|m| if let Model::StreamAbort(it) = m { Some(it) } else { None }).collect();
        assert_eq!(aborts.len(), 2, "one for each savepoint");
        // Only the newest tells where, and only where it was asked to.
        assert!(aborts.iter().all(|abort| abort.at.is_some() == (release == Release::Newest)), "{aborts:?}");
        assert!(matches!(found.last(), Some(Model::StreamCommit(_))));

        let sql = format!("BEGIN; {} ROLLBACK", rows(5000));
        let found = run(decoded(&server, |_| {}, &sql));
        match found.last() {
            Some(Model::StreamAbort(abort)) => assert_eq!(abort.xid, abort.subtransaction),
            // The newest does not begin with what it knows to be rolled back.
            None => assert_eq!(release, Release::Newest),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_confirmed_does_not_come_again_and_what_is_not_does() {
    for release in Release::ALL {
        let mut server = server(release);
        server.execute("CREATE TABLE t(id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t").unwrap();
        let rows = |from: Lsn, server: &Postgres| {
            run(async {
                let connection = replication(server).await;
                let options = StreamOptions::new(["p"], connection.major_version());
                let mut stream = connection.start_replication("s", from, &options, Pulse::default()).await.unwrap();
                let found = messages(server, &mut stream).await;
                let mut decoder = Decoder::new(options.version);
                let models: Vec<Model> = found.iter().map(|it| Model::of(&decoder.decode(it).unwrap())).collect();
                let first = models.iter().find_map(|it| if let Model::Commit(it) = it { Some(it.end) } else { None });
                if let Some(first) = first {
                    stream.confirm(first, first, first).await.unwrap();
                }
                let mut connection = stream.stop().await.unwrap();
                // The connection is for statements again.
                assert_eq!(connection.query("SELECT 1 AS a").await.unwrap().first("a"), Some("1"));
                let mut rows = changes(&models);
                // The marks of `messages` come again too.
                rows.retain(|change| change.starts_with("public"));
                rows
            })
        };
        run(async {
            let slot = NewSlot { name: "s", temporary: false, snapshot: Snapshot::Nothing, failover: false };
            replication(&server).await.create_slot(&slot).await.unwrap();
        });
        server.execute("INSERT INTO t VALUES (1)").unwrap();
        server.execute("INSERT INTO t VALUES (2)").unwrap();
        assert_eq!(rows(Lsn(0), &server), ["public.t:d +(1)", "public.t:d +(2)"]);
        let confirmed = "SELECT confirmed_flush_lsn > restart_lsn FROM pg_replication_slots";
        assert_eq!(server.execute(confirmed).unwrap(), "t");
        assert_eq!(rows(Lsn(0), &server), ["public.t:d +(2)"]);
        // A crash may forget what was confirmed: rows come again then, but none is left out.
        server.execute("INSERT INTO t VALUES (3)").unwrap();
        server.kill9();
        server.restart().unwrap();
        let wanted = ["public.t:d +(1)", "public.t:d +(2)", "public.t:d +(3)"];
        let again = rows(Lsn(0), &server);
        assert!(
            !again.is_empty() && wanted.ends_with(&again.iter().map(String::as_str).collect::<Vec<_>>()),
            "{again:?}"
        );
    }
}

/// Signals the server's process that serves the stream.
fn signal_sender(server: &Postgres, signal: &str) {
    let pid = server.execute("SELECT pid FROM pg_stat_replication").expect("a number");
    assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
}

#[test]
fn a_stream_lives_while_somebody_waits_and_ends_when_the_server_is_silent() {
    let server = server(Release::Newest);
    server
        .execute(
            "CREATE PUBLICATION p FOR ALL TABLES; ALTER SYSTEM SET wal_sender_timeout = '1s'; SELECT pg_reload_conf()",
        )
        .unwrap();
    run(async {
        let mut connection = replication(&server).await;
        let slot = crate::given::temporary_slot(&mut connection, "t").await;
        let options = StreamOptions::new(["p"], connection.major_version());
        let pulse = Pulse { report_every: Duration::from_millis(50), silence_max: Duration::from_secs(2) };
        let mut stream = connection.start_replication("t", slot.consistent_point, &options, pulse).await.unwrap();
        let long = "SELECT reply_time - backend_start > '3s' FROM pg_stat_replication";
        let alive = until_while_others_work("the stream is older than the server's patience", || {
            server.execute(long).unwrap() == "t"
        });
        tokio::select! {
            () = alive => {}
            ended = async { loop { if let Err(error) = stream.next().await { return error } } } => panic!("{ended}"),
        }
        signal_sender(&server, "-STOP");
        let silent = loop {
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        signal_sender(&server, "-CONT");
        assert!(matches!(silent, WireError::Silent(_)) && silent.is_retryable(), "{silent}");
    });
}

#[test]
fn a_server_that_goes_away_ends_the_stream() {
    for release in Release::ALL {
        for is_killed in [false, true] {
            let mut server = server(release);
            server.execute("CREATE PUBLICATION p FOR ALL TABLES").unwrap();
            run(async {
                let mut stream = stream(&server, |_| {}).await;
                let ending =
                    tokio::task::spawn_blocking(move || if is_killed { server.kill9() } else { server.stop() });
                let last = loop {
                    match stream.next().await {
                        Ok(Frame::Alive { end, .. }) => {
                            if let Err(error) = stream.confirm(end, end, end).await {
                                break Err(error);
                            }
                        }
                        other => break other,
                    }
                };
                match last {
                    Ok(Frame::Ended) => assert!(!is_killed),
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                    other => panic!("{other:?}"),
                }
                ending.await.unwrap();
            });
        }
    }
}

#[test]
fn text_is_the_same_whatever_the_role_has_set() {
    let server = server(Release::Debian);
    let sql = "CREATE TABLE t(id int PRIMARY KEY, at timestamptz, d date, i interval, f float8, b bytea);
        CREATE PUBLICATION p FOR TABLE t;
        ALTER ROLE postgres SET datestyle = 'German'; ALTER ROLE postgres SET intervalstyle = 'iso_8601';
        ALTER ROLE postgres SET timezone = 'Asia/Kathmandu'; ALTER ROLE postgres SET extra_float_digits = -3;
        ALTER ROLE postgres SET bytea_output = 'escape'; ALTER ROLE postgres SET client_encoding = 'LATIN1'";
    server.execute(sql).unwrap();
    let sql = "INSERT INTO t VALUES (1, '2026-01-02 03:04:05+00', '2026-01-02', '1 day 2 hours', 0.1::float8 + 0.2, '\\x00ff')";
    let found = run(decoded(&server, |_| {}, sql));
    let wanted =
        ["1", "2026-01-02 03:04:05+00", "2026-01-02", "1 day 02:00:00", "0.30000000000000004", "\\x00ff"].map(text);
    assert!(
        found.iter().any(|it| matches!(it, Model::Change(_, Change::Insert(_, columns)) if *columns == wanted)),
        "{found:?}"
    );
}
