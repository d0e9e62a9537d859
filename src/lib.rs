//! Outrigger, a Kubernetes sidecar injector.
//!
//! A pod asks for an injection template by annotation; the answer is a JSON Patch that adds the template's containers,
//! volumes, mounts and environment. The same pure function ([`inject::Injector::inject`], or [`inject::Injector::patch`] without the pod) serves the command line and
//! the webhook.
//!
//! What is here: the core ([`inject`], [`admission`]), which does no I/O and builds without the feature `runtime`, and the
//! adapters around it, which meet only in `app`.

pub mod admission;
pub mod inject;

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
