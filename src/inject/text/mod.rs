//! Text of every kind: names, quantities, durations, field paths, sentences, and how values are shown in them.

pub mod duration;
pub mod field_path;
pub mod json;
pub mod message;
pub mod names;
pub mod pointer;
pub mod quantity;
pub mod quote;
pub mod suggest;
