//! XML in and out: a small element tree for answers, and a writer for requests.

mod element;
mod parse;
mod write;

pub use element::Element;
pub(crate) use parse::{for_each_at, parse};
pub(crate) use write::Body;
