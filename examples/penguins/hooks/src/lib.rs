//! The two hooks of the Palmer penguins example, one module each, so that they can be tested without being programs.

pub mod check;
pub mod shape;
