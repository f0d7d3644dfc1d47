//! Reading tables: filters, orders, formats, and what was current at a time.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use blackbox::choices::Choices;
use blackbox::fixtures::{penguins, push_penguins};
use blackbox::{Client, World};
use serde_json::{Value, json};

pub(super) const RECORDS: &str = "/data/palmer-penguins/records";
pub(super) const SHAPES: &str = "/data/palmer-penguins/penguin_shape";

/// A server that holds the penguins.
pub(super) fn with_penguins() -> (World, blackbox::Server) {
    let world = World::start();
    let server = world.serve("a");
    let admin = server.admin();
    admin.post("/conventions", &penguins()).expect(201);
    let run = admin.open("palmer-penguins", 100);
    push_penguins(&admin, &run).expect(200);
    assert_eq!(admin.finish(&run)["published_count"], 333);
    (world, server)
}

/// Every row of a query, page by page.
pub(super) fn queried(client: &Client, table: &str, query: &Value, limit: usize) -> Vec<Value> {
    let (mut rows, mut query) = (Vec::new(), query.clone());
    query["limit"] = json!(limit);
    loop {
        let page = client.post(table, &query).expect(200);
        rows.extend(page["rows"].as_array().unwrap().clone());
        assert_eq!(page["has_more"], !page["next_cursor"].is_null());
        match page["next_cursor"].as_str() {
            Some(next) => query["cursor"] = json!(next),
            None => return rows,
        }
    }
}

/// What a filter means, over one value, as plainly as it can be said.
fn holds(op: &str, value: &Value, asked: &Value) -> Option<bool> {
    if op == "is_null" || (op == "eq" && asked.is_null()) {
        return Some(value.is_null());
    }
    if op == "neq" {
        return Some(value != asked);
    }
    if value.is_null() {
        return None;
    }
    Some(match op {
        "eq" => value == asked,
        "in" => asked.as_array().unwrap().contains(value),
        "contains" => value
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains(&asked.as_str().unwrap().to_lowercase()),
        "gt" => compared(value, asked) == Ordering::Greater,
        "gte" => compared(value, asked) != Ordering::Less,
        "lt" => compared(value, asked) == Ordering::Less,
        "lte" => compared(value, asked) != Ordering::Greater,
        _ => panic!("{op}"),
    })
}

fn compared(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => panic!("{a} {b}"),
    }
}

/// The archive, as a plain program sees it.
struct Plain {
    records: Vec<Value>,
    shapes: Vec<Value>,
    of_record: BTreeMap<String, Vec<Value>>,
    record_of: BTreeMap<String, Value>,
}

impl Plain {
    fn of(client: &Client) -> Self {
        let records = client.rows("palmer-penguins/records", 1000);
        let shapes = client.rows("palmer-penguins/penguin_shape", 1000);
        let mut of_record: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for shape in &shapes {
            let srn = shape["record_srn"].as_str().unwrap().to_owned();
            of_record.entry(srn).or_default().push(shape.clone());
        }
        let record_of = records
            .iter()
            .map(|r| (r["srn"].as_str().unwrap().to_owned(), r.clone()))
            .collect();
        Self {
            records,
            shapes,
            of_record,
            record_of,
        }
    }

    /// Whether a filter holds for a row; `own` says that it is a row of the feature table.
    fn fits(&self, filter: &Value, row: &Value, own: bool) -> Option<bool> {
        let srn = row[if own { "record_srn" } else { "srn" }].as_str().unwrap();
        match filter["kind"].as_str().unwrap() {
            "and" | "or" => {
                let and = filter["kind"] == "and";
                let all: Vec<Option<bool>> = filter["operands"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|operand| self.fits(operand, row, own))
                    .collect();
                // SQL's three values: what decides, decides; else what is unknown stays so.
                if all.contains(&Some(!and)) {
                    Some(!and)
                } else if all.contains(&None) {
                    None
                } else {
                    Some(and)
                }
            }
            "not" => Some(!self.fits(&filter["operand"], row, own).unwrap_or(false)),
            _ => {
                let (field, op) = (filter["field"].as_str().unwrap(), filter["op"].as_str().unwrap());
                let asked = &filter["value"];
                match field.split('.').collect::<Vec<_>>().as_slice() {
                    ["metadata", field] => holds(op, &self.record_of[srn][*field], asked),
                    ["features", "penguin_shape", column] if own => holds(op, &row[*column], asked),
                    ["features", _, column] => Some(
                        self.of_record
                            .get(srn)
                            .into_iter()
                            .flatten()
                            .any(|shape| holds(op, &shape[*column], asked) == Some(true)),
                    ),
                    [column] => holds(op, &row[*column], asked),
                    _ => panic!("{field}"),
                }
            }
        }
    }
}

