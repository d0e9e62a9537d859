//! Workloads: finds the pods and pod templates of any Kubernetes object, and reviews each as the webhook would.
//!
//! [`find()`] looks into an object or list; [`Reviewer::review`] builds the pod that the cluster would
//! create of a template, runs the engine on it, and takes out again what only the cluster adds. The
//! command line prints the result, the server answers with it. It is pure: no I/O, no clock.

mod cluster_pod;
mod comparison;
mod controller;
pub mod difference;
pub mod excerpt;
mod find;
mod finding;
mod marks;
mod pod_defaults;
mod restore;
mod review;
mod stray_keys;
mod trace;
mod unread_keys;

#[cfg(feature = "runtime")]
pub(crate) use cluster_pod::created as created_pod;
pub use comparison::Comparison;
pub use find::{Found, Note, ObjectName, PodLocation, find};
pub use finding::{Finding, FindingCode};
#[cfg(feature = "runtime")]
pub(crate) use marks::{is_mark, without_marks};
pub use review::{Renewal, Review, Reviewer};
pub use trace::{Carried, CarriedTemplate, TracedPod};
pub use unread_keys::of_namespace as unread_keys_of_namespace;
