//! What files mean, and what is said about wrong ones. The disk and the environment are doubles: maps.

mod between;

use super::*;
use std::borrow::Cow;
use tidewater_core::change::{Deletes, Pattern};

/// The one-way parts of the example in the design.
const EXAMPLE: &str = r#"
[endpoint.hq]
url    = "env:HQ_URL"                     # secrets only by reference: env:NAME or file:PATH
[endpoint.till]
url  = "sqlite:till.db"
vars = { store = 7 }

[sync.catalog]                            # source of truth
tables       = ["products", "prices_*", "!prices_tmp"]
from         = "hq"
to           = ["till"]
strategy     = "auto"
latency      = "live"
existing     = "refuse"
local_writes = "refuse"
limit        = { rows_per_second_max = 20000 }
[sync.catalog.table.products]
name    = { till = "artikel" }
rename  = { till = { descr = "text" } }
columns = { exclude = ["cost"] }
deletes = "apply"

[sync.activity]
tables = ["orders"]
from   = "till"
to     = "hq"
latency = "every 2h"
[sync.activity.table.orders]
where        = { hq = "total > 0" }
deleted_when = "is_deleted = true"
deletes      = { mark = "status", value = "gone" }
"#;

fn load_files(files: &[(&str, &str)]) -> Result<Config> {
    let variables = BTreeMap::from([
        ("HQ_URL", "postgres://shop:hunter2@db/shop"),
        ("LOCAL", "sqlite:data/hq.db\n"),
        ("EMPTY", " "),
        ("NESTED", "env:HQ_URL"),
    ]);
    let find = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned());
    let surroundings = Surroundings {
        variable: &|name| variables.get(name).map(|v| (*v).to_owned()).ok_or(VarError::NotPresent),
        text: &|path, _| find(path).ok_or_else(|| io::ErrorKind::NotFound.into()),
    };
    let paths: Vec<PathBuf> = files
        .iter()
        .map(|(name, _)| PathBuf::from(name))
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    load_from(&paths, &surroundings)
}

fn load_text(text: &str) -> Result<Config> {
    load_files(&[("tidewater.toml", text)])
}

/// Two endpoints and a sync, with these lines in the sync (from line 6 on) or after it.
fn with(lines: &str) -> String {
    format!(
        "[endpoint.a]\nurl = \"sqlite:a.db\"\n[endpoint.b]\nurl = \"sqlite:b.db\"\n[sync.s]\n{lines}\n{}",
        if lines.contains("from") || lines.contains("between") { "" } else { "[sync.s2]\nfrom = \"a\"\nto = \"b\"\n" }
    )
}

/// The sync of `with`, complete, with these lines from line 8 on.
fn sync_with(lines: &str) -> String {
    with(&format!("from = \"a\"\nto = \"b\"\n{lines}"))
}

/// The one-way sync at this place of the file.
fn one_way(config: &Config, at: usize) -> OneWay {
    match &config.syncs[at] {
        Sync::OneWay(sync) => sync.clone(),
        Sync::BothWays(sync) => panic!("{} is both ways", sync.name),
    }
}

fn sync_of(lines: &str) -> OneWay {
    one_way(&load_text(&sync_with(lines)).unwrap_or_else(|error| panic!("{lines}: {error}")), 0)
}

fn special(lines: &str) -> tidewater_core::change::TableScope {
    sync_of(&format!("[sync.s.table.t]\n{lines}")).scope_for("b").expect("a target").special("t")
}

/// Checks one complaint: where, and words of the message.
fn complains(text: &str, place: &str, words: &[&str]) -> Error {
    let error = load_text(text).map(|_| ()).expect_err(text);
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.what.starts_with(&format!("tidewater.toml:{place}: ")), "{text}\n{error}");
    for word in words {
        assert!(error.what.contains(word), "`{word}` is not in\n{error}");
    }
    error
}

