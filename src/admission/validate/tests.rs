//! Tests of the check of templates: what is refused, and what is said of a change.

use std::collections::BTreeMap;

use super::*;
use crate::inject::{Settings, SourceText};

fn spec(image: &str) -> Value {
    json!({"sidecars": [{"name": "s", "image": image, "resources": {"limits": {"memory": "1Mi"}}}]})
}

fn object(kind: &str, namespace: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "log", "managedFields": [{"manager": "kubectl"}], "generation": 2}, "spec": spec,
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn review(operation: &str, namespace: &str, new: &Value, old: &Value) -> Value {
    let resource = if namespace.is_empty() { "clusterinjectiontemplates" } else { "injectiontemplates" };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": operation, "name": "log", "namespace": namespace,
            "resource": {"group": "outrigger.dev", "version": "v1alpha1", "resource": resource},
            "object": new, "oldObject": old,
        },
    })
}

fn injector(files: &[Value]) -> Injector {
    let text = files.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    let loaded = TemplateSet::load(&[SourceText { origin: "files.yaml".to_owned(), text }]);
    Injector::new(loaded.templates, Settings::default())
}

/// The response: whether it is allowed, the message, the warnings.
fn respond(injector: &Injector, review: &Value) -> (bool, String, Vec<String>) {
    let lists = |value: &str| Namespace {
        name: value.replace([',', ' '], "-"),
        annotations: BTreeMap::from([("outrigger.dev/inject".to_owned(), value.to_owned())]),
        ..Namespace::default()
    };
    let namespaces = [lists("log"), lists("proxy, log@0123456789"), lists("proxy")];
    let count = |holds: &dyn Fn(&Namespace) -> bool| namespaces.iter().filter(|one| holds(one)).count();
    let response = validate(injector, &count, review.to_string().as_bytes());
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    let response = &body["response"];
    assert!(response["patch"].is_null() && response["uid"] == "u", "{body}");
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(|warning| warning.as_str().map(str::to_owned)).collect();
    let message = response["status"]["message"].as_str().unwrap_or_default().to_owned();
    (response["allowed"] == true, message, warnings)
}

fn created(injector: &Injector, kind: &str, namespace: &str, spec: &Value) -> (bool, String, Vec<String>) {
    respond(injector, &review("CREATE", namespace, &object(kind, namespace, spec), &Value::Null))
}

#[test]
fn a_good_template_is_allowed_and_a_bad_one_refused_with_all_its_problems() {
    let none = injector(&[]);
    assert_eq!(created(&none, "ClusterInjectionTemplate", "", &spec("a:1")), (true, String::new(), Vec::new()));
    let mut bad = spec("a:1");
    bad["sidecar"] = json!([]);
    bad["sidecars"][0]["volumeMounts"] = json!([{"name": "nowhere", "mountPath": "/x"}]);
    let (allowed, message, _) = created(&none, "ClusterInjectionTemplate", "", &bad);
    assert!(!allowed);
    assert!(message.starts_with("ClusterInjectionTemplate/log would not load, 2 problems: "), "{message}");
    for part in ["spec.sidecar: unknown field; did you mean \"sidecars\"?", "spec.sidecars[0].volumeMounts[0]"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains(":0:") && !message.contains(":1:"), "no line of a text that nobody has: {message}");
}

#[test]
fn an_unknown_field_of_a_container_is_a_warning() {
    let mut newer = spec("a:1");
    newer["sidecars"][0]["fieldOfNextYear"] = json!(true);
    let (allowed, _, warnings) = created(&injector(&[]), "ClusterInjectionTemplate", "", &newer);
    assert!(allowed && warnings.iter().any(|warning| warning.contains("fieldOfNextYear")), "{warnings:?}");
}

#[test]
fn a_name_of_a_file_is_refused_and_one_of_a_built_in_template_is_not() {
    let file = injector(&[object("ClusterInjectionTemplate", "", &spec("file:1"))]);
    let (allowed, message, _) = created(&file, "ClusterInjectionTemplate", "", &spec("a:1"));
    assert!(!allowed && message.contains("the name \"log\" stands at files.yaml as well"), "{message}");
    let text = object("ClusterInjectionTemplate", "", &spec("a:1")).to_string();
    let built_in = CompiledSource::compile(&SourceText { origin: "built-in log".to_owned(), text }).as_fallback();
    let set = TemplateSet::assemble(&[built_in.into()], &TemplateSet::default()).templates;
    let built_in = Injector::new(set, Settings::default());
    assert!(created(&built_in, "ClusterInjectionTemplate", "", &spec("a:1")).0);
    // A template of a namespace may have any name; it may be hidden.
    let (allowed, _, warnings) = created(&file, "InjectionTemplate", "shop", &spec("a:1"));
    assert!(allowed && warnings.len() == 1 && warnings[0].contains("shadowable"), "{warnings:?}");
    assert_eq!(created(&built_in, "InjectionTemplate", "shop", &spec("a:1")).2, [""; 0]);
}

