//! Parsing and printing of text: names, quantities, durations, field paths, messages, quoting.

pub(crate) mod duration;
pub(crate) mod field_path;
pub(crate) mod json;
pub(crate) mod json_scanner;
pub(crate) mod json_writer;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod pointer;
pub(crate) mod quantity;
pub(crate) mod quote;
pub(crate) mod references;
pub(crate) mod suggest;

pub(crate) use field_path::{FieldError, FieldPath, PathSegment, Spot};
pub(crate) use message::{Message, message, value, words};
#[cfg(feature = "runtime")]
pub(crate) use quote::{is_unprintable, push_printable};
pub(crate) use quote::{one_line, quote};
pub(crate) use suggest::{listed, nearest, nearest_within};
