//! Parsing and printing of text: names, quantities, durations, field paths, messages, quoting.

pub mod duration;
pub mod field_path;
pub mod json;
pub mod message;
pub mod names;
pub mod pointer;
pub mod quantity;
pub mod quote;
pub mod suggest;
