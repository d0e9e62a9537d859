//! Writes conditions of a template as conditions of a policy. Both are CEL.
//!
//! Invariant: an expression that could mean something else in a policy is not written.

use super::cel;
use crate::inject::expression::interpolation::end_of_string;

/// Inputs of expressions that exist only for a pod.
pub(super) const INPUTS: [&str; 7] = ["pod", "app", "apps", "container", "namespace", "cluster", "templates"];
/// Functions and macros that mean the same in the API server. Maps have no order there, and `split` of an empty
/// text has another result.
const FUNCTIONS: [&str; 11] =
    ["all", "contains", "endsWith", "exists", "exists_one", "has", "in", "lowerAscii", "orValue", "size", "startsWith"];

/// Macros that test each element of a list.
const TESTS_OF_ELEMENTS: [&str; 3] = ["all", "exists", "exists_one"];
/// Fields that each container has when a policy is asked. The API server passes over the error of an element
/// without a field if another one decides; the webhook does not.
const ALWAYS_THERE: [&str; 3] = ["image", "imagePullPolicy", "name"];
/// Words that CEL keeps for itself.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "typeof",
    "var",
    "void",
    "while",
];

/// A condition that a policy can have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It reads no pod: it holds for all or for none.
    Constant,
    /// In terms of a policy, whose `object` is the pod.
    OfPod(String),
}

/// A part of an expression.
#[derive(Debug, PartialEq, Eq)]
enum Token<'e> {
    /// Spaces, and comments.
    Space,
    /// A name, a number, or a word of the language.
    Word(&'e str),
    /// What a string says; `None` if it has escapes or is of bytes.
    Text(Option<&'e str>),
    Sign(char),
}

use Token::{Sign, Space, Text, Word};

/// The input of a pod that the expression names, possibly: the word alone is enough.
pub(super) fn input_of(expression: &str) -> Option<&'static str> {
    let mut words = expression.split(|c: char| !is_word(c));
    words.find_map(|word| INPUTS.into_iter().find(|input| *input == word))
}

/// The condition for a policy. `None` if it reads more than the pod, or calls what the API server may
/// not have.
pub(super) fn of(expression: &str) -> Option<Condition> {
    let tokens = tokens(expression)?;
    let mut before: Vec<&Token<'_>> = Vec::new();
    let mut written = Some(String::new());
    let mut is_constant = true;
    for (index, token) in tokens.iter().enumerate() {
        if let Word(word) = token {
            is_constant &= is_field(&before) || !INPUTS.contains(word);
        }
        let next = tokens[index + 1..].iter().find(|token| **token != Space);
        let part = part(&before, token, next == Some(&Sign('(')));
        written = written.zip(part).map(|(text, part)| text + &part);
        if *token != Space {
            before.push(token);
        }
    }
    match is_constant {
        true => Some(Condition::Constant),
        false => written.filter(|_| elements_have_their_fields(&before)).map(Condition::OfPod),
    }
}