/// A predicate by chance, over values that are there.
fn predicate(plain: &Plain, choices: &mut Choices) -> Value {
    const COLUMNS: &[(&str, bool)] = &[
        ("metadata.island", false),
        ("metadata.sex", false),
        ("metadata.comments", false),
        ("metadata.date_egg", true),
        ("metadata.body_mass_g", true),
        ("metadata.delta_15_n_o_oo", true),
        ("features.penguin_shape.body_mass_index", true),
        ("features.penguin_shape.days_since_first_sample", true),
    ];
    let (field, ordered) = COLUMNS[choices.below(COLUMNS.len())];
    let name = field.rsplit('.').next().unwrap();
    let rows = if field.starts_with("metadata") {
        &plain.records
    } else {
        &plain.shapes
    };
    let mut value = || rows[choices.below(rows.len())][name].clone();
    let (one, two) = (value(), value());
    let ops: &[&str] = if ordered {
        &["eq", "neq", "gt", "gte", "lt", "lte", "in", "is_null"]
    } else {
        &["eq", "neq", "in", "contains", "is_null"]
    };
    let op = ops[choices.below(ops.len())];
    let asked = match op {
        "in" => json!(
            [one, two]
                .into_iter()
                .filter(|v| !v.is_null())
                .collect::<Vec<_>>()
        ),
        "contains" => json!(one.as_str().unwrap_or("%").chars().take(4).collect::<String>()),
        "eq" | "neq" | "is_null" => one,
        _ if one.is_null() => return json!({"kind": "predicate", "field": field, "op": "is_null"}),
        _ => one,
    };
    json!({"kind": "predicate", "field": field, "op": op, "value": asked})
}

fn filter(plain: &Plain, choices: &mut Choices, depth: usize) -> Value {
    match choices.below(if depth == 0 { 1 } else { 4 }) {
        1 => json!({"kind": "not", "operand": filter(plain, choices, depth - 1)}),
        n @ (2 | 3) => {
            let operands: Vec<Value> = (0..2 + choices.below(2))
                .map(|_| filter(plain, choices, depth - 1))
                .collect();
            json!({"kind": if n == 2 { "and" } else { "or" }, "operands": operands})
        }
        _ => predicate(plain, choices),
    }
}

