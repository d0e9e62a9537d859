//! Reloading templates and certificates while the real binary serves: no pod fails.
//!
//! Files are changed like kubelets and operators change them. Template semantics and reading a
//! single file are not tested here.

pub mod authority;
mod broken_templates;
mod many;
pub mod world;

use std::time::Duration;

use pretty_assertions::assert_eq;

use crate::support::{Client, Process, eventually, pause};
use authority::Authority;
use world::{ConfigMap, Plain, World, asking, templates};

/// The program polls several times in 2 s; [`crate::support::eventually`] allows for a slow
/// machine.
#[test]
fn changes_of_a_config_map_and_a_directory_are_loaded() {
    let world = World::start(&["config", "plain"]);
    let (config, plain) = (ConfigMap::at(&world.path("config")), Plain::at(&world.path("plain")));
    let mut client = world.connect();
    config.publish(&[("a.yaml", &templates(1, &["one"])), ("b.yaml", &templates(1, &["two"]))]);
    world.eventually_served(&mut client, "one,two", 1);
    config.publish(&[("a.yaml", &templates(2, &["one", "two"]))]);
    world.eventually_served(&mut client, "one,two", 2);
    plain.write("c.yaml", &templates(3, &["three"]));
    world.eventually_served(&mut client, "three", 3);
    assert_eq!(world.metric("templates{state=\"active\"}"), 3);
    assert_eq!(world.metric("template_reloads_total{result=\"error\"}"), 0);

    let (reloads, log) = (world.metric("template_reloads_total{result=\"success\"}"), world.process.stderr());
    assert_eq!(log.matches("templates reloaded").count() as u64, reloads, "{log}");
    // Everything is written again, without a change.
    config.publish(&[("a.yaml", &templates(2, &["one", "two"]))]);
    plain.write("c.yaml", &templates(3, &["three"]));
    pause(Duration::from_secs(4));
    assert_eq!(world.metric("template_reloads_total{result=\"success\"}"), reloads);
    assert_eq!(world.process.stderr().matches("templates reloaded").count() as u64, reloads);

    plain.write("d.yaml", &templates(3, &["four"]));
    plain.remove("c.yaml");
    world.eventually_refused(&mut client, "three");
    let log = world.process.stderr();
    assert!(log.contains("removed=\"three\"") && log.contains("templates were removed"), "{log}");
}

/// The ConfigMap of a new installation does not exist yet, so the kubelet mounts an empty directory
/// beside the built-in templates.
#[test]
fn a_config_map_mounted_later_adds_to_the_built_in_templates() {
    let world = World::start_with(&["config"], &["--shutdown-delay=0s", "--templates=built-in"]);
    let config = ConfigMap::at(&world.path("config"));
    let mut client = world.connect();
    let built_ins = world.metric("templates{state=\"active\"}");
    assert!(built_ins >= 2, "{built_ins}");
    let patch = |client: &mut Client| client.post(&asking("log-collector")).json()["response"]["patch"].clone();
    let built_in = patch(&mut client);
    assert!(built_in.is_string(), "{built_in}");
    // The mount of an optional ConfigMap that does not exist.
    config.publish(&[]);
    config.publish(&[("a.yaml", &templates(1, &["one"]))]);
    world.eventually_served(&mut client, "one", 1);
    assert_eq!(world.metric("templates{state=\"active\"}"), built_ins + 1);

    // A template of the ConfigMap replaces the built-in one of its name, also while its file is broken.
    config.publish(&[("a.yaml", &templates(2, &["one", "log-collector"]))]);
    world.eventually_served(&mut client, "one", 2);
    world.eventually_served(&mut client, "log-collector", 2);
    config.publish(&[("a.yaml", "spec: {")]);
    eventually("the problem is told", || world.readyz_verbose().contains("[!]"));
    assert_eq!(world.served(&mut client, "log-collector"), [2], "the last good one is served");
    config.publish(&[("a.yaml", &templates(3, &["one"]))]);
    world.eventually_served(&mut client, "one", 3);
    eventually("nothing is wrong any more", || !world.readyz_verbose().contains("[!]"));
    eventually("the built-in one is served again", || patch(&mut client) == built_in);
    assert_eq!(world.metric("templates{state=\"active\"}"), built_ins + 1);
}

