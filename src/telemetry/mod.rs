//! What operators see of the program: metrics and logs. Both are made of [`crate::admission::Record`]s, which hold no value of a pod.

pub mod build;
pub mod logging;
pub mod metrics;
