//! The page of something that did not work.

use maud::html;

use crate::model::ErrorPage;
use crate::parts::{page, paragraph, said};
use crate::paths;

/// That something did not work, what it was, and the way back.
pub fn error_page(error: &ErrorPage) -> String {
    let body = html! {
        p class="status" { "Error " (error.status) }
        h1 { (said(&error.title)) }
        (paragraph(&error.detail))
        p { a href=(paths::FRONT) { "Go to the front page" } }
    };
    page(None, &error.title, &[], &body)
}
