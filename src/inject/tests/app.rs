//! Tests of what the app's containers get: second passes and `uninject` after changes by others.

use super::*;

fn pod_with(requested: &str, container: Value) -> Value {
    let mut pod = pod(requested, json!({}));
    let fields = container.as_object().expect("an object").clone();
    pod["spec"]["containers"][0].as_object_mut().expect("a container").extend(fields);
    pod
}

fn opts(name: &str, on_existing: &str) -> Value {
    let variable = json!({"name": "OPTS", "value": format!("-{name}"), "onExisting": on_existing});
    template(name, json!({"app": {"env": [variable]}}))
}

fn uninjected(pod: &Value) -> Value {
    uninject(pod, "outrigger.dev").expect("a status").expect("a pod")
}

/// The pod as a client sends it that drops the status.
fn without_status(mut pod: Value) -> Value {
    pod["metadata"]["annotations"].as_object_mut().expect("annotations").remove("outrigger.dev/status");
    pod
}

fn value(pod: &Value) -> &Value {
    &pod["spec"]["containers"][0]["env"][0]["value"]
}

#[test]
fn uninject_takes_our_text_off_a_value_that_others_have_changed() {
    let injector = injector(&[opts("a", "Append"), opts("b", "Append"), opts("c", "Prepend")]);
    let original = pod_with("a, b, c", json!({"env": [{"name": "OPTS", "value": "-own"}]}));
    let injected = injected(&injector, &original).pod;
    assert_eq!(value(&injected), "-c -own -a -b");
    assert_eq!(uninjected(&injected), original);
    for (rewritten, expected) in [
        ("-c -other -a -b", "-other"),
        ("-c -own -b", "-own"),
        ("-own -a -b", "-own"),
        ("-c -own -a -b -more", "-own -a -b -more"),
        ("-rewritten", "-rewritten"),
        ("", ""),
    ] {
        let mut changed = injected.clone();
        changed["spec"]["containers"][0]["env"][0]["value"] = json!(rewritten);
        assert_eq!(value(&uninjected(&changed)), expected, "{rewritten}");
    }
}

#[test]
fn a_value_that_others_have_rewritten_is_not_extended_again() {
    let injector = injector(&[opts("a", "Append")]);
    let mut pod = injected(&injector, &pod_with("a", json!({"env": [{"name": "OPTS", "value": "-own"}]}))).pod;
    for value in [json!("-rewritten"), json!(""), Value::Null] {
        pod["spec"]["containers"][0]["env"][0]["value"] = value;
        assert!(matches!(inject(&injector, &pod), Ok(Outcome::Skipped(_))), "{pod}");
    }
}

#[test]
fn without_a_status_nothing_is_extended_twice() {
    let wrap = |name: &str, words: &[&str]| template(name, json!({"app": {"prependCommand": words}}));
    let injector = injector(&[
        opts("a", "Append"),
        opts("b", "Append"),
        opts("c", "Prepend"),
        wrap("one", &["/one", "--"]),
        wrap("two", &["/two"]),
    ]);
    let container = json!({"command": ["/web"], "env": [{"name": "OPTS", "value": "-own"}]});
    let pod = pod_with("a, b, c, two, one", container);
    let pod = without_status(injected(&injector, &pod).pod);
    assert_eq!(pod["spec"]["containers"][0]["command"], json!(["/two", "/one", "--", "/web"]));
    assert!(matches!(inject(&injector, &pod), Ok(Outcome::Skipped(_))));
    // The order of the request may be another one now.
    let mut pod = pod;
    pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!("one, c, two, b, a");
    assert!(matches!(inject(&injector, &pod), Ok(Outcome::Skipped(_))));
}

#[test]
fn passes_one_after_the_other_are_taken_back_like_one() {
    let all = [
        opts("a", "Append"),
        opts("b", "Prepend"),
        template(
            "one",
            json!({"app": {"prependCommand": ["/one"], "envPosition": "First", "env": [{"name": "X", "value": "x"}]}}),
        ),
        template(
            "two",
            json!({"app": {"prependCommand": ["/two", "/one"], "defaults": {"terminationMessagePolicy": "FallbackToLogsOnError"}}}),
        ),
    ];
    let injector = injector(&all);
    let container = json!({
        "command": ["/one", "/web"],
        "env": [{"name": "OPTS", "value": "-own"}],
        "terminationMessagePolicy": "File",
    });
    let original = pod_with("", container);
    let mut pod = original.clone();
    for requested in ["a", "a, two", "a, two, b", "a, two, b, one"] {
        pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!(requested);
        if let Ok(Outcome::Injected(injection)) = inject(&injector, &pod) {
            pod = patched(&pod, &injection);
        }
    }
    let app = &pod["spec"]["containers"][0];
    assert_eq!(app["command"], json!(["/two", "/one", "/one", "/web"]));
    assert_eq!(app["env"], json!([{"name": "X", "value": "x"}, {"name": "OPTS", "value": "-b -own -a"}]));
    assert_eq!(app["terminationMessagePolicy"], "FallbackToLogsOnError");
    let mut back = uninjected(&pod);
    back["metadata"]["annotations"]["outrigger.dev/inject"] = json!("");
    assert_eq!(back, original);
}

