//! Pages of lists.

/// A page of a list, newest first. It may be short and there may still be more, where a filter lets little through.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there may be more.
    pub next: Option<String>,
}
