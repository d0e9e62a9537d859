//! Outrigger against a real kube-apiserver, etcd and kube-controller-manager.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`; without that variable every test says on standard error that it is skipped.
//! One control plane serves all tests. What only a node could show (a sidecar that runs) is not shown here.
//! Invariant: each test has its own namespace and leaves nothing running.

mod authority;
mod cluster;
mod control_plane;
mod process;
mod registration;
mod reinvocation;
mod test_webhook;
