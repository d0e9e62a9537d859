//! Checks the threat table's statements about manifests, chart and image: where keys and tokens are
//! mounted, which ports are open, and what the image is built from.
//!
//! Tests of rights and Pod Security with an API server are in `tests/apiserver/`.

use serde_json::{Value, json};

use super::{list, object, read, render, text};

tests! {
    no_volume_mounts_a_generated_key,
    only_outrigger_pods_mount_the_service_account_token,
    the_network_policy_opens_only_the_webhook_port_without_monitoring,
    an_image_can_be_pinned_by_digest,
    the_image_is_built_from_locked_dependencies,
}

fn pod() -> Value {
    object("manifests/base/deployment.yaml")["spec"]["template"]["spec"].clone()
}

/// A kubelet may read the Secrets that pods of its node mount; the program reads its Secrets from
/// the API server instead.
fn no_volume_mounts_a_generated_key() {
    let pod = pod();
    for volume in list(&pod, "/volumes") {
        assert!(volume.get("secret").is_none() && volume.get("projected").is_none(), "{volume}");
        assert!(volume.get("configMap").is_some(), "{volume}");
    }
    assert!(!pod.to_string().contains("secretKeyRef") && !pod.to_string().contains("secretRef"));
}

fn only_outrigger_pods_mount_the_service_account_token() {
    assert_eq!(object("manifests/base/service-account.yaml")["automountServiceAccountToken"], false);
    assert_eq!(pod()["automountServiceAccountToken"], true);
}

fn the_network_policy_opens_only_the_webhook_port_without_monitoring() {
    let policy = object("manifests/base/network-policy.yaml");
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(policy["spec"]["ingress"], json!([{"ports": [{"port": "https", "protocol": "TCP"}]}]));
    let [egress] = list(&policy, "/spec/egress").as_slice() else { panic!("{policy}") };
    let ports: Vec<u64> = list(egress, "/ports").iter().filter_map(|port| port["port"].as_u64()).collect();
    assert_eq!(ports, [443, 6443, 8443, 16443], "what API servers listen on");

    let objects = render::by_key(render::kustomize(&["monitoring"]));
    let rules = &objects[&("NetworkPolicy".to_owned(), "outrigger".to_owned())]["spec"]["ingress"];
    let open: Vec<&Value> = rules.as_array().expect("rules").iter().filter(|rule| rule.get("from").is_none()).collect();
    assert_eq!(open, [&policy["spec"]["ingress"][0]], "the admin port is for those who are named");
}

fn an_image_can_be_pinned_by_digest() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let value = format!("image.digest={digest}");
    let objects = render::by_key(render::helm(&["image.tag=v1", &value]));
    let image = |objects: &std::collections::BTreeMap<render::Key, Value>| {
        let deployment = &objects[&("Deployment".to_owned(), "outrigger".to_owned())];
        text(deployment, "/spec/template/spec/containers/0/image").to_owned()
    };
    let expected = format!("registry.example/outrigger@{digest}");
    assert_eq!(image(&objects), expected);
    let kustomization = format!(
        "resources:\n- manifests/base\nimages:\n- {{name: registry.example/outrigger, newName: registry.example/outrigger, digest: \"{digest}\"}}\n"
    );
    let objects = render::by_key(render::kustomization(&kustomization));
    assert_eq!(image(&objects), expected);
}

fn the_image_is_built_from_locked_dependencies() {
    let dockerfile = read("Dockerfile");
    for line in dockerfile.lines().filter(|line| line.contains("cargo build")) {
        assert!(line.contains("--locked"), "{line}");
    }
    assert!(dockerfile.contains("cargo build"));
    let lock = read("Cargo.lock");
    let foreign = lock.split("[[package]]").filter(|package| package.contains("source = \"registry+"));
    assert!(foreign.clone().count() > 100);
    assert!(foreign.into_iter().all(|package| package.contains("checksum = ")), "a package without its hash");
    assert!(!lock.contains("source = \"git+"), "a branch can be changed");
}
