//! Outrigger against a real kube-apiserver, etcd and kube-controller-manager.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`; without that variable every test says on standard error
//! that it is skipped. One control plane serves all tests. What only a node could show (a sidecar that runs) is not
//! shown here. Invariant: each test has its own namespace, and nothing is left running.

mod authority;
mod balancer;
mod cluster;
#[path = "../it/support/collector.rs"]
mod collector;
mod control_plane;
mod faults;
mod installation;
mod outrigger;
mod process;
mod registration;
mod replicas;
mod test_webhook;

mod api_server;
mod certificates;
mod check;
mod deployments;
mod golden;
mod leader;
mod manifests;
mod outage;
mod refusals;
mod reinvocation;
mod requests;
mod restarts;
mod traces;
mod troubles;
mod untouched;
