//! Fuzzes a template file: any text loads, or every problem reports its position.

#![no_main]

use libfuzzer_sys::fuzz_target;
use outrigger::inject::{Blame, Injector, Request, Settings, SourceText, TemplateSet};
use serde_json::json;

fuzz_target!(|text: &str| {
    let loaded = TemplateSet::load(&[SourceText { origin: "fuzz.yaml".to_owned(), text: text.to_owned() }]);
    for problem in loaded.problems.iter().chain(&loaded.warnings) {
        check_place(text, problem.line, problem.column);
        let sentence = problem.to_string();
        assert!(!problem.message.to_string().is_empty() && !sentence.contains(['\n', '\r']), "{sentence:?}");
    }
    assert_eq!(loaded.templates.names().len(), loaded.templates.len());
    let names: Vec<String> = loaded.templates.names().into_iter().map(str::to_owned).collect();
    let injector = Injector::new(loaded.templates, Settings::default());
    for name in names {
        inject(&injector, &name);
    }
});

/// A reported position is in the text or just behind it.
fn check_place(text: &str, line: usize, column: usize) {
    assert_eq!(line == 0, column == 0, "a line and a column, or neither");
    // YAML also breaks lines at a lone carriage return.
    let breaks = text.chars().filter(|c| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')).count();
    assert!(line <= breaks + 2, "line {line} of {}", breaks + 1);
    assert!(column <= text.chars().count() + 2, "column {column}");
}

/// Loaded templates render: this plain pod causes no internal error.
fn inject(injector: &Injector, name: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": name}},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    });
    if let Err(error) = injector.inject(&Request::create_pod("demo", &pod.to_string())) {
        assert_ne!(error.blame(), Blame::Injector, "{error}");
    }
}
