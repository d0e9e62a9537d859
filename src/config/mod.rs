//! Configuration.

mod args;
pub mod settings;

pub use args::{CONFIG_VARIABLE, ServeArgs};
