//! Integration tests: one binary, so that it links once.

mod architecture;
mod certificates;
mod cli;
mod client_auth;
mod config_file;
mod connections;
mod docs;
mod golden;
mod http2;
mod limits;
mod load;
mod properties;
mod protocol;
mod reload;
mod restart;
mod shutdown;
mod support;
mod webhook;