// proves DAT-1
#[test]
fn filters_and_orders_give_what_a_plain_program_finds() {
    let (_world, server) = with_penguins();
    let anonymous = server.anonymous();
    let plain = Plain::of(&anonymous);
    let mut choices = Choices(0x5eed);
    let (mut found, mut some) = (BTreeSet::new(), 0);
    for round in 0..120 {
        let own = round % 2 == 0;
        let (table, rows, id) = if own {
            (SHAPES, &plain.shapes, "id")
        } else {
            (RECORDS, &plain.records, "srn")
        };
        let filter = filter(&plain, &mut choices, 3);
        let columns: &[&str] = if own {
            &[
                "culmen_ratio",
                "body_mass_index",
                "days_since_first_sample",
                "record_srn",
            ]
        } else {
            &[
                "sex",
                "body_mass_g",
                "date_egg",
                "comments",
                "island",
                "created_at",
            ]
        };
        let keys: Vec<(&str, bool)> = (0..choices.below(3))
            .map(|n| (columns[(round + n * 2) % columns.len()], choices.below(2) == 0))
            .collect();
        let sort: Vec<String> = keys
            .iter()
            .map(|(key, down)| format!("{key}:{}", if *down { "desc" } else { "asc" }))
            .collect();
        let mut wanted: Vec<&Value> = rows
            .iter()
            .filter(|row| plain.fits(&filter, row, own) == Some(true))
            .collect();
        let down = keys.first().is_some_and(|(_, down)| *down);
        if !keys.is_empty() {
            wanted.sort_by(|a, b| {
                for (key, down) in &keys {
                    let (x, y) = (&a[*key], &b[*key]);
                    let order = match (x.is_null(), y.is_null()) {
                        (true, true) => Ordering::Equal,
                        (true, false) => Ordering::Greater,
                        (false, true) => Ordering::Less,
                        (false, false) if *down => compared(y, x),
                        (false, false) => compared(x, y),
                    };
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                let order = compared(&a[id], &b[id]);
                if down { order.reverse() } else { order }
            });
        }
        let query = json!({"filter": filter, "sort": sort.join(",")});
        let got = queried(&anonymous, table, &query, 1 + choices.below(400));
        let got: Vec<&Value> = got.iter().collect();
        assert_eq!(got, wanted, "{query}");
        some += usize::from(!wanted.is_empty() && wanted.len() < rows.len());
        found.insert(wanted.len());
    }
    // The choices must be worth something: many filters that keep some rows and not all.
    assert!(some > 60 && found.len() > 30, "{some} {found:?}");
}

// proves DAT-1
#[test]
fn a_query_in_the_path_is_the_query_in_the_body_and_cursors_fit_their_own_query_only() {
    let (_world, server) = with_penguins();
    let anonymous = server.anonymous();
    let filter = json!({"kind": "predicate", "field": "metadata.island", "op": "eq", "value": "Dream"});
    let encoded: String = url::form_urlencoded::byte_serialize(filter.to_string().as_bytes()).collect();
    let by_path = anonymous
        .get(&format!(
            "{RECORDS}?filter={encoded}&sort=body_mass_g:desc&limit=7"
        ))
        .expect(200);
    let by_body = anonymous
        .post(
            RECORDS,
            &json!({"filter": filter, "sort": "body_mass_g:desc", "limit": 7}),
        )
        .expect(200);
    assert_eq!(by_path, by_body);
    let cursor = by_body["next_cursor"].as_str().unwrap();
    for other in [
        json!({"cursor": cursor}),
        json!({"cursor": cursor, "sort": "body_mass_g:desc"}),
        json!({"cursor": cursor, "filter": filter}),
        json!({"cursor": cursor, "filter": filter, "sort": "body_mass_g:asc"}),
        json!({"cursor": cursor, "filter": filter, "sort": "body_mass_g:desc", "as_of": "2030-01-01"}),
    ] {
        anonymous.post(RECORDS, &other).problem(422, "invalid_cursor");
    }
    // Other names of columns, as OSA has them.
    let by_id = anonymous
        .get(&format!("{RECORDS}?sort=id&limit=1000"))
        .expect(200);
    let srns: Vec<&str> = by_id["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["srn"].as_str().unwrap())
        .collect();
    assert!(srns.is_sorted() && srns.len() == 333);
    assert_eq!(
        anonymous
            .get(&format!("{RECORDS}?sort=published_at:desc&limit=1000"))
            .expect(200)["rows"],
        anonymous.get(&format!("{RECORDS}?limit=1000")).expect(200)["rows"]
    );
}

// proves DAT-1
#[test]
fn what_cannot_be_asked_is_refused_with_its_place() {
    let (_world, server) = with_penguins();
    let anonymous = server.anonymous();
    let ask = |field: &str, op: &str, value: Value| json!({"filter": {"kind": "not", "operand": {"kind": "predicate", "field": field, "op": op, "value": value}}});
    for (table, body, code, field) in [
        (
            RECORDS,
            ask("metadata.nope", "eq", json!(1)),
            "unknown_metadata_field",
            "filter.operand.field",
        ),
        (
            RECORDS,
            ask("features.nope.x", "eq", json!(1)),
            "unknown_feature_column",
            "filter.operand.field",
        ),
        (
            SHAPES,
            ask("features.penguin_shape.nope", "eq", json!(1)),
            "unknown_feature_column",
            "filter.operand.field",
        ),
        (
            RECORDS,
            ask("metadata.island", "gt", json!("x")),
            "unsupported_operator",
            "filter.operand.op",
        ),
        (
            RECORDS,
            ask("metadata.date_egg", "gt", json!("yesterday")),
            "invalid_value_for_op",
            "filter.operand.value",
        ),
        (
            RECORDS,
            ask("metadata.body_mass_g", "gt", Value::Null),
            "invalid_value_for_op",
            "filter.operand.value",
        ),
        (RECORDS, json!({"sort": "nope"}), "unknown_sort_field", "sort"),
        (RECORDS, json!({"sort": "sex:up"}), "VALIDATION_ERROR", "sort"),
        (RECORDS, json!({"as_of": "now"}), "VALIDATION_ERROR", "as_of"),
        (RECORDS, json!({"nope": 1}), "VALIDATION_ERROR", "nope"),
    ] {
        let problem = anonymous.post(table, &body).problem(422, code);
        assert_eq!(problem["field"], field, "{problem}");
        assert_eq!(
            problem["errors"][0]["loc"][0],
            if field == "as_of" { "query" } else { "body" }
        );
    }
    anonymous
        .get(&format!("{RECORDS}?filter=nonsense"))
        .problem(422, "VALIDATION_ERROR");
    anonymous
        .post(RECORDS, &json!({"as_of": "2999-01-01"}))
        .problem(422, "as_of_ahead");
}
