//! `tidewater.toml`: several syncs and targets, and the commands that read the file. What a sync's table keys do to
//! rows is in `config/scope.rs`, what is wrong with a file in `config/mistakes.rs`.

mod mistakes;
mod scope;

use crate::given::{Place, SHOP, given, numbered};

/// One source, a target that is there, and one whose folder is missing: the stick is not plugged in.
fn two_targets_of_which_one_is_away(order: &str) -> Place {
    let place = given(&numbered(20));
    place.file(
        "tidewater.toml",
        &format!(
            "[endpoint.hq]\nurl = \"sqlite:shop.db\"\n[endpoint.till]\nurl = \"sqlite:till.db\"\n\
             [endpoint.stick]\nurl = \"sqlite:usb/stick.db\"\n\
             [sync.all]\nfrom = \"hq\"\nto = [{order}]\n"
        ),
    );
    place
}

const BOTH_ORDERS: [&str; 2] = ["\"till\", \"stick\"", "\"stick\", \"till\""];

const TWO_SYNCS: &str = r#"
[endpoint.hq]
url = "sqlite:shop.db"
[endpoint.till]
url = "sqlite:till.db"
[endpoint.office]
url = "sqlite:office.db"

[sync.catalog]
tables = ["products"]
from = "hq"
to = ["till", "office"]

[sync.sales]
tables = ["customers", "order*", "!order_lines"]
from = "hq"
to = "office"
"#;

#[test]
fn every_sync_of_the_file_runs_to_each_of_its_targets() {
    let place = given(SHOP);
    place.file("tidewater.toml", TWO_SYNCS);

    let first = place.tidewater("run --until-in-step").exits(0);

    let first = first.says("catalog/till:\n").says("catalog/office:\n").says("sales:\n");
    assert_eq!(first.out.matches("in step").count(), 3, "{first}");
    let same = |target: &str, tables: &[&str]| {
        for table in tables {
            assert_eq!(place.rows_of(target, table, "*"), place.rows_of("shop.db", table, "*"), "{table} at {target}");
        }
    };
    same("till.db", &["products"]);
    same("office.db", &["products", "customers", "orders"]);
    place.try_sql("till.db", "SELECT * FROM customers;").expect_err("customers is not for the till");

    place.sql("shop.db", "UPDATE products SET price = 1; DELETE FROM order_lines; DELETE FROM orders;");
    let second = place.tidewater("run --until-in-step --json").exits(0).json_lines();
    let name = |one: &serde_json::Value| one["sync"].as_str().expect("a name").to_owned();
    let mut seen: Vec<_> = second.iter().map(|one| (name(one), one["changes_applied"].as_u64())).collect();
    seen.sort();
    let wanted = [("catalog/office", 3), ("catalog/till", 3), ("sales", 2)];
    assert_eq!(seen, wanted.map(|(name, count)| (name.to_owned(), Some(count))));
    same("till.db", &["products"]);
    same("office.db", &["products", "customers", "orders"]);

    place.sql("shop.db", "UPDATE products SET price = 2;");
    place.tidewater("run sales --until-in-step").exits(0).says("sales:").never_says("catalog");
    assert_eq!(place.sql("till.db", "SELECT max(price) FROM products;"), "1", "only the sync named has run");
    place.tidewater("run slaes --until-in-step").exits(2).says("no sync is called slaes").says("catalog, sales");
}

#[test]
fn several_new_targets_of_one_source_are_known_again_at_the_next_run() {
    let place = given(&numbered(20));
    let names = ["b", "c", "d", "e"];
    let mut text = "[endpoint.a]\nurl = \"sqlite:shop.db\"\n".to_owned();
    for name in names {
        text.push_str(&format!("[endpoint.{name}]\nurl = \"sqlite:{name}.db\"\n"));
    }
    place.file("tidewater.toml", &format!("{text}[sync.x]\nfrom = \"a\"\nto = {names:?}\n"));
    place.tidewater("run --until-in-step").exits(0);
    place.sql("shop.db", "UPDATE t SET v = 'new' WHERE id < 5;");

    let second = place.tidewater("run --until-in-step --json").exits(0).json_lines();

    for one in &second {
        assert_eq!((one["changes_applied"].as_u64(), one["rows_compared"].as_u64()), (Some(4), Some(0)), "{one}");
    }
    for name in names {
        place.same_rows("shop.db", &format!("{name}.db"));
    }
    let status = place.tidewater("status sqlite:shop.db --json").exits(0).json();
    assert_eq!(status["followers"].as_array().map(Vec::len), Some(4), "{status}");
}

