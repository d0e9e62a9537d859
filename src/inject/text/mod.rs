//! Text of every kind: names, quantities, durations, field paths, and how values are shown in messages.

pub mod duration;
pub mod field;
pub mod json;
pub mod message;
pub mod names;
pub mod pointer;
pub mod quantity;
