//! Damaged files and directories: the last good templates are served, and the problem is logged
//! once.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pretty_assertions::assert_eq;

use super::world::{ConfigMap, Plain, World, asking, templates};
use crate::support::{Client, eventually, pause};

const SAID: &str = "not all templates can be read";

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo(1) runs").success());
}

/// Each kind of damage is done to the file or its directory while generation 1 is served, and
/// undone afterwards.
#[test]
fn damaged_files_leave_the_last_good_templates_in_service() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 6] = [
        ("the directory is removed", |t| std::fs::remove_dir_all(t).expect("removed")),
        ("the directory is a link to itself", |t| {
            std::fs::remove_dir_all(t).expect("removed");
            symlink(t, t).expect("a link");
        }),
        ("the file is a FIFO", |t| {
            std::fs::remove_file(t.join("a.yaml")).expect("removed");
            mkfifo(&t.join("a.yaml"));
        }),
        ("the file is a directory", |t| {
            std::fs::remove_file(t.join("a.yaml")).expect("removed");
            std::fs::create_dir(t.join("a.yaml")).expect("a directory");
        }),
        ("the file is larger than any", |t| {
            let file = std::fs::File::options().write(true).open(t.join("a.yaml")).expect("a file");
            file.set_len(1 << 40).expect("a sparse file");
        }),
        ("the link leads nowhere", |t| {
            std::fs::remove_file(t.join("a.yaml")).expect("removed");
            symlink("nowhere", t.join("a.yaml")).expect("a link");
        }),
    ];
    let start = Instant::now();
    let worlds: Vec<World> = cases.iter().map(|_| World::start(&["t"])).collect();
    for (world, (_, spoil)) in worlds.iter().zip(&cases) {
        Plain::at(&world.path("t")).write("a.yaml", &templates(1, &["one"]));
        world.eventually_served(&mut world.connect(), "one", 1);
        spoil(&world.path("t"));
    }
    for (world, (what, _)) in worlds.iter().zip(&cases) {
        eventually(what, || world.process.stderr().contains(SAID));
        assert!(world.metric("template_reloads_total{result=\"error\"}") > 0, "{what}");
    }
    // Later polls log nothing more.
    pause(Duration::from_secs(5));
    for (world, (what, _)) in worlds.iter().zip(&cases) {
        let (log, minutes) = (world.process.stderr(), start.elapsed().as_secs() as usize / 60);
        assert!((1..=1 + minutes).contains(&log.matches(SAID).count()), "{what}: {log}");
        assert_eq!(world.served(&mut world.connect(), "one"), [1], "{what}");
        assert!(world.readyz_verbose().contains("[!]"), "{what}: {}", world.readyz_verbose());
        assert_eq!(world.readyz().status, 200, "{what}");
        // Somebody replaces whatever is there by a good directory.
        let path = world.path("t");
        _ = std::fs::remove_file(&path);
        _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a directory");
        Plain::at(&path).write("a.yaml", &templates(2, &["one"]));
        world.eventually_served(&mut world.connect(), "one", 2);
        world.process.wait_for_log("all templates can be read again");
        assert!(!world.readyz_verbose().contains("[!]"), "{what}: {}", world.readyz_verbose());
    }
}

#[test]
fn a_broken_template_keeps_its_last_good_revision_and_does_not_affect_others() {
    let world = World::start(&["t", "u"]);
    let (t, u) = (Plain::at(&world.path("t")), Plain::at(&world.path("u")));
    let mut client = world.connect();
    t.write("a.yaml", &templates(1, &["one"]));
    u.write("b.yaml", &templates(1, &["two"]));
    world.eventually_served(&mut client, "one,two", 1);

    t.write("a.yaml", &templates(2, &["one"]).replace("sidecars", "sidecar"));
    u.write("b.yaml", &templates(2, &["two"]));
    world.eventually_served(&mut client, "two", 2);
    eventually("the problem", || world.metric("templates{state=\"invalid\"}") == 1);
    assert_eq!(world.served(&mut client, "one"), [1]);
    assert_eq!(world.metric("templates{state=\"active\"}"), 2);
    assert!(world.metric("template_reloads_total{result=\"error\"}") > 0);
    let verbose = world.readyz_verbose();
    // The text format escapes quotes within a value.
    let log = world.process.stderr().replace("\\\"", "\"");
    for part in ["a.yaml:", "did you mean \"sidecars\"?", "template \"one\": the last good revision"] {
        assert!(verbose.contains(part) && log.contains(part), "{part}: {verbose}");
    }

    // Half a file, a file without a template, and a second template of the name.
    for (name, text) in [("a.yaml", "apiVersion: ["), ("a.yaml", ""), ("c.yaml", templates(7, &["one"]).as_str())] {
        if name == "c.yaml" {
            t.write("a.yaml", &templates(1, &["one"]));
        }
        t.write(name, text);
        world.process.signal("HUP");
        eventually("one problem", || world.metric("templates{state=\"invalid\"}") == 1);
        assert_eq!(world.served(&mut client, "one"), [1], "{name}: {text:?}");
    }
    t.remove("c.yaml");
    t.write("a.yaml", &templates(3, &["one"]));
    world.eventually_served(&mut client, "one", 3);
    eventually("no problem", || world.metric("templates{state=\"invalid\"}") == 0);
    let success = world.metric("template_last_reload_success_timestamp_seconds");
    assert!(success > 1_700_000_000, "{success}");

    // A template that was never valid is refused, with its problem.
    u.write("b.yaml", &templates(3, &["three"]).replace("sidecars", "sidecar"));
    eventually("the cause", || client.post(&asking("three")).status == 500);
}

