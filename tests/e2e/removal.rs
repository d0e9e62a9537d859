//! Removal: pods are created during and after it, and only the documented objects remain.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{Cluster, LIMIT, pause, within};
use crate::installation::{Installation, Method, NAMESPACE};
use crate::load::{Load, Outcome};
use crate::{inventory, pods};

const PODS: &str = "outrigger-e2e-removal";

/// Compares with the objects before the installation.
pub fn leaves_nothing(installation: &Installation<'_>, before: &BTreeSet<String>) {
    let cluster = installation.cluster;
    cluster.make_namespace(PODS, &json!({}));
    let load = Load::start(cluster, PODS);
    pause(Duration::from_secs(1));
    installation.remove();
    pause(Duration::from_secs(1));
    let samples = load.end();
    let not_created = |outcome: &Outcome| !matches!(outcome, Outcome::Injected | Outcome::WithoutSidecar);
    let failed: Vec<&Outcome> =
        samples.iter().map(|sample| &sample.outcome).filter(|outcome| not_created(outcome)).collect();
    assert!(failed.is_empty(), "{} of {} pods: {:?}", failed.len(), samples.len(), failed.first());
    println!("    {} pods were created during the removal, none was refused", samples.len());

    let answer = cluster.would_create(PODS, &pods::idle("web", &pods::asking(None)));
    assert!(answer.is_success() && !pods::is_injected(&answer.body), "{}", answer.body);
    cluster.delete_namespace(PODS);
    if installation.method == Method::Chart {
        // Helm leaves the definitions of templates, so that no template is lost, and the namespace with
        // the default objects of a namespace, as documented.
        let definition = |plural: &str| format!("<none>/CustomResourceDefinition/{plural}.outrigger.dev");
        let kept = [
            definition("clusterinjectiontemplates"),
            definition("injectiontemplates"),
            // The API server makes it for them.
            "<none>/APIService/v1alpha1.outrigger.dev".to_owned(),
            format!("<none>/Namespace/{NAMESPACE}"),
            format!("{NAMESPACE}/ConfigMap/kube-root-ca.crt"),
            format!("{NAMESPACE}/ServiceAccount/default"),
        ];
        comes_to(cluster, before, &BTreeSet::from(kept));
        installation.remove_definitions();
        cluster.delete_namespace(NAMESPACE);
    }
    comes_to(cluster, before, &BTreeSet::new());
}

/// Deletion takes time; then only these objects may exist in addition to the earlier ones.
fn comes_to(cluster: &Cluster, before: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let mut left = BTreeSet::new();
    let is_so = within(LIMIT, || {
        left = inventory::take(cluster).difference(before).cloned().collect();
        (left == *expected).then_some(())
    });
    assert!(is_so.is_some(), "left: {left:?}, expected: {expected:?}");
}
