//! Syncs both ways: what their keys mean, and what is said about wrong ones.

use super::*;
use tidewater_core::merge::{DeleteUpdate, Orphans, Rule};

/// Two endpoints and a sync between them, with these lines from line 7 on.
fn between(lines: &str) -> String {
    with(&format!("between = [\"a\", \"b\"]\n{lines}"))
}

fn both_ways(lines: &str) -> BothWays {
    let mut config = load_text(&between(lines)).unwrap_or_else(|error| panic!("{lines}: {error}"));
    match config.syncs.remove(0) {
        Sync::BothWays(sync) => sync,
        Sync::OneWay(sync) => panic!("{} is one way", sync.name),
    }
}

#[test]
fn the_example_of_the_design_means_what_it_says() {
    let text = r#"
        [endpoint.hq]
        url = "sqlite:hq.db"
        [endpoint.till]
        url = "sqlite:till.db"
        [sync.orders]                             # multi-master
        tables    = ["orders", "order_lines"]
        between   = ["hq", "till"]
        prefer    = "newest:changed_at"
        conflicts = "merge"
        latency   = "every 5m"
        [sync.orders.table.orders]
        together     = [["amount", "currency"]]
        conflicts    = { notes = "manual", status = "prefer:hq" }
        delete_against_update = "delete"
        orphans      = "keep"
        [sync.orders.table.order_lines]
        conflicts = "first-writer"
        [sync.catalog]
        tables = ["products"]
        from = "hq"
        to = "till"
    "#;
    let config = load_text(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.syncs.iter().map(Sync::name).collect::<Vec<_>>(), ["orders", "catalog"], "side by side");
    let Sync::BothWays(orders) = &config.syncs[0] else { panic!("both ways") };
    assert_eq!(orders.between, ["hq", "till"]);
    assert_eq!(orders.tables, ["orders", "order_lines"].map(Pattern::new));
    assert_eq!(orders.prefer, Some(Prefer::Newest("changed_at".into())));
    assert_eq!(orders.latency, Latency::Every(Duration::from_secs(300)));
    assert_eq!(orders.policy, Policy::default());
    let own = &orders.policies["orders"];
    assert_eq!((&own.row, own.delete_update), (&Rule::Merge, DeleteUpdate::Delete));
    assert_eq!(own.together, [["amount", "currency"].map(str::to_owned).to_vec()]);
    let columns = [("notes", Rule::Manual), ("status", Rule::Prefer("hq".into()))];
    assert_eq!(own.columns, columns.map(|(column, rule)| (column.to_owned(), rule)));
    assert_eq!((own.orphans, orders.policy.orphans), (Orphans::Keep, Orphans::Park));
    assert_eq!(orders.policies["order_lines"].row, Rule::FirstWriter);
}

#[test]
fn rules_of_the_sync_hold_for_tables_that_say_nothing_else() {
    for (word, rule) in [
        ("merge", Rule::Merge),
        ("last-writer", Rule::LastWriter),
        ("first-writer", Rule::FirstWriter),
        ("prefer:b", Rule::Prefer("b".into())),
        ("manual", Rule::Manual),
    ] {
        let lines = format!("conflicts = \"{word}\"\ndelete_against_update = \"delete\"\n[sync.s.table.t]");
        let sync = both_ways(&format!("{lines}\nconflicts = {{ note = \"manual\" }}"));
        assert_eq!((&sync.policy.row, sync.policy.delete_update), (&rule, DeleteUpdate::Delete));
        let own = &sync.policies["t"];
        assert_eq!((&own.row, own.delete_update, own.columns.len()), (&rule, DeleteUpdate::Delete, 1));
    }
    assert_eq!(both_ways("").policy, Policy::default());
    assert_eq!(
        (both_ways("").journal_keep_days, both_ways("journal_keep_days = 90").journal_keep_days),
        (None, Some(90))
    );
    assert_eq!(both_ways("prefer = \"b\"").prefer, Some(Prefer::Member(1)));
    assert_eq!(both_ways("strategy = \"trigger\"").prefer, None);
}

