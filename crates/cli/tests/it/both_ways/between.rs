//! `between` in a configuration: three files of which one is away, beside syncs one way, with rules by table.

use crate::given::{Place, given, numbered};

const THREE: &str = r#"
[endpoint.hq]
url = "sqlite:shop.db"
[endpoint.till]
url = "sqlite:till.db"
[endpoint.stick]
url = "sqlite:usb/stick.db"

[sync.all]
tables  = ["t"]
between = ["hq", "till", "stick"]
"#;

fn three_of_which_one_is_away() -> Place {
    let place = given(&numbered(20));
    place.file("tidewater.toml", THREE);
    place
}

#[test]
fn each_is_compared_with_the_first_in_what_both_ways_carries() {
    let rows = format!("{} CREATE TABLE keyless(v); INSERT INTO keyless VALUES (1);", numbered(9));
    let place = given(&rows);
    place.sql("till.db", &format!("{rows} DELETE FROM keyless;"));
    place.file(
        "tidewater.toml",
        &THREE.replace(", \"stick\"", ", \"office\"").replace("tables  = [\"t\"]\n", "").replace(
            "[endpoint.stick]\nurl = \"sqlite:usb/stick.db\"",
            "[endpoint.office]\nurl = \"sqlite:office.db\"",
        ),
    );
    place.sql("office.db", &rows);
    place.tidewater("verify").exits(0).says("shop.db ↔ till.db").says("shop.db ↔ office.db").never_says("keyless");
    place.sql("office.db", "UPDATE t SET v = 'own' WHERE id = 5;");
    place.tidewater("verify").exits(1).says("t key 5  differs: v").says("Run the sync").never_says("--repair");
    place.tidewater("verify --repair").exits(2).says("E0001 --repair does not go with the sync all");
    place.tidewater("status").exits(0).says("no links");
}

#[test]
fn who_is_away_holds_up_nobody_and_catches_up_when_it_is_back() {
    let place = three_of_which_one_is_away();

    let done = place.tidewater("run --until-in-step").exits(3);

    done.says("all:\nshop.db ↔ till.db ↔ usb/stick.db").says("usb/stick.db is away");
    place.same_rows("shop.db", "till.db");
    std::fs::create_dir(place.path("usb")).expect("the stick is plugged in");
    place.sql("till.db", "UPDATE t SET v = 'from the till' WHERE id = 3;");
    place.tidewater("run --until-in-step").exits(0).says("in step").says("created in usb/stick.db: t");
    place.same_rows("shop.db", "usb/stick.db");

    std::fs::rename(place.path("usb"), place.path("away")).expect("it is taken away");
    place.sql("away/stick.db", "UPDATE t SET v = 'from the stick' WHERE id = 4;");
    place.sql("shop.db", "UPDATE t SET v = 'from the shop' WHERE id = 5;");
    place.tidewater("run --until-in-step").exits(3);
    std::fs::rename(place.path("away"), place.path("usb")).expect("it is back");
    let done = place.tidewater("run --until-in-step --json").exits(0).json();
    assert_eq!(
        (&done["sync"], &done["in_step"], &done["conflicts"]),
        (&"all".into(), &true.into(), &0.into()),
        "{done}"
    );
    for database in ["till.db", "usb/stick.db"] {
        place.same_rows("shop.db", database);
    }
    let said = place.sql("shop.db", "SELECT group_concat(v) FROM t WHERE id IN (3, 4, 5);");
    assert_eq!(said, "from the till,from the stick,from the shop");
    place.tidewater("verify").exits(0).says("shop.db ↔ till.db").says("shop.db ↔ usb/stick.db");
    place.tidewater("status").exits(0).says("↔ till").says("↔ stick");
}

#[test]
fn a_watching_engine_takes_up_who_comes_back() {
    let place = three_of_which_one_is_away();
    let engine = place.starts("run").says("all: in step, watching for changes");
    std::fs::create_dir(place.path("usb")).expect("the stick is plugged in");
    engine.brings("the rows on the stick", || {
        place.try_sql("usb/stick.db", "SELECT count(*) FROM t;").is_ok_and(|count| count == "20")
    });
    place.sql("usb/stick.db", "UPDATE t SET v = 'live' WHERE id = 7;");
    engine.brings("the change at the till", || place.sql("till.db", "SELECT v FROM t WHERE id = 7;") == "live");
    engine.gets("TERM").ends().exits(0);
}

#[test]
fn both_ways_and_one_way_stand_side_by_side() {
    let place =
        given(&format!("{} CREATE TABLE p(id INTEGER PRIMARY KEY, v); INSERT INTO p VALUES (1,'p');", numbered(9)));
    let rules = "[sync.all.table.t]\nconflicts = { v = \"manual\" }\n[sync.copy]\ntables = [\"p\"]\nfrom = \"hq\"\nto = \"till\"\n";
    place.file("tidewater.toml", &format!("{}{rules}", THREE.replace(", \"stick\"", "")));
    place.tidewater("plan").exits(0).says("v manual").says("shop.db → till.db");
    assert_eq!(place.files(), ["shop.db", "tidewater.toml"]);
    let done = place.tidewater("run --until-in-step").exits(0);
    done.says("all:\nshop.db ↔ till.db  in step").says("copy:\nshop.db → till.db  in step");
    place.same_rows("shop.db", "till.db");
    place.sql("shop.db", "UPDATE t SET v = 'shop' WHERE id = 1; UPDATE p SET v = 'new';");
    place.sql("till.db", "UPDATE t SET v = 'till' WHERE id = 1;");
    place.tidewater("run --until-in-step").exits(0);
    place.same_rows("shop.db", "till.db");
    place.tidewater("status").exits(1).says("1 open");
    place.tidewater("verify --repair").exits(2).says("--repair does not go with the sync all");
    place.tidewater("verify").exits(0);
    place.tidewater("teardown").exits(0);
    assert_eq!((place.installed("shop.db"), place.installed("till.db")), (String::new(), String::new()));
}

#[test]
fn columns_and_tables_that_rules_name_must_be_there() {
    let place = given(&numbered(5));
    for (rules, said) in [
        ("[sync.all.table.t]\nconflicts = { w = \"manual\" }\n", "E0026 the rules of t: no column is called w"),
        ("[sync.all.table.t]\ntogether = [[\"v\", \"w\"]]\n", "E0026 the rules of t: no column is called w"),
    ] {
        place.file("tidewater.toml", &format!("{}{rules}", THREE.replace(", \"stick\"", "")));
        place.tidewater("run --until-in-step").exits(2).says(said);
        place.tidewater("plan").exits(2).says(said);
    }
    let unknown = THREE.replace(", \"stick\"", "").replace("tables  = [\"t\"]\n", "") + "[sync.all.table.u]\n";
    place.file("tidewater.toml", &unknown);
    place.tidewater("run --until-in-step").exits(2).says("E0026 no table is called u");
    assert_eq!(place.files(), ["shop.db", "tidewater.toml"]);
    assert_eq!(place.installed("shop.db"), "");
}
