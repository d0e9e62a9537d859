//! The part of all pods to which a pod belongs in the rollout of a template.
//!
//! Invariant: the pods of one owner, and a pod that is created anew with its old name, stay in their
//! part, whatever the percentage is; raising it only adds pods.

use crate::inject::pod::find::find;
use crate::inject::request::Request;
use crate::inject::template::Slot;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Label of Kubernetes: the part of a ReplicaSet's name that changes with each revision of its
/// Deployment.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// What is read of a pod.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    name: Option<String>,
    generate_name: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: String,
    name: String,
    controller: Option<bool>,
}

/// The part of the pod of this request: a hash of the template's name, the namespace, the pod's
/// controller, and its name where the controller gives it one before admission.
pub(crate) fn slot(template: &str, request: &Request<'_>) -> Slot {
    let identity: Identity = find(request.object, &["metadata"]).unwrap_or_default();
    let owners = identity.owner_references.unwrap_or_default();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true));
    let hash = identity.labels.as_ref().and_then(|labels| labels.get(POD_TEMPLATE_HASH)?.as_deref());
    let (kind, owner_name) = owner.map_or_else(Default::default, |owner| {
        let stem = hash.filter(|_| owner.kind == "ReplicaSet").and_then(|hash| owner.name.strip_suffix(hash));
        let stem = stem.and_then(|stem| stem.strip_suffix('-')).map(str::to_owned);
        (owner.kind, stem.unwrap_or(owner.name))
    });
    let own = identity.name.filter(|name| !name.is_empty());
    // A controller gives the same beginning to all its pods, and its name tells as much.
    let name = own.or(identity.generate_name.filter(|_| kind.is_empty())).unwrap_or_default();
    let text = [template, request.namespace, &kind, &owner_name, &name].join("\0");
    let digest = Sha256::digest(text.as_bytes());
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Slot(u8::try_from(number % 100).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(metadata: &Value) -> u8 {
        let object = json!({"metadata": metadata}).to_string();
        slot("log", &Request::create_pod("shop", &object)).0
    }

    fn of_replica_set(deployment: &str, hash: &str) -> u8 {
        of(&json!({"generateName": format!("{deployment}-{hash}-"), "labels": {"pod-template-hash": hash},
            "ownerReferences": [{"kind": "ReplicaSet", "name": format!("{deployment}-{hash}"), "controller": true}]}))
    }

    #[test]
    fn the_pods_of_a_deployment_stay_in_their_part_when_it_changes() {
        let of_deployment = of_replica_set("web", "7d4b9c8f5d");
        assert_eq!(of_replica_set("web", "5c9f7d6b44"), of_deployment);
        // Offline the Deployment itself stands for its ReplicaSet.
        let offline = of(
            &json!({"generateName": "web-", "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": true}]}),
        );
        assert_eq!(offline, of_deployment);
    }

    #[test]
    fn pods_with_names_of_their_own_are_spread() {
        let slots: std::collections::BTreeSet<u8> = (0..50)
            .map(|index| of(&json!({"name": format!("db-{index}"), "ownerReferences": [{"kind": "StatefulSet", "name": "db", "controller": true}]})))
            .collect();
        assert!(slots.len() > 25, "{slots:?}");
    }

    #[test]
    fn a_tenth_of_many_owners_is_in_a_tenth() {
        let chosen = (0..2000).filter(|index| of_replica_set(&format!("app-{index}"), "5c9f7d6b44") < 10).count();
        assert!((140..=260).contains(&chosen), "{chosen}");
    }
}