#[test]
fn a_renewed_certificate_is_served_and_connections_stay_open() {
    let world = World::start(&["plain"]);
    Plain::at(&world.path("plain")).write("a.yaml", &templates(1, &["one"]));
    let mut kept = world.connect();
    world.eventually_served(&mut kept, "one", 1);
    let expiry = world.metric("certificate_expiry_timestamp_seconds{certificate=\"serving\"}");
    let next = world.swap_certificate();
    world.eventually_has_certificate(&next);
    assert_eq!(world.served(&mut kept, "one"), [1], "who is connected keeps what he has");
    assert_eq!(world.served(&mut world.connect(), "one"), [1]);
    assert_eq!(world.metric("certificate_rotations_total{result=\"success\"}"), 1);
    assert!(world.metric("certificate_expiry_timestamp_seconds{certificate=\"serving\"}") > expiry);
    assert_eq!(world.readyz().status, 200);
}

#[test]
fn an_invalid_certificate_pair_leaves_the_old_one_in_service() {
    let world = World::start(&["plain"]);
    let (old, other) = (world.certificate(), Authority::new());
    for (certificate, key, expected) in [
        (Some(other.pair().certificate), None, "do not match"),
        (None, Some("no key".to_owned()), "has no private key in PEM"),
        (Some(String::new()), None, "has no certificate in PEM"),
    ] {
        world.write_certificate(certificate.as_deref(), key.as_deref());
        world.process.signal("HUP");
        world.process.wait_for_log(expected);
        eventually(expected, || world.readyz_verbose().contains(expected));
        assert_eq!(world.certificate(), old, "{expected}");
    }
    let expired = world.authority.expired_pair();
    world.write_certificate(Some(&expired.certificate), Some(&expired.key));
    world.process.signal("HUP");
    world.process.wait_for_log("has expired already");
    assert!(world.metric("certificate_rotations_total{result=\"error\"}") >= 4);
    for name in ["tls.crt", "tls.key"] {
        assert!(world.process.stderr().contains(name), "the file is named: {}", world.process.stderr());
    }
    let next = world.swap_certificate();
    world.eventually_has_certificate(&next);
    world.process.wait_for_log("the certificate can be loaded again");
    assert!(!world.readyz_verbose().contains("[!]"), "{}", world.readyz_verbose());
}

/// Some tools replace the files one by one; a temporary mismatch is not reported.
#[test]
fn a_certificate_and_its_key_may_come_one_after_the_other() {
    let world = World::start(&["plain"]);
    let (old, pair) = (world.certificate(), world.authority.pair());
    world.write_certificate(Some(&pair.certificate), None);
    pause(Duration::from_secs(3));
    assert_eq!(world.certificate(), old);
    world.write_certificate(None, Some(&pair.key));
    eventually("the new certificate", || world.certificate() != old);
    assert_eq!(world.metric("certificate_rotations_total{result=\"success\"}"), 1);
    assert_eq!(world.metric("certificate_rotations_total{result=\"error\"}"), 0);
    assert!(!world.process.stderr().contains("belong together"), "{}", world.process.stderr());
}

#[test]
fn sighup_reloads_everything_and_is_logged_once() {
    let world = World::start(&["plain"]);
    let plain = Plain::at(&world.path("plain"));
    let before = world.process.stderr().lines().count();
    world.process.signal("HUP");
    world.process.wait_for_log("signal=\"SIGHUP\"");
    pause(Duration::from_secs(1));
    let log = world.process.stderr();
    assert_eq!(log.lines().count(), before + 1, "{log}");
    assert_eq!(world.metric("template_reloads_total{result=\"success\"}"), 0);
    plain.write("a.yaml", &templates(1, &["one"]));
    world.process.signal("HUP");
    world.eventually_served(&mut world.connect(), "one", 1);
}

/// Built-in templates do not change, and the server creates the certificate of `--dev` itself.
#[test]
fn sighup_does_not_end_dev_mode() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["serve", "--dev", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
    let mut process = Process::start(directory.path(), &arguments);
    process.wait_for_log("ready");
    std::fs::remove_dir_all(directory.path().join(".outrigger")).expect("removed");
    process.signal("HUP");
    process.wait_for_log("the certificate has been replaced");
    assert!(directory.path().join(".outrigger/ca.crt").exists());
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
}