#[test]
fn one_target_that_is_away_keeps_no_other_from_going_in_step() {
    for order in BOTH_ORDERS {
        let place = two_targets_of_which_one_is_away(order);
        let ended = place.tidewater("run --until-in-step").exits(3);
        ended.says("all/till:\nshop.db → till.db  in step").says("all/stick: shop.db → usb/stick.db ended:\nE0010");
        place.same_rows("shop.db", "till.db");

        std::fs::create_dir(place.path("usb")).expect("the stick is plugged in");
        place.tidewater("run --until-in-step").exits(0);
        place.same_rows("shop.db", "usb/stick.db");
    }
}

#[test]
fn a_failed_link_is_named_in_json_too() {
    let place = two_targets_of_which_one_is_away(BOTH_ORDERS[0]);
    let lines = place.tidewater("run --until-in-step --json").exits(3).json_lines();
    let failed = lines.iter().find(|line| line["error"] == "E0010").expect("the failure is told");
    assert_eq!(failed["sync"], "all/stick", "which of the links it was: {failed}");
}

#[test]
fn watching_several_targets_goes_on_while_one_is_away() {
    for order in BOTH_ORDERS {
        let place = two_targets_of_which_one_is_away(order);
        let engine = place.starts("run").says("all/till: in step, watching for changes");
        place.sql("shop.db", "UPDATE t SET v = 'live' WHERE id = 7;");
        engine.brings("the change at the till", || place.sql("till.db", "SELECT v FROM t WHERE id = 7;") == "live");
        let ended = engine.gets("TERM").ends();
        ended.says("all/till:\nshop.db → till.db  in step").says("E0010 usb/stick.db");
        place.same_rows("shop.db", "till.db");
    }
}

#[test]
fn a_target_that_goes_away_and_comes_back_is_taken_up_again() {
    let place = two_targets_of_which_one_is_away(BOTH_ORDERS[0]);
    std::fs::create_dir(place.path("usb")).expect("the stick is plugged in");
    place.tidewater("run --until-in-step").exits(0);
    std::fs::rename(place.path("usb"), place.path("unplugged")).expect("the stick is pulled out");
    place.sql("shop.db", "UPDATE t SET v = 'meanwhile' WHERE id < 5;");
    place.tidewater("run --until-in-step").exits(3);
    assert_eq!(place.sql("till.db", "SELECT count(*) FROM t WHERE v = 'meanwhile';"), "4");
    place.tidewater("status").exits(0).says("4 changes behind");

    std::fs::rename(place.path("unplugged"), place.path("usb")).expect("the stick is back");
    let lines = place.tidewater("run --until-in-step --json").exits(0).json_lines();
    let stick = lines.iter().find(|line| line["sync"] == "all/stick").expect("its report");
    assert_eq!((stick["changes_applied"].as_u64(), stick["rows_compared"].as_u64()), (Some(4), Some(0)), "{stick}");
    place.same_rows("shop.db", "usb/stick.db");
}

#[test]
fn commands_about_the_whole_file_do_what_they_can_where_one_target_is_away() {
    for order in BOTH_ORDERS {
        let place = two_targets_of_which_one_is_away(order);
        place.tidewater("run --until-in-step").exits(3);
        place.tidewater("status").exits(0).says("usb/stick.db: not there yet");
        place.tidewater("verify").exits(3).says("shop.db ↔ till.db").says("equal").says("E0010 usb/stick.db");
        place.tidewater("plan").exits(3).says("shop.db → till.db").says("E0010 usb/stick.db");

        place.tidewater("teardown");

        assert_eq!((place.installed("shop.db"), place.installed("till.db")), (String::new(), String::new()), "{order}");
    }
}

#[test]
fn status_prints_nothing_but_json_where_json_is_asked_for() {
    let place = two_targets_of_which_one_is_away(BOTH_ORDERS[0]);
    let lines = place.tidewater("status --json").exits(0).json_lines();
    assert_eq!(lines.len(), 3, "one for each endpoint");
}

