//! The CustomResourceDefinitions of templates at a real API server: what it stores, refuses and prints.
//!
//! Invariant: these tests have their own control plane, because the kinds are there for the whole
//! cluster. No replica runs, so nothing but the definitions judges the templates.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use outrigger::api::template_object::TemplateKind;
use outrigger::inject::{SourceText, TemplateSet};
use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster};
use crate::control_plane::assets;
use crate::process::eventually;

tests! {
    explain_prints_our_descriptions,
    fields_that_the_definitions_do_not_know_are_kept,
    names_that_cannot_be_annotations_are_refused,
    each_rule_refuses_its_bad_spec_with_its_message,
    every_template_that_loads_is_stored_unchanged,
    kubectl_get_takes_short_names_and_prints_the_status,
    two_owners_apply_parts_of_one_template,
}

const CLUSTER_KIND: &str = "/apis/outrigger.dev/v1alpha1/clusterinjectiontemplates";
const NAMESPACED_KIND: &str = "/apis/outrigger.dev/v1alpha1/namespaces/default/injectiontemplates";
const LIMIT: Duration = Duration::from_secs(20);

/// A cluster with the definitions, which are accepted and in use.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let assets = assets();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start(&assets);
        let definitions = repository("manifests/crds");
        let definitions = definitions.to_str().expect("a path in UTF-8");
        // As users do it: with client-side apply, which keeps the object in an annotation.
        kubectl(&cluster, &["apply", "--validate=strict", "-k", definitions]);
        let names = TemplateKind::ALL.map(|kind| format!("crd/{}.outrigger.dev", kind.plural()));
        let wait = ["wait", "--for=condition=Established", "--timeout=20s"];
        kubectl(&cluster, &[&wait[..], &names.each_ref().map(String::as_str)].concat());
        eventually("both kinds are served", LIMIT, || {
            [CLUSTER_KIND, NAMESPACED_KIND].iter().all(|path| cluster.get(path).is_success()).then_some(())
        });
        cluster
    })
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The output of kubectl, which must succeed.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> String {
    kubectl_with(cluster, arguments, &Value::Null)
}

/// The same, with an object as its input.
fn kubectl_with(cluster: &Cluster, arguments: &[&str], input: &Value) -> String {
    let control_plane = &cluster.control_plane;
    let mut kubectl = Command::new(&control_plane.kubectl);
    kubectl.arg("--kubeconfig").arg(&control_plane.kubeconfig).args(arguments);
    kubectl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = kubectl.spawn().expect("kubectl starts");
    let mut pipe = child.stdin.take().expect("its standard input is a pipe");
    pipe.write_all(input.to_string().as_bytes()).expect("kubectl reads");
    drop(pipe);
    let output = child.wait_with_output().expect("kubectl ends");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn template(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionTemplate",
        "metadata": {"name": name}, "spec": spec,
    })
}

fn create(template: &Value, query: &str) -> Answer {
    let path = if template["kind"] == "InjectionTemplate" { NAMESPACED_KIND } else { CLUSTER_KIND };
    cluster().send_object("POST", &format!("{path}{query}"), template)
}

