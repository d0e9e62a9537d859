//! Outrigger against a real kube-apiserver, etcd and kube-controller-manager.
//!
//! The programs come from the folder in `KUBEBUILDER_ASSETS`; without that variable every test is
//! ignored, which the end of the output reports. One control plane serves all tests. Tests that
//! need a node, such as a running sidecar, are in `tests/e2e`.
//!
//! Invariant: each test has its own namespace, and no process is left running.

#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test or benchmark that cannot go on ends, and nobody imports it"
)]

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
#[path = "../it/docs/markdown.rs"]
#[allow(dead_code, reason = "the tests of the documents read more of them")]
mod markdown;
mod outrigger;
mod ports;
mod process;
mod registration;
mod replicas;
mod test_webhook;
#[path = "../it/docs/walkthrough.rs"]
mod walkthrough;

mod advice;
mod api_server;
mod catalog;
mod certificates;
mod check;
mod convert;
mod deployments;
mod differential;
mod events;
mod explain;
mod explain_controllers;
mod export;
mod filled_in;
mod first_template;
mod golden;
mod leader;
mod lint;
mod manifests;
mod objects;
mod outage;
mod pod_resources;
mod refusals;
mod reinvocation;
mod requests;
mod restarts;
mod traces;
mod untouched;
mod usual;
mod volumes;
mod webhook_failures;

fn main() -> std::process::ExitCode {
    harness::run(&[
        advice::TESTS,
        api_server::TESTS,
        catalog::TESTS,
        certificates::TESTS,
        check::TESTS,
        convert::TESTS,
        deployments::TESTS,
        differential::TESTS,
        events::TESTS,
        explain::TESTS,
        explain_controllers::TESTS,
        export::bypass::TESTS,
        export::enforcing::TESTS,
        export::enforcing_catalog::TESTS,
        export::guard::TESTS,
        export::injecting::TESTS,
        export::placed::TESTS,
        filled_in::TESTS,
        first_template::TESTS,
        golden::TESTS,
        leader::TESTS,
        lint::TESTS,
        manifests::TESTS,
        objects::away::TESTS,
        objects::definitions::TESTS,
        objects::fleet::TESTS,
        objects::fleet_rows::TESTS,
        objects::fleet_run::TESTS,
        objects::followed::TESTS,
        objects::lifecycle::TESTS,
        objects::restart_run::TESTS,
        objects::revisions::TESTS,
        objects::status::TESTS,
        objects::tenants::TESTS,
        outage::TESTS,
        pod_resources::TESTS,
        refusals::TESTS,
        reinvocation::TESTS,
        requests::TESTS,
        restarts::TESTS,
        traces::TESTS,
        webhook_failures::TESTS,
        untouched::TESTS,
        volumes::TESTS,
        usual::TESTS,
    ])
}
