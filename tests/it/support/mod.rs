//! Helpers that several tests share: a server in the test process, its clients, and the real
//! binary.
//!
//! Invariant: every wait is limited, so that a server without a response fails the test instead of
//! hanging it.

#![allow(dead_code, unused_imports, reason = "each test uses its part")]

pub mod client;
pub mod collector;
pub mod process;
pub mod server;
pub mod serving;
pub mod strict_patch;

pub use client::{Client, Response};
pub use process::Process;
pub use server::{ServerBuilder, TestServer};
pub use serving::Serving;

use std::time::{Duration, Instant};

use outrigger::inject::{Injection, SourceText};
use serde_json::{Value, json};

/// The longest wait for anything that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` is true.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen within {PATIENCE:?}");
        pause(Duration::from_millis(5));
    }
}

/// Sleeps. Tests have their own threads, so nothing else is blocked.
#[allow(clippy::disallowed_methods, reason = "no runtime runs on the thread of a test")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// A template file with one sidecar.
pub fn template(name: &str) -> SourceText {
    let text = format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata:\n  name: {name}\nspec:\n  sidecars:\n  - name: {name}\n    image: registry.example/{name}:1.0\n"
    );
    SourceText { origin: format!("{name}.yaml"), text }
}

/// A pod of one container, with these annotations.
pub fn pod(annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "registry.example/web:1.0"}]},
    })
}

/// The pod after an injection, without managed fields: the engine does not read them.
pub fn injected_pod(pod: &Value, injection: &Injection) -> Value {
    let patch = serde_json::from_slice(&injection.patch_json).expect("the patch is JSON");
    let mut injected = strict_patch::apply(pod, &patch).expect("the patch applies");
    if let Some(metadata) = injected.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    injected
}

/// A review of the creation of `object` as a pod.
pub fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "demo",
            "operation": "CREATE",
            "userInfo": {"username": "somebody"},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}
