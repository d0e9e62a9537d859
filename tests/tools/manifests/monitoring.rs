//! Alerts and the dashboard use metrics and labels that exist.

use std::collections::BTreeSet;

use outrigger::admission::ProtocolError;
use outrigger::inject::ErrorCode;
use outrigger::telemetry::metrics::Metrics;

use super::{list, object, read, text};

tests! {
    every_metric_in_alerts_and_dashboards_exists,
    every_selected_label_exists,
    every_code_and_label_value_exists,
    documents_named_in_alerts_exist,
}

/// The output of `/metrics` in a cluster, at start.
fn exposition() -> String {
    let metrics = Metrics::new().expect("the metrics register");
    metrics.in_cluster().expect("those of a cluster register");
    String::from_utf8(metrics.render().expect("they are written")).expect("it is text")
}

/// Outrigger's metric names in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("outrigger_")).collect()
}

fn expressions() -> Vec<String> {
    let alerts = object("manifests/components/monitoring/alerts.yaml");
    let rules = list(&alerts, "/spec/groups/0/rules");
    assert!(rules.len() > 8);
    for rule in rules {
        let name = text(rule, "/alert");
        assert!(matches!(text(rule, "/labels/severity"), "critical" | "warning" | "info"), "{name}");
        assert!(text(rule, "/annotations/description").ends_with(['.', '`']), "{name} has no sentence with an action");
        assert!(rule.get("for").is_some(), "{name} has no `for`");
    }
    let dashboard = object("manifests/components/monitoring/dashboard.json");
    let targets = list(&dashboard, "/panels").iter().flat_map(|panel| list(panel, "/targets"));
    rules.iter().chain(targets).map(|rule| text(rule, "/expr").to_owned()).collect()
}

fn every_metric_in_alerts_and_dashboards_exists() {
    let exposition = exposition();
    let known = names(&exposition);
    for expression in expressions() {
        for name in names(&expression) {
            assert!(known.contains(name), "{name}: no such metric, in {expression}");
        }
    }
}

/// Labels with a fixed set of values are present from the start, at 0, so every selected value must
/// be among them.
fn every_selected_label_exists() {
    let (exposition, selector) = (exposition(), regex::Regex::new(r#"(outrigger_\w+)\{([^}]+)\}"#).expect("a regex"));
    let label = regex::Regex::new(r#"(\w+)=~?"([^"]+)""#).expect("a regex");
    let mut seen = 0;
    for expression in expressions() {
        for selected in selector.captures_iter(&expression) {
            for label in label.captures_iter(&selected[2]) {
                for value in label[2].split('|').filter(|_| &label[1] != "code") {
                    let wanted = format!("{}=\"{value}\"", &label[1]);
                    let mut samples = exposition.lines().filter(|line| line.starts_with(&selected[1]));
                    assert!(samples.any(|line| line.contains(&wanted)), "{wanted} is never said, in {expression}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 8, "{seen}");
}

fn every_code_and_label_value_exists() {
    let mut codes: BTreeSet<&str> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
    codes.extend(ProtocolError::ALL.iter().map(|error| error.code()));
    let mut seen = 0;
    for expression in expressions() {
        for part in expression.split("code=~\"").skip(1) {
            for code in part.split('"').next().unwrap_or_default().split('|') {
                assert!(codes.contains(code), "{code}: no such code");
                seen += 1;
            }
        }
    }
    assert!(seen >= 4);
}

fn documents_named_in_alerts_exist() {
    let alerts = read("manifests/components/monitoring/alerts.yaml");
    let named = alerts.split_whitespace().filter(|word| word.starts_with("docs/"));
    let named: BTreeSet<&str> = named.map(|word| word.trim_matches(['.', ',', ';', ')'])).collect();
    assert!(!named.is_empty());
    for path in named {
        assert!(super::repository(path).exists(), "{path}");
    }
}
