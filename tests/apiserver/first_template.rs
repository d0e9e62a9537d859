//! Does what `docs/templates.md` says, in a cluster.
//!
//! The cluster is the test's own, since the page's templates are of the whole cluster.
//!
//! Invariant: every command of the page runs, in the order of the page.

use std::path::Path;

use serde_json::json;

use crate::cluster::Cluster;
use crate::control_plane::assets;
use crate::objects::{apply_with, install_crds};
use crate::outrigger::PROGRAM;
use crate::process::eventually;
use crate::replicas::{LIMIT, Running};
use crate::walkthrough::{Shell, steps};

tests! {
    the_steps_to_a_template_work_in_a_cluster,
}

/// The name of the page's namespace counts in a rollout, so it stays the same.
const NAME: &str = "first-template";

fn the_steps_to_a_template_work_in_a_cluster() {
    let assets = assets();
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&assets)));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs = Path::new(PROGRAM).parent().expect("a directory").display();
    let path = format!("{programs}:{}:{}", assets.display(), std::env::var("PATH").unwrap_or_default());
    let kubeconfig = cluster.control_plane.kubeconfig.display().to_string();
    // The replicas are no pods here.
    let left_out = Some("warning: no replica in namespace \"outrigger-system\" responds; ");
    let shell = Shell { directory: directory.path(), path, variables: vec![("KUBECONFIG", kubeconfig)], left_out };
    install_crds(cluster);
    let running = Running::start(cluster, NAME, 2, &[]);
    eventually("templates are checked when they are applied", LIMIT, || {
        let answer = apply_with(cluster, "", "probe", &json!({"nothing": true}), "&dryRun=All");
        (!answer.is_success()).then_some(())
    });
    shell.succeeds(&format!("kubectl config set-context --current --namespace={}", running.pods.name));

    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md")).expect("the page");
    let faults: Vec<String> = steps(&page).iter().filter_map(|step| shell.fault(step)).collect();
    let logs: Vec<String> = running.replicas.iter().map(|replica| replica.process.log()).collect();
    let problems = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains("\"level\":\"ERROR\""));
    let problems: Vec<&str> = problems.collect();
    assert!(faults.is_empty(), "{}\n\n{}", faults.join("\n\n"), problems.join("\n"));
}
