//! The conventions of the catalog, held by every template: names, parameters, containers, and the
//! files beside it.
//!
//! A rule is a function from one template to its violations. A template that must break one stands
//! in [`EXCEPTIONS`] with the reason.
//!
//! Invariant: all violations are reported at once, each rule has a template that breaks it, and each
//! exception is needed.

mod companions;
mod containers;
mod names;
mod parameters;
mod rules;

use outrigger::inject::{Injector, Outcome, Request};
use serde::Deserialize;
use serde_json::Value;

use super::files::{self, Catalog, Entry, parse, plain_pod};
use crate::support::injected_pod;
use names::Ports;
pub use rules::HOSTILE;
use rules::{EXCEPTIONS, RULES};

/// One template, and all that a rule may look at.
struct Subject<'c> {
    entry: &'c Entry,
    catalog: &'c Catalog,
    injector: &'c Injector,
    ports: &'c Ports,
    /// Pods with this template alone: a plain one, those of the example, and those of the test cases.
    samples: Vec<Sample>,
}

/// A pod before and after the injection.
struct Sample {
    before: Value,
    after: Value,
}

type Rule = fn(&Subject<'_>) -> Vec<String>;

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    template: String,
    rule: &'static str,
    what: String,
}

impl<'c> Subject<'c> {
    fn new(entry: &'c Entry, catalog: &'c Catalog, injector: &'c Injector, ports: &'c Ports) -> Self {
        let plain = std::iter::once(catalog.ask(&plain_pod(), &[&entry.name]));
        let pods = plain.chain(entry.example_pods()).chain(entry.tested_pods());
        let samples = pods.filter(|pod| files::requests(pod) == [entry.name.as_str()]);
        let samples = samples.filter_map(|pod| Sample::new(injector, pod)).collect();
        Self { entry, catalog, injector, ports, samples }
    }
}

impl Sample {
    /// Nothing if the pod is not injected.
    fn new(injector: &Injector, before: Value) -> Option<Self> {
        let object = before.to_string();
        let Ok(Outcome::Injected(injection)) = injector.inject(&Request::create_pod("demo", &object)) else {
            return None;
        };
        Some(Self { after: injected_pod(&before, &injection), before })
    }

    /// What the injection has added to a list of the pod.
    fn added(&self, list: &str) -> Vec<&Value> {
        let items = |pod: &'_ Value| pod["spec"][list].as_array().cloned().unwrap_or_default();
        let had: Vec<Value> = items(&self.before).iter().map(|item| item["name"].clone()).collect();
        self.after["spec"][list].as_array().into_iter().flatten().filter(|item| !had.contains(&item["name"])).collect()
    }

    /// The containers that the injection has added, and whether each runs as long as the app.
    fn containers(&self) -> Vec<(&Value, bool)> {
        let init = self.added("initContainers").into_iter();
        let init = init.map(|container| (container, container["restartPolicy"] == "Always"));
        init.chain(self.added("containers").into_iter().map(|container| (container, true))).collect()
    }

    fn is_on_the_host_network(&self) -> bool {
        self.before["spec"]["hostNetwork"] == true
    }
}

/// The violations of a template, without those that are excepted.
fn violations(subject: &Subject<'_>) -> Vec<Violation> {
    let template = &subject.entry.name;
    let of_rule = |(rule, check): &(&'static str, Rule)| {
        let mut all: Vec<String> = Vec::new();
        for what in check(subject) {
            if !all.contains(&what) {
                all.push(what);
            }
        }
        all.into_iter().map(|what| Violation { template: template.clone(), rule, what }).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(of_rule).collect()
}

fn is_excepted(violation: &Violation, exception: &(&str, &str, &str, &str)) -> bool {
    let (template, rule, part, _) = exception;
    violation.template == *template && violation.rule == *rule && violation.what.contains(part)
}

/// Whether the template may break the rule in `part`, such as the name of a container.
pub fn is_exception(template: &str, rule: &str, part: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(excepted, broken, place, _)| *excepted == template && *broken == rule && place.contains(part))
}

