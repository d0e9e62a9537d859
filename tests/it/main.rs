//! Integration tests: one binary, so that it links once.

mod admin;
mod architecture;
mod canary;
mod certificates;
mod cli;
mod config_file;
mod docs;
mod golden;
mod in_cluster;
mod load;
mod logs;
mod metrics;
mod properties;
mod reload;
mod restart;
mod shutdown;
mod support;
mod traces;
mod webhook;