fn explain_prints_our_descriptions() {
    // kubectl breaks lines.
    let explain = |field: &str| {
        let text = kubectl(cluster(), &["explain", field]);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (field, expected) in [
        ("clusterinjectiontemplate", "A template of sidecars for the pods of all namespaces."),
        ("injectiontemplate", "A template of sidecars for the pods of its own namespace."),
        ("clusterinjectiontemplate.spec.sidecars", "core/v1 Container: see `kubectl explain pod.spec.containers`."),
        ("clusterinjectiontemplate.spec.sidecars.forEach", "the item is there once for each"),
        ("clusterinjectiontemplate.spec.podResources", "One of `Grow`, `Keep`."),
        ("clusterinjectiontemplate.spec.pod.tolerations", "see `kubectl explain pod.spec.tolerations`."),
        ("injectiontemplate.spec.match.podSelector.matchLabels", "Labels that must have these values."),
        ("injectiontemplate.status.conditions.reason", "Why, as a word for machines."),
    ] {
        let text = explain(field);
        assert!(text.contains(expected), "{field}: {text}");
    }
}

fn fields_that_the_definitions_do_not_know_are_kept() {
    let spec = json!({
        "sidecars": [{
            "name": "agent", "image": "agent:1", "fieldOfTomorrow": {"deep": [1, "2", true]},
            "ports": [{"containerPort": "${params.port}"}],
        }, "${each}"],
        "match": {"podSelector": {"matchLabls": {"app": "web"}}},
        "app": {"containers": ["web"], "defaults": {"newProbe": {}}},
        "placement": {"order": {"before": "web"}},
        "parameters": [{"name": "port", "type": "port", "default": 8080, "minimum": "1"}],
        "pod": {"hostUsers": "${false}", "tolerations": "${[]}"},
        "mispelt": {"a": null},
        "onError": null,
        "hardened": null,
    });
    for kind in ["ClusterInjectionTemplate", "InjectionTemplate"] {
        let mut object = template("unknown-fields", &spec);
        object["kind"] = json!(kind);
        if kind == "InjectionTemplate" {
            object["spec"].as_object_mut().expect("a spec").remove("pod");
        }
        let stored = create(&object, "").expect_success();
        pretty_assertions::assert_eq!(stored["spec"], object["spec"], "{kind}");
        assert_eq!(stored["metadata"]["generation"], 1);
    }
}

/// A template with this spec is refused with this message, and accepted with the other spec.
fn assert_rule(kind: &str, bad: &Value, message: &str, good: &Value) {
    let object = |spec: &Value| {
        let mut object = template("judged", spec);
        object["kind"] = json!(kind);
        object
    };
    let refused = create(&object(bad), "?dryRun=All");
    assert_eq!(refused.status, 422, "{bad}: {}", refused.body);
    let said = refused.body["message"].as_str().unwrap_or_default();
    assert!(said.contains(message), "{bad}: {said}");
    create(&object(good), "?dryRun=All").expect_success();
}

fn names_that_cannot_be_annotations_are_refused() {
    for (name, message) in [
        ("false", "\"false\" in the annotation of a pod means no injection; choose another name"),
        ("log.collector", "metadata.name: expected a DNS label of at most 63 characters"),
        (&*"a".repeat(64), "metadata.name: expected a DNS label of at most 63 characters"),
    ] {
        let refused = create(&template(name, &json!({})), "?dryRun=All");
        let said = refused.body["message"].as_str().unwrap_or_default();
        assert!(refused.status == 422 && said.contains(message), "{name}: {said}");
    }
    create(&template(&"a".repeat(63), &json!({})), "?dryRun=All").expect_success();
}

fn each_rule_refuses_its_bad_spec_with_its_message() {
    let automatic = "an Automatic template needs a podSelector, a namespaceSelector or a condition in spec.match";
    let of_enum = "a parameter of the type enum needs values";
    let parameter = |values: Value| json!({"parameters": [{"name": "a", "type": "enum", "values": values}]});
    let both: [(Value, &str, Value); 14] = [
        (json!({"injection": "Automatic"}), automatic, json!({"injection": "OptIn"})),
        (
            json!({"injection": "Automatic", "match": {"os": ["linux"]}}),
            automatic,
            json!({"injection": "Automatic", "match": {"podSelector": {}}}),
        ),
        (
            json!({"injection": "Automatic", "match": {"conditions": []}}),
            automatic,
            json!({"injection": "Automatic", "match": {"conditions": [{"expression": "true"}]}}),
        ),
        (
            json!({"injection": "Automatic", "match": {}}),
            automatic,
            json!({"injection": "Automatic", "match": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}),
        ),
        (parameter(Value::Null), of_enum, parameter(json!(["b"]))),
        (parameter(json!([])), of_enum, json!({"parameters": [{"name": "a", "type": "string"}]})),
        (json!({"requires": ["judged"]}), "spec.requires names this template itself", json!({"requires": ["other"]})),
        (json!({"excludes": ["judged"]}), "spec.excludes names this template itself", json!({"excludes": ["other"]})),
        (json!({"rollout": {"percent": 101}}), "less than or equal to 100", json!({"rollout": {"percent": 100}})),
        (json!({"rollout": {"percent": -1}}), "greater than or equal to 0", json!({"rollout": {"percent": 0}})),
        (json!({"injection": "Always"}), "expected one of OptIn, Automatic", json!({"injection": null})),
        (json!({"match": {"os": ["macos"]}}), "expected one of linux, windows", json!({"match": {"os": ["windows"]}})),
        (json!({"qos": "warn"}), "expected one of Warn, Keep", json!({"qos": "Warn"})),
        (json!({"parameters": [{"name": "a", "type": "text"}]}), "expected one of string, integer", json!({})),
    ];
    for (bad, message, good) in &both {
        for kind in ["ClusterInjectionTemplate", "InjectionTemplate"] {
            assert_rule(kind, bad, message, good);
        }
    }
    let tenants = [
        (
            json!({"pod": {"serviceAccountName": "admin"}}),
            "spec.pod: an InjectionTemplate may not change fields of the pod",
        ),
        (json!({"shadowable": true}), "spec.shadowable: only a ClusterInjectionTemplate"),
    ];
    for (bad, message) in &tenants {
        assert_rule("InjectionTemplate", bad, message, &json!({}));
        create(&template("judged", bad), "?dryRun=All").expect_success();
    }
    let mut without_spec = template("judged", &json!({}));
    without_spec.as_object_mut().expect("a map").remove("spec");
    assert_eq!(create(&without_spec, "").status, 422);
}

/// Every file of templates below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.extension().and_then(|extension| extension.to_str()) {
            None if path.is_dir() => files(&path, found),
            Some("yaml" | "yml") => found.push(path),
            _ => {}
        }
    }
}

