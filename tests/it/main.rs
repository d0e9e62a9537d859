//! Integration tests: one binary, so that it links once.

mod architecture;
mod certificates;
mod cli;
mod config_file;
mod docs;
mod golden;
mod load;
mod manifests;
mod properties;
mod shutdown;
mod support;
mod webhook;
