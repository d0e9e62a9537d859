//! The rights of the account as the API server reports them: the complete list, and calls that an
//! attacker would try with a stolen token.
//!
//! The test only asks for permission and changes nothing, so that it can include destructive calls.
//!
//! Invariant: a new right in the manifests fails a test until it is listed here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    ADVICE_CONFIGURATION, ADVICE_CONFIGURATIONS, AUTHORITY, Account, CONFIGURATION, CONFIGURATIONS, DEPLOYMENTS, LEASE,
    OURS,
};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

/// `GROUP/RESOURCE[:NAME] VERBS`, in every namespace.
const EVERYWHERE: [&str; 9] = [
    "admissionregistration.k8s.io/validatingwebhookconfigurations:outrigger get,list,watch,patch",
    "admissionregistration.k8s.io/mutatingwebhookconfigurations:outrigger get,list,watch,patch",
    "/namespaces get,list,watch",
    "/pods list",
    "outrigger.dev/clusterinjectiontemplates get,list,watch",
    "outrigger.dev/injectiontemplates get,list,watch",
    "outrigger.dev/clusterinjectiontemplates/status patch",
    "outrigger.dev/injectiontemplates/status patch",
    "events.k8s.io/events create",
];
/// Additional rights in Outrigger's namespace.
const IN_OURS: [&str; 3] = [
    "/secrets:outrigger-ca get,list,watch,update,patch",
    "/secrets:outrigger-serving get,list,watch,update,patch",
    "coordination.k8s.io/leases:outrigger get,update,patch",
];
/// Rights of every account: to query its own rights and identity.
const EVERYBODY: [&str; 3] = [
    "authorization.k8s.io/selfsubjectaccessreviews create",
    "authorization.k8s.io/selfsubjectrulesreviews create",
    "authentication.k8s.io/selfsubjectreviews create",
];

