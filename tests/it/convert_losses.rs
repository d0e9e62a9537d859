//! What `outrigger convert` lists as lost or refuses, beside the cases of `tests/it/convert.rs`.
//!
//! Invariant: all rows of a table are tried, and all failures are reported.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `convert` on these files; the first column is a name.
pub fn convert(files: &[(&str, &str)], more: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.env("NO_COLOR", "1").current_dir(directory.path()).arg("convert").args(more);
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    command.output().expect("the program runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The lost fields as `LINE: FIELD: why`, and the specs of the templates.
pub fn result(input: &str) -> (Vec<String>, Vec<Value>) {
    let output = convert(&[("in.yaml", input)], &["-f", "in.yaml", "-o", "json"]);
    let stderr = text(&output.stderr);
    let lost = stderr.lines().filter_map(|line| line.strip_prefix("lost: in.yaml:"));
    let lost = lost.map(|line| line.split("; instead: ").next().unwrap_or_default().to_owned()).collect();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let templates = value["templates"].as_array().cloned().unwrap_or_default();
    assert!(output.status.success() || templates.is_empty(), "{stderr}");
    (lost, templates.into_iter().map(|mut one| one["template"]["spec"].take()).collect())
}

/// Each row: the input, the beginnings of all its losses, and parts of the first template as JSON Pointer and value.
pub type Row<'r> = (&'r str, &'r [&'r str], &'r [(&'r str, &'r str)]);

pub fn check(rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (input, losses, parts) in rows {
        let (lost, templates) = result(input);
        let are_lost =
            lost.len() == losses.len() && lost.iter().zip(*losses).all(|(one, start)| one.starts_with(start));
        if !are_lost {
            wrong.push(format!("{input}expected losses {losses:#?}\nfound {lost:#?}"));
        }
        for (pointer, expected) in *parts {
            let found = templates.first().and_then(|spec| spec.pointer(pointer)).cloned().unwrap_or_default();
            let found = found.to_string();
            if found != *expected {
                wrong.push(format!("{input}{pointer}: expected {expected}, found {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Each row: the input, `--from`, and what stderr has in it.
fn check_refused(rows: &[(&str, Option<&str>, &[&str])]) {
    for (input, from, expected) in rows {
        let mut arguments = vec!["-f", "in.yaml"];
        arguments.extend(from.iter().flat_map(|from| ["--from", from]));
        let output = convert(&[("in.yaml", input)], &arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{input}{stderr}");
        assert!(stderr.lines().all(|line| line.len() > "error: ".len()), "{input}{stderr}");
        for part in *expected {
            assert!(stderr.contains(part), "{input}expected {part:?}, found {stderr}");
        }
    }
}

const DIRECTIVES: &str = r#"templates:
  a: |
    spec:
      securityContext: {$patch: replace, fsGroup: 5}
      containers:
      - {name: c1, image: "x:1", $patch: replace}
      - name: c2
        image: x:1
        $patch: merge
        volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}]
        ports: [{$retainKeys: [containerPort], containerPort: 1}]
      - name: app
        env: [{name: X, value: "y"}, {name: Z, $patch: delete}]
      volumes:
      - {name: v, $patch: delete}
      - {name: w, emptyDir: {}}
      affinity: {nodeAffinity: {$setElementOrder/x: [a]}}
      priorityClassName: null
    metadata:
      labels: {"{{ .ObjectMeta.Name }}": a}
"#;

const UNKNOWN_VALUES: &str = r#"templates:
  a: |
    spec:
      containers:
      - name: q
        image: q:1
        args: [--port, "{{ .Values.port }}", --host, h]
        env:
        - {name: A, value: b}
        - {name: B, valueFrom: {fieldRef: {fieldPath: "{{ .Values.b }}"}}}
        volumeMounts:
        - {name: v, mountPath: "{{ .Values.path }}"}
        - {name: w, mountPath: /w}
        - {name: x, mountPath: /x}
        ports: [{containerPort: "{{ .Values.port }}"}, {containerPort: 1}]
        livenessProbe: {httpGet: {port: "{{ .Values.port }}"}}
        resources: {limits: {cpu: "{{ .Values.cpu }}", memory: 1Gi}}
      - {name: r, image: "{{ .Values.image }}"}
      volumes:
      - {name: v, emptyDir: {}}
      - {name: w, hostPath: {path: "{{ .Values.path }}"}}
      - {name: x, emptyDir: {}}
      nodeSelector: {a: "{{ .Values.a }}", b: c}
"#;

const LEFT_OUT_LINES: &str = r#"templates:
  a: |
    spec:
      containers:
      - name: q
        image: q:1
        args:
        - --all
        {{- if .Values.x }}
        - --not
        {{- end }}
        command:
          {{ toYaml .Values.command | nindent 8 }}
        env:
        - name: A
        {{- if .Values.a }}
          value: b
        {{- end }}
        - {name: B, value: b}
        {{- range .Values.env }}
        - name: C
          value: d
        {{- end }}
      - name: r
        {{ if .Values.y }}
        image: r:1
        {{ else }}
        image: r:2
        {{ end }}
        env: [{name: A, value: b}]
"#;

#[test]
fn what_an_istio_template_deletes_or_replaces_is_lost() {
    check(&[(
        DIRECTIVES,
        &[
            "4: templates.a: spec.securityContext: $patch: replace is not read",
            "6: templates.a: spec.containers[0]: $patch: replace is not read",
            "10: templates.a: spec.containers[1].volumeMounts[0]: its volume is not carried over",
            "11: templates.a: spec.containers[1].ports[0]: $retainKeys is not read",
            "13: templates.a: spec.containers[2].env[1]: $patch: delete is not read",
            "15: templates.a: spec.volumes[0]: $patch: delete is not read",
            "17: templates.a: spec.affinity: $setElementOrder/x is not read",
            "18: templates.a: spec.priorityClassName: null is not read: a template deletes",
            "20: templates.a: metadata.labels.{{ .ObjectMeta.Name }}: a key is no expression",
        ],
        &[
            ("/sidecars", r#"[{"image":"x:1","name":"c2","ports":[],"volumeMounts":[{"mountPath":"/w","name":"w"}]}]"#),
            ("/app/env", r#"[{"name":"X","onExisting":"Keep","value":"y"}]"#),
            ("/volumes", r#"[{"emptyDir":{},"name":"w"}]"#),
            ("/pod", "null"),
        ],
    )]);
}

#[test]
fn what_means_something_else_without_an_unknown_value_is_lost_with_it() {
    check(&[
        (
            UNKNOWN_VALUES,
            &[
                "7: templates.a: spec.containers[0].args: {{ .Values.port }} has no counterpart",
                "10: templates.a: spec.containers[0].env[1]: {{ .Values.b }} has no counterpart",
                "12: templates.a: spec.containers[0].volumeMounts[0]: {{ .Values.path }} has no counterpart",
                "13: templates.a: spec.containers[0].volumeMounts[1]: its volume is not carried over",
                "15: templates.a: spec.containers[0].ports[0]: {{ .Values.port }} has no counterpart",
                "16: templates.a: spec.containers[0].livenessProbe: {{ .Values.port }} has no counterpart",
                "17: templates.a: spec.containers[0].resources.limits.cpu: {{ .Values.cpu }} has no counterpart",
                "18: templates.a: spec.containers[1]: {{ .Values.image }} has no counterpart",
                "21: templates.a: spec.volumes[1]: {{ .Values.path }} has no counterpart",
                "23: templates.a: spec.nodeSelector: {{ .Values.a }} has no counterpart",
            ],
            &[
                ("/sidecars/0/env", r#"[{"name":"A","value":"b"}]"#),
                ("/sidecars/0/volumeMounts", r#"[{"mountPath":"/x","name":"x"}]"#),
                ("/sidecars/0/ports", r#"[{"containerPort":1}]"#),
                ("/sidecars/0/args", "null"),
                ("/sidecars/0/resources", r#"{"limits":{"memory":"1Gi"}}"#),
                ("/sidecars/1", "null"),
            ],
        ),
        (
            LEFT_OUT_LINES,
            &[
                "8: templates.a: spec.containers[0].args: {{- if .Values.x }} has no counterpart",
                "9: templates.a: {{- if .Values.x }} (to line 11): a template is no text template",
                "13: templates.a: {{ toYaml .Values.command | nindent 8 }}: a template is no text template",
                "13: templates.a: spec.containers[0].command: {{ toYaml .Values.command | nindent 8 }} has no",
                "15: templates.a: spec.containers[0].env[0]: {{- if .Values.a }} has no counterpart",
                "16: templates.a: {{- if .Values.a }} (to line 18): a template is no text template",
                "20: templates.a: {{- range .Values.env }} (to line 23): a template is no text template",
                "24: templates.a: spec.containers[1]: {{ if .Values.y }} has no counterpart",
                "25: templates.a: {{ if .Values.y }} (to line 29): a template is no text template",
            ],
            &[("/sidecars", r#"[{"env":[{"name":"B","value":"b"}],"image":"q:1","name":"q"}]"#), ("/app", "null")],
        ),
    ]);
}

#[test]
fn documents_after_the_first_one_of_an_istio_template_are_lost() {
    check(&[
        (
            "templates:\n  a: |\n    spec: {containers: [{name: c, image: i}]}\n    ---\n    spec: {}\n    ---\n    x: 1\n",
            &[
                "5: templates.a: spec (document 2): Istio reads only the first document",
                "7: templates.a: x (document 3): Istio reads only the first document",
            ],
            &[("/sidecars", r#"[{"image":"i","name":"c"}]"#)],
        ),
        (
            "templates:\n  a: '# nothing'\n  b: |\n    spec: {containers: [{name: c, image: i}]}\n",
            &["2: templates.a: nothing of the template can be carried over"],
            &[("/sidecars", r#"[{"image":"i","name":"c"}]"#)],
        ),
    ]);
}

#[test]
fn a_config_map_without_a_configuration_is_refused_with_its_place() {
    let config_map = |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {data}\n");
    let broken = config_map("{a: 'x: [', b: 'y: ['}");
    let empty = config_map("{a: ''}");
    let several = config_map("{a: 5, b: '# only a comment'}");
    let values = config_map("{values: '{}'}");
    let list = config_map("{a: '{kind: List, items: [{name: a, env: []}]}'}");
    check_refused(&[
        (&empty, None, &["in.yaml:4: data.a: the text is empty, expected the configuration of an injector"]),
        (
            &several,
            None,
            &[
                "in.yaml:4: data.a: expected a text, the configuration",
                "in.yaml:4: data.b: the text is empty, expected",
            ],
        ),
        (&values, None, &["in.yaml:4: data: expected the configuration of an injector, found none"]),
        (&broken, None, &["in.yaml:4: data.a: ", "in.yaml:4: data.b: "]),
        (&list, None, &["in.yaml:4: data.a: a list inside of a text is not read, expected one configuration"]),
        ("config: ''\n", None, &["in.yaml:1: config: the text is empty, expected the configuration of an injector"]),
        ("templates: {}\n", None, &["in.yaml:1: templates: expected templates, a map of names and texts"]),
    ]);
    let good = "name: a\nenv: [{name: A, value: b}]\n";
    let both = convert(&[("a.yaml", good), ("d/b.yaml", &empty)], &["-f", "a.yaml", "-f", "d"]);
    assert_eq!(text(&both.stderr).lines().count(), 1, "{}", text(&both.stderr));
    check(&[(
        "kind: ConfigMap\ndata:\n  a: |\n    name: a\n    env: [{name: A, value: b}]\n  b: 5\n  c: ''\n",
        &["6: data.b: it is no configuration of an injector", "7: data.c: it is no configuration of an injector"],
        &[("/app/env/0/name", r#""A""#)],
    )]);
}

#[test]
fn variables_of_ricoberger_need_a_name_and_an_annotation() {
    let variable =
        |variable: &str| format!("containers: [{{name: c, image: i}}]\nenvironmentVariables:\n- {variable}\n");
    check_refused(&[
        (
            &variable("{name: A, container: c}"),
            None,
            &["in.yaml:3: environmentVariables[0].annotation: expected a name"],
        ),
        (
            &variable("{name: 5, container: c, annotation: 7}"),
            None,
            &["[0].name: expected a name, such as LOG_LEVEL, found 5", "[0].annotation: expected a name, such as"],
        ),
        ("containers: [{name: c, image: i, env: x}]\nenvironmentVariables: []\n", None, &["containers[0].env"]),
        (
            "containers: []\nvolumes: [{emptyDir: {}}]\n",
            Some("ricoberger"),
            &["in.yaml:2: volumes[0]: expected a name"],
        ),
    ]);
    check(&[(
        "containers: [{name: c, image: i}]\nenvironmentVariables: {name: A, container: c, annotation: b}\n",
        &["2: environmentVariables: is not carried over"],
        &[("/sidecars/0/env", "null")],
    )]);
}

/// A SidecarSet with these lines in its spec.
pub fn sidecar_set(lines: &str) -> String {
    format!(
        "apiVersion: apps.kruise.io/v1beta1\nkind: SidecarSet\nmetadata: {{name: web, labels: [x]}}\nspec:\n  \
         selector: {{matchLabels: {{app: web}}}}\n{lines}"
    )
}

#[test]
fn fields_of_a_sidecar_set_with_a_wrong_type_are_lost_or_refused() {
    let containers = sidecar_set(
        "  containers:
  - name: a
    image: i
    podInjectPolicy: afterAppContainer
    shareVolumePolicy: enabled
    transferEnv: {sourceContainerName: main, envName: X}
    upgradeStrategy: HotUpgrade
  - name: b
    image: i
    shareVolumePolicy: {type: Enabled}
    transferEnv:
    - {sourceContainerName: main, envName: FOO}
    - plain
    - {sourceContainerName: 5, envName: BAR}
    - {sourceContainerName: main, envNames: BAR}
    upgradeStrategy: {upgradeType: hot}
  initContainers:
  - {name: i, image: i, podInjectPolicy: [], transferEnv: x}
  patchPodMetadata:
  - annotations: [z]
  - {annotations: {a: b}, patchPolicy: 5}
  - annotations: {c: d}
",
    );
    check(&[(
        &containers,
        &[
            "3: metadata.labels: it is not read: expected a map of texts",
            "9: spec.containers[0].podInjectPolicy: it is not read: expected BeforeAppContainer or",
            "10: spec.containers[0].shareVolumePolicy: it is not read: expected a map in which type",
            "11: spec.containers[0].transferEnv: it is not read: expected a list",
            "12: spec.containers[0].upgradeStrategy: it is not read: expected a map in which upgradeType",
            "15: spec.containers[1].shareVolumePolicy: it is not read: expected a map in which type",
            "18: spec.containers[1].transferEnv[1]: it is not read: expected a map in which",
            "19: spec.containers[1].transferEnv[2]: it is not read: expected a map in which",
            "20: spec.containers[1].transferEnv[3]: it is not read: expected a map in which",
            "21: spec.containers[1].upgradeStrategy: it is not read: expected a map in which upgradeType",
            "23: spec.initContainers[0].podInjectPolicy: it is not read",
            "23: spec.initContainers[0].transferEnv: it is not read: expected a list",
            "25: spec.patchPodMetadata[0].annotations: it is not read: expected a map of texts",
            "26: spec.patchPodMetadata[1]: it is not read: expected patchPolicy as a text",
        ],
        &[("/placement/order", r#""First""#), ("/metadata/annotations", r#"{"c":"d"}"#)],
    )]);
    let refused = |lines: &str| sidecar_set(&format!("  {lines}\n  containers: [{{name: a, image: i}}]\n"));
    check_refused(&[
        (
            &refused("injectionStrategy: {paused: 'true'}"),
            None,
            &["in.yaml:6: spec.injectionStrategy.paused: expected true or false"],
        ),
        (&refused("injectionStrategy: paused"), None, &["in.yaml:6: spec.injectionStrategy: expected a map"]),
        (&refused("specificNamespace: shop"), None, &["in.yaml:6: spec.specificNamespace: expected a map"]),
        (&refused("namespace: [shop]"), None, &["in.yaml:6: spec.namespace: expected a name, such as shop"]),
    ]);
    let preset = "apiVersion: settings.k8s.io/v1alpha1\nkind: PodPreset\nmetadata: {name: p, annotations: x}\nspec:\n  \
                  env: [{name: A, value: b}]\n";
    check(&[(preset, &["3: metadata.annotations: it is not read: expected a map of texts"], &[])]);
}

#[test]
fn an_inherited_file_is_found_by_any_spelling_of_its_path() {
    let base = "name: base\nenv: [{name: A, value: b}]\nhostAliases: [{ip: 1.1.1.1, hostnames: [a]}]\n";
    let heir = "name: web\ninherits: ./base.yaml\nhostAliases: [{ip: 1.1.1.1, hostnames: [b]}]\n";
    for (one, other) in [("./d/web.yaml", "d/base.yaml"), ("d/web.yaml", "d/../d//base.yaml")] {
        let files = [("d/base.yaml", base), ("d/web.yaml", heir)];
        let output = convert(&files, &["-f", one, "-f", other, "-o", "json", "--strict"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let spec = &value["templates"][0]["template"]["spec"];
        assert_eq!(spec["pod"]["hostAliases"].to_string(), r#"[{"hostnames":["a","b"],"ip":"1.1.1.1"}]"#);
        assert_eq!(spec["app"]["env"][0]["name"], "A");
    }
    check(&[("name: web\ninherits: 5\nenv: [{name: A, value: b}]\n", &["2: inherits: is not carried over"], &[])]);
    let wrong = "name: web\nenv: [{name: A, value: b}]\ncontainers: [{name: c, image: i, env: x}]\n";
    check_refused(&[(wrong, None, &["in.yaml:3: containers[0].env"])]);
}

#[test]
fn problems_and_losses_have_the_path_and_line_of_the_input() {
    let selector = |lines: &str| {
        let head = "apiVersion: apps.kruise.io/v1beta1\nkind: SidecarSet\nmetadata: {name: web}\nspec:\n";
        format!("{head}  containers: [{{name: a, image: i}}]\n{lines}")
    };
    let misspelt = "  selector:\n    matchLabels: {a: b}\n    matchLabel: {c: d}\n";
    let namespaces =
        "  selector: {matchLabels: {a: b}}\n  specificNamespace:\n    namespaceSelector: {namespaces: [a]}\n";
    check_refused(&[
        (&selector(misspelt), None, &["in.yaml:7: spec.selector.matchLabel: "]),
        (&selector(namespaces), None, &["in.yaml:8: spec.specificNamespace.namespaceSelector.namespaces: "]),
        (
            "templates:\n  a: |\n    metadata:\n      annotations:\n        a: b\n        c: [d]\n",
            None,
            &["in.yaml:6: templates.a: metadata.annotations.c: "],
        ),
    ]);
    let quoted = r#"data: {a: "name: a\nenv: [{name: A, value: b}]\n\n\nx: 1\n"}"#;
    let folded = "data:\n  a: >-\n    name: a\n\n    env: [{name: A, value: b}]\n\n    x: 1\n";
    let nested = "kind: List\nitems:\n- kind: List\n  items:\n  - name: a\n    x: 1\n    env: [{name: A, value: b}]\n";
    check(&[
        (&format!("kind: ConfigMap\n{quoted}\n"), &["2: data.a: x: is not carried over"], &[]),
        (&format!("kind: ConfigMap\n{folded}"), &["3: data.a: x: is not carried over"], &[]),
        (nested, &["6: items[0].items[0].x: is not carried over"], &[("/app/env/0/name", r#""A""#)]),
    ]);
}

#[test]
fn what_the_api_server_and_kubectl_write_is_no_loss() {
    let metadata = "apiVersion: v1
metadata:
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}
  creationTimestamp: '2026-01-01T00:00:00Z'
  generation: 1
  managedFields: [{manager: kubectl}]
  name: x
  namespace: shop
  resourceVersion: '5'
  selfLink: /x
  uid: 6d1f
status: {status: HEALTHY}
";
    let config_map = "kind: ConfigMap\ndata:\n  a: |\n    name: a\n    env: [{name: A, value: b}]\n";
    let template = "{spec: {containers: [{name: c, image: i}]}}";
    let operator = format!(
        "kind: IstioOperator\nspec: {{values: {{sidecarInjectorWebhook: {{templates: {{a: '{template}'}}}}}}}}\n"
    );
    for rest in [config_map, &operator] {
        let input = format!("{metadata}{rest}");
        let output = convert(&[("in.yaml", &input)], &["-f", "in.yaml", "--strict"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    check(&[(
        "kind: ConfigMap\nmetadata: {annotations: {a: b}}\ndata:\n  a: |\n    name: a\n    env: [{name: A, value: b}]\n",
        &["2: metadata.annotations.a: is not carried over"],
        &[],
    )]);
}
