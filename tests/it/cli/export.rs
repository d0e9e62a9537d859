//! `outrigger export` and `outrigger generate policy`: what they print, and what they refuse.

use serde_json::Value;

use super::{Workspace, documents};

const AGENT: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: agent}
spec:
  sidecars:
  - {name: agent, image: 'example.com/agent:1'}
";

const COMPUTED: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: computed}
spec:
  sidecars:
  - name: agent
    image: 'example.com/agent:${params.tag}'
    args: ['${pod.metadata.name}']
  - {name: other, image: 'example.com/other:1', when: 'pod.metadata.name == \"2\"'}
  app:
    env: [{name: 'X.Y', value: '${namespace.name}'}]
  parameters:
  - {name: tag, type: string}
";

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.file("templates/agent.yaml", AGENT);
    workspace.file("templates/computed.yaml", COMPUTED);
    workspace
}

const KINDS: [&str; 4] = [
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter_map(|object| object["kind"].as_str()).collect()
}

#[test]
fn policies_are_printed_as_documents_or_as_a_list() {
    let workspace = workspace();
    for (command, expected) in [(&["export"][..], &KINDS[..]), (&["generate", "policy"], &KINDS[2..])] {
        let of_agent = [command, &["agent", "--templates", "templates"]].concat();
        let yaml = documents(&workspace.run(&of_agent).done());
        assert_eq!(kinds(&yaml), expected);
        let json: Value =
            serde_json::from_str(&workspace.run(&[&of_agent[..], &["-o", "json"]].concat()).done()).expect("JSON");
        assert_eq!((json["kind"].as_str(), &json["items"]), (Some("List"), &Value::from(yaml)));
    }
}

#[test]
fn each_part_that_cannot_be_a_policy_is_listed_with_its_line_and_column() {
    let failed = workspace().run(&["export", "computed", "--templates", "templates"]).failed();
    let begins = |place: &str, field: &str| {
        let start = format!("templates/computed.yaml:{place}: template \"computed\" cannot be a policy: {field}: ");
        let found = failed.iter().any(|line| line.trim_start_matches("error: ").starts_with(&start));
        assert!(found, "{start} is missing in {failed:#?}");
    };
    begins("8:12", "spec.sidecars[0].args[0]: expression");
    begins("9:49", "spec.sidecars[1].when: item");
    begins("11:25", "spec.app.env[0].value: expression");
    begins("13:5", "spec.parameters[0]: parameter");
    assert_eq!(failed.len(), 4, "{failed:#?}");
    let built_in = workspace().run(&["export", "proxy"]).failed();
    assert!(built_in[0].starts_with("error: built-in proxy.yaml:"), "{built_in:?}");
}

#[test]
fn a_template_that_is_not_there_gets_a_suggestion() {
    for command in [&["export"][..], &["generate", "policy"]] {
        let run = |name: &str| workspace().run(&[command, &[name, "--templates", "templates"]].concat()).failed();
        assert_eq!(run("agnt"), ["error: no template is called \"agnt\"; did you mean \"agent\"?"]);
        assert_eq!(run("zzz"), ["error: no template is called \"zzz\"; there are: agent, computed, helper"]);
    }
}

#[test]
fn a_template_of_a_namespace_cannot_be_a_policy() {
    let workspace = workspace();
    let namespaced = AGENT.replace("Cluster", "").replace("{name: agent}", "{name: own, namespace: shop}");
    workspace.file("templates/own.yaml", namespaced);
    let failed = workspace.run(&["export", "own", "--templates", "templates"]).failed();
    let expected = "error: template \"own\" is an InjectionTemplate of namespace \"shop\": a policy is cluster-wide";
    assert!(failed[0].starts_with(expected), "{failed:?}");
}

