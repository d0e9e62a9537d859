//! Tests with hostile pods: their cost is linear, their refusals are short, and their texts never
//! become structure.
//!
//! At these sizes, linear work takes well under a second even in a debug build, and quadratic work
//! takes minutes.

use super::*;
use std::time::{Duration, Instant};

/// Time limit, ten times what linear work needs, for busy machines.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// A number of small items; a pod may have about twice as many.
const MANY: usize = 4_500;

fn within_time_limit<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let taken = start.elapsed();
    assert!(taken < TIME_LIMIT, "{what} took {taken:?}");
    result
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

/// Asserts that a person can read the error's text.
fn assert_readable(error: &InjectError) {
    let text = error.to_string();
    assert!(text.len() < 64 << 10, "{} bytes: {}", text.len(), &text[..500]);
    assert_one_line(&text);
}

fn assert_one_line(text: &str) {
    let unsafe_character = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.chars().any(unsafe_character), "{text:?}");
}

/// A name that would break a line of a log, colour a terminal and hide the text after it.
const EVIL: &str = "evil\n\r\u{1b}[31m\u{202e}\"}";

#[test]
fn a_list_of_many_templates_is_refused_quickly() {
    let injector = injector(&[agent()]);
    let pod = pod(&numbered("t", MANY).join(","), json!({}));
    let error = within_time_limit("a list of templates", || refused(&injector, &pod));
    assert_readable(&error);
    assert_eq!(error.codes(), [ErrorCode::AnnotationInvalid]);
}

#[test]
fn many_unknown_templates_among_many_are_refused_quickly() {
    let names = numbered(&"n".repeat(30), 500);
    let injector = injector(
        &names.iter().map(|name| template(name, json!({"metadata": {"labels": {"a": "b"}}}))).collect::<Vec<_>>(),
    );
    let pod = pod(&numbered(&"m".repeat(30), 100).join(","), json!({}));
    let error = within_time_limit("unknown templates", || refused(&injector, &pod));
    assert_readable(&error);
    assert_eq!(error.problems().len(), 100);
}

#[test]
fn a_list_of_many_containers_is_refused_quickly() {
    let injector = injector(&[agent()]);
    let mut pod = pod("agent", json!({"outrigger.dev/containers": numbered("x", MANY).join(",")}));
    pod["spec"]["containers"] = numbered("c", MANY).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let error = within_time_limit("a list of containers", || refused(&injector, &pod));
    assert_readable(&error);
}

#[test]
fn the_message_about_a_missing_container_does_not_list_all_containers() {
    let injector = injector(&[agent()]);
    let mut pod = pod("agent", json!({"outrigger.dev/containers": "a,b,c"}));
    pod["spec"]["containers"] = numbered("c", MANY).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let error = within_time_limit("missing containers", || refused(&injector, &pod));
    assert_eq!(error.problems().len(), 3);
    assert_readable(&error);
}

/// Template and pod are small, but the result would be large, so it is never created.
#[test]
fn large_additions_to_many_containers_are_refused() {
    let variables: Vec<Value> = numbered("V", 40).iter().map(|name| json!({"name": name, "value": "x"})).collect();
    let injector = injector(&[template("agent", json!({"app": {"env": variables}}))]);
    let of = |containers: usize| {
        let mut pod = pod("agent", json!({}));
        pod["spec"]["containers"] =
            numbered("c", containers).iter().map(|name| json!({"name": name, "image": "x"})).collect();
        pod
    };
    let error = within_time_limit("many containers", || refused(&injector, &of(MANY)));
    assert_eq!(error.codes(), [ErrorCode::PodInvalid]);
    let text = error.to_string();
    assert!(text.contains("would add") && text.contains("KiB to its containers (4500, counted"), "{text}");
    assert_readable(&error);
    injected(&injector, &of(50));
}

