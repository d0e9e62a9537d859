//! What `outrigger lint` says of Pod Security and of older versions, compared with real API servers.
//!
//! Invariants: a level refuses the injected pod exactly if the linter says so; a version drops a field of
//! it, or refuses it, exactly if the linter says so; for every template here.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace, shared};
use crate::control_plane::assets;

tests! {
    pod_security_refuses_what_the_linter_says_and_nothing_else,
    older_versions_drop_the_fields_that_the_linter_names_and_no_others,
    all_fields_that_the_api_server_does_not_have_are_named,
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger");

/// Specs of templates in YAML; `SIDECAR` stands for a sidecar that has what follows it.
const SPECS: &[&str] = &[
    "SIDECAR",
    "hardened: false\nSIDECAR",
    "hardened: false\nSIDECAR\n    securityContext: {capabilities: {drop: [ALL]}, runAsNonRoot: true}",
    "hardened: false\nSIDECAR\n    securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, \
     capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
    "hardened: false\nSIDECAR\n    securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, \
     capabilities: {drop: [NET_RAW]}, seccompProfile: {type: RuntimeDefault}}",
    "hardened: false\npod: {securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}}\n\
     SIDECAR\n    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}",
    "pod: {securityContext: {seccompProfile: {type: Unconfined}}}\nSIDECAR",
    "pod: {securityContext: {sysctls: [{name: kernel.shm_rmid_forced, value: '1'}]}}\nSIDECAR",
    "pod: {securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '4096 87380 16777216'}]}}\nSIDECAR",
    "pod: {securityContext: {sysctls: [{name: net.core.somaxconn, value: '1024'}]}}\nSIDECAR",
    "pod: {securityContext: {runAsUser: 0}}\nSIDECAR",
    "pod: {securityContext: {runAsUser: 1000}}\nSIDECAR",
    "pod: {securityContext: {appArmorProfile: {type: Unconfined}}}\nSIDECAR",
    "pod: {securityContext: {seLinuxOptions: {type: spc_t}}}\nSIDECAR",
    "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/helper: unconfined}}\nSIDECAR",
    "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/helper: runtime/default}}\nSIDECAR",
    "pod: {hostUsers: false}\nSIDECAR\n    securityContext: {runAsUser: 0, runAsNonRoot: false}",
    "pod: {hostUsers: false}\nSIDECAR\n    securityContext: {procMount: Unmasked}",
    "SIDECAR\n    securityContext: {privileged: true}",
    "SIDECAR\n    securityContext: {allowPrivilegeEscalation: true}",
    "SIDECAR\n    securityContext: {runAsNonRoot: false}",
    "SIDECAR\n    securityContext: {runAsUser: 0}",
    "SIDECAR\n    securityContext: {runAsUser: 1000}",
    "SIDECAR\n    securityContext: {seccompProfile: {type: Unconfined}}",
    "SIDECAR\n    securityContext: {seccompProfile: {type: Localhost, localhostProfile: a.json}}",
    "SIDECAR\n    securityContext: {appArmorProfile: {type: Unconfined}}",
    "SIDECAR\n    securityContext: {appArmorProfile: {type: Localhost, localhostProfile: a}}",
    "SIDECAR\n    securityContext: {seLinuxOptions: {type: container_engine_t, level: 's0'}}",
    "SIDECAR\n    securityContext: {seLinuxOptions: {type: spc_t}}",
    "SIDECAR\n    securityContext: {seLinuxOptions: {user: system_u}}",
    "SIDECAR\n    securityContext: {seLinuxOptions: {role: system_r}}",
    "SIDECAR\n    securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}",
    "SIDECAR\n    securityContext: {capabilities: {add: [CHOWN]}}",
    "SIDECAR\n    securityContext: {capabilities: {add: [NET_ADMIN]}}",
    "SIDECAR\n    securityContext: {capabilities: {add: [ALL]}}",
    "SIDECAR\n    securityContext: {capabilities: {drop: [KILL]}}",
    "SIDECAR\n    ports: [{containerPort: 8080, hostPort: 8080}]",
    "SIDECAR\n    ports: [{containerPort: 8080}]",
    "SIDECAR\n    livenessProbe: {httpGet: {port: 8080, host: example.com}}",
    "SIDECAR\n    startupProbe: {tcpSocket: {port: 8080, host: example.com}}",
    "SIDECAR\n    lifecycle: {preStop: {httpGet: {port: 8080, host: example.com}}}",
    "SIDECAR\n    lifecycle: {postStart: {httpGet: {port: 8080}}}",
    "volumes: [{name: v, hostPath: {path: /var}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "volumes: [{name: v, nfs: {server: a, path: /}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "volumes: [{name: v, image: {reference: 'a:1'}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "volumes: [{name: v, projected: {sources: []}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: \
     {requests: {storage: 1Gi}}}}}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "initContainers: [{name: init, image: 'a:1', securityContext: {privileged: true}}]",
    "parameters: [{name: x, type: port, default: 8080}]\nSIDECAR\n    ports: [{containerPort: 80, hostPort: \
     '${params.x}'}]",
    "parameters: [{name: x, type: integer, default: 0}]\nSIDECAR\n    securityContext: {runAsUser: '${params.x}'}",
    "parameters: [{name: x, type: boolean, default: true}]\nSIDECAR\n    securityContext: {privileged: \
     '${params.x}'}",
    "parameters: [{name: x, type: string, default: SYS_ADMIN}]\nSIDECAR\n    securityContext: {capabilities: {add: \
     ['${params.x}']}}",
    "parameters: [{name: x, type: string, default: NET_BIND_SERVICE}]\nSIDECAR\n    securityContext: {capabilities: \
     {add: ['${params.x}']}}",
    "parameters: [{name: x, type: string, default: example.com}]\nSIDECAR\n    livenessProbe: {httpGet: {port: \
     8080, host: '${params.x}'}}",
    "parameters: [{name: x, type: string, default: net.ipv4.tcp_rmem}]\npod: {securityContext: {sysctls: [{name: \
     '${params.x}', value: '4096 87380 16777216'}]}}\nSIDECAR",
    "parameters: [{name: x, type: string, default: net.core.somaxconn}]\npod: {securityContext: {sysctls: [{name: \
     '${params.x}', value: '1024'}]}}\nSIDECAR",
    "SIDECAR\n    securityContext:",
    "SIDECAR\n    securityContext: {capabilities: null}",
    "SIDECAR\n    securityContext: {capabilities: {drop: null}, runAsNonRoot: null}",
    "hardened: false\nSIDECAR\n    securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: null, \
     capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
    "volumes: [{name: v, hostPath: null, emptyDir: {}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    "initContainers: [{name: init, image: 'a:1'}]",
];

const SIDECAR: &str =
    "sidecars:\n  - name: helper\n    image: registry.example/helper:1\n    resources: {limits: {cpu: 1}}";

fn namespace(level: &str) -> Namespace {
    let name = format!("lint-{level}");
    let labels = json!({"pod-security.kubernetes.io/enforce": level});
    let object = json!({"metadata": {"name": name, "labels": labels}});
    shared().send_object("POST", "/api/v1/namespaces", &object).expect_success();
    let namespace = Namespace { cluster: shared(), name };
    namespace.ensure_service_account("default");
    namespace
}

/// Specs with fields that not all versions serve, and the field that the pod then lacks.
const NEW_FIELDS: &[(&str, &str)] = &[
    ("appArmorProfile", "SIDECAR\n    securityContext: {appArmorProfile: {type: RuntimeDefault}}"),
    (
        "claims",
        "pod: {resourceClaims: [{name: gpu, resourceClaimTemplateName: gpu}]}\ninitContainers: [{name: init, \
     image: 'a:1', resources: {claims: [{name: gpu}]}}]",
    ),
    (
        "clusterTrustBundle",
        "volumes: [{name: v, projected: {sources: [{clusterTrustBundle: {name: a, path: ca.crt}}]}}]\n\
     SIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    ),
    (
        "podCertificate",
        "volumes: [{name: v, projected: {sources: [{podCertificate: {signerName: example.com/a, keyType: \
     ED25519, credentialBundlePath: b.pem}}]}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    ),
    (
        "fileKeyRef",
        "volumes: [{name: v, emptyDir: {}}]\nSIDECAR\n    env: [{name: A, valueFrom: {fileKeyRef: {volumeName: \
     v, path: a.env, key: A}}}]",
    ),
    ("grpc", "SIDECAR\n    livenessProbe: {grpc: {port: 8080}}"),
    ("hostUsers", "pod: {hostUsers: false}\nSIDECAR"),
    (
        "reference",
        "volumes: [{name: v, image: {reference: 'a:1'}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]",
    ),
    (
        "matchLabelKeys",
        "pod: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: \
     a/b, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [c]}]}}}\nSIDECAR",
    ),
    (
        "matchLabelKeys",
        "pod: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: a/b, whenUnsatisfiable: DoNotSchedule, \
     labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [c]}]}\nSIDECAR",
    ),
    (
        "nodeTaintsPolicy",
        "pod: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: a/b, whenUnsatisfiable: DoNotSchedule, \
     labelSelector: {matchLabels: {a: b}}, nodeTaintsPolicy: Honor}]}\nSIDECAR",
    ),
    (
        "minDomains",
        "pod: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: a/b, whenUnsatisfiable: DoNotSchedule, \
     labelSelector: {matchLabels: {a: b}}, minDomains: 2}]}\nSIDECAR",
    ),
    (
        "namespaceSelector",
        "pod: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: \
     a/b, labelSelector: {matchLabels: {a: b}}, namespaceSelector: {}}]}}}\nSIDECAR",
    ),
    (
        "terminationGracePeriodSeconds",
        "SIDECAR\n    livenessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 5}",
    ),
    ("procMount", "pod: {hostUsers: false}\nSIDECAR\n    securityContext: {procMount: Unmasked}"),
    (
        "recursiveReadOnly",
        "volumes: [{name: v, emptyDir: {}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v, readOnly: \
     true, recursiveReadOnly: IfPossible}]",
    ),
    ("resizePolicy", "SIDECAR\n    resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]"),
    (
        "restartPolicyRules",
        "initContainers: [{name: init, image: 'a:1', restartPolicy: Never, restartPolicyRules: [{action: \
     Restart, exitCodes: {operator: In, values: [3]}}]}]",
    ),
    ("restartPolicy", "initContainers: [{name: init, image: 'a:1', restartPolicy: Never}]"),
    ("restartPolicy", "initContainers: [{name: init, image: 'a:1', restartPolicy: OnFailure}]"),
    ("seLinuxChangePolicy", "pod: {securityContext: {seLinuxChangePolicy: Recursive}}\nSIDECAR"),
    ("sleep", "SIDECAR\n    lifecycle: {preStop: {sleep: {seconds: 5}}}"),
    ("sleep", "SIDECAR\n    lifecycle: {preStop: {sleep: {seconds: 0}}}"),
    (
        "bindMountOptions",
        "volumes: [{name: v, emptyDir: {}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v, bindMountOptions: [noexec]}]",
    ),
    ("mode", "volumes: [{name: v, emptyDir: {mode: 511}}]\nSIDECAR\n    volumeMounts: [{name: v, mountPath: /v}]"),
    ("protocol", "SIDECAR\n    livenessProbe: {httpGet: {port: 8080, protocol: HTTP}}"),
    ("stopSignal", "SIDECAR\n    lifecycle: {stopSignal: SIGQUIT}"),
    ("supplementalGroupsPolicy", "pod: {securityContext: {supplementalGroupsPolicy: Strict}}\nSIDECAR"),
];

/// Fields of an item of a template that no pod has.
const OWN_FIELDS: &[&str] = &["forEach", "onExisting", "separator", "share", "when"];

/// The schema of templates that the program has, with the types of Kubernetes in it.
const SCHEMA: &str = include_str!("../../src/inject/schema/template.json");

/// Writes the template of a spec.
fn write(directory: &Path, spec: &str) -> String {
    let spec = spec.replace("SIDECAR", SIDECAR).replace('\n', "\n  ").replace("\n    - name", "\n  - name");
    let spec = spec.replace("\n      ", "\n    ");
    let text = format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: tried}}\nspec:\n  {spec}\n"
    );
    let path = directory.join("tried.yaml");
    std::fs::write(&path, text).expect("a file that can be written");
    path.display().to_string()
}

fn ran(arguments: &[&str]) -> (bool, Value, String) {
    let output = Command::new(PROGRAM).args(arguments).output().expect("it starts");
    let stdout = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.success(), stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Writes a pod of the level "restricted" that requests the template.
fn write_pod(directory: &Path) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": "tried"}},
        "spec": {"containers": [{
            "name": "web", "image": "registry.example/web:1",
            "securityContext": {
                "allowPrivilegeEscalation": false, "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
            },
        }]},
    });
    let path = directory.join("pod.json");
    std::fs::write(&path, pod.to_string()).expect("a file that can be written");
    path.display().to_string()
}

