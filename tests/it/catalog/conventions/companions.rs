//! Rules of a template as a whole, and of the files beside it.

use outrigger::inject::{SourceText, TemplateSet};
use serde_json::Value;

use super::Subject;
use super::parameters::IMAGE;
use crate::catalog::files::{Level, documents, parse};

/// The patterns that the catalog is sorted by.
const PATTERNS: [&str; 9] = ["sidecar", "ambassador", "adapter", "init", "ci", "gateway", "pod", "preset", "agent"];

/// What a page has, in this order.
const PARTS: [&str; 9] = [
    "<!-- generated: summary -->",
    "## What it does",
    "## What the app must do",
    "## Parameters",
    "<!-- generated: parameters -->",
    "## What it costs",
    "<!-- generated: cost -->",
    "## What was run",
    "<!-- generated: runs -->",
];

const LONGEST_LINE: usize = 100;

/// The message as the violation, if the rule does not hold.
pub fn unless(holds: bool, message: impl Into<String>) -> Option<String> {
    (!holds).then(|| message.into())
}

pub fn loads(subject: &Subject<'_>) -> Vec<String> {
    let source = SourceText { origin: format!("{}.yaml", subject.entry.name), text: subject.entry.text.clone() };
    TemplateSet::load(&[source]).faults(true).map(ToString::to_string).collect()
}

pub fn begins_with_a_comment(subject: &Subject<'_>) -> Vec<String> {
    let comment = subject.entry.text.lines().take_while(|line| line.starts_with('#')).count();
    unless(comment >= 2, "the first lines say in a comment what the template does and needs").into_iter().collect()
}

pub fn has_the_name_of_its_file(subject: &Subject<'_>) -> Vec<String> {
    let (name, file) = (&subject.entry.template["metadata"]["name"], &subject.entry.name);
    let one = documents(&subject.entry.text).len() == 1;
    unless(one && name == file.as_str(), format!("metadata.name is {name}; expected one document named {file:?}"))
        .into_iter()
        .collect()
}

pub fn labels(subject: &Subject<'_>) -> Vec<String> {
    let levels = Level::ALL.map(Level::name);
    let allowed = [("pattern", PATTERNS.as_slice()), ("pod-security", levels.as_slice())];
    let fault = |(label, allowed): (&str, &[&str])| {
        let value = subject.entry.label(label);
        let holds = value.is_some_and(|value| allowed.contains(&value));
        unless(holds, format!("metadata.labels: outrigger.dev/{label} is {value:?}; expected one of {allowed:?}"))
    };
    allowed.into_iter().filter_map(fault).collect()
}

pub fn description(subject: &Subject<'_>) -> Vec<String> {
    let text = subject.entry.spec()["description"].as_str().unwrap_or_default();
    let one_sentence = is_sentence(text) && !text.trim_end_matches('.').contains(". ");
    unless(one_sentence, format!("spec.description is {text:?}; expected one sentence with a period"))
        .into_iter()
        .collect()
}

/// Whether the text begins with a capital letter or a name, and ends with a period.
pub fn is_sentence(text: &str) -> bool {
    text.len() > 10 && text.ends_with('.') && !text.contains('\n')
}

/// The other templates that it names are there, and know of it.
pub fn excludes(subject: &Subject<'_>) -> Vec<String> {
    let entry = subject.entry;
    let unknown = entry.names("excludes").into_iter().chain(entry.names("requires"));
    let unknown = unknown.filter(|name| subject.catalog.entry(name).is_none());
    let unknown = unknown.map(|name| format!("the catalog has no template {name:?}"));
    let of_others = subject.catalog.entries.iter().filter(|other| other.names("excludes").contains(&&*entry.name));
    let one_sided = of_others.filter(|other| !entry.names("excludes").contains(&&*other.name));
    unknown
        .chain(one_sided.map(|other| format!("spec.excludes lacks {:?}, which excludes this template", other.name)))
        .collect()
}

