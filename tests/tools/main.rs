//! Tests that run other programs beside the real binary: kubectl, helm, openssl, curl and
//! script(1).
//!
//! kubectl and helm come from the folder in `KUBEBUILDER_ASSETS`, otherwise from the PATH.
//!
//! Invariant: a test whose program is missing is ignored, and the end of the output names the
//! program.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

#[macro_use]
#[path = "../harness/mod.rs"]
mod harness;

mod manifests;
mod serve;
#[path = "../it/support/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let manifests = manifests::TESTS;
    harness::run(&[&manifests.concat(), serve::TESTS])
}