#[test]
fn the_example_means_what_it_says() {
    let config = load_text(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.path, Path::new("tidewater.toml"));
    let (hq, till) = (&config.endpoints["hq"], &config.endpoints["till"]);
    assert_eq!((hq.url.as_str(), hq.shown.as_str()), ("postgres://shop:hunter2@db/shop", "env:HQ_URL"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!((till.url.as_str(), till.shown.as_str()), ("sqlite:till.db", "till.db"));
    assert_eq!(till.vars, BTreeMap::from([("store".into(), Value::I64(7))]));

    let names: Vec<&str> = config.syncs.iter().map(Sync::name).collect();
    assert_eq!(names, ["catalog", "activity"], "in the order of the file");
    let catalog = one_way(&config, 0);
    assert_eq!((catalog.from.as_str(), catalog.to.as_slice()), ("hq", &["till".to_owned()][..]));
    assert_eq!(
        catalog.scope_for("till").expect("a target").tables,
        ["products", "prices_*", "!prices_tmp"].map(Pattern::new)
    );
    assert_eq!(catalog.latency, Latency::Live);
    assert_eq!(catalog.existing, Existing::Refuse);
    assert!(catalog.local_writes_refused);
    assert_eq!(catalog.rows_per_second_max, Some(20_000));
    let products = catalog.scope_for("till").expect("a target").special("products");
    assert_eq!(products.name.as_deref(), Some("artikel"));
    assert_eq!(products.rename, BTreeMap::from([("descr".into(), "text".into())]));
    assert_eq!((products.include, products.exclude), (None, vec!["cost".to_owned()]));
    assert_eq!(products.deletes, Deletes::Apply);
    assert_eq!(products.value_bytes_max, Some(67_108_864));
    assert!(catalog.scope_for("hq").is_err(), "only targets have a scope");

    let activity = one_way(&config, 1);
    assert_eq!(activity.latency, Latency::Every(Duration::from_secs(7200)));
    assert!(!activity.local_writes_refused);
    let orders = activity.scope_for("hq").expect("a target").special("orders");
    assert_eq!(orders.filter.expect("a filter").text(), "total > 0");
    assert_eq!(orders.deleted_when.expect("a filter").columns(), ["is_deleted"]);
    assert_eq!(orders.deletes, Deletes::Mark { column: "status".into(), value: Some("gone".into()) });
}

#[test]
fn settings_of_a_sync_are_read() {
    let text = "latency = \"every 30s\"\nexisting = \"mirror\"\nstrategy = \"trigger\"\nrun_triggers = [\"fts\"]";
    let sync = sync_of(text);
    assert_eq!(sync.latency, Latency::Every(Duration::from_secs(30)));
    assert_eq!(sync.existing, Existing::Mirror);
    assert_eq!(sync.run_triggers, ["fts"]);
    assert!(sync.scopes["b"].tables.is_empty(), "all ordinary tables");
    assert_eq!(sync_of("latency = \"every 5m\"").latency, Latency::Every(Duration::from_secs(300)));
}

#[test]
fn settings_of_a_table_are_for_all_targets_or_for_one() {
    assert_eq!(special("name = \"artikel\"").name.as_deref(), Some("artikel"));
    assert_eq!(special("rename = { descr = \"text\" }").rename["descr"], "text");
    assert_eq!(special("[sync.s.table.t.rename.b]\ndescr = \"text\"").rename["descr"], "text");
    assert_eq!(special("where = \"x = 1\"").filter.expect("a filter").columns(), ["x"]);
    assert_eq!(special("columns = { include = [\"x\", \"y\"] }").include, Some(vec!["x".to_owned(), "y".to_owned()]));
    assert_eq!(special("deletes = \"ignore\"").deletes, Deletes::Ignore);
    let marked = Deletes::Mark { column: "deleted_at".into(), value: None };
    assert_eq!(special("deletes = { mark = \"deleted_at\" }").deletes, marked);
    assert_eq!(special("value_bytes_max = \"none\"").value_bytes_max, None);
    assert_eq!(special("value_bytes_max = 100").value_bytes_max, Some(100));

    let text = r#"
        [endpoint]
        hq.url = "sqlite:hq.db"
        north = { url = "sqlite:n.db", vars = { store = 1, region = 'n', rate = 1.5, open = true } }
        south = { url = "sqlite:s.db", vars = { store = 2 } }
        [sync.orders]
        from = "hq"
        to = ["north", "south"]
        [sync.orders.table.orders]
        where = "store_id = :store"
        name = { south = "auftrag" }
    "#;
    let config = load_text(text).unwrap_or_else(|error| panic!("{error}"));
    let scope = |target| one_way(&config, 0).scope_for(target).expect("a target").special("orders");
    assert_eq!((scope("north").name, scope("south").name.as_deref()), (None, Some("auftrag")));
    let expr = |target| format!("{:?}", scope(target).filter.expect("a filter").expr());
    assert!(expr("north").contains("I64(1)") && expr("south").contains("I64(2)"));
    let vars = &config.endpoints["north"].vars;
    assert_eq!(vars["region"], Value::Text(Cow::Borrowed("n")));
    assert_eq!((&vars["rate"], &vars["open"]), (&Value::F64(1.5), &Value::Bool(true)));
}

#[test]
fn references_are_followed_and_paths_belong_to_the_folder_of_their_file() {
    let text = |url: &str| {
        format!("[endpoint.a]\nurl = \"{url}\"\n[endpoint.b]\nurl=\"nats://bus\"\n[sync.s]\nfrom=\"a\"\nto=\"b\"")
    };
    let located = |url: &str| {
        let files = [("shop/tidewater.toml", text(url)), ("shop/secret", " sqlite:///srv/hq.db\n".to_owned())];
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let endpoint =
            load_files(&files).unwrap_or_else(|error| panic!("{error}")).endpoints.remove("a").expect("there");
        (endpoint.url, endpoint.shown)
    };
    let pair = |url: &str, shown: &str| (url.to_owned(), shown.to_owned());
    assert_eq!(located("sqlite:till.db"), pair("sqlite:shop/till.db", "till.db"));
    assert_eq!(located("sqlite:/srv/till.db"), pair("sqlite:/srv/till.db", "/srv/till.db"));
    assert_eq!(located("sqlite:///srv/till.db"), pair("sqlite:/srv/till.db", "/srv/till.db"));
    assert_eq!(located("env:LOCAL"), pair("sqlite:shop/data/hq.db", "env:LOCAL"));
    assert_eq!(located("file:secret"), pair("sqlite:/srv/hq.db", "file:secret"));
    assert_eq!(located("nats://bus:4222"), pair("nats://bus:4222", "nats://bus:4222"));

    for (url, message) in [
        ("env:MISSING", "the environment variable MISSING is not set"),
        ("env:EMPTY", "the environment variable EMPTY is empty"),
        ("env:", "the name of an environment variable"),
        ("env:NESTED", "a reference cannot name another reference"),
        ("file:nowhere", "the file nowhere cannot be read"),
        ("till.db", "a file is written as \\\"sqlite:PATH\\\""),
        ("sqlite:", "names no file"),
        ("", "`url` is empty"),
    ] {
        complains(&text(url), "2:7", &[&message.replace("\\\"", "\"")]);
    }
    let secret =
        complains(&text("postgres://shop:hunter2@db/shop"), "2:7", &["secrets", "env:NAME", "shop:*******@db"]);
    assert!(!secret.to_string().contains("hunter2"));
}

#[test]
fn later_files_are_laid_over_earlier_ones() {
    let base = sync_with("tables = [\"x\", \"y\", \"t\"]\nlimit = { rows_per_second_max = 5 }\nlatency = \"live\"")
        + "[sync.s.table.t]\nname = \"u\"\ndeletes = { mark = \"m\", value = \"v\" }\n";
    let over = "[endpoint.b]\nvars = { n = 1 }\n[sync.s]\ntables = [\"t\"]\nlatency = \"every 1h\"\n[sync.s.table.t]\n\
                deletes = { mark = \"w\" }\n[sync.r]\nfrom = \"b\"\nto = \"a\"\n";
    let config = load_files(&[("base.toml", &base), ("etc/prod.toml", over)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.path, Path::new("base.toml"));
    assert_eq!(config.endpoints["b"].url, "sqlite:b.db");
    assert_eq!(config.endpoints["b"].vars["n"], Value::I64(1));
    assert_eq!(config.syncs.len(), 2);
    let (sync, other) = (one_way(&config, 0), one_way(&config, 1));
    assert_eq!((sync.name.as_str(), other.name.as_str()), ("s", "r"));
    assert_eq!(sync.scopes["b"].tables, [Pattern::new("t")]);
    assert_eq!((sync.rows_per_second_max, sync.latency), (Some(5), Latency::Every(Duration::from_secs(3600))));
    let table = sync.scope_for("b").expect("a target").special("t");
    assert_eq!(table.name.as_deref(), Some("u"));
    assert_eq!(table.deletes, Deletes::Mark { column: "w".into(), value: None }, "not half of the earlier one");

    let error =
        load_files(&[("base.toml", &base), ("etc/prod.toml", "[sync.s]\nlatency = 5")]).expect_err("wrong type");
    assert!(error.what.starts_with("etc/prod.toml:2:11: `latency`"), "{error}");
}

#[test]
fn unknown_keys_are_shown_with_the_nearest() {
    let error = complains(&sync_with("latncy = \"live\""), "8:1", &["unknown key `latncy`; did you mean `latency`?"]);
    assert_eq!(error.code, code::CONFIGURATION);
    assert!(error.what.ends_with("\n  8 | latncy = \"live\"\n    | ^^^^^^"), "{error}");
    complains(&sync_with("speed = 1"), "8:1", &["unknown key `speed`; [sync.s] knows: tables, from, to"]);
    complains(&sync_with("[sync.s.table.t]\nwehre = \"x = 1\""), "9:1", &["did you mean `where`?"]);
    complains(
        &sync_with("[sync.s.table.t]\ndeletes = { mark = \"x\", vlaue = \"y\" }"),
        "9:25",
        &["did you mean `value`?"],
    );
    complains(&sync_with("[snyc.r]"), "8:2", &["unknown key `snyc`; did you mean `sync`?"]);
    let secret =
        complains(&sync_with("[endpoint.c]\nurl = \"nats://x\"\npassword = \"hunter2\""), "10:1", &["`password`"]);
    assert!(!secret.what.contains("hunter2"));
}

#[test]
fn features_of_later_versions_are_refused_by_name() {
    for (lines, place) in [
        ("from = \"a\"\nto = \"b\"\nstrategy = \"log\"", "8:12"),
        ("from = \"a\"\nto = \"b\"\nstrategy = \"timestamp:changed_at\"", "8:12"),
        ("from = \"p\"\nto = \"b\"\nstrategy = \"trigger\"\n[endpoint.p]\nurl = \"postgres://ana@db/shop\"", "8:12"),
        ("between = [\"a\", \"p\"]\n[endpoint.p]\nurl = \"postgres://ana@db/shop\"", "6:17"),
        ("from = \"a\"\nto = \"b\"\nlatency = \"cron 0 3 * * *\"", "8:11"),
        ("from = \"a\"\nto = \"b\"\ninitial = { mode = \"none\" }", "8:1"),
        ("from = \"a\"\nto = \"b\"\ndeletes = \"ignore\"", "8:1"),
        ("from = \"a\"\nto = \"b\"\n[sync.s.table.t]\nkeep_days = 3", "9:1"),
        ("from = \"a\"\nto = \"b\"\n[sync.s.table.t]\nmask = { x = \"hmac\" }", "9:1"),
        ("from = \"a\"\nto = \"b\"\n[engine]\nlisten = \"127.0.0.1:7470\"", "9:1"),
        ("from = \"a\"\nto = \"b\"\n[endpoint.c]\nurl = \"nats://x\"\nschema = \"shop\"", "10:1"),
    ] {
        let error = complains(&with(lines), place, &["is not built yet: "]);
        assert_eq!(error.code, code::NOT_BUILT, "{error}");
    }
    let mixed = complains(&sync_with("initial = {}\nlatncy = 1"), "8:1", &["\ntidewater.toml:9:1: unknown"]);
    assert_eq!(mixed.code, code::CONFIGURATION, "not all of it is about later versions");
}

#[test]
fn a_server_is_a_source_and_a_target_with_words_of_its_own() {
    const SERVER: &str = "[endpoint.p]\nurl = \"postgres://ana@db/shop?sslmode=require\"";
    for lines in ["from = \"p\"\nto = \"b\"\nstrategy = \"log\"", "from = \"a\"\nto = \"p\"\nstrategy = \"auto\""] {
        let config = load_text(&with(&format!("{lines}\n{SERVER}"))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.endpoints["p"].url, "postgres://ana@db/shop?sslmode=require");
    }
    let text = with(&format!("from = \"a\"\nto = \"p\"\n{SERVER}\nlog_rows_max = 5"));
    complains(&text, "10:1", &["`log_rows_max` is for SQLite", "max_slot_wal_keep_size"]);
    let misspelt = with(&format!("from = \"a\"\nto = \"p\"\n{SERVER}")).replace("sslmode", "sslmod");
    complains(&misspelt, "9:7", &["the option sslmod is not known; known are"]);
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for (lines, place, message) in [
        ("tables = \"t\"", "8:10", "`tables`: expected a list of texts, found text"),
        ("tables = []", "8:10", "the list of `tables` is empty"),
        ("tables = [1]", "8:11", "`tables`: expected text, found a whole number"),
        ("tables = [\"!\"]", "8:11", "leave out"),
        ("latency = 5", "8:11", "`latency`: expected text, found a whole number"),
        ("latency = \"every 2w\"", "8:11", "expected \"live\" or a pause such as"),
        ("latency = \"lvie\"", "8:11", "did you mean \"live\"?"),
        ("latency = \"every 0s\"", "8:11", "at least a second"),
        ("latency = \"every 9999d\"", "8:11", "at most a year"),
        ("strategy = \"triger\"", "8:12", "did you mean \"trigger\"?"),
        ("existing = \"overwite\"", "8:12", "did you mean \"overwrite\"?"),
        ("existing = true", "8:12", "expected text, found true or false"),
        ("local_writes = \"no\"", "8:16", "expected \"allow\" or \"refuse\", found \"no\""),
        ("limit = { rows_per_second_max = 0 }", "8:33", "at least 1"),
        ("journal_keep_days = -1", "8:21", "`journal_keep_days` is at least 1"),
        ("journal_keep = 5", "8:1", "unknown key `journal_keep`; did you mean `journal_keep_days`?"),
        ("limit = { rows_per_second_max = 1.5 }", "8:33", "found a number with a point"),
        ("limit = 5", "8:9", "`limit`: expected a table, found a whole number"),
        ("limit = { rows_per_second_max = 99999999999999999999 }", "8:33", "64 bits"),
        ("[[sync.s.table]]", "8:1", "`table`: expected a table, found a list"),
    ] {
        complains(&sync_with(lines), place, &[message]);
    }
    for (lines, place, message) in [
        ("columns = { include = [\"x\"], exclude = [\"y\"] }", "9:1", "either { include"),
        ("columns = {}", "9:1", "either { include"),
        ("deletes = \"aply\"", "9:11", "did you mean \"apply\"?"),
        ("deletes = { value = \"gone\" }", "9:1", "needs `mark`"),
        ("deletes = 1", "9:11", "found a whole number"),
        ("value_bytes_max = \"nune\"", "9:19", "did you mean \"none\"?"),
        ("value_bytes_max = 1.5", "9:19", "a number of bytes or \"none\", found a number with a point"),
        ("name = 1", "9:8", "text, or a table with a text for each target"),
        ("name = { c = \"x\" }", "9:10", "no target of this sync is called `c`"),
        ("rename = { b = { x = \"y\" }, z = \"q\" }", "9:1", "not both at once"),
        ("rename = { c = { x = \"y\" } }", "9:12", "no target of this sync is called `c`"),
        ("rename = { x = \"y\", z = \"Y\" }", "9:25", "two columns cannot both become `Y`"),
    ] {
        complains(&sync_with(&format!("[sync.s.table.t]\n{lines}")), place, &[message]);
    }
}

#[test]
fn filters_are_checked_where_they_stand() {
    let table = |line: &str| sync_with(&format!("[sync.s.table.t]\n{line}"));
    complains(&table("where = \"x = :shop\""), "9:14", &["no variable is called `:shop`; there are none"]);
    complains(&table("where = { b = \"x = 1 / 2\" }"), "9:22", &["division"]);
    complains(&table("where = \"\\\"x\\\" = NULL\""), "9:9", &["use IS NULL"]);
    complains(&table("deleted_when = \"lower(x) = 'y'\""), "9:17", &["functions are not part of the portable subset"]);
    let two = table("where = \"x = :n\"").replace("to = \"b\"", "to = [\"b\", \"c\"]")
        + "[endpoint.c]\nurl = \"nats://x\"\nvars = { n = 1 }";
    complains(&two, "9:14", &["there are none (for the target `b`)"]);
    complains(
        &table("where = \"x = :n\"").replace("to = \"b\"", "to = \"bb\""),
        "7:6",
        &["no endpoint is called `bb`"],
    );
    for bad in ["\"a-b\" = 1", "x = 2026-01-01", "x = nan", "1x = 1", "x = [1]"] {
        let text = format!("[endpoint.c]\nurl = \"nats://x\"\nvars = {{ {bad} }}");
        assert!(load_text(&sync_with(&text)).is_err(), "{bad}");
    }
}

#[test]
fn names_must_fit_together() {
    complains(&with("from = \"aa\"\nto = \"b\""), "6:8", &["no endpoint is called `aa`; did you mean `a`?"]);
    complains(&with("from = \"elsewhere\"\nto = \"b\""), "6:8", &["there are: a, b"]);
    complains(&with("from = \"a\"\nto = [\"b\", \"a\"]"), "7:12", &["`a` is the source of this sync"]);
    complains(&with("from = \"a\"\nto = [\"b\", \"b\"]"), "7:12", &["`b` is named twice"]);
    complains(&with("from = \"a\""), "5:7", &["[sync.s] needs `to`"]);
    complains(&with(""), "5:7", &["[sync.s] needs `from`", "[sync.s] needs `to`"]);
    complains(&sync_with("[endpoint.c]"), "8:11", &["[endpoint.c] needs `url`"]);
    complains("", "1:1", &["there is no sync"]);
    complains("sync = 1", "1:8", &["expected a table"]);
    complains(&sync_with("[endpoint.\"a b\"]\nurl = \"nats://x\""), "8:11", &["letters, digits, `_` and `-`"]);
    complains(&sync_with("[sync.\"s/2\"]\nfrom = \"a\"\nto = \"b\""), "8:7", &["the name of a sync"]);
    let described = "tables = [\"orders\", \"!x\"]\n[sync.s.table.ordres]\nname = \"u\"";
    complains(&sync_with(described), "9:15", &["does not select the table `ordres`; did you mean `orders`?"]);
    complains(&sync_with("[sync.s.table.T]\n[sync.s.table.t]"), "9:15", &["described twice"]);
    assert_eq!(sync_of("tables = [\"p_*\", \"!p_x\"]\n[sync.s.table.p_y]").scopes["b"].tables.len(), 2);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let text = sync_with("latncy = 1\nexisting = \"maybe\"\n[sync.s.table.t]\nwhere = \"x =\"");
    let error =
        complains(&text, "8:1", &["tidewater.toml:9:12: `existing`", "tidewater.toml:11:13: expected a column"]);
    assert_eq!(error.what.lines().count(), 9, "{error}");
    let many: String = (0..30).map(|n| format!("zzz{n} = 1\n")).collect();
    assert!(complains(&sync_with(&many), "8:1", &["… and 10 more"]).what.lines().count() == 61);
}

#[test]
fn broken_toml_and_missing_files_are_told() {
    complains("[sync.s]\nfrom = \"a\nto = 1", "2:10", &["this is not valid TOML"]);
    complains("[sync.s]\nfrom = 1\nfrom = 2", "3:1", &["this is not valid TOML", "duplicate key"]);
    complains("\u{1}", "1:1", &["this is not valid TOML"]);
    let missing = load(&[PathBuf::from("no/such/tidewater.toml")]).expect_err("no such file");
    assert!(missing.what.starts_with("no/such/tidewater.toml cannot be read: "), "{missing}");
    assert_eq!((missing.kind, missing.code), (Kind::Invalid, code::CONFIGURATION));
    assert!(load(&[]).is_err());
}

#[test]
fn no_text_panics() {
    // A linear congruential generator with Knuth's constants: the same texts in every run.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    let pieces =
        ["ä", "\"", "[", "]", "{", "}", "=", "'", "\n", "\t", "#", ".", ",", "1", "\\", "a", "\"\"\"", " = 'x'\n"];
    for _ in 0..2_000 {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for _ in 0..=next(4) {
            let (at, length) = (next(text.len()), next(20));
            let end = (at + length).min(text.len());
            text.splice(at..end, pieces[next(pieces.len())].chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = load_text(&text) {
            assert!(error.what.starts_with("tidewater.toml:"), "{text}\n{error}");
        }
    }
}