#[test]
fn what_an_enforcing_policy_does_not_check_is_a_warning() {
    let ran = workspace().run(&["generate", "policy", "computed", "--templates", "templates", "--image", "exact"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(lines[0].starts_with("warning: template \"computed\": spec.sidecars[1]: "), "{lines:?}");
    assert!(lines[1].ends_with("is computed; any tag passes"), "{lines:?}");
    assert_eq!(kinds(&documents(&ran.stdout)), KINDS[2..]);
}

#[test]
fn a_pod_that_has_all_of_the_template_itself_is_refused_which_is_a_warning() {
    let workspace = Workspace::new();
    workspace.file("templates/agent.yaml", format!("{AGENT}  onConflict: KeepPod\n"));
    for image in ["any", "exact"] {
        let ran = workspace.run(&["generate", "policy", "agent", "--templates", "templates", "--image", image]);
        let expected = "onConflict: KeepPod leaves a pod that itself has all that the template adds as it is";
        assert!(ran.code == 0 && ran.stderr.matches(expected).count() == 1, "{}", ran.stderr);
    }
}

#[test]
fn a_second_policy_of_a_template_has_a_name_of_its_own() {
    let names = |flags: &[&str]| {
        let of_agent = ["generate", "policy", "agent", "--templates", "templates"];
        let objects = documents(&workspace().run(&[&of_agent, flags].concat()).done());
        let name = |object: &Value| object["metadata"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(objects[1]["spec"]["policyName"], name(&objects[0]));
        [name(&objects[0]), name(&objects[1])]
    };
    assert_eq!(names(&["--selector", "a=b"]), ["agent.enforce.outrigger.dev"; 2]);
    assert_eq!(names(&["--selector", "a=b", "--name", "agent-of.shop"]), ["agent-of.shop"; 2]);
}

#[test]
fn a_constant_condition_that_fails_is_listed() {
    let workspace = workspace();
    let spec = "  parameters: [{name: enabled, type: boolean, default: false}]\n  match:\n    conditions:\n    \
                - expression: params.enabled\n";
    workspace.file("templates/agent.yaml", format!("{AGENT}{spec}"));
    let failed = workspace.run(&["export", "agent", "--templates", "templates"]).failed();
    let expected = "error: templates/agent.yaml:11:7: template \"agent\" cannot be a policy: \
                    spec.match.conditions[0]: condition: the condition does not hold";
    assert!(failed.len() == 1 && failed[0].starts_with(expected), "{failed:?}");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let workspace = workspace();
    let failed = workspace.run(&["export", "agent", "--in-cluster", "--kubeconfig", "absent"]).failed();
    assert!(failed[0].contains("cannot read the kubeconfig absent"), "{failed:?}");
    let policy = &["generate", "policy", "agent"][..];
    for (command, flags, expected) in [
        (policy, &["--action", "Deny,Warn"][..], "Deny and Warn exclude each other"),
        (policy, &["--include-disabled"], "--selector"),
        (policy, &["--context", "x"], "--context and --kubeconfig need --in-cluster"),
        (policy, &["--selector", "app!=web"], "is no label: expected KEY=VALUE"),
        (policy, &["--in-cluster", "--templates", "templates"], "cannot be used with"),
        (policy, &["--namespace", "shop"], "unexpected argument"),
        (policy, &["--exclude-namespace", "A b"], "invalid value 'A b'"),
        (policy, &["--name", "Of_Shop"], "invalid value 'Of_Shop'"),
        (&["export", "agent"], &["--kubeconfig", "x"], "--context and --kubeconfig need --in-cluster"),
        (&["templates"], &["--context", "x"], "--context and --kubeconfig need --in-cluster"),
    ] {
        let ran = workspace.run(&[command, flags].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{flags:?}");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let of_agent = ["--templates", "templates", "--exclude-namespace", ""];
    assert_eq!(workspace.run(&[policy, &of_agent].concat()).code, 0);
}

#[test]
fn an_unknown_context_names_those_that_there_are() {
    let workspace = workspace();
    let kubeconfig = "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], \
                      users: [], contexts: [{name: prod, context: {cluster: c, user: ''}}]}";
    workspace.file("kubeconfig", kubeconfig);
    let run = |context: &str| {
        let flags = ["--in-cluster", "--kubeconfig", "kubeconfig", "--context", context];
        workspace.run(&[&["export", "agent"], &flags[..]].concat()).failed()
    };
    assert!(run("prd")[0].contains("the kubeconfig has no context \"prd\"; it has prod"), "{:?}", run("prd"));
    let unreachable = run("prod");
    assert!(unreachable[0].starts_with("error: cannot reach the API server at https://127.0.0.1:1"), "{unreachable:?}");
    assert!(unreachable[0].contains("--context"), "{unreachable:?}");
}