/// The templates of a file that load without an error.
fn loading(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if !text.contains("kind: ClusterInjectionTemplate") {
        return Vec::new();
    }
    let source = |text: &str| SourceText { origin: "template.yaml".to_owned(), text: text.to_owned() };
    if !TemplateSet::load(&[source(&text)]).problems.is_empty() {
        return Vec::new();
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_default();
    let templates = documents.into_iter().filter(|document| document["kind"] == "ClusterInjectionTemplate");
    templates.map(with_whole_numbers).collect()
}

/// The parser of the tests reads a file mode such as `0444` as `444.0`.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() && number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            json!(format!("{:.0}", number.as_f64().unwrap_or_default()).parse::<i64>().expect("an integer"))
        }
        Value::Array(items) => items.into_iter().map(with_whole_numbers).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, with_whole_numbers(value))).collect(),
        other => other,
    }
}

fn every_template_that_loads_is_stored_unchanged() {
    let mut built_in = Vec::new();
    files(&repository("config/templates"), &mut built_in);
    for object in built_in.iter().flat_map(|path| loading(path)) {
        create(&object, "").expect_success();
        let name = object["metadata"]["name"].as_str().expect("a name");
        let stored = cluster().get(&format!("{CLUSTER_KIND}/{name}")).expect_success();
        pretty_assertions::assert_eq!(stored["spec"], object["spec"], "{name}");
    }
    let (mut of_tests, mut count, mut refused) = (Vec::new(), 0, Vec::new());
    files(&repository("tests/testdata"), &mut of_tests);
    for (path, object) in of_tests.iter().flat_map(|path| loading(path).into_iter().map(move |object| (path, object))) {
        count += 1;
        let answer = create(&object, "?dryRun=All");
        // Names are shared with the built-in ones.
        if answer.status != 409 && answer.body["spec"] != object["spec"] {
            refused.push(format!("{}: {}", path.display(), answer.body));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(built_in.len() > 30 && count > 400, "{} and {count}", built_in.len());
}

fn kubectl_get_takes_short_names_and_prints_the_status() {
    create(&template("shown", &json!({})), "").expect_success();
    let status = json!({"status": {
        "observedGeneration": 1, "injection": "OptIn", "sidecars": "agent,proxy", "revision": "3f2a9c01de",
        "stableRevision": "3f2a9c01de", "pods": 12, "namespaces": 3,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Served", "message": "pods get it",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }],
        "revisions": [{"revision": "3f2a9c01de", "spec": "AAAA", "pods": 12}],
    }});
    let path = format!("{CLUSTER_KIND}/shown/status");
    let patched = cluster().send("PATCH", &path, "application/merge-patch+json", status.to_string().into_bytes());
    assert_eq!(patched.expect_success()["status"], status["status"], "nothing of it is pruned");

    let printed = kubectl(cluster(), &["get", "citmpl", "shown"]);
    let mut lines = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = ["NAME", "INJECTION", "SIDECARS", "READY", "REVISION", "PODS", "NAMESPACES", "AGE"];
    assert_eq!(lines.next().as_deref(), Some(&header[..]));
    let row = lines.next().unwrap_or_default();
    assert_eq!(row[..row.len() - 1], ["shown", "OptIn", "agent,proxy", "True", "3f2a9c01de", "12", "3"]);
    let wide = kubectl(cluster(), &["get", "citmpl", "shown", "-o", "wide"]);
    assert!(wide.contains("REASON") && wide.contains("Served"), "{wide}");

    let mut of_a_namespace = template("tenant", &json!({}));
    of_a_namespace["kind"] = json!("InjectionTemplate");
    create(&of_a_namespace, "").expect_success();
    assert!(kubectl(cluster(), &["get", "itmpl", "tenant"]).contains("tenant"));
    let category = kubectl(cluster(), &["get", "outrigger", "--namespace=default"]);
    assert!(category.contains("shown") && category.contains("tenant"), "{category}");
}

/// A GitOps tool owns the template, and a person raises the rollout.
fn two_owners_apply_parts_of_one_template() {
    let apply = |owner: &str, spec: &Value| {
        let manager = format!("--field-manager={owner}");
        kubectl_with(cluster(), &["apply", "--server-side", &manager, "-f", "-"], &template("shared", spec))
    };
    let whole = json!({"description": "a", "sidecars": [{"name": "agent", "image": "agent:1", "newer": {"a": 1}}]});
    apply("gitops", &whole);
    apply("person", &json!({"rollout": {"percent": 10}}));
    let mut next = whole;
    next["sidecars"][0]["image"] = json!("agent:2");
    apply("gitops", &next);
    let stored = cluster().get(&format!("{CLUSTER_KIND}/shared")).expect_success();
    next["rollout"] = json!({"percent": 10});
    assert_eq!(stored["spec"], next);
}
