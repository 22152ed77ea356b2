//! What people get wrong, and what is wrong with their files: every mistake has its number, its exit code, a way
//! out, and changes nothing. Full disks and locks are in `bad_input/machine.rs`, tables that cannot be carried in
//! `bad_input/tables.rs`.

mod machine;
mod tables;

use crate::given::{SHOP, an_empty_place, given, numbered};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;

#[test]
fn a_missing_source_is_never_created_and_neither_is_the_target() {
    let place = an_empty_place();
    for command in ["sync", "sync --once", "plan", "verify"] {
        let (command, flags) = command.split_once(' ').unwrap_or((command, ""));
        let refused = place.tidewater(&format!("{command} sqlite:shop.db sqlite:till.db {flags}")).exits(3);
        refused.says("E0010").says("there is no such file");
    }
    let refused = place.tries_to_sync("").exits(3);
    refused.says("E0010 shop.db: there is no such file\nA source is never created.").says("Swap the arguments");
    place
        .tidewater("sync sqlite:nowhere/shop.db sqlite:till.db")
        .exits(3)
        .says("nowhere/shop.db: its folder does not exist");
    place.tidewater("sync sqlite:shop.db sqlite:till.db --watch").exits(3).says("E0010");
    assert_eq!(place.files(), Vec::<String>::new());
    for command in ["status sqlite:shop.db", "teardown sqlite:shop.db", "conflicts restore sqlite:shop.db --run x"] {
        place.tidewater(command).exits(3).says("E0010 shop.db: there is no such file");
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_target_in_a_missing_folder_is_refused_and_nothing_is_installed() {
    let shop = given(SHOP);
    let refused = shop.tidewater("sync sqlite:shop.db sqlite:nowhere/till.db").exits(3);
    let refused = refused.says("E0010 nowhere/till.db: its folder does not exist");
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
    refused.never_says("A source is never created");
}

#[test]
fn a_folder_and_a_file_of_something_else_are_no_databases() {
    let shop = given(SHOP);
    std::fs::create_dir(shop.path("folder")).expect("a folder");
    shop.file("letter.txt", &"Dear Sir or Madam, this is no database at all. ".repeat(40));
    let letter = shop.bytes("letter.txt");
    for (source, target, said) in [
        ("folder", "till.db", "E0011 folder is a folder"),
        ("shop.db", "folder", "E0011 folder is a folder"),
        ("letter.txt", "till.db", "E0011 letter.txt is not a SQLite database"),
        ("shop.db", "letter.txt", "E0011 letter.txt is not a SQLite database"),
    ] {
        for flags in ["", "--once", "--existing mirror"] {
            shop.tidewater(&format!("sync sqlite:{source} sqlite:{target} {flags}")).exits(2).says(said);
        }
        shop.tidewater(&format!("verify sqlite:{source} sqlite:{target}"));
    }
    assert_eq!(shop.files(), ["folder", "letter.txt", "shop.db"]);
    assert_eq!((shop.bytes("letter.txt"), shop.installed("shop.db")), (letter, String::new()));
}

#[test]
fn a_damaged_source_stops_and_a_repaired_one_goes_on() {
    let shop = given(&numbered(20_000));
    let whole = shop.bytes("shop.db");
    let mut file = std::fs::OpenOptions::new().write(true).open(shop.path("shop.db")).expect("the database");
    file.seek(SeekFrom::Start(4096 * (whole.len() as u64 / 4096 / 2))).expect("it is long enough");
    file.write_all(&[0xA5; 4096]).expect("a page of garbage");
    drop(file);

    let refused = shop.tries_to_sync("").exits(1);

    refused.says("E0014 shop.db is damaged").says("sqlite3 shop.db 'PRAGMA integrity_check'");
    shop.tries_to_sync("--json").exits(1).json();
    let copied = "SELECT count(*), count(*) FILTER (WHERE v <> 'value ' || id) FROM t;";
    if shop.files().contains(&"till.db".to_owned()) && shop.try_sql("till.db", copied).is_ok() {
        assert!(shop.sql("till.db", copied).ends_with("|0"), "what was copied is right");
    }
    std::fs::write(shop.path("shop.db"), &whole).expect("the backup is put back");
    shop.syncs();
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn a_file_that_is_cut_off_is_damaged() {
    let shop = given(&numbered(2_000));
    let whole = shop.bytes("shop.db");
    for length in [5_000, 50] {
        std::fs::write(shop.path("cut.db"), &whole[..length]).expect("a file");
        let refused = shop.tidewater("sync sqlite:cut.db sqlite:till.db").exits(1);
        refused.says("cut.db").says("E001").never_says("in step");
        let _ = std::fs::remove_file(shop.path("till.db"));
    }
    std::fs::write(shop.path("till.db"), &whole[..5_000]).expect("a file");
    shop.tries_to_sync("").exits(1).says("E0014 till.db is damaged");
    assert_eq!(shop.bytes("till.db"), whole[..5_000], "it was not touched");
}

#[test]
fn a_database_is_not_synced_with_itself_by_whatever_name() {
    let shop = given(SHOP);
    let before = shop.bytes("shop.db");
    symlink("shop.db", shop.path("link.db")).expect("a symbolic link");
    std::fs::create_dir(shop.path("sub")).expect("a folder");
    symlink("..", shop.path("sub/up")).expect("a symbolic link");
    std::fs::hard_link(shop.path("shop.db"), shop.path("hard.db")).expect("a hard link");
    let absolute = shop.path("shop.db").display().to_string();
    for other in ["shop.db", "./shop.db", "sub/../shop.db", "link.db", "sub/up/shop.db", &absolute, "hard.db"] {
        let refused = shop.tidewater(&format!("sync sqlite:shop.db sqlite:{other}")).exits(2);
        refused.says(&format!("E0016 shop.db and {other} are the same database"));
        shop.tidewater(&format!("sync sqlite:{other} sqlite:shop.db --once")).exits(2).says("E0016");
        shop.tidewater(&format!("plan sqlite:shop.db sqlite:{other}")).exits(2).says("E0016");
    }
    assert_eq!(shop.bytes("shop.db"), before);
    assert_eq!(shop.files(), ["hard.db", "link.db", "shop.db", "sub"]);
}

#[test]
fn urls_that_are_none_say_what_to_write() {
    let shop = given(SHOP);
    for (url, said) in [
        (
            "till.db",
            "E0004 till.db is not the URL of an endpoint\nNothing was read or written.\nWrite a SQLite database as sqlite:till.db",
        ),
        ("./till.db", "Write a SQLite database as sqlite:./till.db"),
        ("ftp://host/till.db", "E0004 ftp://host/till.db is not the URL of an endpoint"),
        ("sqlite:", "E0004 sqlite: names no file"),
        ("sqlite::memory:", "E0004 sqlite::memory: names no file"),
        ("pg://ana@host/shop", "Write a SQLite database as sqlite:PATH, a PostgreSQL database as postgres://USER@HOST"),
        ("postgres://ana@host:port/shop", "E0004 postgres:… is not the URL of a PostgreSQL database: the port is not"),
        ("postgres://ana@host/shop?sslmod=require", "the option sslmod is not known; known are"),
        ("postgresql:shop", "a PostgreSQL URL begins with postgres://"),
        ("mysql://localhost/shop", "E0003 mysql: endpoints are not built yet"),
        ("nats://localhost", "E0003 nats: endpoints are not built yet"),
        ("stdout:?stat=x", "E0004 stdout:?stat=x is not the URL of standard output"),
    ] {
        shop.tidewater(&format!("sync sqlite:shop.db {url}")).exits(2).says(said);
        shop.tidewater(&format!("sync {url} sqlite:shop.db")).exits(2).says(said);
        shop.tidewater(&format!("verify sqlite:shop.db {url}")).exits(2).says(said);
        shop.tidewater(&format!("status {url}")).exits(2).says(said);
    }
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
    shop.tidewater(&format!("sync sqlite://shop.db sqlite://{}", shop.path("till.db").display())).exits(0);
    shop.same_rows("shop.db", "till.db");
}

#[test]
fn a_password_in_a_url_is_not_printed() {
    let shop = given(SHOP);
    for url in ["postgres://ana:hunter2@host:port/shop", "pg://ana:hunter2@host/shop", "postgres:ana:hunter2@host"] {
        shop.tidewater(&format!("sync sqlite:shop.db {url}")).exits(2).never_says("hunter2");
    }
    // Nobody listens there.
    let away = "postgres://ana:hunter2@127.0.0.1:1/shop";
    for command in ["sync sqlite:shop.db", "plan sqlite:shop.db", "verify sqlite:shop.db", "status", "teardown"] {
        shop.tidewater(&format!("{command} {away}"))
            .exits(3)
            .says("postgres://ana@127.0.0.1:1/shop")
            .never_says("hunter2");
    }
    assert_eq!(shop.installed("shop.db"), "");
}

#[test]
fn a_server_takes_no_part_in_what_goes_both_ways() {
    let shop = given(SHOP);
    let server = "postgres://ana:hunter2@127.0.0.1:1/shop";
    for command in ["sync", "plan"] {
        for pair in [format!("sqlite:shop.db {server}"), format!("{server} sqlite:shop.db")] {
            let refused = shop.tidewater(&format!("{command} {pair} --both-ways")).exits(2);
            refused
                .says("E0003 postgres://ana@127.0.0.1:1/shop: PostgreSQL does not take part in syncs both ways yet")
                .says("leave --both-ways out")
                .never_says("hunter2");
        }
    }
    for command in [
        format!("list {server}"),
        format!("show {server} c0ffee"),
        format!("resolve {server} c0ffee --take 1"),
        format!("restore {server} c0ffee"),
        format!("export {server}"),
    ] {
        let refused = shop.tidewater(&format!("conflicts {command}")).exits(2);
        let status = "tidewater status postgres://ana@127.0.0.1:1/shop";
        let restore = "tidewater conflicts restore postgres://ana@127.0.0.1:1/shop --run RUN";
        refused.says("E0003").says(status).says(restore).never_says("hunter2");
    }
    for command in [format!("restore {server} --run x"), format!("forget {server} --older-than-days 5")] {
        shop.tidewater(&format!("conflicts {command}")).exits(3).never_says("hunter2");
    }
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

#[test]
fn a_database_of_a_server_is_not_synced_with_itself() {
    let place = an_empty_place();
    let pair = "postgres://ana@127.0.0.1:1/shop postgres://bo:hunter2@localhost:1/shop";
    for command in ["sync", "plan", "verify"] {
        let refused = place.tidewater(&format!("{command} {pair}")).exits(2).never_says("hunter2");
        refused.says("E0016 postgres://ana@127.0.0.1:1/shop and postgres://bo@localhost:1/shop are the same database");
    }
}

#[test]
fn wrong_use_ends_with_2_and_changes_nothing() {
    let shop = given(SHOP);
    let sync = "sync sqlite:shop.db sqlite:till.db";
    for wrong in [
        "",
        "snyc sqlite:shop.db sqlite:till.db",
        "sync sqlite:shop.db",
        "sync sqlite:shop.db sqlite:till.db sqlite:third.db",
        &format!("{sync} --exisitng mirror"),
        &format!("{sync} --existing replace"),
        &format!("{sync} --rows-per-second-max 0"),
        &format!("{sync} --rows-per-second-max many"),
        &format!("{sync} --watch --once"),
        "verify sqlite:shop.db sqlite:till.db --existing mirror",
        "plan sqlite:shop.db",
        "plan -c tidewater.toml sqlite:shop.db sqlite:till.db",
        "conflicts restore sqlite:shop.db",
        "teardown sqlite:a.db sqlite:b.db sqlite:c.db",
        "run",
        "run -c nowhere.toml",
    ] {
        let refused = shop.tidewater(wrong).exits(2);
        assert!(!refused.err.is_empty() && refused.out.is_empty(), "it says what is wrong: {refused}");
    }
    shop.tidewater(&format!("{sync} --exisitng mirror")).says("--existing");
    shop.tidewater("snyc a b").says("sync");
    shop.tidewater("run").says("E0002 tidewater.toml cannot be read").says("-c FILE");
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
    shop.tidewater("--help").exits(0).says("Exit codes");
    shop.tidewater("--version").exits(0).says("tidewater ");
}

#[test]
fn flags_that_do_not_go_with_both_ways_are_refused_and_never_ignored() {
    let shop = given(SHOP);
    for flag in ["--once", "--existing mirror", "--protect", "--rows-per-second-max 5"] {
        let name = flag.split(' ').next().expect("a name");
        shop.tries_to_sync(&format!("--both-ways {flag}")).exits(2).says("--both-ways").says(name);
    }
    for flag in ["--prefer source", "--prefer newest:updated_at", "--conflicts merge"] {
        shop.tries_to_sync(flag).exits(2).says("--both-ways");
    }
    for (flag, said) in [
        ("--prefer shop", "it is source, target or newest:COLUMN"),
        ("--prefer newest:", "it is source, target or newest:COLUMN"),
        ("--conflicts newest", "it is merge, last-writer, first-writer"),
        ("--conflicts prefer:shop", "it is merge, last-writer, first-writer"),
    ] {
        shop.tries_to_sync(&format!("--both-ways {flag}")).exits(2).says(said);
    }
    assert_eq!(shop.tries_to_sync("--both-ways --once --json").exits(2).json()["error"], "E0001");
    shop.tidewater("plan --both-ways").exits(2);
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

#[test]
fn both_ways_needs_one_of_the_files_and_two_different_ones() {
    let shop = given(SHOP);
    for flags in ["", "--watch"] {
        let missing = shop.tidewater(&format!("sync sqlite:a.db sqlite:b.db --both-ways {flags}"));
        missing.exits(3).says("E0010 a.db: there is no such file");
    }
    shop.tidewater("sync sqlite:shop.db sqlite:./shop.db --both-ways").exits(2).says("E0016 shop.db and ./shop.db");
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

#[test]
fn what_goes_one_way_is_not_turned_into_both_by_accident() {
    let shop = given(SHOP);
    shop.syncs();
    let refused = shop.tries_to_sync("--both-ways").exits(1);
    refused
        .says("E0022 shop.db and till.db are in step one way")
        .says("tidewater teardown sqlite:shop.db sqlite:till.db");
    let folder = shop.tidewater("sync sqlite:shop.db sqlite:nowhere/till.db --both-ways").exits(3);
    folder.says("E0010 nowhere/till.db: its folder does not exist");
}

#[test]
fn conflicts_of_a_database_that_takes_part_in_nothing() {
    let shop = given(SHOP);
    shop.tidewater("conflicts list sqlite:shop.db").exits(0).says("shop.db: no conflicts");
    let listed = shop.tidewater("conflicts list sqlite:shop.db --json").exits(0).json();
    assert_eq!((listed["conflicts"].as_array().map(Vec::len), &listed["more"]), (Some(0), &false.into()));
    assert_eq!(shop.tidewater("conflicts export sqlite:shop.db").exits(0).out, "");
    for command in ["show sqlite:shop.db c0ffee", "resolve sqlite:shop.db c0ffee --take 1", "restore sqlite:shop.db c0"]
    {
        shop.tidewater(&format!("conflicts {command}")).exits(2).says("E0001 shop.db takes part in no sync both ways");
    }
    shop.tidewater("conflicts list sqlite:nowhere.db").exits(3).says("E0010");
    for (wrong, said) in [
        ("resolve sqlite:shop.db c0", "--take"),
        ("resolve sqlite:shop.db c0 --take 1 --set a=1", "--set"),
        ("resolve sqlite:shop.db c0 --set a=Anchor", "a: Anchor is no value"),
        ("resolve sqlite:shop.db c0 --set a=1 --set A=2", "--set names A twice"),
        ("restore sqlite:shop.db", "--run"),
        ("restore sqlite:shop.db c0 --run r", "--run"),
    ] {
        shop.tidewater(&format!("conflicts {wrong}")).exits(2).says(said);
    }
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

#[test]
fn tables_that_are_not_there_are_named_beside_those_that_are() {
    let shop = given(SHOP);
    let refused = shop.tries_to_sync("--tables prodcuts").exits(2);
    refused.says("E0026 no table is called prodcuts").says("customers, order_lines, orders, products");
    shop.tries_to_sync("--tables nothing_*").exits(2).says("E0020 shop.db has no table to sync");
    assert_eq!((shop.files(), shop.installed("shop.db")), (vec!["shop.db".to_owned()], String::new()));
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let shop = given(SHOP);
    shop.syncs();
    shop.sql("till.db", "UPDATE _tidewater_control SET format = 99;");
    let before = shop.dump("till.db");
    for command in
        ["sync sqlite:shop.db sqlite:till.db", "status sqlite:till.db", "teardown sqlite:shop.db sqlite:till.db"]
    {
        shop.tidewater(command).exits(2).says("E0017 till.db was used by a newer Tidewater");
    }
    assert_eq!(shop.dump("till.db"), before);
}

#[test]
fn wrong_use_is_told_as_json_to_those_who_asked_for_it() {
    let place = an_empty_place();
    for (arguments, what) in [
        ("sync --json --wrong", "unexpected argument '--wrong' found"),
        ("verify sqlite:a.db --json", "the following required arguments were not provided:\n  <TARGET>"),
        ("snyc --json", "unrecognized subcommand 'snyc'"),
    ] {
        let told = place.tidewater(arguments).exits(2).json();
        assert_eq!((told["error"].as_str(), told["what"].as_str()), (Some("E0001"), Some(what)), "{told}");
        assert!(told["remedy"].as_str().is_some_and(|remedy| remedy.contains("Usage: tidewater")), "{told}");
        assert!(told["meaning"].is_string(), "{told}");
    }
    let plain = place.tidewater("sync --wrong").exits(2);
    assert_eq!(plain.out, "", "for people on standard error");
    place.tidewater("sync --json --help").exits(0).says("Usage: tidewater sync");
}
