//! Pages of lists.

/// A page of a list, newest first. It may be short although there is more, if a filter matches little.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page, if there may be more.
    pub next: Option<String>,
}
