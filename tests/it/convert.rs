//! `outrigger convert` on configurations of other injectors, and pods injected with the result.
//!
//! Each directory `tests/testdata/convert/SOURCE/CASE/` has `case.yaml` (`comment`: what the source's own
//! documents promise, and where; `from`), `input*.yaml`, `templates.yaml` and `lost.txt` (the result), `pod.yaml`
//! (with the annotation that the hint names), `namespace.yaml` where one is needed, and `expected.yaml`: the pod
//! that the source promises; `warnings` of `case.yaml` are those of injecting it. `OUTRIGGER_RECORD_CONVERT=1`
//! records templates and losses, never the expected pod.
//!
//! Invariant: all cases run, and all failures are reported.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// Annotations that every injected pod has: its status, and the container that kubectl should take.
const OWN: [&str; 2] = ["outrigger.dev/status", "kubectl.kubernetes.io/default-container"];

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata/convert");
    let list = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        found.sort();
        found
    };
    list(&root).iter().flat_map(|source| list(source)).collect()
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.env("NO_COLOR", "1").current_dir(directory).args(arguments).output().expect("the program runs")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// `convert` on the input files of a case.
fn convert(case: &Path, more: &[&str]) -> Output {
    let settings = read(&case.join("case.yaml"));
    assert!(settings["comment"].is_string(), "{}: a comment says what the source promises", case.display());
    let mut names: Vec<String> = fs::read_dir(case)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("input"))
        .collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    let mut arguments = vec!["convert"];
    names.iter().for_each(|name| arguments.extend(["-f", name]));
    if let Some(from) = settings["from"].as_str() {
        arguments.extend(["--from", from]);
    }
    arguments.extend(more);
    run(case, &arguments)
}

