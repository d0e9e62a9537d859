//! The certificates of the webhook in a cluster: made, rotated and trusted (mode `self`).
//!
//! `plan` says what to do next, `reconciler` does it where we lead, `secrets` is the form in which it is kept, `serving` is what
//! every replica makes of it. See docs/decisions/0011-trust-before-use.md.

pub mod plan;
pub mod reconciler;
mod secrets;
pub mod serving_secret;
mod write_throttle;