/// Namespace, verb, group, resource with its subresource, name. An empty namespace means all, and
/// an empty name any.
const NEVER: [(&str, &str, &str, &str, &str); 54] = [
    (OURS, "create", "", "secrets", ""),
    (OURS, "delete", "", "secrets", "outrigger-ca"),
    (OURS, "delete", "", "secrets", "outrigger-serving"),
    (OURS, "deletecollection", "", "secrets", ""),
    (OURS, "list", "", "secrets", ""),
    (OURS, "watch", "", "secrets", ""),
    (OURS, "get", "", "secrets", "another"),
    (OURS, "update", "", "secrets", "another"),
    ("kube-system", "get", "", "secrets", "outrigger-ca"),
    ("default", "update", "", "secrets", "outrigger-serving"),
    ("", "get", "", "secrets", "outrigger-ca"),
    (OURS, "create", "coordination.k8s.io", "leases", ""),
    (OURS, "delete", "coordination.k8s.io", "leases", "outrigger"),
    (OURS, "update", "coordination.k8s.io", "leases", "another"),
    ("kube-node-lease", "update", "coordination.k8s.io", "leases", "outrigger"),
    ("kube-system", "update", "coordination.k8s.io", "leases", "kube-scheduler"),
    ("", "create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", ""),
    ("", "update", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "outrigger"),
    ("", "delete", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "outrigger"),
    ("", "patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "another"),
    ("", "create", "admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
    ("", "patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "another"),
    ("", "delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "outrigger"),
    ("", "create", "admissionregistration.k8s.io", "mutatingadmissionpolicies", ""),
    ("", "escalate", "rbac.authorization.k8s.io", "clusterroles", "outrigger"),
    ("", "bind", "rbac.authorization.k8s.io", "clusterroles", "cluster-admin"),
    ("", "update", "rbac.authorization.k8s.io", "clusterroles", "outrigger"),
    ("", "create", "rbac.authorization.k8s.io", "clusterrolebindings", ""),
    (OURS, "escalate", "rbac.authorization.k8s.io", "roles", "outrigger"),
    (OURS, "bind", "rbac.authorization.k8s.io", "roles", "outrigger"),
    (OURS, "create", "rbac.authorization.k8s.io", "rolebindings", ""),
    ("", "impersonate", "", "users", "admin"),
    ("", "impersonate", "", "groups", "system:masters"),
    (OURS, "impersonate", "", "serviceaccounts", "outrigger"),
    (OURS, "create", "", "serviceaccounts/token", "outrigger"),
    ("kube-system", "create", "", "serviceaccounts/token", "default"),
    ("", "create", "", "namespaces", ""),
    ("", "patch", "", "namespaces", "default"),
    ("", "delete", "", "namespaces", OURS),
    ("default", "get", "", "pods", ""),
    ("default", "watch", "", "pods", ""),
    ("default", "list", "", "pods/log", ""),
    ("default", "create", "", "pods", ""),
    ("default", "create", "", "pods/exec", ""),
    ("default", "patch", "", "pods/ephemeralcontainers", ""),
    (OURS, "patch", "apps", "deployments", "outrigger"),
    (OURS, "get", "", "configmaps", ""),
    ("", "get", "", "nodes/proxy", ""),
    ("default", "update", "outrigger.dev", "injectiontemplates", ""),
    ("", "create", "outrigger.dev", "clusterinjectiontemplates", ""),
    ("", "create", "certificates.k8s.io", "certificatesigningrequests", ""),
    ("", "approve", "certificates.k8s.io", "signers", "kubernetes.io/kubelet-serving"),
    ("default", "delete", "events.k8s.io", "events", ""),
    ("", "*", "*", "*", ""),
];

/// One line a verb: `GROUP/RESOURCE[:NAME] VERB`.
fn flat(rights: &[&str]) -> BTreeSet<String> {
    let each = |right: &&str| {
        let (what, verbs) = right.split_once(' ').expect("what, then verbs");
        verbs.split(',').map(|verb| format!("{what} {verb}")).collect::<Vec<_>>()
    };
    rights.iter().flat_map(each).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The rights of the account in a namespace, in the same form.
fn granted(account: &Account<'_>, namespace: &str) -> BTreeSet<String> {
    let review = json!({"spec": {"namespace": namespace}});
    let status =
        account.send("POST", &format!("{REVIEWS}/selfsubjectrulesreviews"), &review).expect_success()["status"].clone();
    assert_eq!(status["incomplete"], false, "{status}");
    let mut granted = BTreeSet::new();
    for rule in status["resourceRules"].as_array().expect("rules") {
        let names = texts(&rule["resourceNames"]).into_iter().map(|name| format!(":{name}")).collect::<Vec<_>>();
        let names = if names.is_empty() { vec![String::new()] } else { names };
        for (group, resource) in texts(&rule["apiGroups"])
            .into_iter()
            .flat_map(|group| texts(&rule["resources"]).into_iter().map(move |resource| (group, resource)))
        {
            for (name, verb) in
                names.iter().flat_map(|name| texts(&rule["verbs"]).into_iter().map(move |verb| (name, verb)))
            {
                granted.insert(format!("{group}/{resource}{name} {verb}"));
            }
        }
    }
    granted
}

/// No other namespace grants rights beyond the listed ones.
pub fn assert_exact_rights(account: &Account<'_>) {
    let everywhere = &flat(&EVERYWHERE) | &flat(&EVERYBODY);
    for namespace in ["default", "kube-system"] {
        assert_eq!(granted(account, namespace), everywhere, "in {namespace}");
    }
    assert_eq!(granted(account, OURS), &everywhere | &flat(&IN_OURS));
}

/// Whether the account may do something.
fn is_allowed(account: &Account<'_>, (namespace, verb, group, resource, name): (&str, &str, &str, &str, &str)) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
    }}});
    let answer = account.send("POST", &format!("{REVIEWS}/selfsubjectaccessreviews"), &review).expect_success();
    answer["status"]["allowed"].as_bool().expect("a verdict")
}

/// A right covers a whole object: an account that may set `caBundle` may also redirect every change
/// in the cluster to another server. The threat table says so; this test confirms it.
pub fn on_our_configuration_are_for_all_of_it(account: &Account<'_>) {
    let everything = json!({"webhooks": [{
        "name": "pods.inject.outrigger.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": "https://elsewhere.example/mutate"},
        "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}],
    }]});
    account.may("PATCH", &format!("{}?dryRun=All", super::CONFIGURATION), &everything);
    account.may_not("PATCH", &format!("{}/another?dryRun=All", super::CONFIGURATIONS), &everything);
}

