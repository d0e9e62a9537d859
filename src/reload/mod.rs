//! Reads files again and again, and reports what changed.

pub mod regular_file;
pub mod settled;
pub mod watch;
