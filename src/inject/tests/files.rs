//! Tests of a template's files that need more text than a golden case has.

use super::*;

/// A template whose file has this many bytes.
fn with_file(name: &str, bytes: usize) -> Value {
    let volume = format!("{name}-conf");
    template(
        name,
        json!({
            "sidecars": [{
                "name": name, "image": "agent:1", "volumeMounts": [{"name": volume, "mountPath": "/etc/agent"}],
            }],
            "files": [{"name": volume, "items": {"text": "x".repeat(bytes)}}],
        }),
    )
}

fn revision(template: &Value) -> String {
    let injected = injected(&injector(std::slice::from_ref(template)), &pod("agent", json!({})));
    injected.pod["metadata"]["labels"]["agent.outrigger.dev/revision"].as_str().expect("a revision").to_owned()
}

#[test]
fn the_text_of_a_file_changes_the_revision() {
    let one = with_file("agent", 10);
    assert_eq!(revision(&one), revision(&one.clone()));
    assert_ne!(revision(&one), revision(&with_file("agent", 11)));
    let mut renamed = one.clone();
    renamed["spec"]["files"][0]["items"] = json!({"other": "x".repeat(10)});
    assert_ne!(revision(&one), revision(&renamed));
}

#[test]
fn the_largest_files_are_carried_whole() {
    let injected = injected(&injector(&[with_file("agent", 128 << 10)]), &pod("agent", json!({})));
    let key = "agent.outrigger.dev/file.agent-conf.text";
    assert_eq!(injected.pod["metadata"]["annotations"][key].as_str().map(str::len), Some(128 << 10));
}

#[test]
fn files_that_do_not_fit_beside_the_pods_annotations_are_refused_with_the_templates_name() {
    let templates = [with_file("agent", 100 << 10)];
    let large = pod("agent", json!({"example.com/notes": "x".repeat(200 << 10)}));
    let error = refused(&injector(&templates), &large);
    let [problem] = error.problems() else { panic!("{error}") };
    assert_eq!((problem.code, problem.template.as_deref()), (ErrorCode::ResultInvalid, Some("agent")));
    let sentence = problem.message.to_string();
    assert!(
        sentence.starts_with("template \"agent\": with this pod, metadata.annotations: with the status"),
        "{error}"
    );
    // The keys count as well, and so does the annotation with the default container.
    assert!(sentence.contains("; 102482 of them are those of the template"), "{sentence}");
}

#[test]
fn a_template_with_on_error_skip_is_left_out_if_its_files_do_not_fit() {
    let mut skipped = with_file("agent", 100 << 10);
    skipped["spec"]["onError"] = json!("Skip");
    let injector = injector(&[skipped, with_file("other", 10)]);
    let large = pod("agent, other", json!({"example.com/notes": "x".repeat(200 << 10)}));
    let injected = injected(&injector, &large);
    assert_eq!(injected.templates, ["other"]);
    assert!(injected.warnings[0].contains("bytes; at most 262144 are allowed"), "{:?}", injected.warnings);
}

#[test]
fn annotations_of_the_pod_that_are_too_large_by_themselves_are_no_templates_fault() {
    let error = refused(
        &injector(&[with_file("agent", 10)]),
        &pod("agent", json!({"example.com/notes": "x".repeat(256 << 10)})),
    );
    assert_eq!(error.problems()[0].template, None, "{error}");
}

#[test]
fn files_of_many_templates_are_refused_before_they_are_copied() {
    let names: Vec<String> = (0..17).map(|number| format!("agent-{number}")).collect();
    let templates: Vec<Value> = names.iter().map(|name| with_file(name, 128 << 10)).collect();
    let error = refused(&injector(&templates), &pod(&names.join(","), json!({})));
    let expected = "the files of the pod's templates have 2176 KiB; at most 2048 KiB are allowed";
    assert_eq!(error.to_string(), format!("pod_invalid: {expected}"));
}
