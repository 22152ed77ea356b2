//! What is wrong with a configuration: said with line and column, an excerpt and the nearest key, all at once, and
//! before anything is touched.

use crate::given::{Outcome, Place, SHOP, given};

const ENDPOINTS: &str = "[endpoint.hq]\nurl = \"sqlite:shop.db\"\n[endpoint.till]\nurl = \"sqlite:till.db\"\n";
const SYNC: &str = "[sync.x]\nfrom = \"hq\"\nto = \"till\"\n";

fn refused(place: &Place, text: &str, code: &str) -> Outcome {
    place.file("tidewater.toml", text);
    let refused = place.tidewater("run").exits(2).says(code).says("Nothing was started");
    assert_eq!(
        (place.files(), place.installed("shop.db")),
        (vec!["shop.db".into(), "tidewater.toml".into()], String::new())
    );
    refused
}

#[test]
fn an_unknown_key_is_shown_in_its_line_with_the_nearest_key() {
    let place = given(SHOP);
    let wrong = refused(&place, &format!("{ENDPOINTS}{SYNC}exisitng = \"mirror\"\n"), "E0002");
    let expected = "\
E0002 tidewater.toml:8:1: unknown key `exisitng`; did you mean `existing`?
  8 | exisitng = \"mirror\"
    | ^^^^^^^^
Nothing was started: the configuration is taken whole or not at all.
Mend the configuration and run the command again.
";
    assert_eq!(wrong.err, expected);
    for command in ["plan", "status", "verify", "teardown", "run --until-in-step"] {
        assert_eq!(place.tidewater(command).exits(2).err, expected, "{command}");
    }
    assert_eq!(place.tidewater("run --json").exits(2).json()["error"], "E0002");
}

#[test]
fn all_mistakes_are_told_at_once_each_at_its_place() {
    let place = given(SHOP);
    let text = format!(
        "{ENDPOINTS}[sync.x]\nfrom = \"hp\"\nto = [\"till\", \"tlil\"]\nlimit = {{ rows_per_second_max = 0 }}\n\
         [sync.x.table.products]\nwhere = \"price > :nobody\"\ndeletes = \"aply\"\n[snyc.y]\n"
    );
    let wrong = refused(&place, &text, "E0002");
    wrong
        .says("tidewater.toml:6:8: no endpoint is called `hp`; did you mean `hq`?")
        .says("tidewater.toml:7:15: no endpoint is called `tlil`; did you mean `till`?")
        .says("tidewater.toml:8:33: `rows_per_second_max` is at least 1")
        .says("tidewater.toml:10:")
        .says("nobody")
        .says("tidewater.toml:11:11: `deletes`: expected \"apply\", \"ignore\" or { mark = \"COLUMN\" }")
        .says("did you mean \"apply\"?")
        .says("unknown key `snyc`; did you mean `sync`?");
}

#[test]
fn text_that_is_no_toml_is_shown_where_it_breaks() {
    let place = given(SHOP);
    refused(&place, &format!("{ENDPOINTS}[sync.x\nfrom = \"hq\"\n"), "E0002")
        .says("tidewater.toml:5:")
        .says("not valid TOML");
    refused(&place, ENDPOINTS, "E0002").says("there is no sync");
    refused(&place, "", "E0002").says("there is no sync");
}

