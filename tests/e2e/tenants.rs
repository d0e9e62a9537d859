//! Templates of tenants on a real node: their sidecars run, and what these can reach is what the rules
//! promise.
//!
//! Invariant: both namespaces enforce Pod Security "restricted".

use serde_json::{Value, json};

use crate::cluster::{Cluster, LIMIT, eventually};
use crate::installation::Installation;
use crate::pods;

const NAMESPACES: [&str; 2] = ["outrigger-e2e-tenant-a", "outrigger-e2e-tenant-b"];
/// What the pod's author has and the tenant who writes the template should not see.
const SECRET: &str = "s3cr3t-of-the-app";

/// Prints what the process may do and what it sees, and then waits.
const LOOKS: &str = r#"trap 'exit 0' TERM
echo "user $(id -u)"
grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
echo "environment: $(env | tr '\n' ' ')"
echo "processes: $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')"
echo "secret file: $(cat /etc/app-secret/* /loot/* 2>&1 | tr '\n' ' ')"
echo "shared: $(ls /shared 2>&1)"
echo "whose: $WHOSE"
echo done
while :; do sleep 1 & wait $!; done"#;

/// Runs the cases in two namespaces.
pub fn are_kept_apart(installation: &Installation<'_>) {
    let cluster = installation.cluster;
    for namespace in NAMESPACES {
        cluster.make_namespace(namespace, &json!({"pod-security.kubernetes.io/enforce": "restricted"}));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"password": SECRET}});
        cluster.kubectl_with(&["--namespace", namespace, "create", "--filename=-"], &secret);
        let template = template(namespace, "helper", &sidecar(cluster, namespace));
        cluster.kubectl_with(&["apply", "--filename=-"], &template);
    }
    for namespace in NAMESPACES {
        a_sidecar_sees_only_what_it_may(cluster, namespace);
    }
    a_template_that_would_take_the_secret_is_refused(cluster);
    for namespace in NAMESPACES {
        cluster.delete_namespace(namespace);
    }
}

fn template(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionTemplate",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    })
}

fn sidecar(cluster: &Cluster, whose: &str) -> Value {
    json!({
        "sidecars": [{
            "name": "helper", "image": cluster.settings.busybox, "command": ["sh", "-c", LOOKS],
            "env": [{"name": "WHOSE", "value": whose}],
            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}, "limits": {"memory": "32Mi"}},
            "securityContext": {"runAsUser": 65533},
            "volumeMounts": [{"name": "helper-shared", "mountPath": "/shared"}],
        }],
        "volumes": [{"name": "helper-shared", "emptyDir": {"sizeLimit": "1Mi"}}],
        "app": {"volumeMounts": [{"name": "helper-shared", "mountPath": "/shared"}]},
    })
}

/// A pod whose app has the Secret in a file and in a variable.
fn app(cluster: &Cluster) -> Value {
    let script = "trap 'exit 0' TERM; touch /shared/from-the-app; while :; do sleep 1 & wait $!; done";
    let mut app = pods::spec(&cluster.settings.busybox, script);
    app["volumes"] = json!([{"name": "app-secret", "secret": {"secretName": "app"}}]);
    app["containers"][0]["volumeMounts"] = json!([{"name": "app-secret", "mountPath": "/etc/app-secret"}]);
    app["containers"][0]["env"] =
        json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "app", "key": "password"}}}]);
    app
}

fn a_sidecar_sees_only_what_it_may(cluster: &Cluster, namespace: &str) {
    let pod = pods::pod("web", &json!({"outrigger.dev/inject": "helper"}), &app(cluster));
    cluster.kubectl_with(&["--namespace", namespace, "create", "--filename=-"], &pod);
    let log = eventually("the sidecar has looked around", LIMIT, || {
        Some(cluster.log(namespace, "web", "helper")).filter(|log| log.contains("\ndone"))
    });
    let line =
        |start: &str| log.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {log}"));
    assert_eq!(line("user"), "user 65533");
    for (field, value) in
        [("CapEff:", "0000000000000000"), ("CapBnd:", "0000000000000000"), ("NoNewPrivs:", "1"), ("Seccomp:", "2")]
    {
        assert_eq!(line(field).split_whitespace().nth(1), Some(value), "{log}");
    }
    assert!(!log.contains(SECRET), "{log}");
    assert!(!line("environment").contains("PASSWORD"), "{log}");
    assert!(!line("processes").contains("from-the-app"), "processes of the app are not seen: {log}");
    assert!(line("secret file").contains("No such file"), "{log}");
    assert_eq!(line("whose"), format!("whose: {namespace}"), "each namespace has its own template of the name");
    eventually("both share the volume of the template", LIMIT, || {
        let shared = cluster.kubectl(&["--namespace", namespace, "exec", "web", "-c", "helper", "--", "ls", "/shared"]);
        shared.contains("from-the-app").then_some(())
    });
}

/// What the tenant may not write is refused, and what only the pod can show is refused for the pod.
fn a_template_that_would_take_the_secret_is_refused(cluster: &Cluster) {
    let namespace = NAMESPACES[0];
    let mut taking = sidecar(cluster, namespace);
    taking["volumes"][0] = json!({"name": "helper-shared", "secret": {"secretName": "app"}});
    let refused = cluster.try_kubectl_with(&["apply", "--filename=-"], &template(namespace, "taking", &taking));
    assert!(!refused.is_success && refused.stderr.contains("secret"), "{}", refused.stderr);

    let mut copying = sidecar(cluster, namespace);
    copying["fromApp"] = json!({"env": ["PASSWORD"]});
    cluster.kubectl_with(&["apply", "--filename=-"], &template(namespace, "copying", &copying));
    let pod = pods::pod("copied", &json!({"outrigger.dev/inject": "copying"}), &app(cluster));
    let refused = cluster.try_kubectl_with(&["--namespace", namespace, "create", "--filename=-"], &pod);
    assert!(!refused.is_success && refused.stderr.contains("secretKeyRef"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(SECRET), "{}", refused.stderr);
}
