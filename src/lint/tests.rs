//! The examples of the codes: one raises its code where its comments say, the other raises nothing.

use super::*;

/// A finding as comments of the examples mark it: the line, the column and the code.
type Mark = (usize, usize, String);

/// The minor version of Kubernetes for which the examples are written.
const MINOR: u32 = 28;

/// A template with the tag latest.
const LATEST: &str = "\
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  sidecars:
  - name: helper
    image: registry.example/helper:latest
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
";

fn found(text: &str, minor: Option<u32>) -> Vec<Finding> {
    lint(&[SourceText { origin: "example.yaml".to_owned(), text: text.to_owned() }], minor)
}

fn marks(text: &str, minor: Option<u32>) -> Vec<Mark> {
    let mark = |one: Finding| (one.place.line, one.place.column, one.code.as_str().to_owned());
    found(text, minor).into_iter().map(mark).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    found(text, None).into_iter().map(|one| one.code.as_str()).collect()
}

/// The comments `# ^ CODE`: each marks the last line before it that is no such comment.
fn expected(text: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut marked = 0;
    for (index, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix('#').and(line.split_once('^')) {
            Some((before, code)) => marks.push((marked, before.chars().count() + 1, code.trim().to_owned())),
            None => marked = index + 1,
        }
    }
    marks
}

/// The version for which the examples of a code are written, if it depends on one.
fn minor(code: Code) -> Option<u32> {
    (code == Code::KubernetesVersion).then_some(MINOR)
}

#[test]
fn each_code_is_raised_alone_where_the_comments_say_and_not_by_the_other_example() {
    for &code in Code::ALL {
        let name = code.as_str();
        let expected = expected(code.raises());
        assert!(expected.iter().any(|(_, _, marked)| marked == name), "{name}: no marked place");
        assert_eq!(marks(code.raises(), minor(code)), expected, "{name}");
        assert_eq!(marks(code.quiet(), minor(code)), [], "{name}");
    }
}

#[test]
fn a_value_that_depends_on_the_pod_is_not_judged_and_a_constant_default_is() {
    let image = "registry.example/helper:latest";
    assert!(codes(&LATEST.replace(image, "'${app.image}'")).is_empty());
    let parameter = "spec:\n  parameters: [{name: tag, type: string, default: latest}]\n";
    let text = LATEST.replace(image, "'a/b:${ params.tag }'").replacen("spec:\n", parameter, 1);
    assert_eq!(codes(&text), ["image_tag"]);
}

#[test]
fn a_secret_is_not_repeated_and_is_masked_with_its_columns_kept() {
    let text = Code::SecretInEnv.raises();
    assert!(found(text, None).iter().all(|one| !one.message.contains("hunter2")));
    let masked = super::masked(&SourceText { origin: String::new(), text: text.to_owned() });
    assert!(!masked.contains("hunter2") && masked.contains("value: *******\n"), "{masked}");
    let text = LATEST.to_owned() + "    env: [{name: TOKEN, value: 'é hunter2'}, {name: A, value: b}]\n";
    let masked = super::masked(&SourceText { origin: String::new(), text });
    assert!(masked.contains("value: ***********}, {name: A, value: b}]"), "{masked}");
}

#[test]
fn the_default_of_a_parameter_is_a_secret_where_a_variable_takes_it() {
    let parameter = "spec:\n  parameters: [{name: pw, type: string, default: hunter2}]\n";
    let text = LATEST.replace(":latest", ":1").replacen("spec:\n", parameter, 1);
    let text = text + "    env: [{name: DB_PASSWORD, value: '${params.pw}'}]\n";
    assert_eq!(codes(&text), ["secret_in_env"]);
    let masked = super::masked(&SourceText { origin: String::new(), text });
    assert!(!masked.contains("hunter2"), "{masked}");
}

