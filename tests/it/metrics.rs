//! Compares metrics, settings and log messages of the program with the reference documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use outrigger::admission::ProtocolError;
use outrigger::config::settings::{ALL, Arity};
use outrigger::inject::{ErrorCode, SkipReason};
use outrigger::telemetry::build;
use outrigger::telemetry::metrics::Metrics;
use outrigger::workload::FindingCode;
use pretty_assertions::assert_eq;

/// One metric of the registry.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// The output of `/metrics` at start.
fn registered() -> BTreeMap<String, Family> {
    let metrics = Metrics::new().expect("metrics");
    metrics.in_cluster().expect("metrics");
    metrics.ca_bundle().expect("metrics");
    metrics.events().expect("metrics");
    let text = String::from_utf8(metrics.render().expect("text")).expect("UTF-8");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                families.entry(name.to_owned()).or_default().help = help.to_owned()
            }
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                families.entry(name.to_owned()).or_default().kind = kind.to_owned()
            }
            _ => add_labels(&mut families, line),
        }
    }
    families
}

fn add_labels(families: &mut BTreeMap<String, Family>, sample: &str) {
    let Some((name, rest)) = sample.split_once('{') else { return };
    // A histogram's `le` label belongs to Prometheus.
    let Some(family) = families.get_mut(name) else { return };
    let labels = rest.rsplit_once('}').expect("labels end").0;
    for label in labels.split(',') {
        let (key, value) = label.split_once('=').expect("a label has a value");
        family.labels.entry(key.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
    }
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Cells of the table rows with `code` in their first cell and this many cells.
fn rows(markdown: &str, columns: usize) -> Vec<Vec<String>> {
    let rows = markdown.lines().filter(|line| line.starts_with("| `"));
    let cells = |line: &str| {
        let inner = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')).expect("a row");
        inner.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    rows.map(cells).filter(|row| row.len() == columns).collect()
}

fn unquoted(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// `reason` = `a`, `b`; …: the codes of each label's cell; `None` where it describes them.
fn documented_labels(cell: &str) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let labels = cell.split("; ").filter(|label| !label.is_empty());
    let label = |label: &str| {
        let (key, values) = label.split_once(" = ").unwrap_or_else(|| panic!("no values in {label:?}"));
        let codes: BTreeSet<String> = values.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (unquoted(key).to_owned(), Some(codes).filter(|codes| !codes.is_empty()))
    };
    labels.map(label).collect()
}

/// Initial values of labels that have too many values to list.
fn open_values(metric: &str, label: &str) -> BTreeSet<String> {
    let codes: Vec<&str> = match label {
        "reason" => SkipReason::ALL.map(SkipReason::code).to_vec(),
        "code" if metric == "outrigger_advice_findings_total" => {
            let findings = FindingCode::ALL.map(FindingCode::code);
            return open_values("", label).into_iter().chain(findings.map(str::to_owned)).collect();
        }
        "code" if metric == "outrigger_template_errors_total" => ErrorCode::ALL.map(ErrorCode::code).to_vec(),
        "code" => {
            ErrorCode::ALL.map(ErrorCode::code).into_iter().chain(ProtocolError::ALL.map(ProtocolError::code)).collect()
        }
        "version" => vec![env!("CARGO_PKG_VERSION")],
        "revision" => vec![build::REVISION.unwrap_or_default()],
        other => panic!("the values of {other} are not listed"),
    };
    codes.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented_with_its_type_and_labels() {
    let registered = registered();
    let rows = rows(&read("docs/reference/metrics.md"), 4);
    let documented: BTreeSet<&str> = rows.iter().map(|row| unquoted(&row[0])).collect();
    assert_eq!(documented, registered.keys().map(String::as_str).collect());
    assert_eq!(documented.len(), rows.len(), "a metric is documented twice");
    for row in &rows {
        let (name, family) = (unquoted(&row[0]), &registered[unquoted(&row[0])]);
        assert_eq!(row[1], family.kind, "{name}");
        assert!(row[3].starts_with(&family.help), "{name}: {:?} does not begin with {:?}", row[3], family.help);
        let labels = documented_labels(&row[2]);
        assert_eq!(labels.keys().collect::<Vec<_>>(), family.labels.keys().collect::<Vec<_>>(), "{name}");
        for (label, codes) in labels {
            let values = codes.unwrap_or_else(|| open_values(name, &label));
            assert_eq!(values, family.labels[&label], "{name} {label}");
        }
    }
}

/// The example queries use existing metrics and labels.
#[test]
fn the_example_queries_name_existing_metrics() {
    let registered = registered();
    let text = read("docs/reference/metrics.md");
    let examples: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
    let mut count = 0;
    for word in examples.iter().flat_map(|example| example.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))) {
        if word.starts_with("outrigger_") {
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
            assert!(registered.contains_key(family), "{word}");
            count += 1;
        }
    }
    assert!(count > 8, "{count}");
    let selector = regex::Regex::new(r#"(outrigger_\w+)\{(\w+)="(\w+)"\}"#).expect("a pattern");
    for found in examples.iter().flat_map(|example| selector.captures_iter(example)) {
        assert!(registered[&found[1]].labels[&found[2]].contains(&found[3]), "{}", &found[0]);
    }
}

#[test]
fn responses_to_invalid_requests_are_documented_with_status_and_text() {
    let documented: Vec<Vec<String>> =
        rows(&read("docs/reference/reasons.md"), 4).into_iter().map(|row| row[..3].to_vec()).collect();
    let actual: Vec<Vec<String>> = ProtocolError::ALL
        .iter()
        .map(|error| vec![format!("`{}`", error.code()), error.status().to_string(), error.sentence().to_owned()])
        .collect();
    assert_eq!(documented, actual);
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let documented = rows(&read("docs/reference/configuration.md"), 6);
    let code = |text: &str| format!("`{text}`");
    let actual: Vec<Vec<String>> = ALL
        .iter()
        .map(|setting| {
            let value = match setting.arity {
                Arity::Switch => "`true` or `false`".to_owned(),
                Arity::One => code(setting.value_name),
                Arity::Many => format!("list of {}", code(setting.value_name)),
            };
            let default = if setting.default.is_empty() { "none".to_owned() } else { code(setting.default) };
            let names = [setting.key, &format!("--{}", setting.flag), setting.variable].map(code);
            [&names[..], &[value, default, format!("{}.", setting.help)]].concat()
        })
        .collect();
    assert_eq!(documented, actual);
}

/// Documented log messages occur verbatim in the source.
#[test]
fn the_documented_log_messages_exist() {
    let mut sources = String::new();
    let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of the repository") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => pending.push(path),
                Some(extension) if extension == "rs" => {
                    sources += &std::fs::read_to_string(&path).expect("a source file")
                }
                _ => {}
            }
        }
    }
    let rows = rows(&read("docs/reference/logs.md"), 3);
    assert!(rows.len() >= 10);
    for row in rows {
        assert!(sources.contains(&format!("\"{}\"", unquoted(&row[0]))), "no line of the log says {}", row[0]);
    }
}
