use serde_json::json;

use super::*;

// proves EDG-1
#[test]
fn a_number_is_taken_and_what_its_cell_shows_is_told() {
    takes("mass", number("3750"), &json!(3750), "");
    takes("mass", number("3.0"), &json!(3), "");
    takes("mass", number("1e3"), &json!(1000), "");
    takes(
        "mass",
        number("3.7500000000000004"),
        &json!(3.750_000_000_000_000_4),
        "",
    );
    let shown = |raw: &str, format| (number(raw).0, format);
    takes("mass", shown("3.7512", "0.00"), &json!(3.7512), "");
    takes("mass", shown("42", "00000"), &json!(42), "");
    takes("mass", shown("1234.5", "#,##0.00"), &json!(1234.5), "");
    takes("mass", shown("-5", "#,##0_);[Red](#,##0)"), &json!(-5), "");
    takes(
        "mass",
        shown("0.5", "0%"),
        &json!(0.5),
        "shows \"50%\"; the number 0.5",
    );
    takes(
        "mass",
        shown("5", "[$€-407] #,##0.00"),
        &json!(5),
        "shows \"€ 5.00\"",
    );
    takes("mass", shown("5", "0.0\" kg\""), &json!(5), "shows \"5.0 kg\"");
    takes("mass", shown("5000", "0,"), &json!(5000), "shows \"5\"");
    takes("mass", shown("-5", "0;[Red]0"), &json!(-5), "shows \"5\"");
    takes("mass", shown("5", ";;;"), &json!(5), "shows nothing");
    takes(
        "mass",
        shown("5", "[>1]0;0.0"),
        &json!(5),
        "number format \"[>1]0;0.0\"",
    );
}

// proves EDG-1
#[test]
fn a_number_beyond_fifteen_digits_is_told() {
    takes("mass", number("6.02E+23"), &json!(6.02e23), "");
    takes(
        "mass",
        number("9007199254740992"),
        &json!(9_007_199_254_740_992_i64),
        "15 digits",
    );
    takes(
        "mass",
        number("1.23456789012345E+16"),
        &json!(1.234_567_890_123_45e16),
        "15 digits",
    );
    takes(
        "mass",
        plain(text("12345678901234568")),
        &json!(12_345_678_901_234_568_i64),
        "15 digits",
    );
    takes(
        "label",
        number("12345678901234567890"),
        &json!("12345678901234567890"),
        "shows \"12345678901234600000\"",
    );
    takes(
        "label",
        number("1.23456789012345E+16"),
        &json!("12345678901234500"),
        "15 digits",
    );
}

// proves EDG-1
#[test]
fn a_number_in_a_text_field_is_spelled_as_it_is_shown() {
    takes("label", number("3.75"), &json!("3.75"), "");
    takes(
        "label",
        number("3.7500000000000004"),
        &json!("3.75"),
        "3.7500000000000004",
    );
    let shown = |raw: &str, format| (number(raw).0, format);
    takes(
        "label",
        shown("42", "00000"),
        &json!("00042"),
        "holds the number 42",
    );
    takes(
        "label",
        shown("1234", "00-00"),
        &json!("12-34"),
        "holds the number 1234",
    );
    takes("label", shown("0.5", "0%"), &json!("50%"), "holds the number 0.5");
    takes(
        "label",
        shown("3.7512", "0.00"),
        &json!("3.7512"),
        "shows \"3.75\"",
    );
    takes(
        "label",
        shown("0.000012", "0.00E+00"),
        &json!("0.000012"),
        "number format",
    );
    takes(
        "label",
        plain(SheetValue::Boolean(true)),
        &json!("true"),
        "holds TRUE",
    );
}

// proves EDG-1
#[test]
fn a_text_is_a_number_only_if_it_is_one() {
    takes("mass", plain(text("3750")), &json!(3750), "");
    takes("mass", plain(text(" -0.5 ")), &json!(-0.5), "");
    takes("mass", plain(text("007")), &json!(7), "holds the text \"007\"");
    for bad in ["inf", "NaN", "3,5", "1 000", "50%", "3 kg", "1e999"] {
        refuses("mass", plain(text(bad)), "must be a number");
    }
    refuses("mass", plain(SheetValue::Boolean(true)), "holds TRUE");
    refuses("mass", number("INF"), "marked as a number");
    refuses("alive", number("1"), "must be true or false");
    refuses("label", plain(SheetValue::Error("#N/A".into())), "the error #N/A");
    refuses("label", plain(SheetValue::Uncomputed), "without a computed value");
}

