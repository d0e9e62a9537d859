//! Does what `docs/templates.md` says, as far as no cluster is needed.
//!
//! `tests/apiserver/first_template.rs` does all of it.
//!
//! Invariant: the page has seven steps, and each has commands that run.

use std::path::Path;

use super::walkthrough::{Action, Shell, Step, steps};

/// The first step that needs a cluster.
const IN_A_CLUSTER: usize = 5;

#[test]
fn the_first_steps_to_a_template_work_offline() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs = Path::new(env!("CARGO_BIN_EXE_outrigger")).parent().expect("a directory").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let shell = Shell { directory: directory.path(), path, variables: Vec::new(), left_out: None };
    let all = steps(&super::read("docs/templates.md"));
    for section in 1..=7 {
        let runs = |step: &Step| step.section == section && matches!(step.action, Action::Run { .. });
        assert!(all.iter().any(runs), "step {section} has no command");
    }
    let offline = all.iter().filter(|step| step.section < IN_A_CLUSTER);
    let faults: Vec<String> = offline.filter_map(|step| shell.fault(step)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
