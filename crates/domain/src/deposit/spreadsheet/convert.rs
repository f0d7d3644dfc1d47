//! Converts one cell to the JSON value of a field.

use serde_json::{Number, Value};
use time::Time;

use crate::data::cell::parse_date;
use crate::deposit::spreadsheet::cell::{SheetCell, SheetValue};
use crate::deposit::spreadsheet::decimal::{self, Decimal};
use crate::deposit::spreadsheet::moment::{self, Moment};
use crate::deposit::spreadsheet::shown::{self, Shown};
use crate::registry::schema::{FieldType, shortened};

/// Whole numbers up to this one are exact as floats.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Maximum number of characters of a cell, in UTF-16. Programs cut what is longer.
const MAX_CELL: usize = 32_767;

/// One cell, and the warnings about it.
pub(super) struct Conversion<'a> {
    kind: FieldType,
    cell: &'a SheetCell,
    date_1904: bool,
    warnings: &'a mut Vec<String>,
}

impl<'a> Conversion<'a> {
    /// Creates the conversion of a cell to a value of this type.
    pub(super) fn new(
        kind: FieldType,
        cell: &'a SheetCell,
        date_1904: bool,
        warnings: &'a mut Vec<String>,
    ) -> Self {
        Self {
            kind,
            cell,
            date_1904,
            warnings,
        }
    }

    /// Returns the value, which is null for an empty cell, or the violated rule.
    pub(super) fn value(mut self) -> Result<Value, String> {
        if !self.cell.is_empty() {
            for remark in &self.cell.remarks {
                let place = self.cell.place;
                self.warnings.push(format!("{place} {remark}"));
            }
        }
        match &self.cell.value {
            SheetValue::Empty => Ok(Value::Null),
            SheetValue::Text(text) if text.is_empty() => Ok(Value::Null),
            SheetValue::Text(text) if text.trim().is_empty() => {
                self.warn("holds only spaces and was read as an empty cell");
                Ok(Value::Null)
            }
            SheetValue::Text(text) => self.text(text),
            SheetValue::Number(raw) => self.number(raw),
            SheetValue::Boolean(truth) => match self.kind {
                FieldType::Boolean => Ok(Value::Bool(*truth)),
                FieldType::Text | FieldType::Term | FieldType::Url => {
                    self.warn(&format!(
                        "holds {}; the text \"{truth}\" was taken",
                        if *truth { "TRUE" } else { "FALSE" }
                    ));
                    Ok(Value::String(truth.to_string()))
                }
                FieldType::Number | FieldType::Date => Err(self.refusal()),
            },
            SheetValue::Iso(text) => match self.kind {
                FieldType::Date => self.date_text(text),
                FieldType::Text | FieldType::Term | FieldType::Url => {
                    let shown = shown::number(&self.cell.format, 1.0);
                    let same = matches!(shown, Shown::Moment { iso: true, .. });
                    Ok(self.shown_date(text.trim().to_owned(), same))
                }
                FieldType::Number | FieldType::Boolean => Err(self.refusal()),
            },
            SheetValue::Error(_) | SheetValue::Uncomputed | SheetValue::Unreadable(_) => {
                Err(format!("{} {}", self.cell.place, self.cell.described()))
            }
        }
    }

    fn warn(&mut self, what: &str) {
        self.warnings.push(format!("{} {what}", self.cell.place));
    }

    /// Returns the rule that the cell's content breaks.
    fn refusal(&self) -> String {
        self.refusal_of(&self.cell.described())
    }

    fn refusal_of(&self, content: &str) -> String {
        let rule = match self.kind {
            FieldType::Number => "must be a number",
            FieldType::Boolean => "must be true or false",
            FieldType::Date => "must be a date, YYYY-MM-DD",
            FieldType::Text | FieldType::Term | FieldType::Url => "must be a text",
        };
        format!("{rule}, but {} {content}", self.cell.place)
    }

