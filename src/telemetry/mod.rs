//! What operators see of the program: metrics, logs and traces, all made of
//! [`crate::admission::Record`]s, which hold no value of a pod.

pub mod build;
pub(crate) mod logging;
pub mod metrics;
pub(crate) mod throttle;
#[cfg(not(feature = "otel"))]
#[path = "traces/absent.rs"]
pub(crate) mod traces;
#[cfg(feature = "otel")]
pub(crate) mod traces;
