//! The API server is away: templates are served on, and what has changed meanwhile is caught up.

use std::time::Duration;

use serde_json::json;

use super::{LIMIT, apply, cluster, delete, image, sidecar, templates_of, wait_for_image};
use crate::process::{eventually, pause};
use crate::replicas::{Replica, Running};

tests! {
    while_the_api_server_is_away_the_last_templates_are_served,
    a_replica_that_starts_without_the_api_server_serves_files_and_says_what_is_missing,
    a_deleted_crd_takes_its_templates_and_no_others,
    a_crd_of_another_release_loses_nothing,
}

fn names(replica: &Replica) -> Vec<String> {
    templates_of(replica).iter().filter_map(|template| template["name"].as_str().map(str::to_owned)).collect()
}

fn while_the_api_server_is_away_the_last_templates_are_served() {
    let running = Running::start(cluster(), "away", 1, &["--ca-propagation=1s"]);
    let (cluster, pods, replica) = (running.cluster(), &running.pods, &running.replicas[0]);
    apply(cluster, "", "away-kept", &sidecar("helper:1")).expect_success();
    apply(cluster, "", "away-gone", &sidecar("helper:1")).expect_success();
    wait_for_image(pods, "away-kept", "helper:1");
    wait_for_image(pods, "away-gone", "helper:1");
    // The replica cannot reach it; the API server still calls the replica.
    running.api.cut();
    eventually("the replica knows that it is behind", LIMIT, || {
        replica.notes("changes of the kind ClusterInjectionTemplate do not arrive").then_some(())
    });
    apply(cluster, "", "away-new", &sidecar("helper:1"));
    apply(cluster, "", "away-kept", &sidecar("helper:2"));
    delete(cluster, "", "away-gone");
    for _ in 0..20 {
        assert_eq!(image(pods, "away-kept"), Ok("helper:1".to_owned()));
        pause(Duration::from_millis(250));
    }
    // It does not say that a template does not exist which it may have missed.
    let unknown = image(pods, "away-new").expect_err("the API server asks again until its time is over");
    assert!(!unknown.contains("template_not_found"), "{unknown}");
    assert!(replica.metric("outrigger_admission_errors_total{code=\"templates_behind\"}") > Some(0.0));
    assert!(replica.is_ready(), "it was ready before");

    running.api.add(cluster.address());
    wait_for_image(pods, "away-kept", "helper:2");
    wait_for_image(pods, "away-new", "helper:1");
    eventually("the deleted one is gone", LIMIT, || {
        image(pods, "away-gone").err().filter(|why| why.contains("template_not_found")).map(|_| ())
    });
    eventually("nothing is wrong any more", LIMIT, || (!replica.notes("do not arrive")).then_some(()));
}

fn a_replica_that_starts_without_the_api_server_serves_files_and_says_what_is_missing() {
    let mut running = Running::start(cluster(), "cold", 1, &["--ca-propagation=1s"]);
    let cluster = running.cluster();
    apply(cluster, "", "cold", &sidecar("helper:1")).expect_success();
    wait_for_image(&running.pods, "cold", "helper:1");
    running.api.cut();
    let replica = running.start_replica();
    eventually("the admin listener answers", LIMIT, || replica.notes("template objects").then_some(()));
    pause(Duration::from_secs(2));
    assert!(!replica.is_ready(), "templates were not read once");
    assert!(
        replica.notes("ClusterInjectionTemplate") && replica.notes("[-]template objects"),
        "it says what is missing"
    );
    assert!(names(&replica).iter().any(|name| name == "agent"), "files are served: {:?}", names(&replica));

    running.api.add(cluster.address());
    replica.process.wait_until(LIMIT, || replica.is_ready());
    assert!(names(&replica).iter().any(|name| name == "cold"));
    running.balancer.add(replica.address);
    running.replicas.push(replica);
    running.end(0);
    assert_eq!(image(&running.pods, "cold"), Ok("helper:1".to_owned()));
}

fn a_deleted_crd_takes_its_templates_and_no_others() {
    // Nobody else may lose the kinds.
    let own: &'static crate::cluster::Cluster =
        Box::leak(Box::new(crate::cluster::Cluster::start(&crate::control_plane::assets())));
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let running = Running::start(own, "no-crd", 1, &["--ca-propagation=1s"]);
    let replica = &running.replicas[0];
    assert!(replica.is_ready() && replica.notes("CustomResourceDefinition"), "it says how to have template objects");
    super::install_crds(own);
    apply(own, "", "of-the-kind", &sidecar("helper:1")).expect_success();
    wait_for_image(&running.pods, "of-the-kind", "helper:1");
    let name = "clusterinjectiontemplates.outrigger.dev";
    own.send("DELETE", &format!("{crd}/{name}"), "application/json", Vec::new()).expect_success();
    // The API server deletes the objects of a deleted kind one by one, so that each is a deletion like any other.
    eventually("the template is gone", LIMIT, || {
        image(&running.pods, "of-the-kind").err().filter(|why| why.contains("template_not_found")).map(|_| ())
    });
    assert!(
        !crate::cluster::names(
            &running.pods.would_accept(&crate::cluster::pod("probe", &json!({"outrigger.dev/inject": "agent"}))),
            "/spec/initContainers"
        )
        .is_empty()
    );
}

/// The definitions of an earlier release, which know neither rollouts nor kept revisions.
fn a_crd_of_another_release_loses_nothing() {
    let own: &'static crate::cluster::Cluster =
        Box::leak(Box::new(crate::cluster::Cluster::start(&crate::control_plane::assets())));
    super::install_crds_with(own, |crd| {
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for (part, field) in [("spec", "rollout"), ("spec", "shadowable"), ("status", "stableRevision")] {
            let removed = schema[part]["properties"].as_object_mut().expect("properties").remove(field);
            assert!(removed.is_some(), "{part}.{field}");
        }
        // Its rules read the fields.
        if let Some(spec) = schema["spec"].as_object_mut() {
            spec.remove("x-kubernetes-validations");
        }
    });
    let running = Running::start(own, "skew", 2, &["--ca-propagation=1s"]);
    let mut new = sidecar("helper:1");
    new["rollout"] = json!({"percent": 100});
    new["shadowable"] = json!(true);
    apply(own, "", "skew", &new).expect_success();
    wait_for_image(&running.pods, "skew", "helper:1");
    let stored = own.get(&super::path("", "skew")).expect_success();
    assert_eq!(stored["spec"], new, "what the definition does not know is kept");
    super::eventual_status(own, "", "skew", super::is_ready);
    // A later release writes a field that this one does not know: it says so, and serves what it had.
    let mut later = sidecar("helper:2");
    later["fieldOfALaterRelease"] = json!(1);
    running.balancer.cut();
    apply(own, "", "skew", &later).expect_success();
    running.replicas.iter().for_each(|replica| running.balancer.add(replica.address));
    running.wait_until_called();
    let status = super::eventual_status(own, "", "skew", |status| super::ready(status).0 == "False");
    assert!(super::ready(&status).2.contains("fieldOfALaterRelease"), "{status}");
    assert_eq!(image(&running.pods, "skew"), Ok("helper:1".to_owned()));
    let written = || -> f64 {
        let metric = "outrigger_template_status_writes_total{result=\"success\"}";
        running.replicas.iter().filter_map(|replica| replica.metric(metric)).sum()
    };
    let before = written();
    pause(Duration::from_secs(10));
    assert!(written() - before <= 5.0, "a field that the definition drops is no reason for haste");
}
