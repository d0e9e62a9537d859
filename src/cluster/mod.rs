//! Reads from and writes to a Kubernetes cluster, in the background.
//!
//! No request waits for the API server: background tasks keep the data in memory that requests
//! need. A watch that fails is resumed, and the last known data is used until then.
//! Invariant: the program creates no object but Events, and writes only to existing ones: by name
//! the Lease, the two Secrets, and `caBundle` of two webhook configurations; of template objects
//! only the status.

mod background;
pub(crate) mod certificates;
pub(crate) mod client;
mod error_text;
mod events;
pub(crate) mod jitter;
pub mod leader;
pub(crate) mod namespaces;
mod task;
pub mod templates;
mod watching;

pub use background::{BackgroundSettings, BackgroundTasks, start};
pub use error_text::explain;
pub(crate) use error_text::explain_kubeconfig;
use error_text::{chain, shortened};
pub use events::EventQueue;

/// Names of the objects that this program writes; an installation creates all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Namespace of the Secrets and the Lease.
    pub namespace: String,
    /// The MutatingWebhookConfiguration and the ValidatingWebhookConfiguration.
    pub webhook_configuration: String,
    /// The Secret of the certificate authorities.
    pub ca_secret: String,
    /// The Secret of the serving certificate.
    pub serving_secret: String,
    /// The Lease of the leader election.
    pub lease: String,
}