// proves EDG-1
#[test]
fn a_date_keeps_its_time_as_text_and_loses_it_with_a_warning_as_a_date() {
    let at = |raw: &str, format| (number(raw).0, format);
    let (day, both) = ("yyyy-mm-dd", "yyyy-mm-dd hh:mm");
    takes("label", at("43890", day), &json!("2020-02-29"), "");
    takes("label", at("43890.5625", both), &json!("2020-02-29T13:30:00"), "");
    takes("label", at("43890", both), &json!("2020-02-29T00:00:00"), "");
    takes("label", at("43890.5625", day), &json!("2020-02-29T13:30:00"), day);
    takes("label", at("44076", "d-mmm"), &json!("2020-09-02"), "\"d-mmm\"");
    takes("label", at("0.5625", "hh:mm:ss"), &json!("13:30:00"), "");
    takes(
        "label",
        at("43890.5625", "hh:mm"),
        &json!("2020-02-29T13:30:00"),
        "hh:mm",
    );
    takes("born", at("43890", both), &json!("2020-02-29"), "");
    takes(
        "born",
        at("43890.5625", both),
        &json!("2020-02-29"),
        "without the time of day",
    );
    takes(
        "born",
        at("43890.5625", "hh:mm"),
        &json!("2020-02-29"),
        "shows only a time of day",
    );
    takes("born", plain(text("2020-02-29")), &json!("2020-02-29"), "");
    takes(
        "born",
        plain(text("2020-02-29T13:30:00Z")),
        &json!("2020-02-29"),
        "without the time",
    );
    takes(
        "born",
        plain(SheetValue::Iso("2020-02-29T00:00:00".into())),
        &json!("2020-02-29"),
        "",
    );
    takes(
        "born",
        plain(SheetValue::Iso("2020-02-29T13:30".into())),
        &json!("2020-02-29"),
        "without",
    );
    takes(
        "label",
        (SheetValue::Iso("2020-02-29".into()), day),
        &json!("2020-02-29"),
        "",
    );
    takes(
        "label",
        plain(SheetValue::Iso("2020-02-29".into())),
        &json!("2020-02-29"),
        "General",
    );
    refuses("born", at("0.5625", "hh:mm:ss"), "13:30:00 without a date");
    refuses("born", plain(text("29.2.2020")), "must be a date");
    refuses("mass", at("43890", day), "holds the date 2020-02-29");
    refuses("alive", at("43890", day), "holds the date 2020-02-29");
}

// proves EDG-1
#[test]
fn dates_before_march_1900_are_told_or_refused() {
    let at = |raw: &str| (number(raw).0, "yyyy-mm-dd");
    takes("born", at("1"), &json!("1900-01-01"), "before March 1900");
    takes("label", at("59"), &json!("1900-02-28"), "before March 1900");
    takes("born", at("61"), &json!("1900-03-01"), "");
    refuses("born", at("60"), "1900-02-29, a day that did not exist");
    refuses("label", at("60"), "1900-02-29");
    refuses("born", at("-1"), "outside of the dates");
    refuses("born", at("0"), "day 0 of January 1900");
    let mut sheet = sheet(&[("label", plain(text("x"))), ("born", at("42428"))]);
    sheet.date_1904 = true;
    assert_eq!(read(&fields(), &sheet).metadata["born"], "2020-02-29");
}

// proves EDG-1
#[test]
fn a_duration_is_text_and_no_number() {
    let at = |format| (number("1.5").0, format);
    takes("label", at("[h]:mm:ss"), &json!("36:00:00"), "");
    takes("label", at("[mm]:ss"), &json!("36:00:00"), "[mm]:ss");
    refuses("mass", at("[h]:mm:ss"), "the duration 36:00:00");
    refuses("born", at("[h]:mm:ss"), "the duration 36:00:00");
}

// proves EDG-1
#[test]
fn texts_are_kept_and_what_is_not_seen_is_told() {
    takes("label", plain(text("a\nb\tc")), &json!("a\nb\tc"), "");
    takes(
        "label",
        plain(text(" a ")),
        &json!(" a "),
        "begins or ends with spaces",
    );
    takes("label", plain(text("a\u{1}")), &json!("a\u{1}"), "U+0001");
    let longest = "x".repeat(32_767);
    takes(
        "label",
        plain(text(&longest)),
        &json!(longest),
        "end may be missing",
    );
    takes("label", (text("a"), ";;;"), &json!("a"), "shows \"\"");
    takes(
        "label",
        (text("No"), "\"Dr. \"@"),
        &json!("No"),
        "shows \"Dr. No\"",
    );
    let (_, _, errors) = one("label", plain(text("a\0b")));
    assert!(errors[0].1.contains("NUL (A3)"), "{errors:?}");
    let (found, warnings, errors) = one("mass", plain(text("  ")));
    assert_eq!((found, errors.len(), warnings.len()), (None, 0, 1));
    assert!(warnings[0].contains("only spaces"));
    let mut remarked = sheet(&[("label", plain(text("x")))]);
    remarked.columns[0].data.remarks = vec!["is in the hidden column A".to_owned()];
    assert_eq!(
        read(&fields(), &remarked).warnings,
        ["A3 is in the hidden column A"]
    );
}
