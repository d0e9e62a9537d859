//! Templates as objects: scopes, earlier revisions, rollouts.

use super::*;

fn spec(image: &str) -> Value {
    json!({"sidecars": [{"name": "s", "image": image}]})
}

fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

/// The source of an object; an empty namespace is that of the cluster.
fn object(namespace: &str, name: &str, spec: &Value, revisions: &[KeptRevision], stable: &str) -> Arc<CompiledSource> {
    let (kind, metadata, scope) = match namespace {
        "" => ("ClusterInjectionTemplate", json!({"name": name}), TemplateScope::Cluster),
        _ => (
            "InjectionTemplate",
            json!({"name": name, "namespace": namespace}),
            TemplateScope::Namespace(namespace.to_owned()),
        ),
    };
    let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    Arc::new(CompiledSource::of_object(&ObjectText {
        origin: format!("{kind}/{namespace}{}{name}", if namespace.is_empty() { "" } else { "/" }),
        name: name.to_owned(),
        scope,
        document: document.to_string(),
        revisions: revisions.to_vec(),
        stable: stable.to_owned(),
        was_served: !revisions.is_empty(),
    }))
}

fn assemble(sources: &[Arc<CompiledSource>]) -> Loaded {
    TemplateSet::assemble(sources, &TemplateSet::default())
}

fn served(sources: &[Arc<CompiledSource>]) -> Injector {
    let loaded = assemble(sources);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    Injector::new(loaded.templates, Settings::default())
}

/// What an object keeps of its revisions, and the current one.
fn kept(source: &Arc<CompiledSource>) -> (Vec<KeptRevision>, String) {
    let loaded = assemble(std::slice::from_ref(source));
    let status = loaded.templates.all().next().expect("a template");
    let interface = status.interface.expect("it works");
    (interface.kept_revisions(), status.revision.expect("it works").to_owned())
}

