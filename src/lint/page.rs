//! The pages of the reference about the codes, in Markdown.

use super::code::Code;
use std::fmt::Write;

const MADE: &str = "<!-- Made by `outrigger generate reference --directory docs/reference`; a test compares. -->\n\n";

/// The page of a code in the reference, with both examples.
pub(crate) fn page(code: Code) -> String {
    text(code, MADE, " ([where it stands](../lint.md))")
}

/// The page of a code for a terminal or a report, without links of the reference.
pub(crate) fn explanation(code: Code) -> String {
    text(code, "", "")
}

fn text(code: Code, made: &str, link: &str) -> String {
    let name = code.as_str();
    let kind = if code.is_error() { "an error" } else { "a warning" };
    let (meaning, why, help) = (sentence(code.meaning()), sentence(code.why()), sentence(code.help()));
    let allow = if code.is_error() {
        String::new()
    } else {
        format!("\nThe comment `# outrigger-lint: allow {name}` silences it{link}.\n")
    };
    format!(
        "# {name}\n\n{made}{meaning} It is {kind}.\n\n## Why\n\n{why}\n\n## What to do\n\n{help}\n{allow}\n\
         ## Examples\n\nThis template has it, at the marked places{}:\n\n```yaml\n{}```\n\nThis one does not:\n\n\
         ```yaml\n{}```\n",
        if code == Code::KubernetesVersion { ", with `--kubernetes 1.28`" } else { "" },
        code.raises(),
        code.quiet(),
    )
}

/// The page that lists all codes.
pub(crate) fn index() -> String {
    let mut text = String::from(
        "# Codes of `outrigger lint`\n\n\
         <!-- Made by `outrigger generate reference --directory docs/reference`; a test compares. -->\n\n\
         `outrigger lint` prints errors of templates and warnings. `outrigger lint --explain CODE` prints the page of\n\
         a code. `--allow CODE` leaves out the warnings of a code, and `--strict` makes all others errors. A comment\n\
         silences one place:\n\n\
         ```yaml\nimage: example.com/agent:latest # outrigger-lint: allow image_tag\n```\n\n\
         The comment may also be on the line before, or before the first field of a document for the whole\n\
         document. It takes several codes: `allow image_tag, no_resources`. Words after the codes are for people.\n\n\
         Values that depend on the pod are not judged; constant defaults of parameters are. Fields that are\n\
         null are absent. Messages and excerpts hide secrets; of a document that cannot be read, excerpts show only\n\
         the names of fields.\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for code in Code::ALL {
        let name = code.as_str();
        // Writing to a String cannot fail.
        _ = writeln!(text, "| [`{name}`](lint/{name}.md) | {} |", sentence(code.meaning()).replace('|', "\\|"));
    }
    text
}

/// A text as a sentence: with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase()).into_iter();
    let end = if text.ends_with('.') { "" } else { "." };
    first.chain(chars).collect::<String>() + end
}
