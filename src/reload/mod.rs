//! Reads files again and again, and reports what changed.

pub(crate) mod regular_file;
pub(crate) mod settled;
pub(crate) mod watch;
