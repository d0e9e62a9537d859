//! What `outrigger convert` would overwrite or leave out without a word: two values for one key, volumes that no
//! injected container mounts, texts of other programs.

use serde_json::json;

use crate::convert_losses::{check, convert, result, sidecar_set, text};

#[test]
fn a_key_of_a_sidecar_set_that_is_already_taken_is_lost() {
    let containers = "  containers: [{name: a, image: i}]\n";
    let namespace = "  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}\n  namespace: ";
    let other = sidecar_set(&format!("{namespace}other\n{containers}")).replace(", labels: [x]", "");
    let same = other.replace("namespace: other", "namespace: shop");
    let metadata = sidecar_set(&format!(
        "{containers}  patchPodMetadata:\n  - {{annotations: {{x: '1', w: '1'}}}}\n  \
         - {{annotations: {{x: '2', w: '1', z: '3'}}, patchPolicy: Retain}}\n"
    ));
    let metadata = metadata.replace(", labels: [x]", "");
    let env = sidecar_set(
        "  containers:\n  - name: a\n    image: i\n    transferEnv:\n    - {envName: A}\n    \
         - {sourceContainerName: web, envName: B}\n    - {envNames: [C]}\n",
    );
    let env = env.replace(", labels: [x]", "");
    check(&[
        (
            &other,
            &["7: spec.namespace: namespaceSelector asks for another name"],
            &[(
                "/match/namespaceSelector",
                r#"{"matchExpressions":[{"key":"kubernetes.io/metadata.name","operator":"In","values":["other"]}],"matchLabels":{"kubernetes.io/metadata.name":"shop"}}"#,
            )],
        ),
        (&same, &[], &[("/match/namespaceSelector/matchLabels", r#"{"kubernetes.io/metadata.name":"shop"}"#)]),
        (
            &metadata,
            &["9: spec.patchPodMetadata[1].annotations.x: an earlier entry sets this annotation"],
            &[("/metadata/annotations", r#"{"w":"1","x":"1","z":"3"}"#)],
        ),
        (
            &env,
            &["11: spec.containers[0].transferEnv[1]: a template takes variables from one container of the app"],
            &[("/fromApp/env", r#"["A","C"]"#), ("/app", "null")],
        ),
    ]);
}

#[test]
fn volumes_and_roles_of_ricobergers_injectors_are_kept() {
    let input = |injector: &str| {
        format!(
            "injectors:\n- selector: {{matchLabels: {{app: web}}}}\n{injector}containers:\n- name: agent\n  image: i\n  \
             volumeMounts: [{{name: logs, mountPath: /logs}}]\n- name: x\n  image: x\n  \
             livenessProbe: {{tcpSocket: {{port: 1}}}}\n- {{name: x-init, image: z}}\nvolumes:\n- {{name: logs, emptyDir: {{}}}}\n"
        )
    };
    let automatic = |injector: &str| {
        let (lost, templates) = result(&input(injector));
        let automatic = templates.into_iter().filter(|spec| spec["injection"] == "Automatic");
        (lost, automatic.map(|spec| (spec["sidecars"].is_array(), spec["volumes"].clone())).collect::<Vec<_>>())
    };
    let logs = json!([{"name": "logs", "emptyDir": {}}]);
    let nothing: [&str; 0] = [];
    assert_eq!(automatic("  volumes: [logs]\n"), (Vec::new(), vec![(false, logs.clone())]));
    assert_eq!(automatic("  containers: [x]\n  volumes: [logs]\n").1.len(), 2);
    // It comes with the container.
    assert_eq!(automatic("  containers: [agent]\n  volumes: [logs]\n"), (Vec::new(), vec![(true, logs)]));
    let (lost, none) = automatic("  initContainers: [x]\n");
    assert!(none.is_empty() && lost.len() == 1, "{none:?} {lost:?}");
    assert!(lost[0].contains("injectors[0].initContainers[0]: nothing of this file"), "{lost:?}");
    assert_eq!(automatic("  containers: [x-init]\n").0, nothing);
}

#[test]
fn a_text_of_another_program_beside_a_configuration_is_lost_and_fails_nothing() {
    let map = |key: &str, text: &str| {
        format!("kind: ConfigMap\ndata:\n  a: |\n    name: a\n    env: [{{name: A, value: b}}]\n  {key}: '{text}'\n")
    };
    check(&[(
        &map("nginx.conf", "x: y: z"),
        &["6: data[\"nginx.conf\"]: it cannot be read as YAML: line 6: "],
        &[("/app/env/0/name", r#""A""#)],
    )]);
    // Also where the format must be said.
    let ambiguous = "kind: ConfigMap\ndata:\n  a: |\n    containers: [{name: a, image: 'a:1'}]\n  run.sh: 'x: y: z'\n";
    let output = convert(&[("in.yaml", ambiguous)], &["-f", "in.yaml", "--from", "morvencao"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.contains("data[\"run.sh\"]: it cannot be read as YAML"), "{stderr}");
    // A file that is called YAML has a mistake.
    assert_eq!(result(&map("broken.yaml", "x: y: z")).1.len(), 0);
}
