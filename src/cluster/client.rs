//! The connection to the API server. Making it calls nobody: whether the API server can be reached is seen later, and is no
//! reason not to start.

use kube::config::{InClusterError, KubeConfigOptions, KubeconfigError};
use kube::{Client, Config};

/// Where to learn of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The environment and the service account of a pod.
    Pod,
    /// `$KUBECONFIG`, or `~/.kube/config`.
    Kubeconfig,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "cannot read the pod's service account: {0}; set automountServiceAccountToken: true on the pod, or work without a cluster with --cluster off"
    )]
    Pod(String),
    #[error("cannot read the kubeconfig: {0}; set KUBECONFIG, or work without a cluster with --cluster off")]
    Kubeconfig(String),
    #[error("cannot make a client of the API server: {0}")]
    Client(String),
}

/// A client of the API server. TLS and the account's token follow their files.
pub async fn connect(origin: Origin) -> Result<Client, ConnectError> {
    let config = match origin {
        Origin::Pod => Config::incluster().map_err(|error: InClusterError| ConnectError::Pod(super::chain(&error)))?,
        Origin::Kubeconfig => Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .map_err(|error: KubeconfigError| ConnectError::Kubeconfig(super::chain(&error)))?,
    };
    Client::try_from(config).map_err(|error| ConnectError::Client(super::explain(&error)))
}
