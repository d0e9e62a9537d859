//! `helm test`: the test that the chart brings.

use crate::installation::{Installation, NAMESPACE};
use crate::inventory;

pub fn passes_and_cleans_up(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    let before = inventory::take(cluster);
    let output = cluster.helm(&["test", "outrigger", "--namespace", NAMESPACE, "--timeout=3m"]);
    assert!(output.contains("Succeeded"), "{output}");
    let after = inventory::take(cluster);
    let left: Vec<&String> = after.difference(&before).filter(|name| name.contains("outrigger-test")).collect();
    assert!(left.is_empty(), "helm test leaves {left:?}");
}