/// The pod of a file as the program injects it.
fn injected(file: &str, template: &str) -> Value {
    let (is_injected, pod, stderr) = ran(&["inject", "-f", file, "--templates", template, "-o", "json"]);
    assert!(is_injected, "{template}: {stderr}");
    pod
}

fn pod_security_refuses_what_the_linter_says_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = write_pod(directory.path());
    let levels = ["baseline", "restricted"].map(|level| (level, namespace(level)));
    let mut faults = Vec::new();
    let mut refused = 0;
    for spec in SPECS {
        let template = write(directory.path(), spec);
        let (_, report, _) = ran(&["lint", "-o", "json", &template]);
        let findings = report["findings"].as_array().expect("findings");
        let messages: Vec<&str> = findings
            .iter()
            .filter(|one| one["code"] == "pod_security" || one["level"] == "error")
            .filter_map(|one| one["message"].as_str())
            .collect();
        let mut injected = injected(&file, &template);
        for (level, namespace) in &levels {
            injected["metadata"]["namespace"] = json!(namespace.name);
            let answer = namespace.create_pod(&injected, "&dryRun=All");
            let message = answer.body["message"].as_str().unwrap_or_default();
            assert!(answer.is_success() || message.contains("violates PodSecurity"), "{spec}: {message}");
            let is_said = messages.iter().any(|message| message.contains("\"baseline\"") || *level == "restricted");
            refused += usize::from(!answer.is_success());
            if is_said == answer.is_success() {
                faults.push(format!("{spec}\n{level}: the linter says {messages:?}, the API server {message:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(refused > SPECS.len() / 2, "few pods were refused: {refused}");
}

fn older_versions_drop_the_fields_that_the_linter_names_and_no_others() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = write_pod(directory.path());
    let mut faults = Vec::new();
    let mut dropped = 0;
    for version in ["1.33", "1.34", "1.36"] {
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start_emulating(&assets(), version)));
        let namespace = cluster.namespace("versions", "none");
        namespace.ensure_service_account("default");
        for (field, spec) in NEW_FIELDS {
            let template = write(directory.path(), spec);
            let (_, report, _) = ran(&["lint", "-o", "json", "--kubernetes", version, &template]);
            let findings = report["findings"].as_array().expect("findings");
            let is_said = findings.iter().any(|one| one["code"] == "kubernetes_version");
            let mut injected = injected(&file, &template);
            injected["metadata"]["namespace"] = json!(namespace.name);
            // Other validation than strict: an API server drops a field without a word.
            let path = namespace.path("pods?fieldValidation=Ignore&dryRun=All");
            let answer = cluster.send_object("POST", &path, &injected);
            let mut spec_of_pod = answer.body["spec"].clone();
            // The pod's own, which every pod has, is another field than that of its containers.
            if let Some(fields) = spec_of_pod.as_object_mut() {
                fields.remove("restartPolicy");
            }
            let is_served = answer.is_success() && has_field(&spec_of_pod, field);
            dropped += usize::from(!is_served);
            if is_said == is_served {
                let message = &answer.body["message"];
                faults.push(format!("{version}: {spec}\nsaid: {is_said}, served: {is_served}, {message}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(dropped > 10, "few fields were dropped: {dropped}");
}

fn all_fields_that_the_api_server_does_not_have_are_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let version = shared().get("/version").expect_success();
    let version = format!("1.{}", version["minor"].as_str().expect("a minor version").trim_end_matches('+'));
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let served = shared().get("/openapi/v3/api/v1").expect_success();
    let mut walk = SchemaWalk {
        types: &schema["$defs"],
        served: &served["components"]["schemas"],
        path: vec!["spec".to_owned()],
        open: Vec::new(),
        missing: Vec::new(),
    };
    walk.of_type("TemplateSpec");
    let missing = walk.missing;
    assert!(missing.len() > 10, "{missing:?}");
    let file = directory.path().join("template.json");
    let name = file.display().to_string();
    let mut unnamed = Vec::new();
    for path in missing {
        let mut template = path.iter().rev().fold(json!("x"), |value, step| match step.as_str() {
            "[0]" => json!([value]),
            step => json!({step: value}),
        });
        template["apiVersion"] = json!("outrigger.dev/v1alpha1");
        template["kind"] = json!("ClusterInjectionTemplate");
        template["metadata"] = json!({"name": "tried"});
        std::fs::write(&file, template.to_string()).expect("a file that can be written");
        let (_, report, _) = ran(&["lint", "-o", "json", "--kubernetes", &version, &name]);
        let path = path.join(".").replace(".[0]", "[0]");
        let findings = report["findings"].as_array().expect("findings");
        if !findings.iter().any(|one| one["code"] == "kubernetes_version" && one["path"] == path.as_str()) {
            unnamed.push(path);
        }
    }
    assert!(unnamed.is_empty(), "Kubernetes {version} lacks fields that the linter does not name: {unnamed:?}");
}

/// Finds the fields of the program's schema that the API server's does not have.
struct SchemaWalk<'a> {
    types: &'a Value,
    served: &'a Value,
    path: Vec<String>,
    /// Names of the types that contain this one.
    open: Vec<String>,
    missing: Vec<Vec<String>>,
}

impl SchemaWalk<'_> {
    fn of_type(&mut self, name: &str) {
        if self.open.iter().any(|open| open == name) {
            return;
        }
        self.open.push(name.to_owned());
        let served = &self.served[served_name(name)];
        for (field, schema) in self.types[name]["properties"].as_object().into_iter().flatten() {
            self.path.push(field.clone());
            let is_own = name.starts_with("item.") && OWN_FIELDS.contains(&field.as_str());
            if served.is_object() && !is_own && served["properties"].get(field).is_none() {
                self.missing.push(self.path.clone());
            } else {
                self.of_schema(schema);
            }
            self.path.pop();
        }
        self.open.pop();
    }

    fn of_schema(&mut self, schema: &Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
            self.of_type(name);
        }
        if schema["items"].is_object() {
            self.path.push("[0]".to_owned());
            self.of_schema(&schema["items"]);
            self.path.pop();
        }
        for one in ["anyOf", "oneOf", "allOf"].iter().filter_map(|kind| schema[*kind].as_array()).flatten() {
            self.of_schema(one);
        }
    }
}

/// The API server's name of a type.
fn served_name(name: &str) -> String {
    match name {
        "AppDefaultsSpec" => "io.k8s.api.core.v1.Container".to_owned(),
        "PodFieldsSpec" => "io.k8s.api.core.v1.PodSpec".to_owned(),
        "item.EnvVar" | "item.Volume" => name.replace("item.", "io.k8s.api.core.v1."),
        other => other.trim_start_matches("item.").to_owned(),
    }
}

/// Whether a value has this field anywhere.
fn has_field(value: &Value, field: &str) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| name == field || has_field(value, field)),
        Value::Array(items) => items.iter().any(|item| has_field(item, field)),
        _ => false,
    }
}
