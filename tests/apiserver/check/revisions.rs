//! `outrigger get` where a replica responds: what template objects say changes none of its revisions.

use serde_json::{Value, json};

use super::world::{World, with_world};
use crate::cluster::pod;
use crate::objects::{apply, install_crds, path};
use crate::process::eventually;

const NAME: &str = "log-collector";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub fn get_takes_revisions_from_the_replicas() {
    with_world(|world| {
        install_crds(world.cluster);
        world.shop.accepts(&pod("asks", &json!({"outrigger.dev/inject": NAME})));
        let first = row(world);
        assert_eq!(first["state"], "current", "{first}");
        // Neither an object whose status is behind, nor one of a tenant that the replica does not serve.
        for namespace in ["", "shop"] {
            let spec = json!({"sidecars": [{"name": "helper", "image": "helper:1"}]});
            apply(world.cluster, namespace, NAME, &spec).expect_success();
            let status =
                json!({"status": {"observedGeneration": 1, "revision": "0123456789", "stableRevision": "0123456789"}});
            world.patch(&format!("{}/status", path(namespace, NAME)), &status);
            assert_eq!(row(world), first, "{namespace:?}");
        }
        // Without a replica the status is all there is.
        let unknown = row_of(world, "nobody");
        assert_eq!((&unknown["state"], &unknown["current"]), (&json!("outdated"), &json!("0123456789")));
        for plural in ["clusterinjectiontemplates", "injectiontemplates"] {
            world.delete(&format!("{CRDS}/{plural}.outrigger.dev"));
            eventually("the kind is gone", std::time::Duration::from_secs(60), || {
                (!world.cluster.get(&format!("/apis/outrigger.dev/v1alpha1/{plural}")).is_success()).then_some(())
            });
        }
        world.delete(&world.shop.path("pods/asks?gracePeriodSeconds=0"));
        world.expect_healthy();
    });
}

fn row(world: &World) -> Value {
    row_of(world, super::OURS)
}

/// The row of the pod, with the replicas of this namespace.
fn row_of(world: &World, installation: &str) -> Value {
    let ran = world.run(&["get", NAME, "-n", "shop", "-o", "json", "--installation", installation]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let rows = report["workloads"].as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{report}");
    rows[0].clone()
}
