//! Outrigger against a real kube-apiserver, etcd and kube-controller-manager.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`; without that variable every test is
//! ignored, which the end of the output says. One control plane serves all tests. What only a node
//! could show (a sidecar that runs) is not shown here. Invariant: each test has its own namespace,
//! and nothing is left running.

#[macro_use]
#[path = "../harness/mod.rs"]
mod harness;

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
mod webhook_failures;
mod untouched;

fn main() -> std::process::ExitCode {
    harness::run(&[
        api_server::TESTS,
        certificates::TESTS,
        check::TESTS,
        deployments::TESTS,
        golden::TESTS,
        leader::TESTS,
        manifests::TESTS,
        outage::TESTS,
        refusals::TESTS,
        reinvocation::TESTS,
        requests::TESTS,
        restarts::TESTS,
        traces::TESTS,
        webhook_failures::TESTS,
        untouched::TESTS,
    ])
}
