//! The program of an attempt.

use std::path::Path;

/// The program to start: a hook, or an ingester.
pub(crate) struct Program<'a> {
    /// Its image is `image/<name>` in the work directory.
    pub(crate) name: &'a str,
    /// The directory of the records' files, if it is not the work directory; read-only.
    pub(crate) staged: Option<&'a Path>,
    /// Whether it is an ingester: it has a network and may write to `files`.
    pub(crate) ingester: bool,
    /// The environment besides the paths.
    pub(crate) environment: Vec<(&'static str, String)>,
}
