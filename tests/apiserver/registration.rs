//! Registers webhook configurations and waits until the API server uses them.
//!
//! The API server learns of a configuration through a watch, a moment after it was created.
//!
//! Invariant: when a function returns, the configuration is in use.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, pod};
use crate::process::eventually;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const LIMIT: Duration = Duration::from_secs(20);

/// Creates a configuration as it is.
pub fn create(cluster: &Cluster, configuration: &Value) {
    let resource = configuration["kind"].as_str().expect("a kind").to_lowercase() + "s";
    cluster.send_object("POST", &format!("{GROUP}/{resource}"), configuration).expect_success();
}

/// Deletes the mutating and the validating configuration of this name.
pub fn delete(cluster: &Cluster, name: &str) {
    for resource in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("{GROUP}/{resource}/{name}");
        cluster.send("DELETE", &path, "application/json", Vec::new()).expect_success();
    }
}

/// Sends dry-run pods until one has reached the webhook.
pub fn wait_until_called(namespace: &Namespace, was_called: impl Fn() -> bool) {
    eventually("the API server calls the webhook", LIMIT, || {
        namespace.would_accept(&pod("probe", &json!({})));
        was_called().then_some(())
    });
}