pub fn test_cases(subject: &Subject<'_>) -> Vec<String> {
    let name = &subject.entry.name;
    let Some(text) = &subject.entry.tests else {
        return vec![format!("there is no config/templates/{name}.test.yaml")];
    };
    let file = match parse(text) {
        Ok(file) => file,
        Err(error) => return vec![format!("{name}.test.yaml: {error}")],
    };
    let tests: Vec<&Value> = file["tests"].as_array().into_iter().flatten().collect();
    let expects = |verdict: &str| tests.iter().any(|test| test["expect"].get(verdict).is_some());
    let has_parameters = subject.entry.list("parameters").is_empty() || expects("refused");
    let faults = [
        unless(expects("injected"), "no test case has the whole pod: `expect.injected`"),
        unless(has_parameters, "no test case shows a refusal: `expect.refused`"),
    ];
    faults.into_iter().flatten().collect()
}

pub fn example(subject: &Subject<'_>) -> Vec<String> {
    let name = &subject.entry.name;
    let Some(text) = &subject.entry.example else {
        return vec![format!("there is no config/examples/{name}.yaml")];
    };
    let pods = subject.entry.example_pods();
    let mut faults: Vec<String> = Vec::new();
    faults.extend(unless(text.starts_with("# "), "the example does not begin with a comment"));
    faults.extend(unless(!pods.is_empty(), "no pod of the example asks for the template by its annotation"));
    let containers = pods.iter().flat_map(|pod| ["initContainers", "containers"].map(|list| pod["spec"][list].clone()));
    for container in containers.filter_map(|list| list.as_array().cloned()).flatten() {
        let image = container["image"].as_str().unwrap_or_default();
        let holds = IMAGE.is_match(image) || image == "auto";
        faults.extend(unless(holds, format!("image {image:?} of the example is no public image with a fixed tag")));
    }
    faults
}

pub fn page(subject: &Subject<'_>) -> Vec<String> {
    let name = &subject.entry.name;
    let Some(page) = &subject.entry.page else { return vec![format!("there is no docs/catalog/{name}.md")] };
    let mut faults: Vec<String> = Vec::new();
    faults
        .extend(unless(page.starts_with(&format!("# {name}: ")), format!("the page does not begin with `# {name}: `")));
    let mut rest = page.lines();
    for part in PARTS {
        faults.extend(unless(rest.any(|line| line == part), format!("the page lacks `{part}` in its place")));
    }
    let mut generated = false;
    for (index, line) in page.lines().enumerate() {
        generated = (generated || line.starts_with("<!-- generated: ")) && line != "<!-- end -->";
        let holds = generated || line.starts_with('|') || line.chars().count() <= LONGEST_LINE;
        faults.extend(unless(holds, format!("line {} of the page has more than {LONGEST_LINE} characters", index + 1)));
    }
    faults.extend(unless(!generated, "a generated part of the page has no `<!-- end -->`"));
    faults
}

/// At least one case runs the template in a namespace that enforces the level of its label.
pub fn end_to_end_case(subject: &Subject<'_>) -> Vec<String> {
    let entry = subject.entry;
    let cases: Vec<Value> = entry.cases.iter().filter_map(|case| parse(case).ok()).collect();
    let has_steps = |case: &&Value| case["steps"].as_array().is_some_and(|steps| !steps.is_empty());
    let level = |case: &Value| {
        let name = case["podSecurity"].as_str().unwrap_or(Level::Restricted.name());
        Level::ALL.into_iter().find(|level| level.name() == name)
    };
    let mut with_steps = cases.iter().filter(has_steps).peekable();
    let has_case = with_steps.peek().is_some();
    let enforces = with_steps.any(|case| level(case).is_some_and(|level| level <= entry.level()));
    let faults = [
        unless(has_case, "no case of tests/e2e/catalog lists the template and has steps"),
        unless(
            !has_case || enforces,
            format!("no case has `podSecurity: {}` or a stricter level", entry.level().name()),
        ),
    ];
    faults.into_iter().flatten().collect()
}