/// The image of the sidecar in a pod of this namespace.
fn image(injector: &Injector, namespace: &str, requested: &str) -> String {
    let pod = pod(requested, json!({}));
    match injector.inject(&Request::create_pod(namespace, &pod.to_string())) {
        Ok(Outcome::Injected(injection)) => {
            let result = patched(&pod, &injection);
            let sidecar = result.pointer("/spec/initContainers/0/image").and_then(Value::as_str);
            let warnings = injection.warnings.join("; ");
            format!("{}{warnings}", sidecar.unwrap_or_default())
        }
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_template_of_a_namespace_is_seen_in_no_other() {
    let injector =
        served(&[object("shop", "own", &spec("own:1"), &[], ""), object("", "all", &spec("all:1"), &[], "")]);
    assert_eq!(image(&injector, "shop", "own"), "own:1");
    assert_eq!(image(&injector, "shop", "all"), "all:1");
    assert_eq!(
        image(&injector, "other", "own"),
        "template_not_found: annotation outrigger.dev/inject: template \"own\" does not exist (known: all)"
    );
}

#[test]
fn a_name_of_the_cluster_is_hidden_only_where_it_may_be() {
    let own = object("shop", "log", &spec("own:1"), &[], "");
    let fixed = served(&[object("", "log", &spec("cluster:1"), &[], ""), Arc::clone(&own)]);
    assert_eq!(
        image(&fixed, "shop", "log"),
        "cluster:1template \"log\": the cluster's template is used, not that of the namespace: it does not say \"shadowable: true\""
    );
    let open = with(spec("cluster:1"), "shadowable", json!(true));
    let open = served(&[object("", "log", &open, &[], ""), Arc::clone(&own)]);
    assert_eq!(image(&open, "shop", "log"), "own:1");
    assert_eq!(image(&open, "other", "log"), "cluster:1");
    // A new release may bring a template of any name.
    let text = template("log", spec("built-in:1")).to_string();
    let built_in = CompiledSource::compile(&SourceText { origin: "built-in log.yaml".to_owned(), text }).as_fallback();
    let built_in = served(&[Arc::new(built_in), own]);
    assert_eq!(image(&built_in, "shop", "log"), "own:1");
    assert_eq!(image(&built_in, "other", "log"), "built-in:1");
}

#[test]
fn an_object_and_a_file_of_one_name_are_both_refused() {
    let text = template("log", spec("file:1")).to_string();
    let file = Arc::new(CompiledSource::compile(&SourceText { origin: "log.yaml".to_owned(), text }));
    let loaded = assemble(&[file, object("", "log", &spec("object:1"), &[], "")]);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    let expected = "ClusterInjectionTemplate/log: metadata.name: the name \"log\" stands at log.yaml:1:86 as well; neither of the two is taken; rename one of them";
    assert_eq!(problems, [expected]);
    assert!(!loaded.templates.contains("log"));
}

#[test]
fn a_pod_may_ask_for_an_earlier_revision() {
    let (first, revision) = kept(&object("", "log", &spec("log:1"), &[], ""));
    let second = object("", "log", &spec("log:2"), &first, &revision);
    let injector = served(&[Arc::clone(&second)]);
    assert_eq!(image(&injector, "shop", "log"), "log:2");
    assert_eq!(image(&injector, "shop", &format!("log@{revision}")), "log:1");
    let (both, current) = kept(&second);
    assert_eq!(both.iter().map(|kept| kept.revision.clone()).collect::<Vec<_>>(), [current.clone(), revision.clone()]);
    assert_eq!(image(&injector, "shop", &format!("log@{current}")), "log:2");
    assert_eq!(
        image(&injector, "shop", "log@0123456789"),
        format!(
            "revision_not_found: annotation outrigger.dev/inject: template \"log\" has no revision \"0123456789\"; \
             there are {current}, {revision}, the newest first; without \"@\" the pod gets the current one"
        )
    );
    for wrong in ["log@", "log@1", "log@3F2A9C01DE", "@3f2a9c01de", "log@3f2a9c01de@3f2a9c01de"] {
        let error = image(&injector, "shop", wrong);
        assert!(error.starts_with("annotation_invalid") && error.contains("NAME@REVISION"), "{wrong}: {error}");
    }
    let twice = image(&injector, "shop", &format!("log, log@{revision}"));
    assert!(twice.contains("named twice"), "{twice}");
}

#[test]
fn a_kept_revision_with_another_text_is_never_rendered() {
    let (mut first, revision) = kept(&object("", "log", &spec("log:1"), &[], ""));
    let (hostile, _) = kept(&object("", "log", &spec("hostile:1"), &[], ""));
    first[0].spec.clone_from(&hostile[0].spec);
    let injector = served(&[object("", "log", &spec("log:2"), &first, &revision)]);
    let error = image(&injector, "shop", &format!("log@{revision}"));
    assert!(error.starts_with("template_broken") && error.contains("ask for another revision"), "{error}");
    // A length that would take all memory.
    let bomb = KeptRevision { revision: revision.clone(), spec: Arc::from([0xff, 0xff, 0xff, 0x7f, 0, 0, 0]) };
    let injector = served(&[object("", "log", &spec("log:2"), &[bomb], &revision)]);
    assert!(image(&injector, "shop", &format!("log@{revision}")).starts_with("template_broken"));
}

#[test]
fn five_revisions_are_kept_and_that_of_a_rollout_always() {
    let mut revisions = Vec::new();
    let mut stable = String::new();
    for number in 1..=9 {
        let rollout = with(spec(&format!("log:{number}")), "rollout", json!({"percent": 10}));
        let source = object("", "log", &rollout, &revisions, &stable);
        let current;
        (revisions, current) = kept(&source);
        if number == 1 {
            stable = current;
        }
        assert_eq!(revisions.len(), number.min(5));
        assert!(revisions.iter().any(|kept| kept.revision == stable), "{number}: {revisions:?}");
    }
    let injector = served(&[object("", "log", &spec("log:10"), &revisions, &stable)]);
    assert_eq!(image(&injector, "shop", &format!("log@{stable}")), "log:1");
}

#[test]
fn a_rollout_gives_the_new_revision_to_a_stable_part_of_the_pods() {
    let (first, revision) = kept(&object("", "log", &spec("log:1"), &[], ""));
    let names: Vec<String> = (0..400).map(|index| format!("web-{index}")).collect();
    let chosen = |percent: u8| -> Vec<&String> {
        let new = with(spec("log:2"), "rollout", json!({"percent": percent}));
        let injector = served(&[object("", "log", &new, &first, &revision)]);
        let is_new = |name: &&String| {
            let mut pod = pod("log", json!({}));
            pod["metadata"]["name"] = json!(**name);
            injected(&injector, &pod).pod.pointer("/spec/initContainers/0/image") == Some(&json!("log:2"))
        };
        names.iter().filter(is_new).collect()
    };
    let (none, tenth, half, all) = (chosen(0), chosen(10), chosen(50), chosen(100));
    assert_eq!((none.len(), all.len()), (0, 400));
    assert!((20..=65).contains(&tenth.len()) && (150..=250).contains(&half.len()), "{} {}", tenth.len(), half.len());
    assert!(tenth.iter().all(|name| half.contains(name)), "raising the percentage only adds pods");
    assert_eq!(chosen(10), tenth, "the same pods each time");
    // Without an earlier revision all pods get the only one.
    let alone = served(&[object("", "log", &with(spec("log:2"), "rollout", json!({"percent": 0})), &[], "")]);
    assert_eq!(image(&alone, "shop", "log"), "log:2");
}

#[test]
fn a_rollout_in_a_file_is_warned_of() {
    let text = template("log", with(spec("log:1"), "rollout", json!({"percent": 10}))).to_string();
    let loaded = TemplateSet::load(&[SourceText { origin: "log.yaml".to_owned(), text }]);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|warning| warning.contains("spec.rollout: only an object of the cluster keeps")));
    assert!(loaded.problems.is_empty() && loaded.templates.contains("log"));
}

