//! Certificates that the program creates for itself in a cluster: the API server still creates pods
//! while certificates rotate, replicas end, and somebody changes Outrigger's objects.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use outrigger::pki::{Authority, AuthorityKind};
use serde_json::json;

use crate::cluster::{names, pod, shared};
use crate::installation::{CA_SECRET, SERVING_SECRET};
use crate::outrigger::admin_response;
use crate::process::{eventually, pause};
use crate::registration;
use crate::replicas::{Clients, LIMIT, Running, register};

tests! {
    certificate_rotations_fail_no_pod,
    a_killed_leader_is_replaced_and_no_pod_fails,
    replicas_serve_without_an_api_server,
    a_changed_ca_bundle_is_repaired,
    replicas_survive_a_deleted_secret_and_fill_it_when_it_is_applied_again,
    foreign_content_of_the_secrets_is_replaced_and_never_served,
    a_webhook_configuration_that_is_applied_again_gets_its_bundle_at_once,
    pods_get_the_templates_that_their_namespace_requests,
}

/// Rotates frequently: a leaf every two seconds, an authority every ten.
const SHORT: [&str; 5] = [
    "--certificate-duration=20s",
    "--certificate-renewal=2s",
    "--ca-duration=60s",
    "--ca-renewal=10s",
    "--ca-propagation=1s",
];
/// Does not rotate during a test.
const LONG: [&str; 1] = ["--ca-propagation=1s"];

fn in_installation(name: &str, replicas: usize, settings: &'static [&'static str], test: impl FnOnce(&mut Running)) {
    let mut running = Running::start(shared(), name, replicas, settings);
    test(&mut running);
    running.assert_no_key_is_logged();
}

