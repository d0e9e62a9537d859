//! The certificates of the webhook in a cluster: made, rotated and trusted (mode `self`).

pub mod plan;