#[test]
fn a_broken_object_is_served_as_it_was_kept() {
    let (first, revision) = kept(&object("", "log", &spec("log:1"), &[], ""));
    let broken = object("", "log", &with(spec("log:2"), "sidecar", json!([])), &first, &revision);
    let loaded = assemble(&[broken]);
    assert_eq!(loaded.problems.len(), 1);
    let status = loaded.templates.all().next().expect("a template");
    assert_eq!((status.state, status.revision), (TemplateState::Stale, Some(revision.as_str())));
    let problem = status.problem.expect("a problem").to_string();
    let expected = "ClusterInjectionTemplate/log: spec.sidecar: unknown field; did you mean \"sidecars\"?";
    assert_eq!(problem, expected);
    assert_eq!(image(&Injector::new(loaded.templates, Settings::default()), "shop", "log"), "log:1");
}

#[test]
fn a_tenant_has_no_room_of_others() {
    let names: Vec<String> = (0..=100).map(|index| format!("t-{index:03}")).collect();
    let mut sources: Vec<_> = names.iter().map(|name| object("shop", name, &spec("a:1"), &[], "")).collect();
    sources.push(object("other", "own", &spec("a:1"), &[], ""));
    sources.push(object("", "all", &spec("a:1"), &[], ""));
    let loaded = assemble(&sources);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["InjectionTemplate/shop/t-100: more than 100 templates in the namespace"]);
    assert!(loaded.templates.is_known_in("other", "own") && loaded.templates.is_known_in("shop", "all"));
}

#[test]
fn a_file_may_have_a_template_of_a_namespace() {
    let namespaced = |metadata: &Value| json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate", "metadata": metadata, "spec": spec("own:1")});
    let injector = injector(&[namespaced(&json!({"name": "own", "namespace": "shop"}))]);
    assert_eq!(image(&injector, "shop", "own"), "own:1");
    assert!(image(&injector, "other", "own").starts_with("template_not_found"));
    let text = namespaced(&json!({"name": "own"})).to_string();
    let loaded = TemplateSet::load(&[SourceText { origin: "own.yaml".to_owned(), text }]);
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(
        problems[0]
            .ends_with("metadata.namespace: missing; expected the namespace in which the InjectionTemplate is visible"),
        "{problems:?}"
    );
}

#[test]
fn an_object_and_a_file_with_one_text_are_one_revision() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/templates")).expect("templates") {
        let path = entry.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".yaml") || name.ends_with(".test.yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a text");
        let document = template::document::parse(&text).remove(0).expect("a document").value;
        let file = Arc::new(CompiledSource::compile(&SourceText { origin: name, text }));
        let name = document["metadata"]["name"].as_str().expect("a name");
        let source = object("", name, &document["spec"], &[], "");
        assert_eq!(kept(&source), kept(&file));
    }
}

