//! What lies in `examples/` works as it stands. The Rust program there is run by the connector's tests.

use crate::given::{Place, SHOP, an_empty_place, given};

/// A folder with a copy of these files of `examples/`.
fn given_examples(files: &[&str]) -> Place {
    let place = an_empty_place();
    for file in files {
        let path = format!("{}/../../examples/{file}", env!("CARGO_MANIFEST_DIR"));
        let name = file.rsplit('/').next().expect("a name");
        std::fs::copy(&path, place.path(name)).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    place
}

#[test]
fn two_stores_get_the_catalogue_and_their_own_stock() {
    let place = given_examples(&["one-way/tidewater.toml", "one-way/shop.sql"]);
    place.sql("shop.db", ".read shop.sql");
    place.tidewater("plan").exits(0);
    place.tidewater("run --until-in-step").exits(0);
    place.tidewater("verify").exits(0);
    for (store, stock) in [("north.db", "1|1|4\n1|2|10"), ("south.db", "2|2|6\n2|3|25")] {
        assert_eq!(place.sql(store, "SELECT * FROM stock ORDER BY product;"), stock);
        assert_eq!(place.sql(store, "SELECT * FROM products WHERE id = 1;"), "1|Anchor|95", "without the cost");
        place.try_sql(store, "DELETE FROM stock;").expect_err("a store cannot write");
    }
    place.sql("shop.db", "UPDATE stock SET store = 2 WHERE product = 1;");
    place.tidewater("run --until-in-step").exits(0);
    assert_eq!(place.sql("south.db", "SELECT count(*) FROM stock;"), "3", "a row that moves moves there");
    assert_eq!(place.sql("north.db", "SELECT count(*) FROM stock;"), "1");
}

#[test]
fn a_nightly_copy_is_brought_up_to_date_and_proved() {
    let place = given(SHOP);
    let script = format!("{}/../../examples/nightly-copy/nightly-copy.sh", env!("CARGO_MANIFEST_DIR"));
    place.copies_and_runs(&format!("'{script}'")).exits(2).says("usage:");
    for _night in 0..2 {
        place.copies_and_runs(&format!("'{script}' shop.db copy.db")).exits(0).says("in step").says("equal");
        place.same_rows("shop.db", "copy.db");
        place.sql("shop.db", "UPDATE products SET price = price + 1;");
    }
    place.copies_and_runs(&format!("'{script}' nowhere.db copy.db")).exits(3);
}