/// Whether no field of an element is read that it may lack.
fn elements_have_their_fields(tokens: &[&Token<'_>]) -> bool {
    let variables: Vec<&str> = tokens
        .windows(4)
        .filter_map(|part| match part {
            [Word(test), Sign('('), Word(variable), Sign(',')] if TESTS_OF_ELEMENTS.contains(test) => Some(*variable),
            _ => None,
        })
        .collect();
    // A list of maps, or of lists, is no list of the pod.
    let has_literals = tokens.iter().any(|token| **token == Sign('{'));
    let reads = |index: usize| match tokens.get(index + 1..) {
        Some([Sign('.'), Sign('?'), ..]) => true,
        Some([Sign('.'), Word(field), ..]) => ALWAYS_THERE.contains(field),
        Some([Sign('['), ..]) => false,
        _ => true,
    };
    let is_variable = |index: usize| matches!(tokens[index], Word(word) if variables.contains(word));
    let is_field = |index: usize| index > 0 && matches!(tokens[index - 1], Sign('.' | '?'));
    let mut uses = (0..tokens.len()).filter(|index| is_variable(*index) && !is_field(*index));
    variables.is_empty() || (!has_literals && uses.all(reads))
}

/// One token of the expression as a policy has it.
fn part(before: &[&Token<'_>], token: &Token<'_>, is_call: bool) -> Option<String> {
    match token {
        Space => Some(" ".to_owned()),
        Text(text) => text.map(cel::string),
        // Quoted names.
        Sign('`') => None,
        Sign(sign) => Some(sign.to_string()),
        Word(word) if is_call && !FUNCTIONS.contains(word) => None,
        // Other numbers than integers are equal to integers in the API server.
        Word(word) if word.starts_with(|c: char| c.is_ascii_digit()) => {
            let is_integer = word.bytes().all(|byte| byte.is_ascii_digit()) && !matches!(before, [.., Sign('.')]);
            is_integer.then(|| (*word).to_owned())
        }
        Word(word) if is_field(before) => Some((*word).to_owned()),
        // A name that begins with a dot is no field.
        Word(_) if matches!(before, [.., Sign('.')]) => None,
        Word("pod") => Some("object".to_owned()),
        Word(word) if INPUTS.contains(word) || ["params", "object"].contains(word) => None,
        Word(word) if RESERVED.contains(word) => None,
        Word(word) => Some((*word).to_owned()),
    }
}

/// Whether a name after these tokens is that of a field: `a.name`, `a.?name`.
fn is_field(before: &[&Token<'_>]) -> bool {
    let [of @ .., Sign('.')] = before.strip_suffix(&[&Sign('?')]).unwrap_or(before) else { return false };
    match of.last() {
        Some(Word(word)) => *word != "in",
        Some(Text(_) | Sign(')' | ']' | '}')) => true,
        _ => false,
    }
}

/// `None` if a string does not end.
fn tokens(expression: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(length) = space(rest) {
            tokens.push(Space);
            length
        } else if let Some((start, quotes)) = quotes(rest) {
            let (text, length) = text(rest, start, quotes)?;
            tokens.push(Text(text));
            length
        } else if is_word(first) {
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Word(&rest[..length]));
            length
        } else {
            tokens.push(Sign(first));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    Some(tokens)
}

/// The length of the spaces or of the comment with which the text begins.
fn space(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let length = text.len() - text.trim_start().len();
    (length > 0).then_some(length)
}

/// If the text begins with a string: where its quotes begin, and these.
fn quotes(text: &str) -> Option<(usize, &'static str)> {
    let start = text.find(|c: char| !"rRbB".contains(c)).filter(|start| *start <= 2)?;
    let quotes = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| text[start..].starts_with(quotes))?;
    Some((start, quotes))
}

/// What the string at the beginning of the text says, and its length.
fn text<'e>(text: &'e str, start: usize, quotes: &str) -> Option<(Option<&'e str>, usize)> {
    let prefix = text[..start].to_ascii_lowercase();
    let last = end_of_string(text.as_bytes(), start)?;
    let content = &text[start + quotes.len()..=last - quotes.len()];
    let is_plain = prefix.ends_with('r') || !content.contains('\\');
    Some((Some(content).filter(|_| is_plain && !prefix.contains('b')), last + 1))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{Condition, of};

    #[test]
    fn a_condition_on_the_pod_reads_the_object() {
        for (expression, expected) in [
            ("pod.spec.?hostNetwork.orValue(false) != true", Some("object.spec.?hostNetwork.orValue(false) != true")),
            ("pod.metadata.labels['pod'] == 'pod'", Some("object.metadata.labels[\"pod\"] == \"pod\"")),
            ("pod.spec.containers.all(c, c.name != 'x')", Some("object.spec.containers.all(c, c.name != \"x\")")),
            ("pod.spec.pod == 1", Some("object.spec.pod == 1")),
            ("has(pod.a) ?pod.a != 1:true", Some("has(object.a) ?object.a != 1:true")),
            ("has(pod.a) ? pod.a:pod.?b", Some("has(object.a) ? object.a:object.?b")),
            ("pod . spec\n.? pod", Some("object . spec .? pod")),
            ("pod.labels[?pod.name] == 1", Some("object.labels[?object.name] == 1")),
            ("pod.a == 1 // not pod\n|| pod.b", Some("object.a == 1   || object.b")),
            ("pod.a == r'\\d' || pod.a == \"\"\"it's\"\"\"", Some("object.a == \"\\\\d\" || object.a == \"it's\"")),
            ("pod.a == '' || 'a' in['a', pod.b]", Some("object.a == \"\" || \"a\" in[\"a\", object.b]")),
            ("pod.a == 15", Some("object.a == 15")),
            ("pod.a == .5", None),
            ("pod.a == 1.5", None),
            ("pod.a == 80.0", None),
            ("pod.a == 80u", None),
            ("pod.a == 8e1", None),
            ("pod.a.split('')[0] == 'w'", None),
            ("pod.labels.map(k, k) == ['a']", None),
            ("pod.a.all(var, var == 1)", None),
            ("pod.a.exists(c, c.ports.exists(p, p.containerPort == 80))", None),
            ("pod.a.exists(c, c['ports'] == 80)", None),
            ("[{'a': 1}].all(m, m.b == pod.a)", None),
            ("pod.a.exists(c, c.?ports.hasValue())", None),
            ("pod.a.exists(c, c.?ports.orValue([]) == [])", Some("object.a.exists(c, c.?ports.orValue([]) == [])")),
            ("pod.a.exists(c, c == 'x' && c.name == c)", Some("object.a.exists(c, c == \"x\" && c.name == c)")),
            ("pod.metadata.name == params.name", None),
            ("has(pod.a) ?params.a:true", None),
            ("has(pod.a) ?.pod.a:true", None),
            ("app.name == 'x'", None),
            ("sh(pod.metadata.name) == ''", None),
            ("pod.metadata.name == b'a'", None),
            ("pod.metadata.name == 'a\\'b'", None),
            ("pod.metadata.`name` == 'a'", None),
            ("pod.metadata.name == 'a", None),
        ] {
            let expected = expected.map(|text| Condition::OfPod(text.to_owned()));
            assert_eq!(of(expression), expected, "{expression}");
        }
    }

    #[test]
    fn a_condition_that_names_no_input_is_a_constant() {
        for expression in ["true", "1 == 2", "params.port != params.other", "params.pod == 'pod\\n'", "'' == r'pod'"] {
            assert_eq!(of(expression), Some(Condition::Constant), "{expression}");
        }
    }
}
