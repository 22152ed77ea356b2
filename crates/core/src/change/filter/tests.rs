//! Tests of the grammar: what is read as what, what is refused where, and that nothing panics.

use super::*;

fn vars() -> BTreeMap<String, Value<'static>> {
    BTreeMap::from([
        ("store".into(), Value::I64(7)),
        ("region".into(), Value::Text("north".into())),
        ("open".into(), Value::Bool(true)),
    ])
}

/// The tree with a parenthesis around everything, so that precedence can be seen.
fn shape(expr: &Expr) -> String {
    let list = |list: &[Expr]| list.iter().map(shape).collect::<Vec<_>>().join(" ");
    let not = |negated: bool| if negated { "not-" } else { "" };
    match expr {
        Expr::Column(name) => name.clone(),
        Expr::Literal(value) => value.to_string(),
        Expr::Not(inner) => format!("(not {})", shape(inner)),
        Expr::Negate(inner) => format!("(neg {})", shape(inner)),
        Expr::Binary(op, left, right) => format!("({op:?} {} {})", shape(left), shape(right)),
        Expr::IsNull { expr, negated } => format!("({}null {})", not(*negated), shape(expr)),
        Expr::In { expr, list: items, negated } => format!("({}in {} {})", not(*negated), shape(expr), list(items)),
        Expr::Between { expr, low, high, negated } => {
            format!("({}between {} {} {})", not(*negated), shape(expr), shape(low), shape(high))
        }
    }
}

fn refused(text: &str) -> FilterError {
    Filter::parse(text, &vars()).expect_err(text)
}

#[test]
fn expressions_are_read_with_the_precedence_of_sql() {
    for (text, tree) in [
        ("store_id = :store", "(Eq store_id 7)"),
        ("a == 1", "(Eq a 1)"),
        ("a != 1 or b <> 2 and c < 3", "(Or (NotEq a 1) (And (NotEq b 2) (Lt c 3)))"),
        ("(a = 1 OR b = 2) AND c >= 3", "(And (Or (Eq a 1) (Eq b 2)) (GtEq c 3))"),
        ("a + b * 2 - c > 0", "(Gt (Subtract (Add a (Multiply b 2)) c) 0)"),
        ("NOT a = 1 AND b <= 2", "(And (not (Eq a 1)) (LtEq b 2))"),
        ("NOT NOT active", "(not (not active))"),
        ("active", "active"),
        ("deleted_at IS NOT NULL", "(not-null deleted_at)"),
        ("a Is Null", "(null a)"),
        ("a in (1, 2, -3)", "(in a 1 2 -3)"),
        ("a + 1 NOT IN (:store)", "(not-in (Add a 1) 7)"),
        ("a between 1 and 5 and b = 2", "(And (between a 1 5) (Eq b 2))"),
        ("a not between b - 1 and b + 1", "(not-between a (Subtract b 1) (Add b 1))"),
        ("a = 1 AND b = 2 AND c = 3 AND d = 4", "(And (And (Eq a 1) (Eq b 2)) (And (Eq c 3) (Eq d 4)))"),
        ("-a < - -5", "(Lt (neg a) (neg -5))"),
        ("(a IS NULL) = (b IS NULL)", "(Eq (null a) (null b))"),
        ("is_deleted = TRUE or closed = :open", "(Or (Eq is_deleted true) (Eq closed true))"),
        ("\"a \"\"b\"\"\" = 'it''s ; -- ?'", "(Eq a \"b\" 'it\\'s ; -- ?')"),
        ("größe=1.5", "(Eq größe 1.5)"),
        ("a=.5", "(Eq a 0.5)"),
        ("a>-1e3", "(Gt a -1000.0)"),
        ("a = -9223372036854775808", "(Eq a -9223372036854775808)"),
        ("\"in\" = ''", "(Eq in '')"),
        ("match = 1", "(Eq match 1)"),
    ] {
        assert_eq!(shape(Filter::parse(text, &vars()).expect(text).expr()), tree, "{text}");
    }
}

