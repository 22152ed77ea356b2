//! PostgreSQL at either end of the command: what is printed, what is installed and taken out, how passwords travel.
//! What the connector carries is tested there. `postgres/journal.rs` has what a run replaced, and `verify`;
//! `postgres/quarantine.rs` what could not be written, and `resync`; `postgres/load.rs` the command under pgbench;
//! `postgres/spool.rs` targets that are away.

mod journal;
mod load;
mod quarantine;
mod spool;
mod triggers;

use crate::given::{Place, an_empty_place, until};
use tidewater_testing::{Access, Postgres, Release, Setup};

const SHOP: &str = "
CREATE TABLE products(id int PRIMARY KEY, sku text NOT NULL UNIQUE, name text, price numeric(10, 2));
CREATE TABLE orders(id int PRIMARY KEY, product int NOT NULL REFERENCES products, placed timestamptz);
INSERT INTO products VALUES (1, 'A-1', 'Anchor', 9.50), (2, 'B-2', 'Buoy', 4), (3, 'C-3', 'Chart', NULL);
INSERT INTO orders VALUES (1, 1, '2026-01-01 12:00+01'), (2, 3, NULL);";

const SLOTS: &str = "SELECT (SELECT count(*) FROM pg_replication_slots) || ' slots, ' || \
    (SELECT count(*) FROM pg_publication) || ' publications, ' || \
    (SELECT count(*) FROM pg_namespace WHERE nspname = 'tidewater') || ' schemas'";

/// A server with a database `shop`, and an empty one, `till`; and a folder.
fn given() -> (Postgres, Place) {
    let server = Postgres::start(Release::Debian).expect("a server");
    server.execute("CREATE DATABASE shop").expect("a database");
    server.execute("CREATE DATABASE till").expect("a database");
    at(&server, "shop", SHOP);
    (server, an_empty_place())
}

