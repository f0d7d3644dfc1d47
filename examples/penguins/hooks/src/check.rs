//! `check_penguin`: rejects birds without a body mass or a sex, without which they cannot be compared.

use hook_sdk::{Context, HookError, Outcome, Record};
use serde::{Deserialize, Serialize};

/// The metadata that is checked. A field that was not recorded is absent or null.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Penguin {
    /// In grams.
    pub body_mass_g: Option<f64>,
    /// `MALE` or `FEMALE`; anything else counts as not recorded.
    pub sex: Option<String>,
    /// In per mille.
    pub delta_15_n_o_oo: Option<f64>,
    /// In per mille.
    pub delta_13_c_o_oo: Option<f64>,
}

/// The row of a bird that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Whether both isotope ratios were measured.
    pub isotopes_measured: bool,
}

/// The hook's function. Never errs.
pub fn check_penguin(_: &Context, record: Record<Penguin>) -> Result<Outcome<Row>, HookError> {
    let penguin = record.metadata;
    let sex = matches!(penguin.sex.as_deref(), Some("MALE" | "FEMALE"));
    Ok(match (penguin.body_mass_g, sex) {
        (None, false) => Outcome::reject("no body mass and no sex recorded"),
        (None, true) => Outcome::reject("no body mass recorded"),
        (Some(_), false) => Outcome::reject("no sex recorded"),
        (Some(_), true) => Outcome::pass(Row {
            isotopes_measured: penguin.delta_15_n_o_oo.is_some() && penguin.delta_13_c_o_oo.is_some(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(metadata: Value) -> Outcome<Row> {
        let record = Record::new("x", serde_json::from_value(metadata).unwrap(), "/nonexistent");
        check_penguin(&Context::for_test(json!({})), record).unwrap()
    }

    #[test]
    fn a_bird_without_mass_or_sex_is_rejected_with_one_reason() {
        assert_eq!(
            check(json!({"sex": "MALE"})),
            Outcome::reject("no body mass recorded")
        );
        assert_eq!(
            check(json!({"body_mass_g": 3750})),
            Outcome::reject("no sex recorded")
        );
        for unknown in [json!("."), json!("male?"), Value::Null] {
            assert_eq!(
                check(json!({"body_mass_g": 3750, "sex": unknown})),
                Outcome::reject("no sex recorded")
            );
        }
        assert_eq!(
            check(json!({"body_mass_g": null, "comments": "Adult not sampled."})),
            Outcome::reject("no body mass and no sex recorded")
        );
    }

    #[test]
    fn isotopes_are_measured_only_if_both_are() {
        let with = |n: Value, c: Value| {
            check(json!({"body_mass_g": 3750, "sex": "FEMALE", "delta_15_n_o_oo": n, "delta_13_c_o_oo": c}))
        };
        assert_eq!(
            with(json!(8.9), json!(-24.7)),
            Outcome::pass(Row {
                isotopes_measured: true
            })
        );
        assert_eq!(
            with(json!(8.9), Value::Null),
            Outcome::pass(Row {
                isotopes_measured: false
            })
        );
    }
}