#[test]
fn large_additions_of_many_templates_are_refused() {
    let variables =
        |of: &str| -> Vec<Value> { numbered(of, 40).iter().map(|name| json!({"name": name, "value": "x"})).collect() };
    let names = numbered("t", 20);
    let templates: Vec<Value> =
        names.iter().map(|name| template(name, json!({"app": {"env": variables(&name.to_uppercase())}}))).collect();
    let mut pod = pod(&names.join(","), json!({}));
    pod["spec"]["containers"] = numbered("c", 100).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let error = within_time_limit("many templates", || refused(&injector(&templates), &pod));
    assert_eq!(error.codes(), [ErrorCode::PodInvalid]);
}

#[test]
fn many_unknown_parameters_are_refused_quickly() {
    let injector = injector(&[template(
        "agent",
        json!({"parameters": [{"name": "directory", "type": "string", "default": "/x"}], "metadata": {"labels": {"a": "b"}}}),
    )]);
    let annotations: serde_json::Map<String, Value> =
        numbered("agent.outrigger.dev/dirertory", 10_000).into_iter().map(|key| (key, json!("x"))).collect();
    let error = within_time_limit("unknown parameters", || {
        refused(&injector, &pod("agent", Value::Object(annotations.clone())))
    });
    assert_readable(&error);
}

#[test]
fn a_pod_with_many_containers_is_injected_quickly() {
    let injector = injector(&[agent()]);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] =
        numbered(&"c".repeat(55), MANY / 2).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let error = within_time_limit("many containers", || refused(&injector, &pod));
    assert_eq!(error.codes(), [ErrorCode::PodInvalid]);
}

#[test]
fn many_conflicts_are_listed_quickly() {
    let injector = injector(&[agent()]);
    let mut pod = pod("agent", json!({}));
    let container = |name: &String| json!({"name": name, "image": "x", "env": [{"name": "AGENT", "value": "off"}]});
    pod["spec"]["containers"] = numbered("c", MANY / 8).iter().map(container).collect();
    let error = within_time_limit("many conflicts", || refused(&injector, &pod));
    assert_eq!(error.codes(), [ErrorCode::Conflict]);
    assert_eq!(error.problems().len(), MANY / 8);
}

#[test]
fn a_container_with_many_items_is_merged_quickly() {
    let spec = json!({
        "sidecars": [{"name": "agent", "image": "agent:1"}],
        "app": {"env": [{"name": "AGENT", "value": "on"}]},
        "fromApp": {"volumeMounts": true, "env": ["V1"]},
        "volumes": [{"name": "agent-data"}],
    });
    let injector = injector(&[template("agent", spec)]);
    let mut pod = pod("agent", json!({}));
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = numbered("V", MANY).iter().map(|name| json!({"name": name, "value": "x"})).collect();
    container["volumeMounts"] =
        numbered("/m", MANY).iter().map(|path| json!({"name": "v", "mountPath": path})).collect();
    pod["spec"]["volumes"] = json!([{"name": "v"}]);
    let injection = within_time_limit("many items", || injected(&injector, &pod));
    assert_eq!(injection.pod["spec"]["initContainers"][0]["volumeMounts"].as_array().map(Vec::len), Some(MANY));
}

#[test]
fn an_override_with_many_items_is_filled_quickly() {
    let env: Vec<Value> = numbered("V", 4_000).iter().map(|name| json!({"name": name, "value": "x"})).collect();
    let injector =
        injector(&[template("agent", json!({"sidecars": [{"name": "agent", "image": "agent:1", "env": env}]}))]);
    let mut pod = pod("agent", json!({}));
    let own: Vec<Value> = numbered("W", MANY).iter().map(|name| json!({"name": name, "value": "x"})).collect();
    pod["spec"]["initContainers"] = json!([{"name": "agent", "image": "auto", "env": own}]);
    let injection = within_time_limit("an override", || injected(&injector, &pod));
    assert_eq!(injection.pod["spec"]["initContainers"][0]["env"].as_array().map(Vec::len), Some(MANY + 4_000));
}

