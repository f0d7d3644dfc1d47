//! `penguin_shape`: measures that make birds of different size comparable.

use std::collections::BTreeMap;

use hook_sdk::{Context, HookError, Outcome, Record};
use serde::{Deserialize, Serialize};
use time::Date;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// The hook's config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The date of the first sample (`YYYY-MM-DD`) on each island. A hook sees one batch at a time and cannot find it itself.
    #[serde(default)]
    pub first_sample: BTreeMap<String, String>,
}

/// The metadata that is measured. A field that was not recorded is absent or null.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Penguin {
    /// Where the bird nested.
    pub island: Option<String>,
    /// When it was sampled, `YYYY-MM-DD`.
    pub date_egg: Option<String>,
    /// In millimetres.
    pub culmen_length_mm: Option<f64>,
    /// In millimetres.
    pub culmen_depth_mm: Option<f64>,
    /// In millimetres.
    pub flipper_length_mm: Option<f64>,
    /// In grams.
    pub body_mass_g: Option<f64>,
}

/// The row of a bird; what cannot be computed is null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Body mass divided by the square of the flipper length, in g/mm².
    pub body_mass_index: Option<f64>,
    /// Culmen length divided by culmen depth; no dimension.
    pub culmen_ratio: Option<f64>,
    /// Whole days from the first sample on the bird's island to this one; null for an island that the config does not name.
    pub days_since_first_sample: Option<i64>,
}

/// The hook's function. Errs if the config does not fit, or a date is none.
pub fn penguin_shape(context: &Context, record: Record<Penguin>) -> Result<Outcome<Row>, HookError> {
    let config: Config = context.config()?;
    let penguin = record.metadata;
    let first = penguin
        .island
        .as_ref()
        .and_then(|island| config.first_sample.get(island));
    let days = match (first, &penguin.date_egg) {
        (Some(first), Some(this)) => Some((date(this)? - date(first)?).whole_days()),
        _ => None,
    };
    Ok(Outcome::pass(Row {
        body_mass_index: penguin
            .flipper_length_mm
            .and_then(|length| ratio(penguin.body_mass_g, Some(length * length))),
        culmen_ratio: ratio(penguin.culmen_length_mm, penguin.culmen_depth_mm),
        days_since_first_sample: days,
    }))
}

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    Some(above? / below?).filter(|ratio| ratio.is_finite())
}

fn date(text: &str) -> Result<Date, HookError> {
    Date::parse(text, DATE)
        .map_err(|error| HookError::new(format!("{text:?} is no date YYYY-MM-DD: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn shape(metadata: Value) -> Result<Outcome<Row>, HookError> {
        let context = Context::for_test(json!({"first_sample": {"Dream": "2007-11-09"}}));
        penguin_shape(
            &context,
            Record::new("x", serde_json::from_value(metadata).unwrap(), "/nonexistent"),
        )
    }

    #[test]
    fn all_three_measures_of_a_whole_bird() {
        let whole = json!({"island": "Dream", "date_egg": "2008-11-09", "culmen_length_mm": 40, "culmen_depth_mm": 16.0, "flipper_length_mm": 200, "body_mass_g": 4000});
        let row = Row {
            body_mass_index: Some(0.1),
            culmen_ratio: Some(2.5),
            days_since_first_sample: Some(366),
        };
        assert_eq!(shape(whole).unwrap(), Outcome::pass(row));
    }

    #[test]
    fn a_measure_whose_input_is_missing_or_zero_is_null_and_the_others_are_not() {
        let row = Row {
            body_mass_index: None,
            culmen_ratio: None,
            days_since_first_sample: None,
        };
        assert_eq!(
            shape(json!({"island": "Elsewhere", "date_egg": "2008-01-01", "body_mass_g": 4000})).unwrap(),
            Outcome::pass(row)
        );
        let zero = json!({"body_mass_g": 4000, "flipper_length_mm": 0, "culmen_length_mm": 40, "culmen_depth_mm": 20});
        assert_eq!(
            shape(zero).unwrap(),
            Outcome::pass(Row {
                culmen_ratio: Some(2.0),
                ..row
            })
        );
    }

    #[test]
    fn a_date_that_is_none_is_the_records_error() {
        let error = shape(json!({"island": "Dream", "date_egg": "9 November"})).unwrap_err();
        assert!(
            error.message().starts_with("\"9 November\" is no date"),
            "{}",
            error.message()
        );
    }
}
