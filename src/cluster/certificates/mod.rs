//! Creates, rotates and distributes the webhook's certificates in a cluster (mode `self`).
//!
//! `plan` computes the next step, `reconciler` takes it on the leader, `secrets` defines how the
//! Secrets store it, and `serving_secret` takes the serving certificate on every replica. See
//! docs/decisions/0011-trust-before-use.md.

pub(crate) mod configurations;
pub(crate) mod plan;
pub(crate) mod reconciler;
mod secrets;
pub(crate) mod serving_secret;
mod write_throttle;
