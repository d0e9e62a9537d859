//! Where templates come from, and the snapshot that requests see. Reads texts; what they mean is [`crate::inject`]'s.

pub mod built_in;
pub mod directories;
pub mod directory;
pub mod store;