fn compare(path: &Path, found: &str, problems: &mut Vec<String>) {
    if std::env::var_os("OUTRIGGER_RECORD_CONVERT").is_some() {
        fs::write(path, found).expect("a file");
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected != found {
        problems.push(format!("{}: expected\n{expected}\nfound\n{found}", path.display()));
    }
}

/// The pod without what Outrigger writes for itself, and for kubectl.
fn without_status(mut pod: Value) -> Value {
    for (key, is_own) in [
        ("annotations", (|key: &str| OWN.contains(&key)) as fn(&str) -> bool),
        ("labels", |key| key.ends_with(".outrigger.dev/revision")),
    ] {
        let metadata = pod["metadata"].as_object_mut().expect("metadata");
        let Some(Value::Object(entries)) = metadata.get_mut(key) else { continue };
        entries.retain(|key, _| !is_own(key));
        if entries.is_empty() {
            metadata.remove(key);
        }
    }
    pod
}

fn check(case: &Path, problems: &mut Vec<String>) {
    let converted = convert(case, &[]);
    let stderr = text(&converted.stderr);
    if !converted.status.success() {
        problems.push(format!("{}: {stderr}", case.display()));
        return;
    }
    let lost: String =
        stderr.lines().filter(|line| line.starts_with("lost: ")).map(|line| format!("{line}\n")).collect();
    compare(&case.join("templates.yaml"), &text(&converted.stdout), problems);
    compare(&case.join("lost.txt"), &lost, problems);
    let mut arguments = vec!["inject", "pod.yaml", "--templates", "templates.yaml", "-o", "json"];
    if case.join("namespace.yaml").exists() {
        arguments.extend(["--namespace-file", "namespace.yaml"]);
    }
    let injected = run(case, &arguments);
    match serde_json::from_slice(&injected.stdout) {
        Ok(pod) => {
            let (found, expected) = (without_status(pod), read(&case.join("expected.yaml")));
            if found != expected {
                problems.push(format!("{}: the source promises\n{expected:#}\nthe pod is\n{found:#}", case.display()));
            }
        }
        Err(_) => problems.push(format!("{}: the pod is refused: {}", case.display(), text(&injected.stderr))),
    }
}

#[test]
fn pods_injected_with_converted_templates_are_as_the_source_promises() {
    let mut problems = Vec::new();
    cases().iter().for_each(|case| check(case, &mut problems));
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(cases().len() >= 18, "three cases of each of six sources");
}

/// Warnings are honest, and `docs/migration.md` explains them; an error or a failing test is neither.
#[test]
fn converted_templates_pass_lint_and_test() {
    let mut problems = Vec::new();
    for case in cases() {
        let linted = run(&case, &["lint", "templates.yaml"]);
        if !linted.status.success() {
            problems.push(format!("{}: {}{}", case.display(), text(&linted.stdout), text(&linted.stderr)));
        }
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
        write("case.yaml", &fs::read_to_string(case.join("templates.yaml")).expect("templates"));
        let (pod, expected) = (read(&case.join("pod.yaml")), read(&case.join("expected.yaml")));
        let mut test =
            json!({"name": "as promised", "pod": pod, "expect": {"injected": with_default_container(expected)}});
        if let warnings @ Value::Array(_) = &read(&case.join("case.yaml"))["warnings"] {
            test["expect"]["warnings"] = warnings.clone();
        }
        if pod == read(&case.join("expected.yaml")) {
            // Nothing is injected, for a reason.
            continue;
        }
        if case.join("namespace.yaml").exists() {
            let labels = read(&case.join("namespace.yaml"))["metadata"]["labels"].clone();
            test["namespace"] = json!({"name": "shop", "labels": labels});
        }
        write("case.test.yaml", &json!({"templates": ["case.yaml"], "tests": [test]}).to_string());
        let tested = run(directory.path(), &["test", "."]);
        if !tested.status.success() {
            problems.push(format!("{}: {}{}", case.display(), text(&tested.stdout), text(&tested.stderr)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The pod with the annotation that tells kubectl the app's container.
fn with_default_container(mut pod: Value) -> Value {
    let names = pod["spec"]["containers"].as_array().expect("containers").iter().map(|one| one["name"].clone());
    let app = names.clone().find(|name| ["web", "website", "app", "alpine"].iter().any(|app| name == app));
    pod["metadata"]["annotations"][OWN[1]] = app.expect("a container of the app");
    pod
}

/// All scalars of a value, as text.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, one)| leaves(one, &format!("{path}[{at}]"), found))
        }
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Null => {}
        other => found.push((path.to_owned(), other.to_string())),
    }
}

/// A field of no injector is put into each map of each input, one at a time; it must come out in the
/// templates, be listed as lost, or be refused with its line. A status is the API server's.
#[test]
fn no_field_of_an_input_is_dropped_silently() {
    let (mut tried, mut refused) = (0, 0);
    for case in cases() {
        let settings = read(&case.join("case.yaml"));
        let input = read(&case.join("input.yaml"));
        let mut maps = Vec::new();
        pointers_of_maps(&input, "", &mut maps);
        for pointer in maps.into_iter().filter(|pointer| !pointer.ends_with("/status")) {
            let mut changed = input.clone();
            changed.pointer_mut(&pointer).expect("a map")["x-canary-field"] = json!("x-canary-value");
            let directory = tempfile::tempdir().expect("a directory");
            fs::write(directory.path().join("input.yaml"), changed.to_string()).expect("a file");
            let mut arguments = vec!["convert", "-f", "input.yaml", "-o", "json"];
            if let Some(from) = settings["from"].as_str() {
                arguments.extend(["--from", from]);
            }
            let output = run(directory.path(), &arguments);
            let place = format!("{}: {pointer}: {}", case.display(), text(&output.stderr));
            if !output.status.success() {
                assert!(text(&output.stderr).contains("error: input.yaml:"), "{place}");
                refused += 1;
                continue;
            }
            let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let is_carried = result["templates"].to_string().contains("x-canary-value");
            let is_lost = |lost: &Value| lost["path"].as_str().is_some_and(|path| covers(path, &pointer));
            let is_listed = result["lost"].as_array().expect("a list").iter().any(is_lost);
            assert!(is_carried || is_listed, "{place}");
            tried += 1;
        }
    }
    assert!(tried > 60 && refused < tried / 3, "{tried} fields, {refused} refused");
}

/// Whether a lost path is the canary's or around it.
fn covers(path: &str, pointer: &str) -> bool {
    let dotted = pointer.replace("~1", "/").replace("~0", "~");
    let as_pointer = path.replace("[\"", "/").replace("\"]", "").replace(['.', '['], "/").replace(']', "");
    let canary = format!("{dotted}/x-canary-field").replace('.', "/");
    canary == format!("/{as_pointer}") || canary.starts_with(&format!("/{as_pointer}/"))
}

fn pointers_of_maps(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(pointer.to_owned());
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers_of_maps(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| pointers_of_maps(item, &format!("{pointer}/{at}"), found));
        }
        _ => {}
    }
}

#[test]
fn json_lists_templates_losses_and_hints() {
    let case = cases().into_iter().find(|case| case.ends_with("sidecarset/before-and-after")).expect("the case");
    let output = convert(&case, &["-o", "json"]);
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(result["templates"].as_array().map(Vec::len), Some(2));
    assert_eq!(result["lost"][0]["line"], 11);
    let mut found = Vec::new();
    leaves(&result["hints"], "", &mut found);
    assert!(found.iter().any(|(_, text)| text.contains("outrigger.dev/injection: enabled")), "{found:?}");
}

#[test]
fn with_strict_a_loss_fails_and_nothing_is_printed() {
    let case = cases().into_iter().find(|case| case.ends_with("tumblr/pod-fields")).expect("the case");
    let output = convert(&case, &["--strict"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(text(&output.stderr).contains("cannot be carried over"));
}

const MIXED: &str = "\
kind: List
items:
- kind: PodPreset
  apiVersion: settings.k8s.io/v1alpha1
  metadata: {name: p}
- kind: Deployment
";

const ONLY_THE_PROXY: &str = "\
templates:
  custom: |
    spec:
      containers:
      - name: istio-proxy
        env: [{name: GREETING, value: hello-world}]
";

const NO_SELECTOR: &str = "\
apiVersion: apps.kruise.io/v1beta1
kind: SidecarSet
metadata: {name: web}
spec: {selector: {matchLabels: {}}, containers: [{name: x, image: y}]}
";

#[test]
fn a_configuration_that_kubernetes_could_not_store_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let many: String = (0..60_000).map(|number| format!("- {{name: c{number}, image: i}}\n")).collect();
    let deep = format!("name: nn\nenv: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let cases = [(format!("name: nn\ncontainers:\n{many}"), "in.yaml:1: "), (deep, "nested more than 100 levels deep")];
    for (input, expected) in cases {
        fs::write(directory.path().join("in.yaml"), input).expect("a file");
        let output = run(directory.path(), &["convert", "-f", "in.yaml"]);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{stderr}");
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_broken_input_is_refused_with_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    for (input, from, expected) in [
        ("a: [", None, "in.yaml:"),
        ("", None, "error: in.yaml: the input contains no object, expected YAML or JSON"),
        ("\0\u{1}", None, "error: in.yaml"),
        ("text\n", None, "in.yaml:1: expected a map, the configuration of an injector"),
        ("kind: List\nitems: []\n", None, "in.yaml:1: the list has no items"),
        (
            MIXED,
            None,
            "in.yaml:6: items[1]: kind \"Deployment\" is no configuration of an injector, expected SidecarSet",
        ),
        ("kind: Deployment\nname: x\n", None, "in.yaml:1: kind \"Deployment\" is no configuration of an injector"),
        ("containers: []\n", None, "--from morvencao or --from ricoberger"),
        ("x: 1\n", None, "no injector is known that reads this"),
        ("containers: []\n", Some("morvencao"), "in.yaml:1: containers: expected a list of containers"),
        ("containers: x\n", Some("ricoberger"), "expected a list of containers or volumes"),
        ("name: a:b:c\nenv: []\n", None, "in.yaml:1: name: \"a:b:c\" is no name"),
        ("name: a\ncontainers:\n- {name: x}\n", None, "in.yaml:3: containers[0]"),
        ("name: a\ncontainers:\n- {name: x, image: y, volumeMount: []}\n", None, "did you mean \"volumeMounts\""),
        ("apiVersion: apps.kruise.io/v1beta1\nkind: SidecarSet\n", None, "metadata.name: expected a name"),
        ("apiVersion: settings.k8s.io/v1alpha1\nkind: PodPreset\nspec: {}\n", None, "metadata.name: expected a name"),
        ("kind: PodPreset\n", Some("sidecarset"), "kind \"PodPreset\" is no SidecarSet"),
        ("kind: ConfigMap\n", None, "the ConfigMap has no data"),
        ("templates: {a: \"x: [\"}\n", None, "without its Go actions the template is no YAML"),
        ("templates: {a: {}}\n", None, "expected the text of a template"),
        ("templates:\n  a: |\n    spec: {{ .x\n", None, "in.yaml:3: templates.a: the action {{ .x is not closed"),
        (
            "templates:\n  a: |\n\n    {{ if .x }}\n",
            None,
            "in.yaml:4: templates.a: the block {{ if .x }} has no {{ end }}",
        ),
        ("templates:\n  a: |\n    spec: 1\n    {{ end }}\n", None, "in.yaml:4: templates.a: {{ end }} stands outside"),
        (
            "name: n\nenv: []\n",
            None,
            "in.yaml:1: name: expected a name, such as web or web:1.2, found false; write it in quotes",
        ),
        ("name: nn\nenv: [text]\nvolumeMounts: [1]\n", None, "in.yaml:2: env[0]"),
        (ONLY_THE_PROXY, None, "error: no template can be made of the input"),
        (NO_SELECTOR, None, "in.yaml:4: spec.selector: expected matchLabels or matchExpressions"),
        ("name: a\nenv: [{name: A, value: b}]\n---\nname: A\nenv: [{name: A, value: b}]\n", None, "rename one"),
    ] {
        fs::write(directory.path().join("in.yaml"), input).expect("a file");
        let mut arguments = vec!["convert", "-f", "in.yaml"];
        arguments.extend(from.into_iter().flat_map(|from| ["--from", from]));
        let output = run(directory.path(), &arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{input}: {stderr}");
        assert!(stderr.contains(expected), "{input}: expected {expected:?}, found {stderr}");
    }
}

/// The example of the page, from its input to its output.
#[test]
fn the_example_of_the_migration_page_is_what_is_printed() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md")).expect("the page");
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("sidecar.yaml"), blocks[0]).expect("a file");
    let output = run(directory.path(), &["convert", "-f", "sidecar.yaml"]);
    assert_eq!(text(&output.stdout), blocks[1], "{}", text(&output.stderr));
}

/// Lines of texts inside of texts are those of the file.
#[test]
fn a_loss_names_the_line_of_the_file() {
    let mut wrong = Vec::new();
    for case in cases() {
        let lost = fs::read_to_string(case.join("lost.txt")).expect("lost.txt");
        for line in lost.lines() {
            let mut parts = line.trim_start_matches("lost: ").splitn(3, ':');
            let (file, number) = (parts.next().expect("a file"), parts.next().expect("a line"));
            let text = fs::read_to_string(case.join(file)).expect("the input");
            let number: usize = number.parse().expect("a number");
            // The field, an item of a list, or the action itself; a text begins below its field.
            let lines: Vec<&str> = text.lines().skip(number.saturating_sub(2)).take(2).collect();
            let written = lines.join("\n");
            let words = parts.next().expect("a path").split([' ', ':', '.', '[', ']']).filter(|word| !word.is_empty());
            let is_there = lines.iter().any(|line| line.trim_start().starts_with("- "))
                || words.take(12).any(|word| written.contains(word));
            if !is_there {
                wrong.push(format!("{}: {line}\n  {written}", case.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
