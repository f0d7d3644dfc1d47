//! The pages of the device flow. All external text is escaped.

use pages::{BaseUrl, paths};

/// Escapes a text for HTML content and quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(500) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}\
         input{{font:1.6rem monospace;letter-spacing:.1em;width:11ch}}button{{font-size:1.1rem;padding:.4rem 1rem}}.error{{color:#a00}}</style>\
         <main><h1>{title}</h1>{body}</main></html>"
    )
}

/// The page on which a person types a device's code.
pub(crate) fn device_code(base: &BaseUrl, code: &str, form_token: &str, error: Option<&str>) -> String {
    let error = error.map_or_else(String::new, |e| {
        format!("<p class=\"error\" role=\"alert\">{}</p>", escaped(e))
    });
    page(
        "Sign in a device",
        &format!(
            "<p>Type the code that the device shows. Continue only if you started its sign-in yourself: the device will act in your name.</p>{error}\
             <form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"form_token\" value=\"{}\"><p><label>Code <input name=\"user_code\" value=\"{}\" autocomplete=\"off\" autofocus required></label></p>\
             <p><button>Sign in with ORCID</button></p></form>",
            escaped(&base.href(&paths::DEVICE_VERIFY)),
            escaped(form_token),
            escaped(code)
        ),
    )
}

/// Renders a page with a single message.
pub(crate) fn message(title: &str, text: &str) -> String {
    page(title, &format!("<p>{}</p>", escaped(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let html = device_code(
            &"https://example.org/labs/archive".parse().unwrap(),
            "\"><script>alert(1)</script>",
            "t",
            Some("<img src=x onerror='x'>"),
        );
        assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
        assert!(html.contains("action=\"/labs/archive/api/v1/auth/device/verify\""));
        assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;"));
        assert!(!message("t", "<b>").contains("<b>"));
    }
}