#[test]
fn a_later_file_changes_the_rule_of_one_column() {
    let base = between("[sync.s.table.t]\nconflicts = { x = \"manual\", y = \"manual\" }");
    let over = "[sync.s.table.t.conflicts]\ny = \"first-writer\"\n";
    let config = load_files(&[("base.toml", &base), ("prod.toml", over)]).unwrap_or_else(|error| panic!("{error}"));
    let Sync::BothWays(sync) = &config.syncs[0] else { panic!("both ways") };
    let columns = [("x".to_owned(), Rule::Manual), ("y".to_owned(), Rule::FirstWriter)];
    assert_eq!(sync.policies["t"].columns, columns);
}

#[test]
fn wrong_values_are_shown_where_they_stand() {
    for (lines, place, message) in [
        ("conflicts = \"merg\"", "7:13", "`conflicts`: expected \"merge\", \"last-writer\""),
        ("conflicts = \"merg\"", "7:13", "did you mean \"merge\"?"),
        ("conflicts = \"lastwriter\"", "7:13", "did you mean \"last-writer\"?"),
        ("conflicts = \"prefer:\"", "7:13", "\"prefer:ENDPOINT\""),
        ("conflicts = \"prefer:bb\"", "7:21", "no endpoint of `between` is called `bb`; did you mean `b`?"),
        ("conflicts = \"prefer:hq\"", "7:21", "there are: a, b"),
        ("conflicts = 1", "7:13", "expected text, found a whole number"),
        ("conflicts = { x = \"merge\" }", "7:13", "expected text, found a table"),
        ("prefer = \"bb\"", "7:10", "no endpoint of `between` is called `bb`; did you mean `b`?"),
        ("prefer = \"newest:\"", "7:10", "after `newest:` stands the column"),
        ("delete_against_update = \"keep\"", "7:25", "expected \"keep-update\" or \"delete\""),
        ("orphans = \"drop\"", "7:11", "expected \"park\" or \"keep\""),
        ("existing = \"mirror\"", "7:1", "`existing` does not go with `between`: `prefer` says"),
        ("local_writes = \"refuse\"", "7:1", "`local_writes` does not go with `between`"),
        ("run_triggers = [\"x\"]", "7:1", "`run_triggers` does not go with `between`"),
        ("from = \"a\"\nto = \"b\"", "7:1", "`from` does not go with `between`"),
        ("limit = { rows_per_second_max = 5 }", "7:1", "`limit` does not go with `between`"),
        ("journal_keep_day = 90", "7:1", "unknown key `journal_keep_day`; did you mean `journal_keep_days`?"),
        ("journal_keep_days = 0", "7:21", "`journal_keep_days` is at least 1; for no limit leave it out"),
        ("journal_keep_days = \"90d\"", "7:21", "`journal_keep_days`: expected a whole number, found text"),
        ("conflict = \"merge\"", "7:1", "unknown key `conflict`; did you mean `conflicts`?"),
        ("tables = [\"x\"]\n[sync.s.table.t]", "8:15", "`tables` does not select the table `t`"),
    ] {
        complains(&between(lines), place, &[message]);
    }
    for (lines, place, message) in [
        ("conflicts = \"manul\"", "8:13", "did you mean \"manual\"?"),
        ("conflicts = [\"merge\"]", "8:13", "expected a rule, or a table with a rule for each column, found a list"),
        ("conflicts = { note = \"prefer:c\" }", "8:30", "no endpoint of `between` is called `c`"),
        ("conflicts = { note = true }", "8:22", "`note`: expected text"),
        ("together = [\"x\", \"y\"]", "8:13", "a list of lists of columns"),
        ("together = \"x\"", "8:12", "a list of lists of columns"),
        ("together = [[\"x\"]]", "8:13", "at least two columns belong together"),
        ("together = [[\"x\", \"y\"], [\"y\", \"z\"]]", "8:26", "the column `y` is named twice"),
        ("delete_against_update = true", "8:25", "expected text"),
        ("conflcts = \"merge\"", "8:1", "did you mean `conflicts`?"),
    ] {
        complains(&between(&format!("[sync.s.table.t]\n{lines}")), place, &[message]);
    }
}

#[test]
fn endpoints_of_between_are_two_or_more_and_each_is_known() {
    let only = |list: &str| with(&format!("between = {list}"));
    complains(&only("[\"a\"]"), "6:12", &["at least two endpoints"]);
    complains(&only("[\"a\", \"a\"]"), "6:17", &["`a` is named twice"]);
    complains(&only("[\"a\", \"bb\"]"), "6:17", &["no endpoint is called `bb`; did you mean `b`?"]);
    complains(&only("\"a\""), "6:11", &["expected a list of texts"]);
    complains(&only("[]"), "6:11", &["is empty"]);
}

