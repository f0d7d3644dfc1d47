//! Rules of who may do what with one object.

pub(crate) mod delegation;
pub(crate) mod deposition;
pub(crate) mod task;
