//! Integration tests: one binary, so that it links once.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

mod admin;
mod advice;
mod architecture;
mod canary;
mod catalog;
mod certificates;
mod cli;
mod client_auth;
mod config_file;
mod connections;
mod convert;
mod convert_losses;
mod convert_overwritten;
mod convert_types;
mod docs;
mod editor_schema;
mod golden;
mod in_cluster;
mod limits;
mod load;
mod logs;
mod metrics;
mod offline;
mod overload;
mod properties;
mod protocol;
mod reload;
mod restart;
mod shutdown;
mod support;
mod traces;
mod validation;
mod webhook;
