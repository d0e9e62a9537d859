//! Sentences without the values that they quote, for whoever reads logs, endpoints and HTTP errors.
//!
//! What is wrong with a template is said to its author with the value in quotes; logs have many readers, so they get the place,
//! the field and the rule. Invariant: what stands in quotes gets through only where it is Outrigger's own vocabulary, in a part
//! of the sentence that says what is expected, or the name of a template.

/// The enumerated values of a parameter stand without quotes, and end their part of the sentence.
const ENUMERATION: &str = " must be one of ";

/// `text` with `…` in place of each quoted value.
pub fn redacted(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut part = 0;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let before = result.chars().next_back();
        let quoted = quoted(rest, before);
        let (piece, length) = match quoted {
            Some(length) if is_vocabulary(&result[part..]) || is_name(&result[part..], &rest[length..]) => {
                (&rest[..length], length)
            }
            Some(length) => ("…", length),
            None => (&rest[..character.len_utf8()], character.len_utf8()),
        };
        result.push_str(piece);
        rest = &rest[length..];
        if character == ';' {
            part = result.len();
        }
        if result.ends_with(ENUMERATION) {
            result.push('…');
            rest = rest.find("; ").map_or("", |end| &rest[end..]);
        }
    }
    result
}

/// Length of the quoted text that begins here.
fn quoted(text: &str, before: Option<char>) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    // Within a word it is an apostrophe.
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if character == quote && !is_escaped {
            return Some(index + 1);
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    // Whatever was cut off was part of it.
    Some(text.len())
}

/// Whether this part of a sentence lists what there is, rather than what was found.
fn is_vocabulary(part: &str) -> bool {
    let part = part.trim_start();
    (part.starts_with("expected ") || part.starts_with("did you mean ")) && !part.contains("found")
}

/// Whether the name of a template stands between these: one that is there. Any other name is text out of an annotation.
fn is_name(before: &str, after: &str) -> bool {
    before.ends_with("template ") && [" cannot be used", ": "].iter().any(|start| after.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn values_go_and_the_rest_stays() {
        for (text, expected) in [
            (
                "t/a.yaml:5:7: spec.sidecar: unknown field; did you mean \"sidecars\"?",
                "t/a.yaml:5:7: spec.sidecar: unknown field; did you mean \"sidecars\"?",
            ),
            (
                "a.yaml:1:2: spec.app.containers: unknown selection \"s; expected \\\"x\"; expected \"All\", \"First\" or a list",
                "a.yaml:1:2: spec.app.containers: unknown selection …; expected \"All\", \"First\" or a list",
            ),
            ("image: expected a list, found the string \"secret\"", "image: expected a list, found the string …"),
            ("\"x\" must be one of a, secret; see there", "… must be one of …; see there"),
            ("… is not a CEL expression: unexpected 'secret'", "… is not a CEL expression: unexpected …"),
            ("the container's name `secret` is taken", "the container's name … is taken"),
            ("cut off \"sec…", "cut off …"),
            ("template \"a\" cannot be used: \"b\"", "template \"a\" cannot be used: …"),
            ("template \"a\": expression \"b\": division by zero", "template \"a\": expression …: division by zero"),
            ("template \"secret\" does not exist", "template … does not exist"),
            ("", ""),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }
}
