//! The examples of the codes: one raises its code where its comments say, the other raises nothing.

use super::*;

/// A finding as comments of the examples mark it: the line, the column and the code.
type Mark = (usize, usize, String);

/// The minor version of Kubernetes for which the examples are written.
const MINOR: u32 = 28;

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
    let text = Code::ImageTag.raises();
    assert!(codes(&text.replace("busybox:latest", "'${app.image}'")).is_empty());
    let parameter = "spec:\n  parameters: [{name: image, type: string, default: busybox}]\n";
    let text = text.replace("busybox:latest", "'${params.image}'").replacen("spec:\n", parameter, 1);
    assert_eq!(codes(&text), ["image_tag"]);
}

#[test]
fn a_secret_is_not_repeated() {
    let found = found(Code::SecretInEnv.raises(), None);
    assert!(!found[0].message.contains("hunter2"), "{found:?}");
}

#[test]
fn a_comment_in_the_head_of_a_document_holds_for_that_document_only() {
    let one = Code::ImageTag.raises();
    let text = format!("# outrigger-lint: allow image_tag\n{one}---\n{}", one.replace("name: helper", "name: other"));
    assert_eq!(codes(&text), ["image_tag"]);
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