#[test]
fn a_forged_status_with_many_names_is_read_quickly() {
    let injector = injector(&[agent()]);
    let names = numbered("c", MANY);
    let status = json!({"version": 1, "templates": [{"name": "other", "containers": names, "volumes": []}]});
    let mut pod = pod("agent", json!({"outrigger.dev/status": status.to_string()}));
    pod["spec"]["containers"] = names.iter().map(|name| json!({"name": name, "image": "x"})).collect();
    within_time_limit("a forged status", || inject(&injector, &pod)).expect("a verdict");
}

#[test]
fn many_overrides_that_no_template_fills_are_refused_quickly() {
    let injector = injector(&[agent()]);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = numbered("c", MANY).iter().map(|name| json!({"name": name, "image": "auto"})).collect();
    let error = within_time_limit("unclaimed overrides", || refused(&injector, &pod));
    assert_eq!(error.codes(), [ErrorCode::AutoContainerUnclaimed]);
}

#[test]
fn names_of_the_pod_are_escaped_in_every_message() {
    let injector = injector(&[agent()]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut pod = pod("agent", json!({}));
        change(&mut pod);
        let error = refused(&injector, &pod);
        for problem in error.problems() {
            assert_one_line(&problem.message.to_string());
            assert!(problem.message.to_string().chars().count() < 700, "{}", problem.message);
        }
    };
    let long = format!("{EVIL}{}", "x".repeat(10_000));
    for name in [EVIL, long.as_str()] {
        with(&|pod| pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!(name));
        with(&|pod| pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!(format!("{name},false")));
        with(&|pod| pod["metadata"]["annotations"]["outrigger.dev/containers"] = json!(name));
        with(&|pod| pod["metadata"]["annotations"][format!("agent.outrigger.dev/{name}")] = json!("x"));
        with(&|pod| pod["metadata"]["labels"] = json!({name: 1}));
        with(&|pod| pod["metadata"] = json!({"annotations": {"outrigger.dev/inject": "agent", name: 1}}));
        with(&|pod| {
            pod["spec"]["containers"] = json!([{"name": name, "image": "x", "env": [{"name": "AGENT", "value": name}]}])
        });
        with(&|pod| pod["spec"]["containers"] = json!([{"name": name, "image": "auto"}]));
        with(&|pod| pod["spec"]["ephemeralContainers"] = json!([{"name": "agent", "image": name}]));
        with(&|pod| pod["spec"]["volumes"] = json!([{"name": "agent-data", name: 1}]));
        with(&|pod| pod["spec"]["initContainers"] = json!([{"name": "agent", "image": name, name: name}]));
        with(&|pod| pod["spec"]["initContainers"] = json!(name));
        with(&|pod| pod["spec"]["os"] = json!(name));
        with(&|pod| pod["spec"]["nodeSelector"] = json!(name));
        with(&|pod| pod["metadata"]["annotations"] = json!(name));
    }
}