#[test]
fn temporary_files_of_editors_are_not_templates() {
    let world = World::start(&["t"]);
    let t = Plain::at(&world.path("t"));
    t.write("a.yaml", &templates(1, &["one"]));
    let mut client = world.connect();
    world.eventually_served(&mut client, "one", 1);
    for name in [".a.yaml.swp", "a.yaml~", "4913", "#a.yaml#", ".a.yaml.XyZ123", "a.yaml.orig", "._a.yaml"] {
        t.write(name, "\u{0}\u{1} no template");
    }
    symlink("somebody@desk.1234:1", world.path("t/.#a.yaml")).expect("a link");
    t.write("a.yaml", &templates(2, &["one"]));
    world.eventually_served(&mut client, "one", 2);
    assert_eq!(world.metric("templates{state=\"invalid\"}"), 0);
    assert_eq!(world.metric("template_reloads_total{result=\"error\"}"), 0);
    t.write("none.yaml", "# no templates\n");
    t.remove("a.yaml");
    world.eventually_refused(&mut client, "one");
    eventually("the warning", || world.process.stderr().matches("there is no template to inject").count() == 2);
}

/// A ConfigMap that was deleted or emptied, by hand or by an upgrade that forgot its values.
#[test]
fn a_source_that_is_lost_as_a_whole_keeps_its_templates_until_a_file_comes() {
    let world = World::start(&["config"]);
    let config = ConfigMap::at(&world.path("config"));
    let mut client = world.connect();
    assert!(world.process.stderr().contains("the template directory has no template file"), "said at the start");
    config.publish(&[("a.yaml", &templates(1, &["one"])), ("b.yaml", &templates(1, &["two"]))]);
    world.eventually_served(&mut client, "one,two", 1);
    // The newer text of one of them is wrong, so that an earlier revision is served.
    let wrong = templates(2, &["one"]).replace("sidecars", "sidecar");
    config.publish(&[("a.yaml", &wrong), ("b.yaml", &templates(1, &["two"]))]);
    eventually("the problem", || world.metric("templates{state=\"invalid\"}") == 1);

    config.publish(&[]);
    eventually("two orphans", || world.metric("templates{state=\"orphaned\"}") == 2);
    assert_eq!(world.metric("templates{state=\"active\"}"), 2);
    pause(Duration::from_secs(3));
    assert_eq!(world.served(&mut client, "one,two"), [1]);
    let (log, verbose) = (world.process.stderr().replace("\\\"", "\""), world.readyz_verbose());
    for part in ["has no template file any more", "template \"two\": its source is gone or unreadable; the last good"] {
        assert!(verbose.contains(part) && log.contains(part), "{part}: {verbose}\n{log}");
    }
    assert_eq!(log.matches("a source of templates is empty").count(), 1, "{log}");
    let shown = Client::connect_plain(world.admin).expect("a connection").get("/templates").json();
    assert_eq!(shown["templates"][1]["state"], "orphaned", "{shown}");
    assert_eq!(world.readyz().status, 200);

    config.publish(&[("c.yaml", &templates(5, &["three"]))]);
    world.eventually_served(&mut client, "three", 5);
    world.eventually_refused(&mut client, "two");
    eventually("no orphan", || world.metric("templates{state=\"orphaned\"}") == 0);
    assert!(!world.readyz_verbose().contains("[!]"), "{}", world.readyz_verbose());
    assert!(world.process.stderr().contains("removed=\"one,two\""), "{}", world.process.stderr());
}

/// A field that is unknown to this build and resembles none that is known: Kubernetes may have it.
#[test]
fn a_warning_about_a_template_is_logged_counted_and_shown() {
    let world = World::start(&["t"]);
    let t = Plain::at(&world.path("t"));
    let good = templates(1, &["one"]);
    t.write("a.yaml", &good.replace("    image:", "    brandNewFieldOfTheKubelet: true\n    image:"));
    world.eventually_served(&mut world.connect(), "one", 1);
    assert_eq!(world.metric("template_warnings"), 1);
    let shown =
        || Client::connect_plain(world.admin).expect("a connection").get("/templates").json()["templates"].clone();
    let warning = shown()[0]["warnings"][0].as_str().expect("a warning").to_owned();
    assert!(warning.contains("a.yaml:") && warning.contains("brandNewFieldOfTheKubelet"), "{warning}");
    assert!(world.process.stderr().contains("brandNewFieldOfTheKubelet"), "{}", world.process.stderr());
    t.write("a.yaml", &good);
    eventually("no warning", || world.metric("template_warnings") == 0);
    assert!(shown()[0].get("warnings").is_none(), "{}", shown());
}
