//! Faults of Outrigger's own parts: frequent rotations, and replicas that are terminated or killed.
//!
//! Invariant: each fault lasts until all replicas are ready again, so that their recovery is
//! included.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use x509_parser::pem::parse_x509_pem;

use super::{Excuse, Excused, Ground, NAMESPACE};
use crate::cluster::{LIMIT, eventually, pause};
use crate::installation::Installation;
use crate::{node, pods};

/// The interval: a replica must be ready again, and a kubelet delays the restart of a container
/// that is killed too often.
const REPLICA: Duration = Duration::from_secs(30);
/// A cluster may call a killed process for this long, until its kubelet and every proxy have
/// noticed.
const UNNOTICED: Duration = Duration::from_secs(15);
const SERVING: &str = "outrigger-serving";
const AUTHORITY: &str = "outrigger-ca";

pub fn nothing(ground: &Ground<'_>) -> Vec<Excuse> {
    ground.wait_for_end();
    Vec::new()
}

pub fn rotate_all_the_time(installation: &Installation<'_>) {
    installation.set(&[
        "OUTRIGGER_CERTIFICATE_DURATION=20s",
        "OUTRIGGER_CERTIFICATE_RENEWAL=2s",
        "OUTRIGGER_CA_DURATION=60s",
        "OUTRIGGER_CA_RENEWAL=10s",
        "OUTRIGGER_CA_PROPAGATION=1s",
    ]);
}

pub fn rotate_as_usual(installation: &Installation<'_>) {
    installation.set(&[
        "OUTRIGGER_CERTIFICATE_DURATION-",
        "OUTRIGGER_CERTIFICATE_RENEWAL-",
        "OUTRIGGER_CA_DURATION-",
        "OUTRIGGER_CA_RENEWAL-",
        "OUTRIGGER_CA_PROPAGATION-",
    ]);
    // Until the leader has made one of the usual duration, the loss of a leader would let it expire.
    eventually("a certificate of the usual duration", LIMIT, || lasts_an_hour(installation).then_some(()));
}

fn lasts_an_hour(installation: &Installation<'_>) -> bool {
    const HOUR: i64 = 3600;
    let chain = BASE64.decode(installation.secret(SERVING)["tls.crt"].as_str().unwrap_or_default());
    let Ok((_, leaf)) = parse_x509_pem(&chain.unwrap_or_default()) else { return false };
    let left = leaf.parse_x509().ok().and_then(|leaf| leaf.validity().time_to_expiration());
    left.is_some_and(|left| left.whole_seconds() > HOUR)
}

/// As often as configured, with an allowance for a slow machine.
pub fn rotations(ground: &Ground<'_>) -> Vec<Excuse> {
    let (mut leaves, mut authorities) = (BTreeSet::new(), BTreeSet::new());
    while ground.start.elapsed() < ground.duration || leaves.len() < 4 || authorities.len() < 2 {
        leaves.insert(ground.installation.secret(SERVING)["tls.crt"].to_string());
        authorities.insert(ground.installation.secret(AUTHORITY)["ca.crt"].to_string());
        assert!(ground.start.elapsed() < ground.duration + LIMIT, "{} leaves, {}", leaves.len(), authorities.len());
        pause(Duration::from_millis(200));
    }
    let seconds = ground.start.elapsed().as_secs();
    println!("    {} certificates of {} authorities in {seconds} s", leaves.len(), authorities.len());
    Vec::new()
}

/// Kills without a warning, like a lost machine: connections break, and new ones are refused until
/// the cluster has noticed.
pub fn leader_killed(ground: &Ground<'_>) -> Vec<Excuse> {
    let mut excuses = Vec::new();
    ground.repeat(REPLICA, || {
        let (leader, holder) = (ground.installation.leader(), ground.installation.holder());
        let from = Instant::now();
        kill(ground, &leader);
        let replaced = Instant::now();
        eventually("another replica leads", LIMIT, || {
            ground.installation.holder().filter(|now| Some(now) != holder.as_ref())
        });
        println!("    another leader {:.1} s after the first was killed", replaced.elapsed().as_secs_f32());
        ground.installation.wait_until_healthy();
        let what = Excused::Refusals(&["connection refused", "connection reset", "broken pipe", "EOF"]);
        excuses.push(Excuse { from, to: replaced + UNNOTICED, what });
    });
    excuses
}

/// Kills the processes of a replica directly; the cluster itself always warns first.
fn kill(ground: &Ground<'_>, replica: &str) {
    let cluster = ground.cluster;
    let pod = ground.installation.replicas().into_iter().find(|pod| pods::name_of(pod) == replica).expect("the leader");
    // The environment of each process names its pod.
    let script = format!(
        "for process in /proc/[0-9]*; do \
             if tr '\\0' '\\n' < $process/environ 2>/dev/null | grep -qx POD_NAME={replica}; then \
                 kill -9 ${{process#/proc/}} && echo killed; \
             fi; \
         done"
    );
    let log = node::run(cluster, NAMESPACE, &pod["spec"]["nodeName"], &script);
    assert!(log.contains("killed"), "{replica} was not killed: {log}");
}

/// Deletes the leader and another replica alternately, with time to shut down.
pub fn pod_deleted(ground: &Ground<'_>) -> Vec<Excuse> {
    let mut takes_the_leader = true;
    ground.repeat(REPLICA, || {
        let leader = ground.installation.leader();
        let replicas = ground.installation.replicas();
        let mut names = replicas.iter().map(pods::name_of);
        let name = names.find(|name| (*name == leader) == takes_the_leader).expect("a replica");
        takes_the_leader = !takes_the_leader;
        ground.cluster.kubectl(&[
            "--namespace",
            crate::installation::NAMESPACE,
            "delete",
            "pod",
            name,
            "--timeout=180s",
        ]);
        ground.installation.wait_until_healthy();
    });
    Vec::new()
}

pub fn rolling_restart(ground: &Ground<'_>) -> Vec<Excuse> {
    ground.repeat(REPLICA, || {
        ground.installation.restart();
        ground.installation.wait_until_rolled_out();
    });
    Vec::new()
}