#[test]
fn a_change_says_what_it_means_for_pods() {
    let mut old = object("ClusterInjectionTemplate", "", &spec("a:1"));
    let new = object("ClusterInjectionTemplate", "", &spec("a:2"));
    let none = injector(&[]);
    assert_eq!(respond(&none, &review("UPDATE", "", &new, &old)).2, [""; 0], "no pod carries it");
    old["status"] = json!({"pods": 12, "namespaces": 1});
    let changed = "spec.sidecars[0].image: \"a:2\" instead of \"a:1\"";
    let summary =
        "12 pods in 1 namespace carry another revision and keep it until they are created anew; what changes:";
    assert_eq!(respond(&none, &review("UPDATE", "", &new, &old)).2, [summary, changed]);
    old["status"]["pods"] = json!(1);
    let summary = "1 pod in 1 namespace carries another revision and keeps it until it is created anew; what changes:";
    assert_eq!(respond(&none, &review("UPDATE", "", &new, &old)).2, [summary, changed]);
    let mut dry_run = review("UPDATE", "", &new, &object("ClusterInjectionTemplate", "", &spec("a:1")));
    dry_run["request"]["dryRun"] = true.into();
    assert_eq!(respond(&none, &dry_run).2, ["no pod carries another revision; what changes:", changed]);
    // A rollout alone changes no revision.
    let mut rollout = old.clone();
    rollout["spec"]["rollout"] = json!({"percent": 10});
    assert_eq!(respond(&none, &review("UPDATE", "", &rollout, &old)).2, [""; 0]);
}

#[test]
fn a_spec_that_stays_is_never_refused() {
    let broken = object("ClusterInjectionTemplate", "", &json!({"sidecar": []}));
    let mut labelled = broken.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(respond(&injector(&[]), &review("UPDATE", "", &labelled, &broken)).0);
    let mut going = object("ClusterInjectionTemplate", "", &json!({"sidecars": 1}));
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    assert!(respond(&injector(&[]), &review("UPDATE", "", &going, &broken)).0);
    // But a broken one that is changed to another broken one is.
    let worse = object("ClusterInjectionTemplate", "", &json!({"sidecar": [1]}));
    assert!(!respond(&injector(&[]), &review("UPDATE", "", &worse, &broken)).0);
}

#[test]
fn a_deletion_names_the_pods_and_the_default_lists() {
    let mut old = object("ClusterInjectionTemplate", "", &spec("a:1"));
    old["status"] = json!({"pods": 1, "namespaces": 1});
    let none = injector(&[]);
    let (allowed, _, warnings) = respond(&none, &review("DELETE", "", &Value::Null, &old));
    assert!(allowed && warnings.len() == 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("1 pod in 1 namespace carries template \"log\": it keeps it")
            && warnings[0].contains("rename")
    );
    assert_eq!(warnings[1], "the default list of 2 namespaces names template \"log\"");
    let (_, _, warnings) =
        respond(&none, &review("DELETE", "proxy", &Value::Null, &object("InjectionTemplate", "proxy", &spec("a:1"))));
    assert_eq!(warnings, [""; 0], "the lists of other namespaces mean other templates");
}

#[test]
fn other_requests_are_let_through_and_bad_ones_get_an_error() {
    let none = injector(&[]);
    let mut other =
        review("CREATE", "", &object("ClusterInjectionTemplate", "", &json!({"sidecar": []})), &Value::Null);
    other["request"]["resource"]["resource"] = "pods".into();
    assert!(respond(&none, &other).0);
    let mut status = review("UPDATE", "", &Value::Null, &Value::Null);
    status["request"]["subResource"] = "status".into();
    assert!(respond(&none, &status).0);
    let missing = review("CREATE", "", &Value::Null, &Value::Null).to_string();
    assert_eq!(validate(&none, &|_| 0, missing.as_bytes()).status, 400);
    assert_eq!(validate(&none, &|_| 0, b"{").status, 400);
}