#[test]
fn neither_messages_nor_excerpts_repeat_what_a_variable_of_a_secret_has() {
    let parameters = "spec:\n  parameters: [{name: pw, type: string, default: hunter2, pattern: '^[A-Z]+$'}]\n";
    for (parameters, env) in [
        (parameters, "{name: DB_PASSWORD, value: '${params.pw}'}"),
        ("spec:\n", "{name: DB_PASSWORD, value: 8675309}"),
        ("spec:\n", "{name: DB_PASSWORD, value: 18446744073709551616}"),
        ("spec:\n", "{name: DB_PASSWORD, valuee: hunter2}"),
        ("spec:\n", "{name: DB_PASSWORD, value: [hunter2]}"),
        ("spec:\n", "{name: DB_PASSWORD, value: 'hunter2${params.x}'}"),
        ("spec:\n", "{name: DB_PASSWORD, value: hunter2, value: hunter2}"),
        ("spec:\n", "{nam: DB_PASSWORD, value: hunter2}"),
        ("spec:\n", "DB_PASSWORD=hunter2"),
        ("spec:\n", "{DB_PASSWORD: hunter2}"),
        ("spec:\n  variables: [{name: DB_PASSWORD, value: hunter2}]\n", ""),
        ("spec:\n  arguments: [--password, hunter2]\n", ""),
        ("spec:\n  url: postgres://u:hunter2@h\n", ""),
    ] {
        let text = LATEST.replace(":latest", ":1").replacen("spec:\n", parameters, 1);
        let text = format!("{text}    env: [{env}]\n");
        let found = found(&text, None);
        assert!(!found.is_empty(), "{env}");
        let masked = super::masked(&SourceText { origin: String::new(), text });
        let shown = found.into_iter().map(|one| one.message + &one.help).chain([masked]).collect::<String>();
        assert!(!["hunter2", "8675309", "18446744073709551616"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }
}

#[test]
fn a_conflict_does_not_repeat_the_secrets_of_two_templates() {
    let text = Code::AutomaticConflict.raises().replace("LOG_LEVEL", "DB_PASSWORD").replace("debug", "hunter2");
    let found = found(&text, None);
    assert!(found.iter().any(|one| one.code == Code::AutomaticConflict), "{found:?}");
    assert!(found.iter().all(|one| !one.message.contains("hunter2")), "{found:?}");
}

#[test]
fn pod_security_judges_constant_defaults_and_nothing_that_depends_on_the_pod() {
    let lines = |spec: &str| {
        let text = LATEST.replace(":latest", ":1").replacen("spec:\n", &format!("spec:\n{spec}"), 1);
        let found = found(&text, None).into_iter();
        found.filter(|one| one.code == Code::PodSecurity).map(|one| one.message).collect::<Vec<_>>()
    };
    let parameters = "  parameters: [{name: x, type: TYPE, default: VALUE}]\n  initContainers:\n  - name: a\n    \
                      image: a:1\n    resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 1Mi}}\n    ";
    for (kind, value, field, said) in [
        ("port", "8080", "ports: [{containerPort: 80, hostPort: '${params.x}'}]", "hostPort 8080"),
        ("integer", "0", "securityContext: {runAsUser: '${params.x}'}", "runAsUser: 0"),
        ("boolean", "true", "securityContext: {privileged: '${params.x}'}", "privileged: true"),
        ("string", "SYS_ADMIN", "securityContext: {capabilities: {add: ['${params.x}']}}", "\"SYS_ADMIN\""),
        ("string", "h", "livenessProbe: {httpGet: {port: 80, host: '${params.x}'}}", "httpGet.host \"h\""),
    ] {
        let spec = format!("{}{field}\n", parameters.replace("TYPE", kind).replace("VALUE", value));
        let found = lines(&spec);
        assert!(found.iter().any(|message| message.contains(said)), "{spec}: {found:?}");
        assert_eq!(lines(&spec.replace(&format!("default: {value}"), "description: none")), Vec::<String>::new());
    }
    let sysctl = |name: &str| {
        format!(
            "  parameters: [{{name: x, type: string, default: {name}}}]\n  pod: {{securityContext: {{sysctls: [{{name: \
             '${{params.x}}', value: '1'}}]}}}}\n"
        )
    };
    assert_eq!(lines(&sysctl("net.ipv4.tcp_rmem")), Vec::<String>::new());
    assert!(lines(&sysctl("net.core.somaxconn"))[0].starts_with("the sysctl \"net.core.somaxconn\""));
}

#[test]
fn null_fields_are_absent() {
    for field in [
        "securityContext:",
        "securityContext: {capabilities: null}",
        "securityContext: {capabilities: {drop: null}, runAsNonRoot: null}",
        "lifecycle: {stopSignal: null}",
    ] {
        let text = format!("{}    {field}\n", LATEST.replace(":latest", ":1"));
        let text = text.replacen("spec:\n", "spec:\n  pod: {hostUsers: null}\n", 1);
        assert_eq!(marks(&text, Some(32)), [], "{field}");
    }
    let volume = "spec:\n  volumes: [{name: v, hostPath: null, emptyDir: {sizeLimit: 1Mi}}]\n";
    let text = LATEST.replace(":latest", ":1").replacen("spec:\n", volume, 1);
    assert_eq!(codes(&(text + "    volumeMounts: [{name: v, mountPath: /v}]\n")), Vec::<&str>::new());
}

#[test]
fn comments_are_read_however_they_are_spaced_and_reported_if_they_say_nothing() {
    for comment in
        ["# outrigger-lint: allow", "#outrigger-lint: allow", "#  outrigger-lint:  allow", "# outrigger-lint:allow"]
    {
        assert!(codes(&format!("{comment} image_tag\n{LATEST}")).is_empty(), "{comment}");
        assert!(
            codes(&LATEST.replace(":latest", &format!(":latest # pinned {comment} image_tag"))).is_empty(),
            "{comment}"
        );
    }
    for comment in ["outrigger-lint: ignore image_tag", "outrigger-lint: allow", "outrigger-lint allow image_tag"] {
        assert_eq!(codes(&format!("# {comment}\n{LATEST}")), ["allow_unused", "image_tag"], "{comment}");
    }
    let text = LATEST.replace(":latest", ":1");
    assert_eq!(codes(&format!("# outrigger-lint: allow image_tag\n{text}")), ["allow_unused"]);
    assert!(codes(&format!("# outrigger-lint: allow image_tag, allow_unused\n{text}")).is_empty());
}

#[test]
fn a_code_whose_rule_is_not_applied_is_not_reported_as_unused() {
    let text = format!("# outrigger-lint: allow kubernetes_version\n{}", LATEST.replace(":latest", ":1"));
    assert!(marks(&text, None).is_empty());
    assert_eq!(marks(&text, Some(36)), [(1, 1, "allow_unused".to_owned())]);
    let broken = text.replace("image:", "imag:").replace("kubernetes_version", "image_tag");
    assert!(codes(&broken).iter().all(|code| *code == "template_invalid"));
}

#[test]
fn root_is_judged_wherever_the_kubelet_refuses_it() {
    let text = LATEST.replace("registry.example/helper:latest", "busybox:1.37");
    assert_eq!(codes(&text), ["root_image"]);
    let bare = text.replace("spec:\n", "spec:\n  hardened: false\n");
    assert!(!codes(&bare).contains(&"root_image"));
    let pod = bare.replace("spec:\n", "spec:\n  pod: {securityContext: {runAsNonRoot: true}}\n");
    assert!(codes(&pod).contains(&"root_image"));
    let user = pod.replace("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 1000");
    assert!(!codes(&user).contains(&"root_image"));
}

#[test]
fn a_comment_in_the_head_of_a_document_holds_for_that_document_only() {
    let other = LATEST.replace("name: helper", "name: other");
    for separator in ["---", "--- # second", "--- !map"] {
        let text = format!("# outrigger-lint: allow image_tag\n{LATEST}{separator}\n{other}");
        assert_eq!(codes(&text), ["image_tag"], "{separator}");
    }
}

#[test]
fn an_error_is_not_allowed_by_a_comment_which_is_said() {
    let text = format!("# outrigger-lint: allow template_invalid\n{}", Code::TemplateInvalid.raises());
    let found = found(&text, None);
    let said: Vec<_> = found.iter().map(|one| (one.code.as_str(), one.message.as_str())).collect();
    assert!(said.contains(&("allow_unused", "\"template_invalid\" is an error, which no comment allows")), "{said:?}");
    assert!(said.iter().any(|(code, _)| *code == "template_invalid"), "{said:?}");
}

#[test]
fn levels_of_pod_security_are_those_of_the_version() {
    let text = Code::PodSecurity.quiet().replace("container_t", "container_engine_t");
    assert!(marks(&text, Some(31)).iter().all(|(_, _, code)| code != "pod_security"));
    assert!(marks(&text, Some(30)).iter().any(|(_, _, code)| code == "pod_security"));
}