fn certificate_rotations_fail_no_pod() {
    in_installation("rotations", 2, &SHORT, |running| {
        let clients = Clients::start(&running.pods);
        let (mut authorities, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        let (start, mut most_trusted) = (Instant::now(), 0);
        let mut has_handed_over = false;
        let first = running.field(CA_SECRET, "ca.crt");
        let trusts_the_first = |running: &Running| running.bundles().iter().any(|bundle| bundle.contains(&first));
        while authorities.len() < 4 || leaves.len() < 12 || trusts_the_first(running) {
            assert!(start.elapsed() < 2 * LIMIT, "{} authorities, {} leaves", authorities.len(), leaves.len());
            authorities.insert(running.field(CA_SECRET, "ca.crt"));
            leaves.insert(running.field(SERVING_SECRET, "tls.crt"));
            let trusted = running.bundles().iter().map(|bundle| bundle.matches("BEGIN").count()).max();
            most_trusted = most_trusted.max(trusted.unwrap_or_default());
            if authorities.len() == 2 && !has_handed_over {
                has_handed_over = true;
                running.add();
                running.end(running.leader());
            }
            pause(Duration::from_millis(100));
        }
        let pods = clients.expect_no_failure();
        assert!(pods > 100 && has_handed_over, "only {pods} pods were created");
        // The signing authority, the next one, and those of the last 25 s, whose leaves have not
        // expired; no more may accumulate.
        assert!((3..=7).contains(&most_trusted), "{most_trusted} certificates");
        eprintln!("{} authorities, {} leaves, {pods} pods, 0 failed", authorities.len(), leaves.len());
        for replica in &running.replicas {
            let rotations = replica.metric("outrigger_certificate_rotations_total{result=\"success\"}");
            assert!(rotations.is_some_and(|rotations| rotations > 1.0), "{}: {rotations:?}", replica.name);
        }
        let leaders = running.replicas.iter().filter(|one| one.metric("outrigger_leader") == Some(1.0)).count();
        assert_eq!(leaders, 1);
    });
}

fn a_killed_leader_is_replaced_and_no_pod_fails() {
    in_installation("killed", 2, &LONG, |running| {
        let killed = running.leader();
        let killed = running.replicas.remove(killed);
        running.balancer.remove(killed.address);
        // The API server keeps connections alive; those of the killed replica break, which is
        // independent of the leader.
        killed.process.kill();
        running.wait_until_called();
        let (clients, since) = (Clients::start(&running.pods), Instant::now());
        let next = running.leader();
        eprintln!("replaced after {:?}", since.elapsed());
        assert!(since.elapsed() < LIMIT && next == 0);
        let good = running.bundles();
        running.set_bundles("");
        eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
        let failed = clients.failures();
        // A pod may have been refused only while the bundle was empty, and only for that reason.
        assert!(failed.iter().all(|failure| failure.contains("x509") || failure.contains("certificate")), "{failed:?}");
    });
}

fn replicas_serve_without_an_api_server() {
    in_installation("partition", 2, &LONG, |running| {
        let clients = Clients::start(&running.pods);
        let leaders = |running: &Running| {
            running.replicas.iter().filter(|replica| replica.metric("outrigger_leader") == Some(1.0)).count()
        };
        running.api.cut();
        eventually("nobody leads", LIMIT, || (leaders(running) == 0).then_some(()));
        // Longer than the lease, and longer than any client waits for a response.
        pause(Duration::from_secs(10));
        for replica in &running.replicas {
            let ready = admin_response(replica.admin, "/readyz").unwrap_or_default();
            assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        }
        running.api.add(running.cluster().address());
        eventually("a candidate leads", LIMIT, || (leaders(running) == 1).then_some(()));
        assert!(clients.expect_no_failure() > 50);
        // The replicas reconcile the certificates again.
        let good = running.bundles();
        running.set_bundles("");
        eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
    });
}

fn a_changed_ca_bundle_is_repaired() {
    in_installation("repair", 1, &LONG, |running| {
        let good = running.bundles();
        assert!(
            good.len() == 4 && good.iter().all(|bundle| *bundle == good[0]) && good[0].matches("BEGIN").count() == 1
        );
        let other = BASE64.encode(running.cluster().control_plane.authority.pem());
        for bad in ["", other.as_str()] {
            running.set_bundles(bad);
            let since = Instant::now();
            eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
            eprintln!("repaired after {:?}", since.elapsed());
        }
        let configuration = running.configuration();
        let managers = configuration["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        let ours = managers.iter().find(|entry| entry["manager"] == "outrigger-ca-bundle").expect("our field manager");
        let owned = ours["fieldsV1"]["f:webhooks"].to_string();
        assert_eq!(ours["operation"], "Apply");
        assert_eq!(owned.matches("f:caBundle").count(), 2, "{owned}");
        assert!(!owned.contains("f:failurePolicy") && !owned.contains("f:url"), "{owned}");
    });
}

fn replicas_survive_a_deleted_secret_and_fill_it_when_it_is_applied_again() {
    in_installation("deleted", 2, &LONG, |running| {
        for secret in [SERVING_SECRET, CA_SECRET] {
            let clients = Clients::start(&running.pods);
            let before = running.field(SERVING_SECRET, "tls.crt");
            running.installation.delete_secret(secret);
            let leader = running.leader();
            let says_so = || {
                running.replicas[leader]
                    .process
                    .log()
                    .lines()
                    .any(|line| line.contains("does not exist") && line.contains(secret))
            };
            eventually("the leader says so", LIMIT, || says_so().then_some(()));
            let words = format!("the secret {secret} does not exist; apply it again");
            eventually("the leader notes it", LIMIT, || running.replicas[leader].notes(&words).then_some(()));
            pause(Duration::from_secs(2));
            running.installation.apply_secret(secret);
            eventually("there is a new certificate", LIMIT, || {
                let now = running.field(SERVING_SECRET, "tls.crt");
                (!now.is_empty() && now != before).then_some(())
            });
            eventually("the note goes", LIMIT, || (!running.replicas[leader].notes(&words)).then_some(()));
            pause(Duration::from_secs(2));
            assert!(clients.expect_no_failure() > 20);
        }
        // The lost authority stays trusted until its leaves have expired.
        assert!(running.bundles().iter().all(|bundle| bundle.matches("BEGIN").count() == 2));
        for replica in &running.replicas {
            eventually("the replica is in sync", LIMIT, || {
                (replica.metric("outrigger_ca_bundle_in_sync")? > 0.0).then_some(())
            });
        }
    });
}

fn foreign_content_of_the_secrets_is_replaced_and_never_served() {
    in_installation("foreign", 2, &LONG, |running| {
        let hour = Duration::from_secs(3600);
        let make = |subject| Authority::make(subject, SystemTime::now(), 24 * hour).expect("an authority");
        // A pair of another installation: it has the same names but is for another Service.
        let other = make(AuthorityKind::Cluster);
        let leaf = other.issue(&["outrigger.elsewhere.svc".to_owned()], SystemTime::now(), hour).expect("a leaf");
        let not_ours = make(AuthorityKind::Development).to_pem();
        let beside = other.certificate().pem();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".repeat(5_000);
        let cases: [(&str, &[(&str, &str)]); 6] = [
            (SERVING_SECRET, &[("tls.crt", "garbage")]),
            (SERVING_SECRET, &[("tls.crt", &leaf.certificate), ("tls.key", &leaf.key), ("ca.crt", &beside)]),
            (SERVING_SECRET, &[("tls.key", &not_ours.key)]),
            (CA_SECRET, &[("ca.key", "garbage")]),
            // The pair matches, but its certificate must not sign.
            (CA_SECRET, &[("ca.crt", &leaf.certificate), ("ca.key", &leaf.key)]),
            (CA_SECRET, &[("ca.crt", &garbage), ("retired.crt", &garbage), ("retired.json", "[]"), ("next.crt", "x")]),
        ];
        let clients = Clients::start(&running.pods);
        for (secret, fields) in cases {
            let before = running.field(SERVING_SECRET, "tls.crt");
            let authority = running.field(CA_SECRET, "ca.crt");
            running.installation.write_secret(secret, fields);
            eventually("it is replaced", LIMIT, || {
                let changed = running.field(SERVING_SECRET, "tls.crt") != before
                    || running.field(CA_SECRET, "ca.crt") != authority;
                let is_ours =
                    fields.iter().all(|(key, text)| running.field(secret, key) != *text || *key == "retired.json");
                (changed && is_ours).then_some(())
            });
            // Long enough for a wrong certificate to be served.
            pause(Duration::from_secs(3));
        }
        assert!(clients.expect_no_failure() > 100);
        for replica in &running.replicas {
            eventually("the replica is in sync", LIMIT, || {
                (replica.metric("outrigger_ca_bundle_in_sync")? > 0.0).then_some(())
            });
        }
    });
}

fn a_webhook_configuration_that_is_applied_again_gets_its_bundle_at_once() {
    in_installation("recreated", 2, &LONG, |running| {
        let good = running.bundles();
        for _ in 0..3 {
            registration::delete(running.cluster(), running.installation.name());
            pause(Duration::from_millis(700));
            register(&running.installation, &format!("https://{}/mutate", running.balancer.address()));
            let since = Instant::now();
            eventually("the bundle is as it was", LIMIT, || (running.bundles() == good).then_some(()));
            eprintln!("trusted after {:?}", since.elapsed());
            running.wait_until_called();
        }
        running.replicas.iter().for_each(|replica| assert!(replica.is_ready()));
    });
}

fn pods_get_the_templates_that_their_namespace_requests() {
    in_installation("namespaces", 1, &LONG, |running| {
        let patch = json!({"metadata": {
            "labels": {"outrigger.dev/injection": "enabled"},
            "annotations": {"outrigger.dev/inject": "agent"},
        }});
        let path = format!("/api/v1/namespaces/{}", running.pods.name);
        let patch = patch.to_string().into_bytes();
        running.cluster().send("PATCH", &path, "application/merge-patch+json", patch).expect_success();
        eventually("a pod gets the sidecar that its namespace requests", LIMIT, || {
            let stored = running.pods.would_accept(&pod("web", &json!({})));
            (!names(&stored, "/spec/initContainers").is_empty()).then_some(())
        });
        let opted_out = running.pods.would_accept(&pod("web", &json!({"outrigger.dev/inject": "false"})));
        assert!(names(&opted_out, "/spec/initContainers").is_empty());
    });
}
