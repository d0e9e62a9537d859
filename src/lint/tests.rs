//! The cases of `tests/testdata/lint`: each code has a template that raises it and one that does not.

use super::*;

fn codes(text: &str) -> Vec<(&'static str, usize)> {
    lint(text, Some(28), Vec::new()).iter().map(|finding| (finding.code.as_str(), finding.place.line)).collect()
}

fn case(code: Code, name: &str) -> String {
    let path = format!("{}/tests/testdata/lint/{}/{name}.yaml", env!("CARGO_MANIFEST_DIR"), code.as_str());
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn each_code_has_a_case_that_raises_it_alone_where_the_comment_says_and_one_that_is_quiet() {
    for &code in Code::ALL {
        // The warnings of loading come from the loader; the test of the command raises them.
        if code == Code::TemplateWarning {
            continue;
        }
        let raises = case(code, "raises");
        let marked = raises.lines().position(|line| line.ends_with("# HERE")).expect("a marked line") + 1;
        assert_eq!(codes(&raises), [(code.as_str(), marked)], "{}", code.as_str());
        assert_eq!(codes(&case(code, "quiet")), [], "{}", code.as_str());
    }
}

#[test]
fn a_value_that_depends_on_the_pod_is_not_judged_and_a_constant_default_is() {
    let text = case(Code::ImageTag, "raises");
    assert_eq!(codes(&text.replace("busybox:latest", "'${app.image}'")), []);
    let parameter = "spec:\n  parameters: [{name: image, type: string, default: busybox}]\n";
    let text = text.replace("busybox:latest", "'${params.image}'").replacen("spec:\n", parameter, 1);
    assert_eq!(codes(&text).iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["image_tag"]);
}

#[test]
fn a_secret_is_not_repeated() {
    let found = lint(&case(Code::SecretInEnv, "raises"), None, Vec::new());
    assert!(!found[0].message.contains("hunter2"), "{found:?}");
}

#[test]
fn a_comment_in_the_head_of_a_document_holds_for_that_document_only() {
    let one = case(Code::ImageTag, "raises");
    let text = format!("# outrigger-lint: allow image_tag\n{one}---\n{one}");
    assert_eq!(codes(&text).len(), 1, "{:?}", codes(&text));
}