fn all_violations() -> Vec<Violation> {
    let catalog = Catalog::read();
    let injector = catalog.injector();
    let ports = names::ports_of(&catalog, &injector);
    let of_entry = |entry| violations(&Subject::new(entry, &catalog, &injector, &ports));
    catalog.entries.iter().flat_map(of_entry).collect()
}

#[test]
fn every_template_keeps_the_conventions() {
    let all = all_violations();
    let is_violation = |violation: &&Violation| !EXCEPTIONS.iter().any(|exception| is_excepted(violation, exception));
    let lines: Vec<String> = all
        .iter()
        .filter(is_violation)
        .map(|violation| {
            format!("config/templates/{}.yaml: {}: {}", violation.template, violation.rule, violation.what)
        })
        .collect();
    assert!(lines.is_empty(), "{} violations of the conventions:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_exception_from_the_conventions_is_needed() {
    let all = all_violations();
    let unneeded: Vec<_> =
        EXCEPTIONS.iter().filter(|exception| !all.iter().any(|violation| is_excepted(violation, exception))).collect();
    assert!(unneeded.is_empty(), "{unneeded:#?}");
    assert!(EXCEPTIONS.iter().all(|(_, _, _, reason)| reason.len() > 20), "an exception has no reason");
}

/// A change of a good template, and the rule that it breaks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Breach {
    rule: String,
    file: File,
    replace: String,
    with: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum File {
    Template,
    Tests,
    Example,
    Page,
    Case,
}

/// The good template with a change, beside another good one.
fn catalog_with(breach: Option<&Breach>) -> Catalog {
    let text = |file: &str| files::text_of(&format!("tests/testdata/catalog/conventions/{file}")).expect("a file");
    let mut texts = ["template.yaml", "test.yaml", "example.yaml", "page.md", "case.yaml"].map(text);
    let other = |text: &String| text.replace("good", "other").replace("7000", "7001").replace("7002", "7003");
    let others = texts.clone().map(|text| other(&text));
    if let Some(breach) = breach {
        let text = &mut texts[breach.file as usize];
        assert!(text.contains(&breach.replace), "{}: nothing to replace: {:?}", breach.rule, breach.replace);
        *text = text.replace(&breach.replace, &breach.with);
    }
    let entry = |name: &str, [text, tests, example, page, case]: [String; 5]| Entry {
        name: name.to_owned(),
        template: parse(&text).unwrap_or_default(),
        text,
        tests: Some(tests),
        example: Some(example),
        page: Some(page),
        cases: Some(case).filter(|case| !case.is_empty()).into_iter().collect(),
    };
    Catalog { entries: vec![entry("good", texts), entry("other", others)] }
}

fn violations_of_good(breach: Option<&Breach>) -> Vec<Violation> {
    let catalog = catalog_with(breach);
    let injector = catalog.injector();
    let ports = names::ports_of(&catalog, &injector);
    violations(&Subject::new(&catalog.entries[0], &catalog, &injector, &ports))
}

#[test]
fn a_good_template_breaks_no_convention() {
    assert_eq!(violations_of_good(None), []);
}

#[test]
fn every_rule_finds_a_template_that_breaks_it() {
    let text = files::text_of("tests/testdata/catalog/conventions/breaches.yaml").expect("a file");
    let breaches: Vec<Breach> = serde_saphyr::from_str(&text).expect("breaches");
    for breach in &breaches {
        let found = violations_of_good(Some(breach));
        assert!(found.iter().any(|violation| violation.rule == breach.rule), "{}: {found:?}", breach.rule);
    }
    let shown: Vec<&str> = breaches.iter().map(|breach| breach.rule.as_str()).collect();
    let missing: Vec<&str> = RULES.iter().map(|(rule, _)| *rule).filter(|rule| !shown.contains(rule)).collect();
    assert!(missing.is_empty(), "no template breaks {missing:?}");
}