    fn text(&mut self, text: &str) -> Result<Value, String> {
        if let Some(shown) = shown::text(&self.cell.format, text) {
            self.warn(&format!(
                "shows {:?} and holds {:?}, which was read",
                shortened(&shown),
                shortened(text)
            ));
        }
        match self.kind {
            FieldType::Number => {
                let spelled = text.trim();
                let number = decimal::parse(spelled).ok_or_else(|| self.refusal())?;
                let digits = spelled.trim_start_matches(['+', '-']);
                if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1) != Some(&b'.') {
                    self.warn(&format!(
                        "holds the text {spelled:?}; the number {number} was taken"
                    ));
                }
                self.json(spelled, number)
            }
            FieldType::Boolean => match text.trim().to_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(self.refusal()),
            },
            FieldType::Date => self.date_text(text),
            FieldType::Text | FieldType::Term | FieldType::Url => {
                if text.trim().len() < text.len() {
                    self.warn("begins or ends with spaces or line breaks, which were kept");
                }
                if text.encode_utf16().count() >= MAX_CELL {
                    self.warn("has as many characters as a cell can hold; its end may be missing");
                }
                let odd = |c: &char| c.is_control() && !matches!(c, '\0' | '\t' | '\n' | '\r');
                if let Some(control) = text.chars().find(odd) {
                    let code = u32::from(control);
                    self.warn(&format!(
                        "has the control character U+{code:04X}, which is not shown and was kept"
                    ));
                }
                Ok(Value::String(text.to_owned()))
            }
        }
    }

    /// Reads a date that is spelled as text.
    fn date_text(&mut self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        parse_date(text).ok_or_else(|| self.refusal())?;
        let (date, time) = text.split_at_checked(10).ok_or_else(|| self.refusal())?;
        if !time.chars().all(|c| "Tt :0.Zz".contains(c)) {
            self.warn(&format!(
                "holds {text:?}; the date {date} was taken without the time of day"
            ));
        }
        Ok(Value::String(date.to_owned()))
    }

    fn number(&mut self, raw: &str) -> Result<Value, String> {
        let Some(number) = decimal::parse(raw) else {
            let raw = shortened(raw);
            return Err(format!(
                "{} is marked as a number and holds {raw:?}",
                self.cell.place
            ));
        };
        match shown::number(&self.cell.format, number) {
            Shown::Moment { date, time, iso } => self.moment(number, date, time, iso),
            Shown::Duration { hms } => self.duration(number, hms),
            Shown::Number { text, plain, exact } => match self.kind {
                FieldType::Number => {
                    if !plain {
                        self.shown(
                            text.as_deref(),
                            &format!("the number {} was taken", Decimal::of(number).plain()),
                        );
                    }
                    self.json(raw, number)
                }
                FieldType::Boolean | FieldType::Date => Err(self.refusal()),
                FieldType::Text | FieldType::Term | FieldType::Url => {
                    Ok(Value::String(self.spelled(raw, number, text.as_deref(), exact)))
                }
            },
        }
    }

    /// Spells a number for a field of text.
    fn spelled(&mut self, raw: &str, number: f64, text: Option<&str>, exact: bool) -> String {
        let whole = raw
            .strip_prefix('-')
            .unwrap_or(raw)
            .bytes()
            .all(|b| b.is_ascii_digit());
        let held = if whole { raw.to_owned() } else { number.to_string() };
        let plain = Decimal::of(number).plain();
        let taken = match text {
            Some(text) if exact => text.to_owned(),
            _ if whole => held.clone(),
            _ => plain.clone(),
        };
        if text != Some(&taken) {
            self.shown(text, &format!("the text {taken:?} was taken"));
        } else if taken != held && taken != plain {
            self.warn(&format!(
                "holds the number {plain}; the text {taken:?} was taken, as it is shown"
            ));
        } else if number.to_string() != plain && plain.parse() != Ok(number) {
            self.warn(&format!(
                "holds the number {number}; the text {taken:?} was taken, as it is shown"
            ));
        } else if decimal::is_too_long(raw, number) {
            self.too_long();
        }
        taken
    }

    /// Warns that a cell shows something else than what is taken.
    fn shown(&mut self, text: Option<&str>, taken: &str) {
        let shows = match text {
            Some("") => "shows nothing".to_owned(),
            Some(text) => format!("shows {:?}", shortened(text)),
            None => format!(
                "has the number format {:?}, which may show something else",
                shortened(&self.cell.format)
            ),
        };
        self.warn(&format!("{shows}; {taken}"));
    }

    fn too_long(&mut self) {
        self.warn("holds a number of more than 15 digits, of which spreadsheet programs keep 15; check its last digits");
    }

    fn json(&mut self, spelled: &str, number: f64) -> Result<Value, String> {
        if decimal::is_too_long(spelled, number) {
            self.too_long();
        }
        // An integer stays an integer, so that a hook sees 3750 and not 3750.0.
        if let Ok(whole) = spelled.parse::<i64>() {
            return Ok(whole.into());
        }
        if number.fract() == 0.0 && number.abs() < MAX_EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "within the range above")]
            let whole = number as i64;
            return Ok(whole.into());
        }
        Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| self.refusal())
    }

    fn moment(&mut self, serial: f64, dated: bool, timed: bool, iso: bool) -> Result<Value, String> {
        let place = self.cell.place;
        let moment = Moment::of(serial, self.date_1904, dated).map_err(|why| {
            let number = Decimal::of(serial).plain();
            format!("{place} holds {number} in a date format, which {why}")
        })?;
        let spelled = moment.spelled(timed);
        match self.kind {
            FieldType::Number | FieldType::Boolean => {
                let what = if moment.date.is_some() {
                    "date"
                } else {
                    "time of day"
                };
                Err(self.refusal_of(&format!("holds the {what} {spelled}")))
            }
            FieldType::Date => {
                let Some(date) = moment.date else {
                    return Err(self.refusal_of(&format!("holds the time of day {spelled} without a date")));
                };
                self.disputed(&moment);
                if !dated {
                    self.warn(&format!("shows only a time of day; its date {date} was taken"));
                } else if moment.time != Time::MIDNIGHT {
                    self.warn(&format!(
                        "holds {spelled}; the date {date} was taken without the time of day"
                    ));
                }
                Ok(Value::String(date.to_string()))
            }
            FieldType::Text | FieldType::Term | FieldType::Url => {
                self.disputed(&moment);
                let hidden = (!timed && moment.time != Time::MIDNIGHT) || (!dated && moment.date.is_some());
                Ok(self.shown_date(spelled, iso && !hidden))
            }
        }
    }

    fn disputed(&mut self, moment: &Moment) {
        if let Some(date) = moment.date.filter(|_| moment.disputed) {
            self.warn(&format!(
                "is a date before March 1900, which spreadsheet programs count differently; {date} was taken, as in Excel"
            ));
        }
    }

    /// Takes a date as text; warns unless the cell shows it in the same way.
    fn shown_date(&mut self, spelled: String, same: bool) -> Value {
        if !same {
            let format = shortened(&self.cell.format);
            self.warn(&format!(
                "holds a date or time in the format {format:?}; {spelled:?} was taken"
            ));
        }
        Value::String(spelled)
    }

    fn duration(&mut self, days: f64, hms: bool) -> Result<Value, String> {
        let number = Decimal::of(days).plain();
        let spelled = moment::duration(days)
            .ok_or_else(|| format!("{} holds {number} days, which is no duration", self.cell.place))?;
        match self.kind {
            FieldType::Text | FieldType::Term | FieldType::Url => {
                if !hms {
                    let format = shortened(&self.cell.format);
                    self.warn(&format!(
                        "holds a duration in the format {format:?}; {spelled:?} was taken"
                    ));
                }
                Ok(Value::String(spelled))
            }
            _ => Err(self.refusal_of(&format!("holds the duration {spelled}"))),
        }
    }
}
