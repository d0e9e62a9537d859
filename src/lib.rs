//! Outrigger, a Kubernetes sidecar injector.
//!
//! A pod requests an injection template by annotation. The response is a JSON Patch that adds the
//! template's containers, volumes, mounts and environment. The command line and the webhook call
//! the same pure function, [`inject::Injector::inject`].
//!
//! The core ([`inject`], [`workload`], [`admission`], [`convert`], [`export`]) does no I/O and builds without the feature
//! `runtime`. The other modules are adapters around it, which only `app` connects.

pub mod admission;
pub mod convert;
pub mod export;
pub mod inject;
pub mod workload;

#[cfg(feature = "runtime")]
pub mod api;
#[cfg(feature = "runtime")]
mod app;
#[cfg(feature = "runtime")]
pub mod cli;
#[cfg(feature = "runtime")]
pub mod cluster;
#[cfg(feature = "runtime")]
pub mod config;
#[cfg(feature = "runtime")]
mod lint;
#[cfg(feature = "runtime")]
pub mod pki;
#[cfg(feature = "runtime")]
pub mod process;
#[cfg(feature = "runtime")]
mod reload;
#[cfg(feature = "runtime")]
pub mod server;
#[cfg(feature = "runtime")]
mod source;
#[cfg(feature = "runtime")]
pub mod telemetry;
#[cfg(feature = "runtime")]
pub mod tls;
