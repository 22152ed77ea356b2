//! A member that holds a part of the tables, from the configuration to the summary.

use crate::given::given;

const SHOP: &str = "CREATE TABLE orders(id INTEGER PRIMARY KEY, store INTEGER, item TEXT, cost REAL DEFAULT 0);
INSERT INTO orders VALUES (1, 7, 'tea', 2.5), (2, 8, 'rum', 9), (3, 7, 'cup', 4);";

const PART: &str = r#"
[endpoint.hq]
url  = "sqlite:shop.db"
[endpoint.till]
url  = "sqlite:till.db"
vars = { store = 7 }

[sync.orders]
tables  = ["orders"]
between = ["hq", "till"]
[sync.orders.table.orders]
where   = { till = "store = :store" }
columns = { till = { exclude = ["cost"] } }
"#;

#[test]
fn a_till_holds_its_own_orders_without_their_cost() {
    let place = given(SHOP);
    place.file("tidewater.toml", PART);

    let plan = place.tidewater("plan").exits(0);
    plan.says("till.db holds a part of orders: all columns but cost, rows where store = :store");
    place.tidewater("run --until-in-step").exits(0).says("in step").says("created in till.db: orders");

    assert_eq!(place.sql("till.db", "SELECT * FROM orders;"), "1|7|tea\n3|7|cup");
    place.sql("till.db", "UPDATE orders SET item = 'mug' WHERE id = 3; INSERT INTO orders VALUES (4, 7, 'jam');");
    place.sql("shop.db", "UPDATE orders SET store = 8 WHERE id = 1; UPDATE orders SET cost = 5 WHERE id = 3;");
    let done = place.tidewater("run --until-in-step").exits(0);
    done.says("in step").says("till.db: 1 row is not of its part any more and was taken out there");
    assert_eq!(place.sql("till.db", "SELECT * FROM orders;"), "3|7|mug\n4|7|jam");
    assert_eq!(place.sql("shop.db", "SELECT * FROM orders;"), "1|8|tea|2.5\n2|8|rum|9.0\n3|7|mug|5.0\n4|7|jam|0.0");

    place.tidewater("verify").exits(0).says("equal");
    place.sql("till.db", "UPDATE orders SET item = 'other' WHERE id = 4;");
    place.tidewater("verify").exits(1).says("orders key 4  differs: item");
    place.tidewater("status").exits(0).says("till.db");
    place.tidewater("plan").exits(0).says("1 row differs");
}

#[test]
fn a_part_that_is_changed_in_its_columns_is_refused_with_what_to_do() {
    let place = given(SHOP);
    place.file("tidewater.toml", PART);
    place.tidewater("run --until-in-step").exits(0);
    place.file("tidewater.toml", &PART.replace("exclude = [\"cost\"]", "exclude = [\"item\"]"));
    place.tidewater("run --until-in-step").exits(1).says("E0029 till.db holds some columns of orders").says("teardown");
    place.file("tidewater.toml", &PART.replace("store = :store", "store = 8"));
    place.tidewater("run --until-in-step").exits(0).says("in step");
    assert_eq!(place.sql("till.db", "SELECT * FROM orders;"), "2|8|rum");
}