#[test]
fn every_warning_is_one_line() {
    let spec = json!({
        "sidecars": [{"name": "agent", "image": "agent:1"}],
        "app": {"env": [{"name": "AGENT", "value": "on"}]},
        "onConflict": "KeepPod",
    });
    let injector = injector(&[template("agent", spec)]);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = json!([{"name": EVIL, "image": "x", "env": [{"name": "AGENT", "value": EVIL}]}]);
    let injection = injected(&injector, &pod);
    assert_eq!(injection.warnings.len(), 1);
    injection.warnings.iter().for_each(|warning| assert_one_line(warning));
    let status = json!({"version": 1, "templates": [{"name": "agent", "revision": EVIL}]});
    pod["metadata"]["annotations"]["outrigger.dev/status"] = json!(status.to_string());
    match inject(&injector, &pod) {
        Ok(Outcome::Skipped(skip)) => skip.warnings.iter().for_each(|warning| assert_one_line(warning)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_structure_that_no_pod_has_is_the_pods_error() {
    let pod_fields = json!({
        "tolerations": [{"key": "a"}], "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}], "imagePullSecrets": [{"name": "a"}],
        "nodeSelector": {"a": "b"}, "dnsConfig": {"searches": ["a"]}, "securityContext": {"fsGroup": 1}, "affinity": {"nodeAffinity": {}},
        "readinessGates": [{"conditionType": "a"}], "shareProcessNamespace": true,
    });
    let injector = injector(&[template(
        "agent",
        json!({"sidecars": [{"name": "agent", "image": "agent:1", "ports": [{"containerPort": 1}]}], "pod": pod_fields}),
    )]);
    for wrong in
        [json!("x"), json!(5), json!(true), json!({"a": "b"}), json!(["a"]), json!([[1]]), json!([null]), json!([{}])]
    {
        for field in pod_fields.as_object().expect("fields").keys().map(String::as_str).chain([
            "containers",
            "initContainers",
            "volumes",
            "ephemeralContainers",
        ]) {
            let mut pod = pod("agent", json!({}));
            pod["spec"][field] = wrong.clone();
            if let Err(error) = inject(&injector, &pod) {
                assert_eq!(error.blame(), Blame::Pod, "{field}: {wrong}: {error}");
            }
        }
        for field in ["env", "envFrom", "volumeMounts", "ports", "image", "securityContext", "resources"] {
            for (list, image) in [("containers", "x"), ("initContainers", "auto")] {
                let mut pod = pod("agent", json!({}));
                pod["spec"][list] = json!([{"name": "agent", "image": image, field: wrong}]);
                if let Err(error) = inject(&injector, &pod) {
                    assert_eq!(error.blame(), Blame::Pod, "{field}: {wrong}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_template_that_reads_many_keys_is_rendered_quickly() {
    let keys = numbered("k", 5_000);
    let annotations: serde_json::Map<String, Value> =
        keys.iter().map(|key| (format!("x/{key}"), json!(format!("${{pod.metadata.labels.{key}}}")))).collect();
    let spec = json!({"hardened": false, "metadata": {"annotations": annotations}});
    let injector = within_time_limit("a large template", || injector(&[template("agent", spec)]));
    let mut pod = pod("agent", json!({}));
    pod["metadata"]["labels"] =
        keys.iter().map(|key| (key.clone(), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    let injection = within_time_limit("many keys", || injected(&injector, &pod));
    assert_eq!(injection.pod["metadata"]["annotations"]["x/k4999"], "v");
}

#[test]
fn a_template_with_many_mounts_and_volumes_is_checked_quickly() {
    let volumes: Vec<Value> = numbered("v", 2_500).iter().map(|name| json!({"name": name, "emptyDir": {}})).collect();
    let mounts: Vec<Value> =
        numbered("v", 2_500).iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")})).collect();
    let spec = json!({"volumes": volumes, "app": {"volumeMounts": mounts, "env": [{"name": "A", "value": "${pod.metadata.name}"}]}});
    let injector = within_time_limit("a template of many volumes", || injector(&[template("agent", spec)]));
    let injection = within_time_limit("many volumes", || injected(&injector, &pod("agent", json!({}))));
    assert_eq!(injection.pod["spec"]["volumes"].as_array().map(Vec::len), Some(2_500));
}

#[test]
fn a_template_with_many_sidecars_is_merged_quickly() {
    let sidecars: Vec<Value> = numbered("s", 2_000).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let spec =
        json!({"sidecars": sidecars, "hardened": false, "placement": {"order": {"after": "c1"}, "sidecars": "Plain"}});
    let injector = within_time_limit("a template of many sidecars", || injector(&[template("agent", spec)]));
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"] = numbered("c", 2_000).iter().map(|name| json!({"name": name, "image": "x"})).collect();
    let injection = within_time_limit("many sidecars", || injected(&injector, &pod));
    assert_eq!(injection.pod["spec"]["containers"][2]["name"], "s0");
    assert_eq!(injection.pod["spec"]["containers"].as_array().map(Vec::len), Some(4_000));
}

#[test]
fn a_name_that_occurs_twice_in_a_pod_is_never_an_internal_error() {
    let injector = injector(&[agent()]);
    for list in ["containers", "initContainers", "volumes", "ephemeralContainers"] {
        for image in ["auto", "agent:1", "x"] {
            let mut pod = pod("agent", json!({}));
            let item = json!({"name": "agent", "image": image, "env": [{"name": "AGENT", "value": "on"}, {"name": "AGENT", "value": "off"}]});
            pod["spec"][list] = json!([item, item, {"name": "web", "image": "x"}, {"name": "web", "image": "x"}]);
            if let Err(error) = inject(&injector, &pod) {
                assert_eq!(error.blame(), Blame::Pod, "{list} {image}: {error}");
            }
        }
    }
}

/// An object with the deepest nesting that a review may have.
fn deep() -> Value {
    (0..118).fold(json!("end"), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"x": inner}) })
}

#[test]
fn a_deep_pod_does_not_overflow_the_stack() {
    let spec = json!({
        "sidecars": [{"name": "agent", "image": "agent:1", "newField": deep_template()}],
        "app": {"env": [{"name": "A", "value": "${string(pod.spec.containers.size())}"}]},
        "metadata": {"annotations": {"x": "${app[?'newField'].hasValue() ? 'yes' : 'no'}"}},
        "pod": {"affinity": {"nodeAffinity": {}}},
    });
    let injector = injector(&[template("agent", spec)]);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"][0]["newField"] = deep();
    pod["spec"]["initContainers"] = json!([{"name": "agent", "image": "auto", "newField": deep()}]);
    pod["spec"]["affinity"] = json!({"nodeAffinity": deep()});
    let text = pod.to_string();
    std::thread::scope(|scope| {
        let work =
            || injector.inject(&Request::create_pod("demo", &text)).map(|_| ()).map_err(|error| error.to_string());
        let thread = std::thread::Builder::new().stack_size(512 << 10).spawn_scoped(scope, work).expect("a thread");
        assert_eq!(thread.join().expect("no overflow"), Ok(()));
    });
}

/// A template with the deepest nesting that a document may have.
fn deep_template() -> Value {
    (0..25).fold(json!("end"), |inner, _| json!({"x": inner}))
}

#[test]
fn all_expressions_of_a_pod_have_one_budget() {
    let loops = "${string(size(pod.metadata.annotations['l'].split(',').filter(a, \
                 pod.metadata.annotations['l'].split(',').all(b, a != ''))))}";
    let env: Vec<Value> = (0..80).map(|index| json!({"name": format!("E{index}"), "value": loops})).collect();
    let burning = |name: &str| template(name, json!({"sidecars": [{"name": name, "image": "x", "env": env}]}));
    let injector = injector(&[burning("one"), burning("two")]);
    let list = |items: usize| vec!["a"; items].join(",");
    let asking = |requested: &str, items: usize| pod(requested, json!({"l": list(items)}));
    // 80 times 30 times 30 steps, and the same of another template.
    assert_eq!(injected(&injector, &asking("one, two", 30)).templates, ["one", "two"]);
    for (requested, items) in [("one", 100), ("one, two", 60)] {
        let error = refused(&injector, &asking(requested, items));
        assert_eq!(error.codes(), [ErrorCode::ExpressionFailed], "{requested}");
        assert!(error.to_string().contains("all expressions together"), "{error}");
    }
    // At load, where nothing is known of a pod, too.
    let constant = loops.replace("pod.metadata.annotations['l']", "params.l");
    let env: Vec<Value> = (0..80).map(|index| json!({"name": format!("E{index}"), "value": constant})).collect();
    let parameter = json!([{"name": "l", "type": "string", "default": list(100)}]);
    let spec = json!({"parameters": parameter, "sidecars": [{"name": "s", "image": "x", "env": env}]});
    let text = template("burn", spec).to_string();
    let loaded = TemplateSet::load(&[SourceText { origin: "burn.yaml".to_owned(), text }]);
    assert!(loaded.problems.iter().any(|problem| problem.to_string().contains("all expressions together")));
}