#[test]
fn what_engines_read_differently_is_refused_with_its_reason() {
    for (text, at, message) in [
        ("a = NULL", 2, "use IS NULL"),
        ("NULL <> a", 5, "use IS NOT NULL"),
        ("a IN (1, NULL)", 9, "use IS NULL"),
        ("a BETWEEN NULL AND 2", 10, "use IS NULL"),
        ("a / 2 = 1", 2, "division is not part of the portable subset"),
        ("a % 2 = 1", 2, "remainders"),
        ("a DIV 2 = 1", 2, "division"),
        ("lower(a) = 'x'", 0, "functions are not part of the portable subset: `lower`"),
        ("a > CURRENT_DATE", 4, "functions are not part of the portable subset"),
        ("a IN (SELECT 1)", 6, "subqueries"),
        ("EXISTS (SELECT 1)", 0, "subqueries"),
        ("a = ?", 4, "name a variable"),
        ("a = $1", 4, "name a variable"),
        ("a = :shop", 4, "no variable is called `:shop`; there are :open, :region, :store"),
        ("a = :claims.sub", 11, "not built yet"),
        ("a LIKE 'x%'", 2, "LIKE and its relatives"),
        ("a NOT LIKE 'x%'", 2, "LIKE is not part"),
        ("a < b < c", 6, "a comparison cannot follow a comparison"),
        ("a = b IS NULL", 6, "a comparison cannot follow a comparison"),
        ("a = 9223372036854775808", 4, "64 bits"),
        ("a = 1e999", 4, "too large"),
        ("a = 1x", 4, "runs into"),
        ("a = 0x1F", 4, "runs into"),
        ("1 = '1'", 4, "a number is compared with a text"),
        ("TRUE = 1", 7, "a truth value is compared with a number"),
        ("a = :region + 1", 4, "one can only count with numbers"),
        ("a + 1", 0, "this is a value, not a condition"),
        ("a = 1 AND 'x'", 10, "this is a value, not a condition"),
        ("a = x'00'", 4, "without a letter in front"),
        ("a || b = 'x'", 2, "joining texts"),
        ("a::text = 'x'", 1, "casts"),
        ("a IS TRUE", 5, "NULL or NOT NULL"),
        ("a = 1 -- note", 6, "comments"),
        ("t.a = 1", 1, "columns stand alone"),
        ("`a` = 1", 0, "double quotes"),
        ("a = 1;", 5, "one expression"),
        ("a = ~1", 4, "`~` is not part"),
    ] {
        let error = refused(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
}

#[test]
fn broken_expressions_say_where_they_break() {
    for (text, at, message) in [
        ("", 0, "empty"),
        (" \n", 0, "empty"),
        ("a =", 3, "expected a column or a value, found the end"),
        ("= 1", 0, "found `=`"),
        ("AND = 1", 0, "double quotes"),
        ("(a = 1", 6, "not closed"),
        ("a = 1)", 5, "closes none"),
        ("a 1", 2, "expected an operator or the end, found `1`"),
        ("(a, b) = (1, 2)", 2, "only after IN"),
        ("a IN ()", 6, "empty"),
        ("a IN 1", 5, "a list in parentheses"),
        ("a BETWEEN 1", 11, "both ends"),
        ("a = 'open", 4, "no closing '"),
        ("\"a = 1", 0, "no closing \""),
        ("\"\" = 1", 0, "empty"),
        ("a = 'x\0'", 6, "zero byte"),
        ("a = NOT b", 4, "parentheses around it"),
        ("a = +1", 4, "leave it out"),
        ("a = :", 4, "name of a variable"),
    ] {
        let error = refused(text);
        assert!(error.message.contains(message), "{text:?}: {error}");
        assert_eq!(error.at, at, "{text:?}: {error}");
    }
    let none = Filter::parse("a = :b", &BTreeMap::new()).expect_err("no variables");
    assert_eq!(none.to_string(), "no variable is called `:b`; there are none (at byte 4)");
}

#[test]
fn depth_and_length_have_limits() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(Filter::DEPTH_MAX), &vars()).is_ok());
    assert!(refused(&nested(Filter::DEPTH_MAX + 1)).message.contains("deeper than 64"));
    for deep in ["NOT ".repeat(65) + "a", "- ".repeat(65) + "a = 1", "a + ".repeat(65) + "a = 1"] {
        assert!(refused(&deep).message.contains("deeper than 64"), "{deep}");
    }
    let longest = vec!["a=1"; 1400].join(" OR ");
    assert!(longest.len() <= Filter::BYTES_MAX);
    assert!(Filter::parse(&longest, &vars()).is_ok(), "a chain is as long as it likes");
    assert!(refused(&format!("{longest} OR {longest}")).message.contains("longer than 10000 bytes"));
    // Depths that add up through different levels are found too.
    let long = format!("{}a = 1", "(a + ".repeat(40)) + &")".repeat(40);
    assert!(Filter::parse(&long, &vars()).is_err());
}

#[test]
fn columns_are_listed_once_and_can_be_renamed() {
    let text = "b = 1 AND (A < b OR NOT a IN (c, 2)) AND d BETWEEN e AND -f AND g IS NULL";
    let filter = Filter::parse(text, &vars()).expect(text);
    assert_eq!(filter.columns(), ["b", "A", "c", "d", "e", "f", "g"]);
    assert_eq!(filter.text(), text);
    let renamed = filter.renamed(&|name| format!("{name}_there"));
    assert_eq!(renamed.columns(), filter.columns().iter().map(|c| format!("{c}_there")).collect::<Vec<_>>());
    assert_eq!(renamed.text(), text);
    assert_ne!(renamed, filter);
}

#[test]
fn no_input_panics() {
    const PIECES: [&str; 44] = [
        "a", "\"b\"", "'t'", "1", "2.5", ".", "1e", "e5", ":store", ":", ":nil", "(", ")", ",", "=", "==", "<>", "<",
        "<=", "!", "+", "-", "*", "/", "AND", "or", "NOT", "IS", "NULL", "IN", "BETWEEN", "TRUE", "LIKE", "SELECT",
        "'", "\"", "''", "ä", "😀", "\0", "\u{301}", " ", "\t", "$",
    ];
    // A linear congruential generator with Knuth's constants: the same inputs in every run.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % bound
    };
    let (mut read, vars) = (0, vars());
    for round in 0..40_000 {
        let space = if round % 2 == 0 { " " } else { "" };
        let text: String = (0..=next(12)).map(|_| format!("{}{space}", PIECES[next(PIECES.len())])).collect();
        match Filter::parse(&text, &vars) {
            Ok(filter) => {
                read += 1;
                assert_eq!(filter.renamed(&str::to_owned), filter, "{text:?}");
            }
            Err(error) => assert!(text.is_char_boundary(error.at) && !error.message.is_empty(), "{text:?}: {error}"),
        }
    }
    assert!(read > 100, "the generator makes too little that can be read: {read}");
}
