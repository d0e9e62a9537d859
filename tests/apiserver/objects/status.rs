//! The status of template objects, written by the leader, and Events on bad ones.

use std::time::Duration;

use serde_json::{Value, json};

use super::{LIMIT, apply, cluster, delete, eventual_status, image, is_ready, ready, sidecar, wait_for_image};
use crate::process::{eventually, pause};
use crate::replicas::Running;

tests! {
    the_status_tells_whether_a_template_is_ready_and_why,
    a_bad_template_that_got_in_harms_no_other_and_is_told_by_an_event,
    statuses_are_written_once_and_put_right_without_haste,
    automatic_templates_in_conflict_are_told_on_both,
    a_template_in_use_is_not_deleted_or_changed_in_silence,
}

fn the_status_tells_whether_a_template_is_ready_and_why() {
    let running = Running::start(cluster(), "status", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    apply(cluster, "", "status", &sidecar("helper:1")).expect_success();
    let first = eventual_status(cluster, "", "status", is_ready);
    assert_eq!(ready(&first).1, "Loaded");
    let revision = first["revision"].as_str().expect("a revision").to_owned();
    assert_eq!(
        (&first["observedGeneration"], &first["sidecars"], &first["injection"]),
        (&json!(1), &json!("helper"), &json!("OptIn"))
    );
    assert_eq!(first["revisions"][0]["revision"], revision.as_str());
    // The columns of `kubectl get`.
    let (succeeded, table) = pods.kubectl(&["get", "clusterinjectiontemplate", "status"], &Value::Null);
    assert!(succeeded && table.contains(&revision) && table.contains("helper") && table.contains("True"), "{table}");

    apply(cluster, "", "status", &sidecar("helper:2")).expect_success();
    let second = eventual_status(cluster, "", "status", |status| status["observedGeneration"] == 2);
    let revisions: Vec<&str> =
        second["revisions"].as_array().expect("revisions").iter().filter_map(|one| one["revision"].as_str()).collect();
    assert_eq!(revisions, [second["revision"].as_str().expect("a revision"), revision.as_str()]);
    assert_eq!(
        first["conditions"][0]["lastTransitionTime"], second["conditions"][0]["lastTransitionTime"],
        "it was ready all the time"
    );
}

fn a_bad_template_that_got_in_harms_no_other_and_is_told_by_an_event() {
    let running = Running::start(cluster(), "got-in", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    // In a namespace, since the replicas of other tests check the templates of the cluster.
    let namespace = &pods.name.clone();
    apply(cluster, namespace, "got-in-good", &sidecar("helper:1")).expect_success();
    wait_for_image(pods, "got-in-good", "helper:1");
    // While the webhook is away, nobody checks.
    running.balancer.cut();
    let mut bad = sidecar("helper:1");
    bad["sidecars"][0]["volumeMounts"] = json!([{"name": "nowhere", "mountPath": "/x"}]);
    bad["sidecarss"] = json!([]);
    apply(cluster, namespace, "got-in-bad", &bad).expect_success();
    let mut worse = sidecar("helper:2");
    worse["sidecars"][0]["imagePullPolicy"] = json!("Sometimes");
    apply(cluster, namespace, "got-in-good", &worse).expect_success();
    running.balancer.add(running.replicas[0].address);
    running.wait_until_called();

    let status = eventual_status(cluster, namespace, "got-in-bad", |status| !status["conditions"].is_null());
    let (is_ready, reason, message) = ready(&status);
    assert_eq!((is_ready.as_str(), reason.as_str()), ("False", "Invalid"));
    // All problems at once, with the field and a hint.
    for part in
        ["spec.sidecarss: unknown field; did you mean \"sidecars\"?", "spec.sidecars[0].volumeMounts[0]", "nowhere"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let refused = image(pods, "got-in-bad").expect_err("it never loaded");
    assert!(refused.contains("template_broken"), "{refused}");
    // The last good revision is served, also after a restart: the object has kept it.
    let stale = eventual_status(cluster, namespace, "got-in-good", |status| ready(status).0 == "False");
    assert!(ready(&stale).2.contains("the last good revision"), "{stale}");
    assert_eq!(image(pods, "got-in-good"), Ok("helper:1".to_owned()));
    let event = eventually("an Event about the template", LIMIT, || {
        let events = cluster.get(&pods.path("events")).expect_success();
        let events = events["items"].as_array().cloned().unwrap_or_default();
        events.into_iter().find(|event| event["involvedObject"]["name"] == "got-in-bad")
    });
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("Invalid")));
    assert!(event["message"].as_str().is_some_and(|note| note.contains("did you mean")), "{event}");
    let (_, described) = pods.kubectl(&["describe", "injectiontemplate", "got-in-bad"], &Value::Null);
    assert!(described.contains("Invalid") && described.contains("did you mean"), "{described}");

    let mut restarted = running;
    restarted.add();
    restarted.end(0);
    restarted.wait_until_called();
    assert_eq!(image(&restarted.pods, "got-in-good"), Ok("helper:1".to_owned()), "from the status of the object");
    apply(cluster, namespace, "got-in-good", &sidecar("helper:3")).expect_success();
    wait_for_image(&restarted.pods, "got-in-good", "helper:3");
    delete(cluster, namespace, "got-in-bad").expect_success();
}

fn statuses_are_written_once_and_put_right_without_haste() {
    let running = Running::start(cluster(), "writes", 2, &["--ca-propagation=1s"]);
    let cluster = running.cluster();
    let written = || -> f64 {
        let metric = "outrigger_template_status_writes_total{result=\"success\"}";
        running.replicas.iter().filter_map(|replica| replica.metric(metric)).sum()
    };
    let before = written();
    for index in 0..50 {
        apply(cluster, "", &format!("writes-{index}"), &sidecar("helper:1")).expect_success();
    }
    for index in 0..50 {
        eventual_status(cluster, "", &format!("writes-{index}"), is_ready);
    }
    // Other tests of this cluster have templates of their own, so no exact number can be expected here.
    pause(Duration::from_secs(3));
    let after = written();
    assert!(after - before >= 50.0, "{before} {after}");
    let version =
        |name: &str| cluster.get(&super::path("", name)).expect_success()["metadata"]["resourceVersion"].clone();
    let quiet = version("writes-7");
    pause(Duration::from_secs(5));
    assert_eq!(version("writes-7"), quiet, "nothing changes, nothing is written");

    // Somebody else writes the status again and again.
    let tamper = |text: &str| {
        let patch = json!({"status": {"revision": text}}).to_string().into_bytes();
        cluster
            .send("PATCH", &format!("{}/status", super::path("", "writes-7")), "application/merge-patch+json", patch)
            .expect_success();
    };
    tamper("0000000000");
    eventual_status(cluster, "", "writes-7", |status| status["revision"] != "0000000000");
    let mut puts_right = 0;
    for round in 0..40 {
        tamper(&format!("{round:010}"));
        pause(Duration::from_millis(250));
        puts_right +=
            usize::from(super::status(cluster, "", "writes-7")["revision"] != format!("{round:010}").as_str());
    }
    assert!(puts_right <= 8, "in ten seconds of quarrel the status was written {puts_right} times");
    for index in 0..50 {
        delete(cluster, "", &format!("writes-{index}")).expect_success();
    }
}

fn automatic_templates_in_conflict_are_told_on_both() {
    let running = Running::start(cluster(), "quarrel", 1, &["--ca-propagation=1s"]);
    let cluster = running.cluster();
    let automatic = |name: &str, image: &str| {
        json!({
            "injection": "Automatic",
            "match": {"podSelector": {"matchLabels": {"quarrel": "yes"}}},
            "sidecars": [{"name": name, "image": image, "volumeMounts": [{"name": "quarrel-data", "mountPath": "/data"}]}],
            "volumes": [{"name": "quarrel-data", "emptyDir": {"sizeLimit": if name == "one" { "1Mi" } else { "2Mi" }}}],
        })
    };
    apply(cluster, "", "quarrel-one", &automatic("one", "helper:1")).expect_success();
    apply(cluster, "", "quarrel-two", &automatic("two", "helper:2")).expect_success();
    for (name, other) in [("quarrel-one", "quarrel-two"), ("quarrel-two", "quarrel-one")] {
        let status = eventual_status(cluster, "", name, |status| !status["warnings"].is_null());
        let warnings = status["warnings"].to_string();
        assert!(warnings.contains("two Automatic templates") && warnings.contains(other), "{warnings}");
        assert!(is_ready(&status), "it is served all the same: {status}");
    }
    delete(cluster, "", "quarrel-one").expect_success();
    eventual_status(cluster, "", "quarrel-two", |status| status["warnings"].is_null());
    delete(cluster, "", "quarrel-two").expect_success();
}

fn a_template_in_use_is_not_deleted_or_changed_in_silence() {
    let running = Running::start(cluster(), "in-use", 1, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    apply(cluster, "", "in-use", &sidecar("helper:1")).expect_success();
    wait_for_image(pods, "in-use", "helper:1");
    for name in ["one", "two"] {
        pods.accepts(&crate::cluster::pod(name, &json!({"outrigger.dev/inject": "in-use"})));
    }
    let lists = json!({"metadata": {"annotations": {"outrigger.dev/inject": "in-use"}}}).to_string().into_bytes();
    cluster
        .send("PATCH", &format!("/api/v1/namespaces/{}", pods.name), "application/merge-patch+json", lists)
        .expect_success();
    // They are counted soon after the template has come.
    let status = eventual_status(cluster, "", "in-use", |status| status["pods"] == 2);
    assert_eq!((&status["namespaces"], &status["revisions"][0]["pods"]), (&json!(1), &json!(2)));

    let changed = super::apply_with(cluster, "", "in-use", &sidecar("helper:2"), "&dryRun=All");
    let warnings = changed.warnings.join("\n");
    assert!(warnings.contains("2 pods in 1 namespace carry another revision"), "{warnings}");
    assert!(warnings.contains("spec.sidecars[0].image") && warnings.contains("helper:2"), "{warnings}");
    let path = format!("{}?dryRun=All", super::path("", "in-use"));
    let deleted = cluster.send("DELETE", &path, "application/json", Vec::new());
    let warnings = deleted.warnings.join("\n");
    assert!(
        warnings.contains("2 pods in 1 namespace carry template") && warnings.contains("to rename a template"),
        "{warnings}"
    );
    assert!(warnings.contains("the default list of 1 namespace names template"), "{warnings}");
}
