//! `--protect`, `local_writes` and `run_triggers` at a server.

use super::{SLOTS, at, given};

#[test]
fn a_target_at_a_server_is_protected_until_it_is_taken_out() {
    let (server, place) = given();
    let (pair, till) = (format!("{} {}", server.url("shop"), server.url("till")), server.url("till"));

    place.tidewater(&format!("sync {pair} --protect")).exits(0);

    let refused = server.execute_in("till", "DELETE FROM orders").expect_err("it is protected").to_string();
    assert!(refused.contains("orders is a protected replica of"), "{refused}");
    place.tidewater(&format!("sync {pair} --protect")).exits(0);
    let repaired = place.tidewater(&format!("verify {pair} --repair")).exits(0);
    repaired.says("equal");
    let gone = place.tidewater(&format!("teardown {pair}")).exits(0);
    gone.says(&format!("{till}: took out the protection against other writers, the schema tidewater"));
    at(&server, "till", "DELETE FROM orders");
    assert_eq!(at(&server, "till", SLOTS), "0 slots, 0 publications, 0 schemas");
}

#[test]
fn a_file_lists_triggers_that_run_and_the_plan_says_so() {
    let (server, place) = given();
    let (shop, till) = (server.url("shop"), server.url("till"));
    at(
        &server,
        "till",
        "CREATE TABLE products(id int PRIMARY KEY, sku text NOT NULL UNIQUE, name text, price numeric(10, 2)); \
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$; \
         CREATE TRIGGER loud BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION f()",
    );
    let file = |line: &str| {
        format!(
            "[endpoint.hq]\nurl = \"{shop}\"\n[endpoint.till]\nurl = \"{till}\"\n[sync.catalog]\n\
             tables = [\"products\"]\nfrom = \"hq\"\nto = \"till\"\n{line}\n"
        )
    };
    place.file("tidewater.toml", &file("run_triggers = [\"loud\"]\nlocal_writes = \"refuse\""));
    let plan = place.tidewater("plan").exits(0);
    plan.says(
        "Trigger loud on products at the target would run for rows that Tidewater writes (ENABLE ALWAYS TRIGGER,",
    )
    .says(&format!("Would keep other programs from writing these tables in {till}, by a trigger on each."));

    place.tidewater("run --until-in-step").exits(0);

    assert_eq!(at(&server, "till", "SELECT name FROM products ORDER BY id LIMIT 1"), "ANCHOR");
    server.execute_in("till", "DELETE FROM products").expect_err("it is protected");
    place.file("tidewater.toml", &file("run_triggers = [\"soft\"]"));
    place.tidewater("run --until-in-step").exits(2).says("E0026").says("has a trigger soft, which run_triggers names");
    place.tidewater("teardown").exits(0);
    assert_eq!(at(&server, "till", "SELECT tgenabled FROM pg_trigger WHERE tgname = 'loud'"), "O");
    at(&server, "till", "DELETE FROM products");
}
