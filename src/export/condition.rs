//! Writes conditions of a template as conditions of a policy. Both are CEL.
//!
//! Invariant: an expression that could mean something else in a policy is not written.

use super::cel::string;

/// Inputs of expressions that exist only for a pod.
pub(super) const INPUTS: [&str; 7] = ["pod", "app", "apps", "container", "namespace", "cluster", "templates"];
/// Functions and macros that mean the same in the API server.
const FUNCTIONS: [&str; 14] = [
    "all",
    "contains",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "in",
    "lowerAscii",
    "map",
    "orValue",
    "size",
    "split",
    "startsWith",
];

/// The input of a pod that the expression names, possibly: the word alone is enough.
pub(super) fn input_of(expression: &str) -> Option<&'static str> {
    let mut words = expression.split(|c: char| !is_word(c));
    words.find_map(|word| INPUTS.into_iter().find(|input| *input == word))
}

/// The condition in terms of a policy, whose `object` is the pod. `None` if it reads anything else, or
/// calls what the API server may not have. An expression without inputs is a constant that holds.
pub(super) fn of(expression: &str) -> Option<String> {
    if input_of(expression).is_none() {
        return Some("true".to_owned());
    }
    let mut written = String::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            // Neither escapes nor other kinds of strings.
            let end = rest[1..].find(first)? + 1;
            let text = rest[1..end].to_owned();
            if text.contains('\\') || written.ends_with(is_word) {
                return None;
            }
            written += &string(&text);
            rest = &rest[end + 1..];
        } else if is_word(first) {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let is_field = written.ends_with(['.', '?']);
            let is_call = after.trim_start().starts_with('(');
            if (is_call && !FUNCTIONS.contains(&word)) || (!is_field && (word == "params" || is_other_input(word))) {
                return None;
            }
            written += if word == "pod" && !is_field { "object" } else { word };
            rest = after;
        } else {
            written.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Some(written)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_other_input(word: &str) -> bool {
    word != "pod" && (INPUTS.contains(&word) || word == "object")
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_condition_on_the_pod_reads_the_object() {
        for (expression, expected) in [
            ("params.port != params.other", Some("true")),
            ("pod.spec.?hostNetwork.orValue(false) != true", Some("object.spec.?hostNetwork.orValue(false) != true")),
            ("pod.metadata.labels['pod'] == 'pod'", Some("object.metadata.labels[\"pod\"] == \"pod\"")),
            ("pod.spec.containers.all(c, c.name != 'x')", Some("object.spec.containers.all(c, c.name != \"x\")")),
            ("pod.spec.pod == 1", Some("object.spec.pod == 1")),
            ("pod.metadata.name == params.name", None),
            ("app.name == 'x'", None),
            ("sh(pod.metadata.name) == ''", None),
            ("pod.metadata.name == r'a'", None),
            ("pod.metadata.name == 'a\\'b'", None),
        ] {
            assert_eq!(of(expression).as_deref(), expected, "{expression}");
        }
    }
}