/// Harmful calls are refused, whatever the wording of the rules, except for the one right described
/// above.
pub fn assert_harmful_calls_are_refused(account: &Account<'_>) {
    // Otherwise the refusals below would prove nothing.
    assert!(is_allowed(account, (OURS, "update", "coordination.k8s.io", "leases", "outrigger")));
    assert!(is_allowed(
        account,
        ("", "patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "outrigger")
    ));
    let allowed: Vec<_> = NEVER.iter().filter(|attempt| is_allowed(account, **attempt)).collect();
    assert!(allowed.is_empty(), "{allowed:?}");
}

/// The watches of the program; each ends after a second.
pub fn let_it_watch(account: &Account<'_>) {
    let ours = format!("/api/v1/namespaces/{OURS}/secrets");
    let watches = [
        (super::CONFIGURATIONS, Some("outrigger")),
        (ours.as_str(), Some("outrigger-ca")),
        (ours.as_str(), Some("outrigger-serving")),
        ("/api/v1/namespaces", None),
    ];
    for (path, name) in watches {
        let only = name.map(|name| format!("&fieldSelector=metadata.name%3D{name}")).unwrap_or_default();
        account.may("GET", &format!("{path}?watch=true&timeoutSeconds=1{only}"), &Value::Null);
    }
    account.may_not("GET", &format!("{ours}?watch=true&timeoutSeconds=1"), &Value::Null);
    account.may("GET", "/version", &Value::Null);
}

/// Calls that an attacker would try with a stolen token.
pub fn all_else_is_refused(account: &Account<'_>) {
    let none = Value::Null;
    let secret = json!({"metadata": {"name": "x"}});
    let pod =
        json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "registry.example/x:1"}]}});
    let configuration = json!({"metadata": {"name": "x"}, "webhooks": []});
    let apply = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "x"}});
    let binding = json!({
        "metadata": {"name": "x"}, "subjects": [],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    });
    let rules = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    let own = format!("/api/v1/namespaces/{OURS}");
    let table: [(&str, String, &Value); 27] = [
        ("GET", "/api/v1/secrets".into(), &none),
        ("GET", format!("{own}/secrets"), &none),
        ("GET", format!("{own}/secrets/another"), &none),
        ("GET", "/api/v1/namespaces/kube-system/secrets/outrigger-ca".into(), &none),
        ("POST", format!("{own}/secrets"), &secret),
        ("DELETE", AUTHORITY.into(), &none),
        ("GET", "/api/v1/pods?watch=true".into(), &none),
        ("GET", format!("{own}/pods/outrigger"), &none),
        ("GET", format!("{own}/pods/outrigger/log"), &none),
        ("POST", format!("{own}/pods"), &pod),
        ("GET", format!("{own}/configmaps"), &none),
        ("GET", "/api/v1/nodes".into(), &none),
        ("POST", "/api/v1/namespaces".into(), &secret),
        ("PATCH", "/api/v1/namespaces/default".into(), &secret),
        ("GET", CONFIGURATIONS.into(), &none),
        ("GET", format!("{CONFIGURATIONS}/another"), &none),
        ("POST", CONFIGURATIONS.into(), &configuration),
        ("PATCH", format!("{CONFIGURATIONS}/x?fieldManager=outrigger"), &apply),
        ("DELETE", CONFIGURATION.into(), &none),
        ("GET", ADVICE_CONFIGURATIONS.into(), &none),
        ("GET", format!("{ADVICE_CONFIGURATIONS}/another"), &none),
        ("DELETE", ADVICE_CONFIGURATION.into(), &none),
        ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/outrigger".into(), &rules),
        ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".into(), &binding),
        ("POST", format!("{own}/serviceaccounts/outrigger/token"), &json!({"spec": {}})),
        ("DELETE", LEASE.into(), &none),
        ("GET", DEPLOYMENTS.into(), &none),
    ];
    for (method, path, body) in &table {
        account.may_not(method, path, body);
    }
}