/// Another program works on a database of the server.
#[track_caller]
fn at(server: &Postgres, database: &str, sql: &str) -> String {
    server.execute_in(database, sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

#[test]
fn a_server_is_copied_to_a_file_and_followed() {
    let (server, place) = given();
    let shop = server.url("shop");

    place.tidewater(&format!("plan {shop} sqlite:till.db")).exits(0).says(&format!(
        "Would install in {shop}: a publication and a logical replication slot (tidewater_…).\n\
         Would keep in till.db: positions and a journal (_tidewater_…)."
    ));
    assert_eq!((place.files(), at(&server, "shop", SLOTS)), (vec![], "0 slots, 0 publications, 0 schemas".into()));
    let first = place.tidewater(&format!("sync {shop} sqlite:till.db --keep-slot")).exits(0);

    first
        .says(&format!("{shop} → till.db  in step\n  2 tables (2 created) · 5 rows copied · 0 changes applied · "))
        .says(&format!("Installed in {shop}: the publication and the replication slot tidewater_"))
        .says(&format!("  take it out with: tidewater teardown {shop} sqlite:till.db\n"));
    assert_eq!(place.sql("till.db", "SELECT id, sku, name FROM products;"), "1|A-1|Anchor\n2|B-2|Buoy\n3|C-3|Chart");
    at(&server, "shop", "UPDATE products SET name = 'Big anchor' WHERE id = 1; DELETE FROM orders WHERE id = 2;");
    let second = place.tidewater(&format!("sync {shop} sqlite:till.db --keep-slot --json")).exits(0);
    assert_eq!((second.count("rows_copied"), second.count("upserts"), second.count("deletes")), (0, 1, 1), "{second}");
    assert_eq!(second.json()["installed"], serde_json::json!([]));
    place.tidewater(&format!("verify {shop} sqlite:till.db")).exits(0).says("equal");
    let status = place.tidewater(&format!("status {shop} sqlite:till.db")).exits(0);
    status.says(&format!("{shop}\n  → till.db  ")).says("of the server's log behind").says(&format!("  ← {shop}  at "));
    let facts = place.tidewater(&format!("status {shop} --json")).exits(0).json();
    assert!(facts["followers"][0]["log_bytes"].is_u64() && facts["identity"].is_string(), "{facts}");
}

#[test]
fn a_run_that_ends_leaves_no_slot_that_fills_the_disk_of_a_server() {
    let (server, place) = given();
    let (shop, sync) = (server.url("shop"), format!("sync {} sqlite:till.db --json", server.url("shop")));

    place.tidewater(&sync).exits(0);

    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 1 publications, 0 schemas");
    let status = place.tidewater(&format!("status {shop}")).exits(0);
    status.says("→ till.db  nothing is kept for it between runs: the next one compares all tables");
    let facts = place.tidewater(&format!("status {shop} --json")).exits(0).json();
    assert_eq!(
        (&facts["followers"][0]["resting"], &facts["needs_attention"]),
        (&true.into(), &false.into()),
        "{facts}"
    );
    at(&server, "shop", "DELETE FROM orders WHERE id = 2;");
    let second = place.tidewater(&sync).exits(0);
    assert_eq!((second.count("rows_removed"), second.count("rows_copied")), (1, 0), "{second}");
}

#[test]
fn a_file_is_copied_to_a_server_and_from_there_to_another_database() {
    let (server, place) = given();
    let till = server.url("till");
    place.sql("local.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1,'a'), (2,'b');");

    place.tidewater(&format!("sync sqlite:local.db {till}")).exits(0).says("1 table (1 created) · 2 rows copied");
    place.sql("local.db", "UPDATE t SET v = 'c' WHERE id = 2; INSERT INTO t VALUES (3,'d');");
    place.tidewater(&format!("sync sqlite:local.db {till}")).exits(0).says("2 changes applied");

    assert_eq!(at(&server, "till", "SELECT id, v FROM t ORDER BY id"), "1|a\n2|c\n3|d");
    let (shop, onward) = (server.url("shop"), format!("sync {} {till} --tables products", server.url("shop")));
    place.tidewater(&onward).exits(0).says(&format!("{shop} → {till}  in step"));
    assert_eq!(at(&server, "till", "SELECT count(*), to_regclass('orders') IS NULL FROM products"), "3|t");
    place.tidewater(&format!("status {till}")).exits(0).says("  ← local.db  at ").says(&format!("  ← {shop}  at "));
}

#[test]
fn a_watcher_follows_a_server_until_it_is_asked_to_stop() {
    let (server, place) = given();
    let watcher = place.starts(&format!("sync {} sqlite:till.db --watch", server.url("shop")));
    let rows = |table: &str| place.try_sql("till.db", &format!("SELECT count(*) FROM {table};")).unwrap_or_default();
    until("the first copy", || rows("orders") == "2");
    for id in 4..9 {
        at(&server, "shop", &format!("INSERT INTO products VALUES ({id}, 'X-{id}')"));
        until("what was written", || rows("products") == (id as u32).to_string());
    }
    let ended = watcher.gets("TERM").ends().exits(0);
    ended.says("5 changes applied");
}

#[test]
fn once_installs_nothing_in_a_server() {
    let (server, place) = given();
    let shop = server.url("shop");
    place.tidewater(&format!("sync {shop} sqlite:till.db --once")).exits(0).never_says("Installed");
    place.tidewater(&format!("sync {shop} {} --once", server.url("till"))).exits(0).never_says("Installed");
    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 0 publications, 0 schemas");
    assert_eq!(place.installed("till.db"), "");
    place.tidewater(&format!("verify {shop} {}", server.url("till"))).exits(0);
}

#[test]
fn a_teardown_leaves_the_rows_and_nothing_else() {
    let (server, place) = given();
    let (shop, till) = (server.url("shop"), server.url("till"));
    let pairs = [format!("{shop} sqlite:till.db"), format!("{shop} {till}")];
    for pair in &pairs {
        place.tidewater(&format!("sync {pair} --keep-slot")).exits(0);
    }
    assert_eq!(at(&server, "shop", SLOTS), "2 slots, 2 publications, 0 schemas");

    let done = place.tidewater(&format!("teardown {}", pairs[0])).exits(0);
    done.says(&format!("{shop}: took out the replication slot tidewater_")).says("till.db: took out positions");
    assert_eq!(
        (at(&server, "shop", SLOTS), place.installed("till.db")),
        ("1 slots, 1 publications, 0 schemas".into(), String::new())
    );
    place.tidewater(&format!("teardown {}", pairs[0])).exits(2).says(&format!("{shop} has no sync with till.db"));
    // The file is lost, and so is what it knew: the server alone knows whom its slot is for.
    place.tidewater(&format!("sync {} --keep-slot", pairs[0])).exits(0);
    std::fs::remove_file(place.path("till.db")).expect("it was made");
    place.tidewater(&format!("status {shop}")).exits(0).says("→ till.db");
    place.tidewater(&format!("teardown {}", pairs[0])).exits(3).says("E0010").says("took out the replication slot");
    place.tidewater(&format!("teardown {}", pairs[1])).exits(0).says(&format!("{till}: took out the schema tidewater"));
    for database in ["shop", "till"] {
        assert_eq!(at(&server, database, SLOTS), "0 slots, 0 publications, 0 schemas", "{database}");
        assert_eq!(at(&server, database, "SELECT count(*) FROM products"), "3");
    }
    let again = place.tidewater(&format!("teardown {}", pairs[1])).exits(0);
    again.says(&format!("{shop}: nothing of Tidewater's was there"));
    place.tidewater(&format!("sync {}", pairs[1])).exits(0).says("5 rows compared");
    place.tidewater(&format!("teardown {shop}")).exits(0).says("took out the publication");
    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 0 publications, 0 schemas");
    place.tidewater(&format!("teardown {till}")).exits(0).says("took out the schema tidewater");
}

#[test]
fn a_slot_that_somebody_left_behind_is_shown_and_taken_out() {
    let (server, place) = given();
    let shop = server.url("shop");
    place.tidewater(&format!("sync {shop} sqlite:till.db --keep-slot")).exits(0);
    let publication = at(&server, "shop", "SELECT pubname FROM pg_publication");
    at(&server, "shop", &format!("DROP PUBLICATION {publication}"));
    let link = publication.strip_prefix("tidewater_").expect("ours");
    place.tidewater(&format!("status {shop}")).exits(0).says(&format!("  → link {link}  "));

    place.tidewater(&format!("teardown {shop} sqlite:till.db")).exits(0);

    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 0 publications, 0 schemas");
    assert_eq!(place.installed("till.db"), "");
}

#[test]
fn a_file_names_servers_by_reference_and_runs_them_all() {
    let (server, place) = given();
    let (shop, till) = (server.url("shop"), server.url("till"));
    place.file("till.url", &till.replace("postgres@", "postgres:hunter2@"));
    place.file(
        "tidewater.toml",
        &format!(
            "[endpoint.hq]\nurl = \"{shop}?sslmode=disable\"\n[endpoint.till]\nurl = \"file:till.url\"\nvars = {{ most = 5 }}\n\
             [endpoint.copy]\nurl = \"sqlite:copy.db\"\n[sync.catalog]\ntables = [\"products\"]\nfrom = \"hq\"\n\
             to = [\"till\", \"copy\"]\nstrategy = \"log\"\n[sync.catalog.table.products]\ncolumns = {{ exclude = [\"name\"] }}\n\
             where = {{ till = \"price < :most\" }}\n"
        ),
    );
    place.tidewater("status").exits(0).says("copy.db: not there yet").never_says("hunter2");
    place.tidewater("plan").exits(0).never_says("hunter2");

    let ran = place.tidewater("run --until-in-step").exits(0).never_says("hunter2");

    ran.says(&format!("catalog/till:\n{shop} → {till}  in step")).says(&format!("catalog/copy:\n{shop} → copy.db"));
    assert_eq!(at(&server, "till", "SELECT * FROM products"), "2|B-2|4.00");
    assert_eq!(place.sql("copy.db", "SELECT count(*) FROM products;"), "3");
    at(&server, "shop", "UPDATE products SET price = 1 WHERE id = 1; UPDATE products SET price = 7 WHERE id = 2;");
    place.tidewater("run --until-in-step").exits(0);
    assert_eq!(at(&server, "till", "SELECT * FROM products"), "1|A-1|1.00");
    place.tidewater("verify").exits(0);
    place.tidewater("teardown").exits(0).never_says("hunter2");
    assert_eq!(at(&server, "shop", SLOTS), "0 slots, 0 publications, 0 schemas");
}

#[test]
fn a_password_is_taken_from_the_environment_and_never_printed() {
    let setup = Setup::new(Release::Debian).access(Access::Password("scram-sha-256"));
    let server = Postgres::start_with(&setup).expect("a server");
    at(&server, "postgres", "CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let place = an_empty_place();
    let url = format!("{}?sslmode=disable", server.url("postgres"));
    let refused = place.tidewater(&format!("sync {url} sqlite:copy.db")).exits(2);
    refused.says("E0081").says("PGPASSWORD");
    let wrong = place.copies_and_runs(&format!("PGPASSWORD=hunter2 tidewater sync '{url}' sqlite:copy.db"));
    wrong.exits(2).says("E0081").never_says("hunter2");
    assert_eq!(place.files(), Vec::<String>::new());

    let password = format!("PGPASSWORD='{}'", Postgres::PASSWORD);
    let synced = place.copies_and_runs(&format!("{password} tidewater sync '{url}' sqlite:copy.db")).exits(0);

    // What is printed can be typed as it stands, by who has the password.
    let printed = synced.out.split("take it out with: ").nth(1).expect("a command").trim().to_owned();
    assert!(printed.contains("?sslmode=disable'") && !printed.contains("cloth"), "{printed}");
    place.copies_and_runs(&format!("{password} {printed}")).exits(0).says("took out the publication");
}

#[test]
fn a_server_that_is_away_is_named_and_the_others_are_shown() {
    let (mut server, place) = given();
    let shop = server.url("shop");
    place.tidewater(&format!("sync {shop} sqlite:till.db")).exits(0);
    server.stop();
    let status = place.tidewater(&format!("status {shop} sqlite:till.db")).exits(3);
    status.says("E0080").says(&format!("till.db\n  ← {shop}  at "));
    place.tidewater(&format!("sync {shop} sqlite:till.db")).exits(3).says("E0080");
    place.tidewater(&format!("verify {shop} sqlite:till.db")).exits(3).says("E0080");
    server.restart().expect("it comes back");
    place.tidewater(&format!("sync {shop} sqlite:till.db --json")).exits(0);
}
