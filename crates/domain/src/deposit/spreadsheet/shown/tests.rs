use proptest::prelude::*;

use super::*;

// proves EDG-1
#[test]
fn a_number_is_shown_as_its_format_says() {
    for (code, value, shown, plain, exact) in [
        ("General", 3.75, "3.75", true, true),
        ("", 3.75, "3.75", true, true),
        ("@", -7.0, "-7", true, true),
        ("General", 3.750_000_000_000_000_4, "3.75", true, false),
        ("General\" kg\"", 5.0, "5 kg", false, true),
        ("0", 3.7, "4", true, false),
        ("0.00", -3.75, "-3.75", true, true),
        ("0.0#", 3.5, "3.5", true, true),
        ("00000", 42.0, "00042", true, true),
        ("00-00", 1234.0, "12-34", false, true),
        ("#,##0.00", 1_234_567.5, "1,234,567.50", true, true),
        ("0%", 0.5, "50%", false, true),
        ("0.0%", 0.1234, "12.3%", false, false),
        ("[$€-407] #,##0.00", 5.0, "€ 5.00", false, true),
        ("\"$\"#,##0_);(\"$\"#,##0)", -5.0, "($5)", false, true),
        ("#,##0_);(#,##0)", -5.0, "(5)", true, true),
        ("0.00;[Red]0.00", -5.0, "5.00", false, true),
        ("0,", 5000.0, "5", false, true),
        ("0.0,,\"M\"", 1_500_000.0, "1.5M", false, true),
        (";;;", 5.0, "", false, false),
        ("#", 0.0, "", false, false),
        (".00", 3.5, "3.50", true, true),
        ("0\",\"00", 12345.0, "123,45", false, true),
        ("00-00", -1234.0, "-12-34", false, true),
        ("_(* #,##0_);_(* (#,##0);_(* \"-\"_);_(@_)", 0.0, "-", true, false),
        ("\"yes\"", 5.0, "yes", false, false),
        ("0.00", -0.001, "0.00", true, false),
    ] {
        let Shown::Number {
            text,
            plain: p,
            exact: e,
        } = number(code, value)
        else {
            panic!("{code} shows no number")
        };
        assert_eq!(text.as_deref(), Some(shown), "{code}");
        assert_eq!((p, e), (plain, exact), "{code}: plain, exact");
    }
    for (code, plain) in [
        ("0.00E+00", true),
        ("# ?/?", true),
        ("[>5]0;0", false),
        ("[DBNum1]0", false),
        ("0 kg", false),
    ] {
        let unknown = number(code, 7.25);
        assert!(
            matches!(unknown, Shown::Number { text: None, plain: p, .. } if p == plain),
            "{code}: {unknown:?}"
        );
    }
}

// proves EDG-1
#[test]
fn dates_times_and_durations_are_told_apart() {
    let is = |date, time, iso| Shown::Moment { date, time, iso };
    for (code, shown) in [
        ("yyyy-mm-dd", is(true, false, true)),
        ("yyyy\\-mm\\-dd;@", is(true, false, true)),
        ("[$-409]yyyy-mm-dd hh:mm", is(true, true, true)),
        ("yyyy-mm-dd\"T\"hh:mm:ss", is(true, true, true)),
        ("hh:mm:ss", is(false, true, true)),
        ("yyyy-mm-dd h:mm:ss", is(true, true, true)),
        ("mm-dd-yy", is(true, false, false)),
        ("d-mmm", is(true, false, false)),
        ("mmm", is(true, false, false)),
        ("h:mm AM/PM", is(false, true, false)),
        ("mm:ss", is(false, true, false)),
        ("m/d/yy h:mm", is(true, true, false)),
        ("[h]:mm:ss", Shown::Duration { hms: true }),
        ("[mm]:ss", Shown::Duration { hms: false }),
    ] {
        assert_eq!(number(code, 43_890.5), shown, "{code}");
    }
}

#[test]
fn a_text_format_can_hide_and_add() {
    assert_eq!(text("General", "a"), None);
    assert_eq!(text("@", " a"), None);
    assert_eq!(text("0.00", "a"), None);
    assert_eq!(text(";;;", "a").as_deref(), Some(""));
    assert_eq!(text("\"Dr. \"@", "No").as_deref(), Some("Dr. No"));
    assert_eq!(text("_(* #,##0_);_(* (#,##0);_(* \"-\"_);_(@_)", "a"), None);
}

proptest! {
    #[test]
    fn no_code_makes_the_rendering_panic(
        code in r#"[0#?.,%eE+/@;\[\]$ymdhsAP"\\_*>\- GeneralÄ]{0,20}"#,
        value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
        cell in ".{0,5}",
    ) {
        let _ = number(&code, value);
        let _ = text(&code, &cell);
    }
}
