//! Being let in, or not: TLS, passwords, sockets, and what a connection answers.

use crate::given::{replication, run, server, settings, temporary_slot, try_open};
use std::os::unix::fs::PermissionsExt;
use tidewater_core::env::Env;
use tidewater_postgres::Settings;
use tidewater_postgres::wire::{Connection, NewSlot, Pulse, Purpose, ServerError, Snapshot, StreamOptions, WireError};
use tidewater_testing::{Access, Postgres, Release, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn statements_are_answered_over_tcp_and_sockets() {
    for release in Release::ALL {
        let server = server(release);
        run(async {
            let mut tcp = replication(&server).await;
            let socket = server.socket_folder().display().to_string().replace('/', "%2F");
            let mut unix = try_open(&format!("postgres://postgres@{socket}:{}/postgres", server.port())).await.unwrap();
            for connection in [&mut tcp, &mut unix] {
                assert!(!connection.is_encrypted());
                assert!(connection.major_version() >= 15, "{}", connection.major_version());
                assert_eq!(connection.show("wal_level").await.unwrap(), "logical");
                let found = connection.identify_system().await.unwrap();
                assert_eq!((found.timeline, found.system.is_empty()), (1, false));
                let rows = connection.query("SELECT 1 AS a; SELECT 'é' AS b, NULL AS c").await.unwrap();
                assert_eq!(rows.columns, ["b", "c"]);
                assert_eq!(rows.rows, [[Some("é".to_owned()), None]]);
                let wrong = connection.query("SELECT nothing; SELECT 1").await.unwrap_err();
                assert_eq!(wrong.server().unwrap().sqlstate, "42703");
                assert!(!wrong.is_retryable());
                assert_eq!(connection.query("").await.unwrap().rows.len(), 0);
            }
            tcp.close().await.unwrap();
            let sql = Connection::open(&settings(&server.url("postgres")), Purpose::Sql, &Env::real()).await;
            assert!(sql.unwrap().query("IDENTIFY_SYSTEM").await.is_err());
            let missing = try_open(&server.url("nowhere")).await.unwrap_err();
            assert_eq!(missing.server().unwrap().sqlstate, "3D000");
        });
    }
}

#[test]
fn an_answer_that_nobody_read_does_not_disturb_the_next() {
    let server = server(Release::Newest);
    run(async {
        let mut connection = replication(&server).await;
        {
            let slow = connection.query("SELECT pg_sleep(0.2); SELECT 1 AS a");
            tokio::select! { biased; _ = slow => panic!("too fast"), () = tokio::task::yield_now() => {} }
        }
        let rows = connection.query("SELECT 2 AS b").await.unwrap();
        assert_eq!(rows.first("b"), Some("2"));
        let long = connection.query("SELECT repeat('x', 20000000)").await.unwrap_err();
        assert!(matches!(long, WireError::TooLong(_)), "{long}");
        assert_eq!(connection.query("SELECT 3 AS c").await.unwrap().first("c"), Some("3"));
    });
}

#[test]
fn a_server_that_ends_a_connection_says_why() {
    for release in Release::ALL {
        let server = server(release);
        run(async {
            let mut connection = replication(&server).await;
            let ended = connection.query("SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
            assert_eq!(ended.server().unwrap().sqlstate, "57P01");
            assert!(ended.is_retryable());
            assert!(connection.query("SELECT 1").await.unwrap_err().is_retryable());
        });
    }
}

/// With a password, options and, where `host` is a name, that of the certificate.
async fn over_tls(server: &Postgres, host: &str, options: &str) -> Result<Connection, WireError> {
    let url = format!("postgres://postgres:cloth%3Abound%5Cbook@{host}:{}/postgres?{options}", server.port());
    try_open(&url.replace("{ca}", &server.authority().display().to_string())).await
}

#[test]
fn certificates_are_verified_as_the_mode_says() {
    let setup = Setup::new(Release::Debian).access(Access::Tls { address: false });
    let server = Postgres::start_with(&setup).unwrap();
    run(async {
        for (host, options) in [
            ("localhost", "sslmode=verify-full&sslrootcert={ca}"),
            ("localhost", "sslmode=require&sslrootcert={ca}"),
            ("127.0.0.1", "sslmode=verify-ca&sslrootcert={ca}"),
            ("127.0.0.1", "sslmode=no-verify"),
            ("127.0.0.1", "sslmode=prefer"),
            ("localhost", ""),
        ] {
            let mut connection = over_tls(&server, host, options).await.unwrap_or_else(|e| panic!("{options}: {e}"));
            assert!(connection.is_encrypted(), "{options}");
            assert_eq!(connection.show("ssl").await.unwrap(), "on");
        }
        for (host, options) in [
            ("127.0.0.1", "sslmode=verify-full&sslrootcert={ca}"),
            ("localhost", "sslmode=verify-full"),
            ("localhost", "sslmode=require"),
            ("localhost", "sslmode=verify-full&sslrootcert=system"),
            ("localhost", "sslmode=verify-full&sslrootcert={ca}.missing"),
        ] {
            let refused = over_tls(&server, host, options).await.unwrap_err();
            assert!(matches!(refused, WireError::Tls(_)), "{host} {options}: {refused}");
            assert!(!refused.is_retryable());
        }
        // Signed by somebody else.
        let other = Postgres::start_with(&setup).unwrap();
        let url = format!("sslmode=verify-ca&sslrootcert={}", other.authority().display());
        assert!(matches!(over_tls(&server, "localhost", &url).await.unwrap_err(), WireError::Tls(_)));
        // The server lets nobody in without.
        let plain = over_tls(&server, "localhost", "sslmode=disable").await.unwrap_err();
        assert_eq!(plain.server().unwrap().sqlstate, "28000");
    });
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = server(Release::Debian);
    run(async {
        for mode in ["no-verify", "require", "verify-full"] {
            let refused = try_open(&format!("{}?sslmode={mode}", server.url("postgres"))).await.unwrap_err();
            assert!(matches!(refused, WireError::Tls(_)), "{refused}");
        }
        for mode in ["prefer", "disable"] {
            let connection = try_open(&format!("{}?sslmode={mode}", server.url("postgres"))).await.unwrap();
            assert!(!connection.is_encrypted());
        }
    });
}

#[test]
fn passwords_are_given_as_the_server_asks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pass");
    std::fs::write(&file, "*:*:*:postgres:cloth\\:bound\\\\book\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (release, word) in
        [(Release::Debian, "scram-sha-256"), (Release::Newest, "scram-sha-256"), (Release::Debian, "md5")]
    {
        let server = Postgres::start_with(&Setup::new(release).access(Access::Password(word))).unwrap();
        let url = server.url("postgres");
        let open = |name: &'static str, value: String| {
            let settings = Settings::parse_in(&url, |wanted| (wanted == name).then(|| value.clone())).unwrap();
            async move { Connection::open(&settings, Purpose::Replication, &Env::real()).await }
        };
        run(async {
            open("PGPASSWORD", Postgres::PASSWORD.to_owned()).await.unwrap();
            open("PGPASSFILE", file.display().to_string()).await.unwrap();
            let wrong = open("PGPASSWORD", "wrong".to_owned()).await.unwrap_err();
            assert_eq!(wrong.server().unwrap().sqlstate, "28P01");
            let none = open("NOTHING", String::new()).await.unwrap_err();
            assert!(matches!(&none, WireError::SignIn(why) if why.contains("PGPASSWORD")), "{none}");
        });
    }
}

#[test]
fn a_password_is_not_sent_in_clear_without_tls() {
    let server = Postgres::start_with(&Setup::new(Release::Debian).access(Access::Password("password"))).unwrap();
    run(async {
        let refused = over_tls(&server, "127.0.0.1", "").await.unwrap_err();
        assert!(matches!(&refused, WireError::SignIn(why) if why.contains("over TLS only")), "{refused}");
    });
}

/// A server that answers everything with `answer` and then nothing more.
async fn impostor(answer: &'static [u8]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = client.read(&mut asked).await;
                let _ = client.write_all(answer).await;
                while client.read(&mut asked).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    format!("postgres://ana:secret@127.0.0.1:{port}/x?connect_timeout=1")
}

#[test]
fn servers_that_do_not_keep_to_the_protocol_are_left() {
    run(async {
        let silent = try_open(&impostor(b"").await).await.unwrap_err();
        assert!(matches!(silent, WireError::Timeout(_)) && silent.is_retryable(), "{silent}");
        let http = try_open(&impostor(b"HTTP/1.1 400 Bad Request\r\n").await).await.unwrap_err();
        assert!(matches!(http, WireError::Protocol(_)), "{http}");
        // Plain text behind the yes is not taken for what comes encrypted.
        let injected = try_open(&impostor(b"SR\0\0\0\x08\0\0\0\0").await).await.unwrap_err();
        assert!(matches!(injected, WireError::Tls(_)), "{injected}");
        for answer in [
            &b"R\0\0\0\x08\0\0\0\x03"[..],                                // the password in clear
            b"R\0\0\0\x08\0\0\0\x07",                                     // something unknown
            b"R\0\0\0\x17\0\0\0\x0ASCRAM-SHA-256\0\0R\0\0\0\x08\0\0\0\0", // let in without a proof
        ] {
            let url = impostor(answer).await + "&sslmode=disable";
            let refused = try_open(&url).await.unwrap_err();
            assert!(matches!(refused, WireError::SignIn(_)), "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("secret"));
        }
        for answer in [&b"Z\0\0\0\x05I"[..], b"R\xFF\xFF\xFF\xFF", b"E\0\0\0\x05S", b"R\0\0\0\x06\0\0", b"W\0\0\0\x04"]
        {
            let url = impostor(answer).await + "&sslmode=disable";
            let refused = try_open(&url).await.unwrap_err();
            assert!(matches!(refused, WireError::Protocol(_)), "{refused}");
        }
    });
}

#[test]
fn nobody_there_is_worth_another_try() {
    let mut server = server(Release::Newest);
    let url = server.url("postgres");
    server.kill9();
    run(async {
        let gone = try_open(&url).await.unwrap_err();
        assert!(matches!(gone, WireError::Io { .. }) && gone.is_retryable(), "{gone}");
    });
}

#[test]
fn slots_are_made_used_by_one_and_dropped() {
    for release in Release::ALL {
        let server = server(release);
        server.execute("CREATE TABLE t(id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t").unwrap();
        run(async {
            let (mut one, mut other) = (replication(&server).await, replication(&server).await);
            let kept = NewSlot { name: "kept", temporary: false, snapshot: Snapshot::Export, failover: false };
            let slot = one.create_slot(&kept).await.unwrap();
            assert_eq!((slot.name.as_str(), slot.snapshot.is_some()), ("kept", true));
            assert!(slot.consistent_point.0 > 0);
            let begin = format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'; SELECT 1 AS a; COMMIT",
                slot.snapshot.unwrap()
            );
            assert_eq!(other.query(&begin).await.unwrap().first("a"), Some("1"));
            let twice = other.create_slot(&kept).await.unwrap_err();
            assert_eq!(twice.server().unwrap().sqlstate, ServerError::DUPLICATE_OBJECT);
            assert_eq!(temporary_slot(&mut other, "gone").await.snapshot, None);

            let options = StreamOptions::new(["p"], one.major_version());
            let stream =
                one.start_replication("kept", slot.consistent_point, &options, Pulse::default()).await.unwrap();
            let busy = replication(&server).await;
            let busy = busy.start_replication("kept", slot.consistent_point, &options, Pulse::default()).await;
            let busy = busy.unwrap_err();
            assert_eq!(busy.server().unwrap().sqlstate, ServerError::SLOT_ACTIVE);
            assert!(busy.is_retryable());

            let mut one = stream.stop().await.unwrap();
            one.drop_slot("kept", false).await.unwrap();
            let missing = one.drop_slot("kept", false).await.unwrap_err();
            assert_eq!(missing.server().unwrap().sqlstate, ServerError::UNDEFINED_OBJECT);
            assert_eq!(server.execute("SELECT slot_name FROM pg_replication_slots").unwrap(), "gone");
        });
        let left = "SELECT count(*) FROM pg_replication_slots";
        crate::given::until("the temporary slot is gone", || server.execute(left).unwrap() == "0");
    }
}
