//! Faults outside Outrigger: somebody changes or deletes its objects, or the API server is stopped.
//!
//! Invariant: each fault lasts until it is repaired, by Outrigger if the design says so, otherwise
//! by applying the manifests again.

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::{Excuse, Excused, Ground};
use crate::cluster::{LIMIT, eventually, pause, within};
use crate::installation::{Installation, NAMESPACE};
use crate::pods;

/// The interval between changes of `caBundle`.
const BUNDLE: Duration = Duration::from_secs(10);
/// The time until the API server uses a repaired bundle.
const NEWS: Duration = Duration::from_secs(3);
/// The longest outage of the API server.
const AWAY: Duration = Duration::from_secs(60);
/// The design promises 2 s; the machine may be slow.
const REPAIR_LIMIT: Duration = Duration::from_secs(20);

/// Until the bundle is repaired, new connections of the API server fail.
pub fn bundle_emptied(ground: &Ground<'_>) -> Vec<Excuse> {
    let mut excuses = Vec::new();
    ground.repeat(BUNDLE, || excuses.push(empty_bundle(ground.installation)));
    excuses
}

fn empty_bundle(installation: &Installation<'_>) -> Excuse {
    let (good, from) = (installation.bundles(), Instant::now());
    assert!(good.len() == 2 && good.iter().all(|bundle| !bundle.is_empty()), "{good:?}");
    let remove = |index| json!({"op": "remove", "path": format!("/webhooks/{index}/clientConfig/caBundle")});
    let patch = json!([remove(0), remove(1)]).to_string();
    let patch = ["patch", "mutatingwebhookconfiguration", "outrigger", "--type=json", "--patch", &patch];
    installation.cluster.kubectl(&patch);
    let emptied = Instant::now();
    // An authority that has expired may be removed at the same time.
    let good: Vec<Vec<String>> = good.iter().map(|bundle| certificates(bundle)).collect();
    eventually("caBundle is good again", REPAIR_LIMIT, || {
        let now: Vec<Vec<String>> = installation.bundles().iter().map(|bundle| certificates(bundle)).collect();
        let is_good =
            |(now, good): (&Vec<String>, &Vec<String>)| !now.is_empty() && now.iter().all(|one| good.contains(one));
        (now.len() == good.len() && now.iter().zip(&good).all(is_good)).then_some(())
    });
    println!("    caBundle was good again {:.1} s after it was emptied", emptied.elapsed().as_secs_f32());
    Excuse {
        from,
        to: Instant::now() + NEWS,
        what: Excused::Refusals(&["x509: certificate signed by unknown authority"]),
    }
}

/// The certificates of a bundle, each as text.
fn certificates(bundle: &str) -> Vec<String> {
    let text = BASE64.decode(bundle).expect("base64");
    let text = String::from_utf8(text).expect("PEM");
    let certificates = text.split_inclusive("-----END CERTIFICATE-----").map(|one| one.trim().to_owned());
    certificates.filter(|one| one.starts_with("-----BEGIN")).collect()
}

/// Until the Secrets are applied again, replicas serve from memory and log that.
pub fn secrets_deleted(ground: &Ground<'_>) -> Vec<Excuse> {
    let installation = ground.installation;
    for name in ["outrigger-serving", "outrigger-ca"] {
        let certificate = || installation.secret("outrigger-serving")["tls.crt"].as_str().map(str::to_owned);
        let (before, start) = (certificate(), Instant::now());
        installation.cluster.kubectl(&["--namespace", NAMESPACE, "delete", "secret", name]);
        eventually("a replica says that the Secret is gone", LIMIT, || {
            let log = installation.log(start.elapsed());
            log.lines().any(|line| line.contains("does not exist") && line.contains(name)).then_some(())
        });
        pause(ground.duration / 4);
        installation.apply();
        eventually("there is a new certificate", LIMIT, || certificate().filter(|now| Some(now) != before.as_ref()));
    }
    ground.wait_for_end();
    Vec::new()
}

/// Nobody can create a pod meanwhile. Afterwards pods get their sidecar, and objects are reconciled
/// again.
pub fn api_server_stopped(ground: &Ground<'_>) -> Vec<Excuse> {
    let cluster = ground.cluster;
    let commands = cluster.settings.api_server.as_ref().expect("commands");
    let replicas = names(ground.installation);
    let from = Instant::now();
    run(&commands.stop);
    let is_away = within(LIMIT, || cluster.look("/readyz").is_none().then_some(()));
    pause(AWAY.min(ground.duration / 2));
    // Resolved before any failure, because all later steps need it.
    run(&commands.start);
    assert!(is_away.is_some(), "{}: the API server answers still", commands.stop);
    eventually("the API server is back", LIMIT, || cluster.look("/readyz").filter(|answer| *answer == json!("ok")));
    let away = Excuse { from, to: Instant::now(), what: Excused::NoApiServer };
    println!("    no API server for {:.0} s", from.elapsed().as_secs_f32());
    ground.wait_for_end();
    // Creates some pods after the fault.
    pause(Duration::from_secs(3));
    let holder = ground.installation.leader();
    assert!(replicas.contains(&holder), "{holder} leads, of {replicas:?}");
    assert_eq!(names(ground.installation), replicas, "a replica ended for want of an API server");
    vec![away, empty_bundle(ground.installation)]
}

fn names(installation: &Installation<'_>) -> Vec<String> {
    let mut names: Vec<String> = installation.replicas().iter().map(|pod| pods::name_of(pod).to_owned()).collect();
    names.sort();
    names
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().expect("sh starts");
    assert!(status.success(), "{command}: {status}");
}
