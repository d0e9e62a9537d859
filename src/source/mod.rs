//! Where templates come from, and the snapshot that requests see. Reads texts; what they mean is
//! [`crate::inject`]'s.

pub(crate) mod built_in;
pub(crate) mod custom_resource;
pub(crate) mod directories;
pub(crate) mod directory;
pub(crate) mod store;