#[test]
fn uninject_leaves_a_command_that_no_longer_begins_with_ours() {
    let injector = injector(&[template("wrap", json!({"app": {"prependCommand": ["/run", "--"]}}))]);
    let original = pod_with("wrap", json!({"command": ["/web"]}));
    let injected = injected(&injector, &original).pod;
    assert_eq!(uninjected(&injected), original);
    for (rewritten, expected) in [
        (json!(["/run", "--", "/other"]), json!(["/other"])),
        (json!(["/outer", "/run", "--", "/web"]), json!(["/outer", "/run", "--", "/web"])),
        (json!(["/run"]), json!(["/run"])),
        (Value::Null, Value::Null),
    ] {
        let mut changed = injected.clone();
        changed["spec"]["containers"][0]["command"] = rewritten;
        assert_eq!(uninjected(&changed)["spec"]["containers"][0]["command"], expected);
    }
}

#[test]
fn a_status_that_extends_other_fields_is_forged() {
    let forged = [
        json!({"appended": {"containers/web/image": ":1"}}),
        json!({"appended": {"containers/web/env/A/name": "A"}}),
        json!({"appended": {"containers/web/env/A/value": ["a"]}}),
        json!({"appended": {"spec/hostname": "a"}}),
        json!({"prepended": {"containers/web/args": ["a"]}}),
        json!({"prepended": {"containers/web/command": "a"}}),
        json!({"prepended": {"metadata/name": "a"}}),
        json!({"replaced": {"containers/web/env/A/value": "a"}}),
        json!({"replaced": {"containers/web/command": ["sh"]}}),
        json!({"replaced": {"containers/web/securityContext/runAsUser": 0}}),
    ];
    for change in forged {
        let mut entry = json!({"name": "a", "revision": "0123456789"});
        entry.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let status = json!({"version": 1, "templates": [entry]}).to_string();
        let pod = pod("a", json!({"outrigger.dev/status": status}));
        assert!(uninject(&pod, "outrigger.dev").is_err(), "{status}");
    }
}

#[test]
fn keys_of_the_template_never_reach_the_pod() {
    let variables = ["Conflict", "Keep", "Append", "Prepend"].map(|mode| {
        let mut variable = json!({"name": mode, "value": "x", "onExisting": mode});
        if mode == "Append" || mode == "Prepend" {
            variable["separator"] = json!(",");
        }
        variable
    });
    for position in ["First", "Last"] {
        let spec = json!({"app": {"envPosition": position, "env": variables}});
        let pod = injected(&injector(&[template("a", spec)]), &pod("a", json!({}))).pod;
        let expected = ["Conflict", "Keep", "Append", "Prepend"].map(|name| json!({"name": name, "value": "x"}));
        assert_eq!(pod["spec"]["containers"][0]["env"], json!(expected));
    }
}

#[test]
fn variables_for_each_container_are_extended_with_its_own_values() {
    let variable = json!({"name": "OPTS", "value": "-n=${container.name}", "onExisting": "Append"});
    let spec = json!({"app": {"env": [variable], "prependCommand": ["/run", "${container.name}"]}});
    let mut pod = pod_with("a", json!({"command": ["/web"], "env": [{"name": "OPTS", "value": "-own"}]}));
    let worker = json!({"name": "worker", "image": "worker:1", "command": ["/worker"]});
    pod["spec"]["containers"].as_array_mut().expect("containers").push(worker);
    let injected = injected(&injector(&[template("a", spec)]), &pod).pod;
    let containers = &injected["spec"]["containers"];
    assert_eq!(containers[0]["env"][0]["value"], "-own -n=web");
    assert_eq!(containers[1]["env"][0]["value"], "-n=worker");
    assert_eq!(containers[1]["command"], json!(["/run", "worker", "/worker"]));
    assert_eq!(uninjected(&injected), pod);
}

#[test]
fn an_empty_map_where_an_amount_belongs_stays() {
    let defaults = json!({"resources": {"limits": {"memory": "64Mi"}, "requests": {"cpu": "100m"}}});
    let injector = injector(&[template("agent", json!({"app": {"defaults": defaults}}))]);
    let mut pod = pod("agent", json!({}));
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": {}}});
    let resources = &injected(&injector, &pod).pod["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"memory": {}}, "requests": {"cpu": "100m"}}));
}