#[test]
fn rules_and_keys_of_later_versions_are_refused_by_name() {
    for rule in ["max", "min", "counter", "set", "text", "script:total.js"] {
        let name = rule.split(':').next().expect("a word");
        for lines in [
            format!("conflicts = \"{rule}\"\n[sync.s.table.t]"),
            format!("[sync.s.table.t]\nconflicts = {{ x = \"{rule}\" }}"),
        ] {
            let error = load_text(&between(&lines)).map(|_| ()).expect_err(rule);
            assert_eq!(error.code, code::NOT_BUILT, "{error}");
            assert!(error.what.contains(&format!("the rule \"{name}\" is not built yet")), "{error}");
        }
    }
    for line in [
        "name = \"u\"",
        "rename = { x = \"y\" }",
        "deletes = \"ignore\"",
        "deleted_when = \"x = 1\"",
        "value_bytes_max = 5",
        "keep_days = 3",
        "mask = { x = \"hmac\" }",
    ] {
        let error = complains(&between(&format!("[sync.s.table.t]\n{line}")), "8:1", &["is not built yet: "]);
        assert_eq!(error.code, code::NOT_BUILT, "{error}");
    }
    for line in ["strategy = \"log\"", "latency = \"cron 0 3 * * *\"", "initial = {}", "event = {}"] {
        let error = load_text(&between(line)).map(|_| ()).expect_err(line);
        assert_eq!(error.code, code::NOT_BUILT, "{error}");
    }
}

#[test]
fn one_way_the_rules_of_conflicts_have_no_place() {
    for (lines, place) in [
        ("conflicts = \"merge\"", "8:1"),
        ("prefer = \"a\"", "8:1"),
        ("delete_against_update = \"delete\"", "8:1"),
        ("orphans = \"keep\"", "8:1"),
        ("[sync.s.table.t]\norphans = \"keep\"", "9:1"),
        ("[sync.s.table.t]\nconflicts = { x = \"manual\" }", "9:1"),
        ("[sync.s.table.t]\ntogether = [[\"x\", \"y\"]]", "9:1"),
    ] {
        let error = complains(&sync_with(lines), place, &["`between`: one way, the source always wins"]);
        assert_eq!(error.code, code::CONFIGURATION);
    }
}

#[test]
fn a_member_may_hold_a_part_by_its_own_variables() {
    let text = "
        [endpoint.hq]
        url = \"sqlite:hq.db\"
        [endpoint.till]
        url = \"sqlite:till.db\"
        vars = { store = 7 }
        [sync.orders]
        tables  = [\"orders\", \"products\"]
        between = [\"hq\", \"till\"]
        [sync.orders.table.orders]
        where   = { till = \"store_id = :store\" }
        [sync.orders.table.products]
        columns = { till = { exclude = [\"cost\"] } }
        ";
    let config = load_text(text).expect("it loads");
    let Sync::BothWays(sync) = &config.syncs[0] else { panic!("it is both ways") };
    let held = &sync.parts[&1];
    assert_eq!(held["orders"].filter.as_ref().expect("a filter").columns(), ["store_id"]);
    assert_eq!(held["products"].exclude, ["cost"]);
    assert_eq!(sync.parts.len(), 1);
    assert_eq!(sync.policies.len(), 2);
}

#[test]
fn parts_are_checked_where_they_stand() {
    let table = |line: &str| between(&format!("[sync.s.table.t]\n{line}"));
    complains(&table("where = \"x = 1\""), "8:9", &["`where`", "who holds a part"]);
    complains(&table("where = { c = \"x = 1\" }"), "8:11", &["called `c`; did you mean `a`?"]);
    complains(&table("where = { b = \"x = :shop\" }"), "8:20", &["no variable is called `:shop`"]);
    complains(&table("columns = [\"x\"]"), "8:11", &["`columns`", "who holds a part"]);
    complains(&table("columns = { b = {} }"), "8:13", &["either { include"]);
    complains(&table("where = { a = \"x = 1\", b = \"x = 2\" }"), "5:7", &["one must hold all columns and rows"]);
}
