//! The order of a table's rows (WC-7.3, WC-D22).

use std::fmt;

use crate::data::filter::QueryError;
use crate::kind::Fault;
use crate::registry::schema::shortened;

/// Maximum number of sort keys.
const MAX_KEYS: usize = 8;

/// One sort key. Rows without a value come last in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// Name of the column.
    pub column: String,
    /// Whether the greatest value comes first.
    pub descending: bool,
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.column,
            if self.descending { "desc" } else { "asc" }
        )
    }
}

fn refused(code: &'static str, message: String) -> QueryError {
    QueryError::new(code, Fault::value(["sort".into()], message))
}

/// Parses `column[:asc|:desc][,…]`. `column` resolves a name in the text to a column, if there is one.
pub fn parse_sort(
    text: &str,
    column_of: impl Fn(&str) -> Option<String>,
) -> Result<Vec<SortKey>, QueryError> {
    let mut keys: Vec<SortKey> = Vec::new();
    if text.trim().is_empty() {
        return Ok(keys);
    }
    for part in text.split(',') {
        let part = part.trim();
        let (column, direction) = part.split_once(':').map_or((part, "asc"), |(column, direction)| {
            (column.trim(), direction.trim())
        });
        let descending = match direction.to_ascii_lowercase().as_str() {
            "asc" => false,
            "desc" => true,
            _ => {
                return Err(refused(
                    "VALIDATION_ERROR",
                    format!("{:?} is not a direction: asc or desc", shortened(direction)),
                ));
            }
        };
        let Some(column) = column_of(column) else {
            return Err(refused(
                "unknown_sort_field",
                format!("{:?} is not a column of this table", shortened(column)),
            ));
        };
        if keys.iter().any(|key| key.column == column) {
            return Err(refused("VALIDATION_ERROR", format!("{column} is given twice")));
        }
        if keys.len() == MAX_KEYS {
            return Err(refused(
                "VALIDATION_ERROR",
                format!("has more than {MAX_KEYS} keys"),
            ));
        }
        keys.push(SortKey { column, descending });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Coded as _;
    use proptest::prelude::*;

    fn column(name: &str) -> Option<String> {
        match name {
            "published_at" => Some("created_at".to_owned()),
            "a" | "b" | "created_at" => Some(name.to_owned()),
            _ => None,
        }
    }

    // proves DAT-1
    #[test]
    fn keys_have_directions_and_other_names() {
        let keys = parse_sort("a, b:DESC,published_at:asc", column).unwrap();
        let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a:asc", "b:desc", "created_at:asc"]);
        assert_eq!(parse_sort(" ", column).unwrap(), []);
    }

    #[test]
    fn what_is_no_order_is_refused_with_its_code() {
        for (text, code) in [
            ("c", "unknown_sort_field"),
            ("a:up", "VALIDATION_ERROR"),
            ("a,a:desc", "VALIDATION_ERROR"),
            ("created_at,published_at", "VALIDATION_ERROR"),
            (",", "unknown_sort_field"),
        ] {
            let error = parse_sort(text, column).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert_eq!(error.faults().first().unwrap().path(), "sort");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in ".{0,60}") {
            let _ = parse_sort(&text, column);
        }
    }
}
