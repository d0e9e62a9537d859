//! Earlier revisions: pinned by pods, and served to the rest of the pods while a new one is rolled
//! out.

use serde_json::json;

use super::{apply, cluster, eventual_status, image, image_of, is_ready, sidecar, wait_for_image};
use crate::replicas::Running;

tests! {
    a_pinned_revision_is_served_until_it_is_gone,
    a_rollout_reaches_a_part_of_the_pods_and_then_all,
}

fn a_pinned_revision_is_served_until_it_is_gone() {
    let running = Running::start(cluster(), "pinned", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    let mut revisions = Vec::new();
    for round in 1..=6 {
        apply(cluster, "", "pinned", &sidecar(&format!("helper:{round}"))).expect_success();
        let status =
            eventual_status(cluster, "", "pinned", |status| status["observedGeneration"] == round && is_ready(status));
        revisions.push(status["revision"].as_str().expect("a revision").to_owned());
        wait_for_image(pods, "pinned", &format!("helper:{round}"));
        if round == 2 {
            assert_eq!(image(pods, &format!("pinned@{}", revisions[0])), Ok("helper:1".to_owned()));
        }
    }
    for (index, revision) in revisions.iter().enumerate().skip(1) {
        assert_eq!(image(pods, &format!("pinned@{revision}")), Ok(format!("helper:{}", index + 1)));
    }
    let gone = image(pods, &format!("pinned@{}", revisions[0])).expect_err("five are kept");
    assert!(gone.contains("revision_not_found") && revisions[1..].iter().all(|known| gone.contains(known)), "{gone}");
    // A replica that starts now has them from the object.
    let mut restarted = running;
    restarted.add();
    restarted.end(0);
    restarted.end(0);
    restarted.wait_until_called();
    assert_eq!(image(&restarted.pods, &format!("pinned@{}", revisions[1])), Ok("helper:2".to_owned()));
}

fn a_rollout_reaches_a_part_of_the_pods_and_then_all() {
    let running = Running::start(cluster(), "rollout", 2, &["--ca-propagation=1s"]);
    let (cluster, pods) = (running.cluster(), &running.pods);
    apply(cluster, "", "rollout", &sidecar("helper:1")).expect_success();
    eventual_status(cluster, "", "rollout", is_ready);
    let names: Vec<String> = (0..60).map(|index| format!("web-{index}")).collect();
    let mut last = 0;
    for percent in [20, 60, 100] {
        let mut spec = sidecar("helper:2");
        spec["rollout"] = json!({"percent": percent});
        apply(cluster, "", "rollout", &spec).expect_success();
        let status = eventual_status(cluster, "", "rollout", |status| {
            let is_split = status["revision"] != status["stableRevision"];
            is_ready(status) && status["observedGeneration"].as_i64() >= Some(2) && is_split == (percent < 100)
        });
        assert!(status["revisions"].as_array().is_some_and(|kept| kept.len() == 2), "{status}");
        let new = |name: &String| image_of(pods, name, "rollout").as_deref() == Ok("helper:2");
        let chosen: Vec<bool> = names.iter().map(new).collect();
        assert_eq!(names.iter().map(new).collect::<Vec<_>>(), chosen, "each pod gets the same again, from any replica");
        let count = chosen.iter().filter(|new| **new).count();
        assert!(count > last, "{percent} %: {count} of 60");
        last = count;
    }
    assert_eq!(last, 60);
}