#[test]
fn automatic_templates_in_conflict_are_told_to_both() {
    let automatic = |image: &str, labels: Value| {
        let spec = with(spec(image), "injection", json!("Automatic"));
        with(spec, "match", json!({"podSelector": {"matchLabels": labels}}))
    };
    let warned = |sources: &[Arc<CompiledSource>]| -> Vec<String> {
        served(sources).with_conflicts(&mut None).1.iter().map(ToString::to_string).collect()
    };
    let [web, all] = [json!({"app": "web"}), json!({})].map(|labels| automatic("a:1", labels));
    let other = object("", "other", &automatic("b:1", json!({})), &[], "");
    let found = warned(&[object("", "web", &web, &[], ""), Arc::clone(&other)]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("ClusterInjectionTemplate/web: a pod that gets two Automatic")));
    assert!(found.iter().all(|line| line.contains("\"other\"") && line.contains("image")), "{found:?}");
    let of_namespace = warned(&[object("shop", "own", &all, &[], ""), Arc::clone(&other)]);
    assert!(of_namespace.iter().any(|line| line.starts_with("InjectionTemplate/shop/own: ")), "{of_namespace:?}");
    let disjoint = automatic("b:1", json!({"app": "db"}));
    assert!(warned(&[object("", "web", &web, &[], ""), object("", "db", &disjoint, &[], "")]).is_empty());
    assert!(warned(&[object("", "all", &all, &[], ""), object("", "opt-in", &spec("b:1"), &[], "")]).is_empty());
}

#[test]
fn an_exported_object_loads_from_a_file_as_it_is() {
    let mut exported = template("log", spec("log:1"));
    exported["metadata"] = json!({"name": "log", "uid": "u", "resourceVersion": "1", "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": []});
    exported["status"] = json!({"revision": "3f2a9c01de"});
    let loaded = TemplateSet::load(&[SourceText { origin: "log.yaml".to_owned(), text: exported.to_string() }]);
    assert!(loaded.problems.is_empty() && loaded.templates.contains("log"), "{:?}", loaded.problems);
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().all(|warning| !warning.contains("metadata")), "{warnings:?}");
}

#[test]
fn a_broken_object_never_turns_into_a_built_in_template_or_takes_its_history() {
    let text = template("log", spec("built-in:1")).to_string();
    let built_in = CompiledSource::compile(&SourceText { origin: "built-in log.yaml".to_owned(), text }).as_fallback();
    let built_in = Arc::new(built_in);
    let first = TemplateSet::assemble(std::slice::from_ref(&built_in), &TemplateSet::default());
    let (kept_revisions, revision) = kept(&object("", "log", &spec("own:1"), &[], ""));
    let broken = with(spec("own:2"), "sidecar", json!([]));
    let with_history = object("", "log", &broken, &kept_revisions, &revision);
    let loaded = TemplateSet::assemble(&[Arc::clone(&built_in), with_history], &first.templates);
    assert_eq!(image(&Injector::new(loaded.templates, Settings::default()), "shop", "log"), "own:1");
    let without = object("", "log", &broken, &[], "");
    let loaded = TemplateSet::assemble(&[built_in, without], &first.templates);
    let error = image(&Injector::new(loaded.templates, Settings::default()), "shop", "log");
    assert!(error.starts_with("template_broken"), "{error}");
}

#[test]
fn of_a_file_and_an_object_of_one_name_all_replicas_serve_the_same() {
    let text = template("log", spec("file:1")).to_string();
    let file = Arc::new(CompiledSource::compile(&SourceText { origin: "log.yaml".to_owned(), text }));
    let served = |object: Arc<CompiledSource>, first: &[Arc<CompiledSource>]| {
        let before = assemble(first);
        let loaded = TemplateSet::assemble(&[Arc::clone(&file), object], &before.templates);
        image(&Injector::new(loaded.templates, Settings::default()), "shop", "log")
    };
    let (kept_revisions, revision) = kept(&object("", "log", &spec("own:1"), &[], ""));
    let old = || object("", "log", &spec("own:1"), &kept_revisions, &revision);
    let new = || object("", "log", &spec("own:1"), &[], "");
    // The object was there first: for a replica that has run all the time, and for one that starts now.
    assert_eq!(served(old(), &[old()]), "own:1");
    assert_eq!(served(old(), std::slice::from_ref(&file)), "own:1");
    // The file was there first.
    assert_eq!(served(new(), std::slice::from_ref(&file)), "file:1");
}
