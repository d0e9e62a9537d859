//! Alerts and the dashboard use metrics and labels that exist; alerts fire and rest when they should.

use std::collections::BTreeSet;
use std::process::Command;

use outrigger::admission::ProtocolError;
use outrigger::inject::{Blame, ErrorCode};
use outrigger::telemetry::metrics::Metrics;

use super::{list, object, read, repository, text};
use crate::harness;

const ALERT_TESTS: &str = "tests/alerts/alerts.test.yaml";

tests! {
    every_metric_in_alerts_and_dashboards_exists,
    every_selected_label_exists,
    every_code_and_label_value_exists,
    documents_named_in_alerts_exist,
    the_alert_of_refused_pods_counts_every_fault_of_a_pod_and_no_other,
    every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_rests,
    alerts_fire_and_rest_as_their_tests_say,
}

/// The output of `/metrics` in a cluster, at start.
fn exposition() -> String {
    let metrics = Metrics::new().expect("the metrics register");
    metrics.in_cluster().expect("those of a cluster register");
    metrics.ca_bundle().expect("that of certificates registers");
    metrics.events().expect("those of events register");
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

/// New codes of a pod's faults are counted without a change of the alert.
fn the_alert_of_refused_pods_counts_every_fault_of_a_pod_and_no_other() {
    let alerts = object("manifests/components/monitoring/alerts.yaml");
    let rules = list(&alerts, "/spec/groups/0/rules");
    let rule = rules.iter().find(|rule| text(rule, "/alert") == "OutriggerDeniesPods").expect("the alert");
    let expression = text(rule, "/expr");
    let left_out = expression.split("code!~\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a selector");
    // Prometheus anchors its patterns.
    let left_out = regex::Regex::new(&format!("^(?:{left_out})$")).expect("a pattern");
    for code in ErrorCode::ALL {
        assert_eq!(left_out.is_match(code.code()), code.blame() != Blame::Pod, "{}", code.code());
    }
    for error in ProtocolError::ALL {
        assert!(left_out.is_match(error.code()), "{}", error.code());
    }
}

fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_rests() {
    let alerts = object("manifests/components/monitoring/alerts.yaml");
    let tests = object(ALERT_TESTS);
    let cases = list(&tests, "/tests").iter().flat_map(|test| list(test, "/promql_expr_test"));
    let cases: Vec<(&str, &[serde_json::Value])> =
        cases.map(|case| (text(case, "/expr"), list(case, "/exp_samples").as_slice())).collect();
    let selector = regex::Regex::new(r#"alertname=(~?)"([^"]+)""#).expect("a pattern");
    for rule in list(&alerts, "/spec/groups/0/rules") {
        let name = text(rule, "/alert");
        let fires = cases.iter().any(|(expression, samples)| {
            let is_asked = expression.contains(&format!("alertname=\"{name}\", alertstate=\"firing\""));
            let is_listed = samples.iter().any(|sample| text(sample, "/labels") == format!("{{alertname=\"{name}\"}}"));
            !samples.is_empty() && (is_asked || (is_listed && expression.contains("firing")))
        });
        assert!(fires, "no test shows that {name} fires");
        let rests = cases.iter().filter(|(_, samples)| samples.is_empty()).any(|(expression, _)| {
            selector.captures(expression).is_some_and(|found| match &found[1] {
                "" => &found[2] == name,
                _ => regex::Regex::new(&format!("^(?:{})$", &found[2])).expect("a pattern").is_match(name),
            })
        });
        assert!(rests, "no test shows that {name} rests");
    }
}

/// promtool is in Debian's package `prometheus`.
fn alerts_fire_and_rest_as_their_tests_say() {
    let promtool = |arguments: &[&str]| Command::new("promtool").args(arguments).current_dir(repository("")).output();
    if promtool(&["--version"]).is_err() {
        harness::ignore("promtool is not on the PATH");
    }
    let run = |arguments: &[&str]| {
        let output = promtool(arguments).expect("promtool starts");
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{said}");
    };
    run(&["check", "rules", "manifests/chart/files/alerts.yaml"]);
    run(&["test", "rules", ALERT_TESTS]);
}