#[test]
fn a_template_that_is_too_large_is_refused_with_its_size() {
    let mut large = spec("a:1");
    large["description"] = "x".repeat(300 * 1024).into();
    let (allowed, message, _) = created(&injector(&[]), "ClusterInjectionTemplate", "", &large);
    assert!(!allowed && message.contains("KiB are more than the 256 KiB that a template may have"), "{message}");
}

#[test]
fn a_template_of_a_namespace_is_held_to_its_rules() {
    let mut taking = spec("a:1");
    taking["volumes"] = json!([{"name": "loot", "secret": {"secretName": "db"}}]);
    taking["sidecars"][0]["volumeMounts"] = json!([{"name": "loot", "mountPath": "/loot"}]);
    let none = injector(&[]);
    assert!(created(&none, "ClusterInjectionTemplate", "", &taking).0);
    let (allowed, message, _) = created(&none, "InjectionTemplate", "shop", &taking);
    assert!(!allowed && message.contains("spec.volumes[0].secret") && message.contains("Secrets"), "{message}");
}

#[test]
fn a_roll_back_counts_the_pods_that_have_it_already_and_a_lost_revision_is_named() {
    let mut old = object("ClusterInjectionTemplate", "", &spec("a:2"));
    let new = object("ClusterInjectionTemplate", "", &spec("a:1"));
    let revision = ObjectText::revision_of(&new["spec"]);
    old["status"] = json!({"pods": 5, "namespaces": 2, "revisions": [
        {"revision": "aaaaaaaaaa", "pods": 2}, {"revision": revision, "pods": 3}]});
    let warnings = respond(&injector(&[]), &review("UPDATE", "", &new, &old)).2;
    assert_eq!(warnings[0], "2 pods carry another revision and keep it until they are created anew; what changes:");
    let kept = |index: usize| json!({"revision": format!("{index:010}"), "pods": index});
    old["status"]["revisions"] = (0..5).map(kept).collect();
    let warnings = respond(&injector(&[]), &review("UPDATE", "", &new, &old)).2;
    let lost = "revision 0000000004, which 4 pods carry, is not kept any longer: no pod can ask for it by \"@\"";
    assert_eq!(warnings.last().map(String::as_str), Some(lost));
}

#[test]
fn a_template_for_which_there_is_no_room_is_refused() {
    let namespaced = |index: usize| {
        let mut template = object("InjectionTemplate", "shop", &spec("a:1"));
        template["metadata"]["name"] = format!("t-{index}").into();
        template
    };
    let full = injector(&(0..100).map(namespaced).collect::<Vec<_>>());
    let (allowed, message, _) = created(&full, "InjectionTemplate", "shop", &spec("a:1"));
    assert!(!allowed && message.contains("more than 100 templates in the namespace"), "{message}");
    assert!(created(&full, "InjectionTemplate", "other", &spec("a:1")).0);
    assert!(created(&full, "ClusterInjectionTemplate", "", &spec("a:1")).0);
}

#[test]
fn a_spec_that_is_too_large_is_not_parsed() {
    let bomb = format!("[{}1]", r#"{"":1},"#.repeat(400_000));
    let object = |spec: &str| {
        format!(
            r#"{{"apiVersion":"outrigger.dev/v1alpha1","kind":"ClusterInjectionTemplate","metadata":{{"name":"log"}},"spec":{{"x":{spec}}}}}"#
        )
    };
    let review = |operation: &str, new: &str, old: &str| {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"{operation}","resource":{{"group":"outrigger.dev","version":"v1alpha1","resource":"clusterinjectiontemplates"}},"object":{new},"oldObject":{old}}}}}"#
        )
    };
    let none = injector(&[]);
    let answer = |text: &str| {
        let response = validate(&none, &|_| 0, text.as_bytes());
        String::from_utf8_lossy(&response.body).into_owned()
    };
    let created = answer(&review("CREATE", &object(&bomb), "null"));
    assert!(created.contains("256 KiB that a template may have"), "{}", &created[..created.len().min(500)]);
    // One that got in may be labelled, and deleted.
    assert!(answer(&review("UPDATE", &object(&bomb), &object(&bomb))).contains("\"allowed\":true"));
    assert!(answer(&review("DELETE", "null", &object(&bomb))).contains("\"allowed\":true"));
}