#[test]
fn status_plan_verify_and_teardown_read_the_file() {
    let place = given(SHOP);
    let one =
        "[endpoint.hq]\nurl='sqlite:shop.db'\n[endpoint.till]\nurl='sqlite:till.db'\n[sync.x]\nfrom='hq'\nto='till'\n";
    place.file("tidewater.toml", one);

    let planned = place.tidewater("plan").exits(0);
    planned.says("shop.db → till.db").says("create, copy, follow").says("Would install in shop.db");
    assert_eq!(place.installed("shop.db"), "", "a plan touches nothing");
    assert_eq!(place.files(), ["shop.db", "tidewater.toml"]);
    place.tidewater("status").exits(0).says("shop.db\n  no links").says("till.db: not there yet");
    place.tidewater("verify").exits(3).says("E0010 till.db");

    place.tidewater("run --until-in-step").exits(0);
    place.tidewater("plan").exits(0).says("follow").says("3 equal, 0 differ, 0 only in source, 0 only in target");
    place.tidewater("status").exits(0).says("→ till.db  has everything logged so far").says("← shop.db  at ");
    place.tidewater("verify").exits(0).says("equal");
    place.sql("till.db", "DELETE FROM order_lines; UPDATE customers SET name = 'X' WHERE email = 'bo@example.org';");
    place
        .tidewater("verify")
        .exits(1)
        .says("customers key 'bo@example.org'  differs: name")
        .says("order_lines key 1, 1  only in source");
    place.tidewater("verify --repair").exits(0).says("mended");
    place.same_rows("shop.db", "till.db");

    place.tidewater("teardown").exits(0);
    assert_eq!((place.installed("shop.db"), place.installed("till.db")), (String::new(), String::new()));
    place.tidewater("status").exits(0).says("till.db\n  no links");
    place.tidewater("teardown").exits(0);
}

#[test]
fn files_are_laid_over_each_other_and_paths_belong_to_their_file() {
    let place = given(SHOP);
    std::fs::create_dir(place.path("prod")).expect("a folder");
    place.file("base.toml", TWO_SYNCS);
    place.file(
        "prod/over.toml",
        "[endpoint.till]\nurl = 'sqlite:till-of-prod.db'\n[sync.catalog]\nto = 'till'\ntables = ['customers']\n",
    );
    place.tidewater("run catalog -c base.toml -c prod/over.toml --until-in-step").exits(0);
    assert_eq!(place.rows_of("prod/till-of-prod.db", "customers", "*"), place.rows_of("shop.db", "customers", "*"));
    assert!(!place.files().contains(&"till.db".to_owned()));
    place.tidewater("plan -c base.toml -c prod/over.toml").exits(0).says("prod/till-of-prod.db");
    place.tidewater("run -c prod/over.toml --until-in-step").exits(2).says("E0002 prod/over.toml:");
}

#[test]
fn a_url_may_stand_in_a_file_or_the_environment() {
    let place = given(SHOP);
    place.file("where.txt", "sqlite:till.db\n");
    place.file(
        "tidewater.toml",
        "[endpoint.a]\nurl='env:SHOP_URL'\n[endpoint.b]\nurl='file:where.txt'\n[sync.x]\nfrom='a'\nto='b'\n",
    );
    place.tidewater("run --until-in-step").exits(2).says("E0002 tidewater.toml:2:5").says("SHOP_URL is not set");
    place.copies_and_runs("SHOP_URL=sqlite:shop.db tidewater run --until-in-step").exits(0);
    place.same_rows("shop.db", "till.db");
}

#[test]
fn a_pause_between_rounds_gathers_changes() {
    let place = given(&numbered(5));
    place.file(
        "tidewater.toml",
        "[endpoint.a]\nurl='sqlite:shop.db'\n[endpoint.b]\nurl='sqlite:till.db'\n[sync.x]\nfrom='a'\nto='b'\nlatency='every 1s'\n",
    );
    let engine = place.starts("run").in_step();
    for round in 0..3 {
        place.sql("shop.db", &format!("UPDATE t SET v = 'round {round}' WHERE id = 1;"));
        let wanted = format!("round {round}");
        engine.brings("the change at the target", || place.sql("till.db", "SELECT v FROM t WHERE id = 1;") == wanted);
    }
    engine.gets("INT").ends().exits(0);
    place.same_rows("shop.db", "till.db");
}
