//! The error page.

use maud::html;

use crate::model::ErrorPage;
use crate::parts::{page, paragraph, said};
use crate::paths;

/// Renders an error, with a link to the front page.
pub fn error_page(error: &ErrorPage) -> String {
    let body = html! {
        p class="status" { "Error " (error.status) }
        h1 { (said(&error.title)) }
        (paragraph(&error.detail))
        p { a href=(error.base.href(&paths::FRONT)) { "Go to the front page" } }
    };
    page(&error.base, None, &error.title, &[], &body)
}