#[test]
fn mistakes_in_a_sync_both_ways_are_shown_at_their_place() {
    let place = given(SHOP);
    let text = format!(
        "{ENDPOINTS}[sync.x]\nbetween = [\"hq\", \"tlil\"]\nconflicts = \"prefer:hp\"\nexisting = \"mirror\"\n\
         [sync.x.table.products]\nconflicts = {{ price = \"lats-writer\" }}\n"
    );
    let wrong = refused(&place, &text, "E0002");
    wrong
        .says("tidewater.toml:6:18: no endpoint is called `tlil`; did you mean `till`?")
        .says("tidewater.toml:7:21: `conflicts`: no endpoint of `between` is called `hp`; did you mean `hq`?")
        .says("tidewater.toml:8:1: `existing` does not go with `between`")
        .says("tidewater.toml:10:23: `conflicts`: expected \"merge\", \"last-writer\"")
        .says("did you mean \"last-writer\"?");
    let later = format!("{ENDPOINTS}[sync.x]\nbetween = [\"hq\", \"till\"]\nconflicts = \"counter\"\n");
    refused(&place, &later, "E0003").says("the rule \"counter\" is not built yet: increments of all sides add up");
    let partial =
        format!("{ENDPOINTS}[sync.x]\nbetween = [\"hq\", \"till\"]\n[sync.x.table.products]\nwhere = \"price > 1\"\n");
    let wrong = refused(&place, &partial, "E0002");
    wrong.says("8:9: `where`: expected a table that says who holds a part, such as { till = \"store = 7\" }");
}

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    let place = given(SHOP);
    for (key, named) in [
        ("event = { format = \"debezium\" }\n", "`event` is not built yet"),
        ("initial = { order = [\"products\"] }\n", "`initial` is not built yet"),
        ("schema = \"follow\"\n", "`schema` is not built yet"),
        ("latency = \"cron 0 3 * * *\"\n", "\"cron …\" is not built yet"),
        ("strategy = \"timestamp:updated_at\"\n", "the strategy \"timestamp\" is not built yet"),
        ("strategy = \"log\"\n", "the strategy \"log\" is not built yet"),
        ("[sync.x.table.products]\nkeep_days = 90\n", "`keep_days` is not built yet"),
        ("[sync.x.table.products]\nmask = { name = \"hmac\" }\n", "`mask` is not built yet"),
        ("[engine]\nlisten = \"127.0.0.1:7470\"\n", "`listen` is not built yet"),
    ] {
        let wrong = refused(&place, &format!("{ENDPOINTS}{SYNC}{key}"), "E0003");
        wrong.says(named).says("Leave it out");
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_shown() {
    let place = given(SHOP);
    let text = format!(
        "[endpoint.hq]\nurl = \"postgres://ana:hunter2@host/shop\"\n{}",
        &ENDPOINTS[ENDPOINTS.find("[endpoint.till").expect("there")..]
    );
    refused(&place, &format!("{text}{SYNC}"), "E0002").says("only by reference").never_says("hunter2");
}

#[test]
fn an_endpoint_of_a_kind_that_is_not_built_is_refused() {
    let place = given(SHOP);
    place.file("tidewater.toml", &format!("{ENDPOINTS}{SYNC}").replace("sqlite:till.db", "mysql://host/shop"));
    place.tidewater("run --until-in-step").exits(2).says("E0003 mysql: endpoints are not built yet");
    assert_eq!(place.installed("shop.db"), "");
}

#[test]
fn tables_and_columns_that_do_not_exist_are_named_before_anything_is_written() {
    let place = given(SHOP);
    for (table, said) in [
        ("[sync.x.table.prodcuts]\nname = \"p\"\n", "E0026 no table is called prodcuts"),
        ("[sync.x.table.products]\ncolumns = { exclude = [\"cost\"] }\n", "E0026 no column of products is called cost"),
        ("[sync.x.table.products]\ncolumns = { exclude = [\"id\"] }\n", "E0026 products.id is part of the key"),
        ("[sync.x.table.products]\nrename = { cost = \"c\" }\n", "E0026 no column of products is called cost"),
        ("[sync.x.table.products]\nwhere = \"cost > 1\"\n", "E0026 no column of products is called cost"),
        ("[sync.x.table.products]\ndeleted_when = \"gone = true\"\n", "E0026 no column of products is called gone"),
    ] {
        place.file("tidewater.toml", &format!("{ENDPOINTS}{SYNC}{table}"));
        place.tidewater("run --until-in-step").exits(2).says(said);
        place.tidewater("plan").exits(2).says(said);
    }
    assert_eq!(
        (place.files(), place.installed("shop.db")),
        (vec!["shop.db".into(), "tidewater.toml".into()], String::new())
    );
}
