//! Triggers at a target: those that keep others from writing it, and those of the user that run for what arrives.

use super::given::{End, Pair, block_on, psql, server};
use tidewater_core::code;
use tidewater_core::link::{Existing, Report, Settings};
use tidewater_testing::{Postgres, Release};

fn pair(server: &Postgres, change: impl FnOnce(&mut Settings)) -> Pair {
    let mut settings = Settings::default();
    change(&mut settings);
    Pair::new(End::Postgres(server.url("shop")), End::Postgres(server.url("till"))).with(settings)
}

fn sync(server: &Postgres, change: impl FnOnce(&mut Settings)) -> Report {
    let report = block_on(pair(server, change).sync()).unwrap();
    assert!(report.in_step && !report.needs_attention(), "{report:?}");
    report
}

#[track_caller]
fn at(server: &Postgres, database: &str, sql: &str) -> String {
    server.execute_in(database, sql).unwrap().trim().to_owned()
}

const OURS: &str = "SELECT count(*) FROM pg_trigger WHERE tgname = 'tidewater_protect'";

#[test]
fn a_protected_replica_at_a_server_refuses_other_writers_and_is_still_synced() {
    for release in Release::ALL {
        let server = server(release);
        let parts = "CREATE TABLE p(id int PRIMARY KEY) PARTITION BY RANGE (id); \
                     CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); INSERT INTO p VALUES (1)";
        at(
            &server,
            "shop",
            &format!("CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'); {parts}"),
        );
        at(&server, "till", parts);
        sync(&server, |settings| (settings.protect, settings.existing) = (true, Existing::Overwrite));

        let writes = [
            "INSERT INTO t VALUES (9)",
            "UPDATE t SET v = 'x'",
            "DELETE FROM t",
            "TRUNCATE t",
            "DELETE FROM p1",
            "TRUNCATE p1",
        ];
        for write in writes {
            let said = psql(&server.url("till"), write).expect_err(write);
            assert!(said.contains("is a protected replica of source: write there"), "{write}: {said}");
        }
        at(
            &server,
            "shop",
            "UPDATE t SET v = 'b'; INSERT INTO t VALUES (2, 'c'); TRUNCATE p; INSERT INTO p VALUES (2)",
        );
        let again = sync(&server, |settings| settings.protect = true);
        assert_eq!(at(&server, "till", "SELECT string_agg(id || v, ' ' ORDER BY id) FROM t"), "1b 2c");
        assert_eq!((at(&server, "till", "SELECT * FROM p"), at(&server, "till", OURS)), ("2".into(), "3".into()));
        sync(&server, |_| ());
        assert_eq!(at(&server, "till", OURS), "0");
        at(&server, "till", "DELETE FROM t WHERE id = 2");
        sync(&server, |settings| settings.protect = true);
        block_on(pair(&server, |_| ()).leave(&again.link));
        assert_eq!(at(&server, "till", OURS), "0");
        at(&server, "till", "DELETE FROM t; DELETE FROM p1");
    }
}

#[test]
fn what_a_run_replaced_can_be_put_back_in_a_protected_table() {
    let server = server(Release::Newest);
    at(&server, "shop", "CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
    at(&server, "till", "CREATE TABLE t(id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'own')");
    let report = sync(&server, |settings| (settings.protect, settings.existing) = (true, Existing::Overwrite));
    let settings = tidewater_postgres::Settings::parse(&server.url("till")).unwrap();
    let restored = block_on(async {
        let env = tidewater_core::env::Env::real();
        let target = tidewater_postgres::PostgresTarget::open(&settings, tidewater_postgres::Access::Write, &env).await;
        target.unwrap().restore(&report.run).await.unwrap()
    });
    assert_eq!((restored, at(&server, "till", "SELECT v FROM t")), (1, "own".to_owned()));
}

#[test]
fn who_may_make_no_trigger_is_told_what_to_do() {
    let server = server(Release::Newest);
    at(&server, "shop", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    at(
        &server,
        "till",
        "CREATE TABLE t(id int PRIMARY KEY); CREATE ROLE bob LOGIN; GRANT CREATE ON DATABASE till TO bob; GRANT ALL ON t TO bob; REVOKE TRIGGER ON t FROM bob",
    );
    at(&server, "till", "GRANT EXECUTE ON FUNCTION pg_control_system TO bob");
    let bob = End::Postgres(server.url("till").replace("postgres@", "bob@"));
    let pair =
        Pair::new(End::Postgres(server.url("shop")), bob).with(Settings { protect: true, ..Settings::default() });
    let error = block_on(pair.sync()).expect_err("it would keep itself out");
    assert!(error.code == code::PRIVILEGE && error.remedy.contains("GRANT SET ON PARAMETER"), "{error}");
    at(&server, "till", "GRANT SET ON PARAMETER session_replication_role TO bob");
    let error = block_on(pair.sync()).expect_err("it may make no trigger");
    assert!(error.code == code::PRIVILEGE && error.remedy.contains("GRANT TRIGGER ON \"public\".\"t\" TO"), "{error}");
    assert_eq!(at(&server, "till", "SELECT count(*) FROM t"), "0", "no row was written");
    at(&server, "till", "GRANT TRIGGER ON t TO bob");
    assert!(block_on(pair.sync()).unwrap().in_step);
}

#[test]
fn listed_triggers_run_at_a_server_and_are_put_back_as_they_were() {
    for release in Release::ALL {
        let server = server(release);
        at(&server, "shop", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
        // Its names have no schema: they are found as when others write.
        at(
            &server,
            "till",
            "CREATE TABLE t(id int PRIMARY KEY); CREATE TABLE seen(by text, id int); \
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (TG_NAME, NEW.id); RETURN NULL; END $$; \
             CREATE TRIGGER on_t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see(); \
             CREATE TRIGGER off_t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see(); \
             CREATE TRIGGER other_t AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION see(); ALTER TABLE t DISABLE TRIGGER off_t",
        );
        let modes = |server: &Postgres| {
            at(
                server,
                "till",
                "SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger WHERE tgname LIKE '%_t'",
            )
        };
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let seen = |server: &Postgres| at(server, "till", "SELECT string_agg(by || id, ' ' ORDER BY id, by) FROM seen");

        let report = sync(&server, |settings| settings.run_triggers = list(&["on_t", "off_t"]));

        assert_eq!((seen(&server), modes(&server)), ("off_t1 on_t1".into(), "off_tR on_tA other_tO".into()));
        at(&server, "shop", "INSERT INTO t VALUES (2)");
        sync(&server, |settings| settings.run_triggers = list(&["on_t"]));
        assert_eq!((seen(&server), modes(&server)), ("off_t1 on_t1 on_t2".into(), "off_tD on_tA other_tO".into()));
        let error =
            block_on(pair(&server, |settings| settings.run_triggers = list(&["none"])).sync()).expect_err("no such");
        assert!(error.code == code::SCOPE && error.what.contains("none"), "{error}");
        sync(&server, |settings| settings.run_triggers = list(&["on_t"]));
        block_on(pair(&server, |_| ()).leave(&report.link));
        assert_eq!(modes(&server), "off_tD on_tO other_tO");
    }
}
