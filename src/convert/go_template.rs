//! Reads the Go template of a pod as YAML: well-known values become CEL, everything else is lost.
//!
//! Invariant: each action of the text becomes an expression, or is in [`GoTemplate::lost`] with its
//! line, or marks the value in which it stands as lost.

use super::draft::{cel_key, cel_string};

/// Begins a word that stands for an action while the text is read as YAML.
const MARK: &str = "OUTRIGGERACTION";

/// A Go template as text without actions.
#[derive(Debug, Default)]
pub(super) struct GoTemplate {
    /// YAML with a word of its own for each action.
    pub yaml: String,
    actions: Vec<Action>,
    /// What was left out: the first line with its text, and the last line.
    pub lost: Vec<(usize, String, usize)>,
    /// The indentation of a block scalar's key while its lines are read.
    scalar: Option<usize>,
    /// Whether the block or action that is open is the last one of `lost`.
    is_listed: bool,
}

#[derive(Debug)]
struct Action {
    text: String,
    cel: Option<String>,
}

/// What a scalar of the template is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A text in which the known actions are expressions.
    Text(String),
    /// It contains this action, which is not known.
    Unknown(String),
}

impl GoTemplate {
    /// The template, or the line and the reason why Go cannot read it either.
    pub(super) fn read(text: &str) -> Result<Self, (usize, String)> {
        let mut template = Self::default();
        let mut opened = Opened::default();
        for (at, line) in text.lines().enumerate() {
            let kept = template.line(at + 1, line, &mut opened)?;
            // A line that is left out stays as an empty one, so that lines keep their numbers.
            template.yaml.push_str(kept.as_deref().unwrap_or_default());
            template.yaml.push('\n');
        }
        if let Some((line, action)) = opened.action {
            return Err((line, format!("the action {{{{ {action} is not closed, expected }}}}")));
        }
        match opened.blocks.pop() {
            Some((line, action)) => Err((line, format!("the block {{{{ {action} }}}} has no {{{{ end }}}}"))),
            None => Ok(template),
        }
    }

    /// The line without actions; none if it is left out.
    fn line(&mut self, number: usize, line: &str, opened: &mut Opened) -> Result<Option<String>, (usize, String)> {
        let before = opened.blocks.len();
        let was_inside = before > 0 || opened.action.is_some();
        let parts = parts(number, line, &mut opened.action);
        let is_block = opened.follow(number, &parts)?;
        let actions = parts.iter().filter_map(|part| if let Part::Action(action) = part { Some(action) } else { None });
        let texts = parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(*text) } else { None });
        let stands_alone = !texts.collect::<String>().chars().any(|letter| !letter.is_whitespace());
        let all: Vec<String> = actions.cloned().collect();
        let in_scalar = self.is_in_scalar(line);
        let is_comment = !all.is_empty() && all.iter().all(|action| action.starts_with("/*"));
        if was_inside {
            // The block, or the action, goes on until here.
            if let Some((.., last)) = self.lost.last_mut().filter(|_| self.is_listed) {
                *last = number;
            }
            return Ok(None);
        }
        let opens = opened.blocks.len() != before || opened.action.is_some();
        self.is_listed = !(in_scalar && opens);
        if !self.is_listed {
            // The text would miss a part, so all of it is lost.
            let action = all.into_iter().next().or_else(|| opened.action.as_ref().map(|(_, text)| text.clone()));
            return Ok(Some(
                self.marked(&[Part::Text(&line[..indent(line)]), Part::Action(action.unwrap_or_default())], true),
            ));
        }
        if opens || (stands_alone && !all.is_empty() && !in_scalar) {
            if !is_comment {
                self.lost.push((number, line.trim().to_owned(), number));
            }
            return Ok(None);
        }
        Ok(Some(self.marked(&parts, is_block)))
    }

    /// Whether the line belongs to a block scalar; the next one may, if this line begins one.
    fn is_in_scalar(&mut self, line: &str) -> bool {
        if line.trim().is_empty() {
            return self.scalar.is_some();
        }
        let is_in = self.scalar.is_some_and(|key| indent(line) > key);
        if !is_in {
            let header = line.trim_end().trim_end_matches(|letter: char| matches!(letter, '+' | '-' | '0'..='9'));
            let begins =
                header.ends_with(": |") || header.ends_with(": >") || matches!(header.trim_start(), "- |" | "- >");
            self.scalar = begins.then(|| indent(line));
        }
        is_in
    }

    /// The line with a word for each action.
    fn marked(&mut self, parts: &[Part<'_>], is_block: bool) -> String {
        let mut line = String::new();
        for part in parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Action(action) => {
                    let cel = if is_block { None } else { cel(action) };
                    let number = self.actions.len().to_string();
                    line.extend([MARK, &number, "X"]);
                    self.actions.push(Action { text: action.clone(), cel });
                }
            }
        }
        line
    }

    /// A scalar of the YAML with its actions.
    pub(super) fn scalar(&self, text: &str) -> Scalar {
        let mut pieces = text.split(MARK);
        let mut result = pieces.next().unwrap_or_default().replace("${", "$${");
        for piece in pieces {
            let (number, rest) = piece.split_once('X').unwrap_or((piece, ""));
            match number.parse::<usize>().ok().and_then(|number| self.actions.get(number)) {
                Some(Action { cel: Some(cel), .. }) => {
                    result = format!("{result}${{{cel}}}{}", rest.replace("${", "$${"))
                }
                Some(Action { text, cel: None }) => return Scalar::Unknown(text.clone()),
                None => result = format!("{result}{MARK}{piece}"),
            }
        }
        Scalar::Text(result)
    }
}

/// What the lines so far have opened and not closed, each with its line.
#[derive(Debug, Default)]
struct Opened {
    /// Blocks: `if`, `range` and others.
    blocks: Vec<(usize, String)>,
    /// An action that goes on in the next line.
    action: Option<(usize, String)>,
}

impl Opened {
    /// Follows the blocks of a line; returns whether it has any.
    fn follow(&mut self, number: usize, parts: &[Part<'_>]) -> Result<bool, (usize, String)> {
        let mut is_block = false;
        for part in parts {
            let Part::Action(action) = part else { continue };
            let word = action.split_whitespace().next().unwrap_or_default();
            match word {
                "if" | "range" | "with" | "define" | "block" => self.blocks.push((number, action.clone())),
                "end" | "else" if self.blocks.is_empty() => {
                    return Err((number, format!("{{{{ {action} }}}} stands outside of a block")));
                }
                "end" => _ = self.blocks.pop(),
                "else" => {}
                _ => continue,
            }
            is_block = true;
        }
        Ok(is_block)
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[derive(Debug)]
enum Part<'l> {
    Text(&'l str),
    Action(String),
}

/// The texts and actions of a line; `open` is the action that goes on before or after it.
fn parts<'l>(number: usize, line: &'l str, open: &mut Option<(usize, String)>) -> Vec<Part<'l>> {
    let mut parts = Vec::new();
    let mut rest = line;
    if open.is_some() {
        let Some((_, after)) = rest.split_once("}}") else { return parts };
        *open = None;
        rest = after;
    }
    while let Some((text, after)) = rest.split_once("{{") {
        parts.push(Part::Text(text));
        let Some(end) = end_of_action(after) else {
            *open = Some((number, after.trim().to_owned()));
            return parts;
        };
        let action = after[..end].strip_prefix('-').unwrap_or(&after[..end]);
        parts.push(Part::Action(action.strip_suffix('-').unwrap_or(action).trim().to_owned()));
        rest = &after[end + "}}".len()..];
    }
    parts.push(Part::Text(rest));
    parts
}

/// Where the action ends: at `}}` outside of a quoted text.
fn end_of_action(text: &str) -> Option<usize> {
    let is_comment = text.trim_start_matches('-').trim_start().starts_with("/*");
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '"' | '`') if !is_comment => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

/// The CEL of an action that is well known.
fn cel(action: &str) -> Option<String> {
    let action = action.strip_suffix("| quote").unwrap_or(action).trim();
    let words = words(action)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        [".ObjectMeta.Name"] => "pod.metadata.?name.orValue('')".to_owned(),
        [".ObjectMeta.Namespace" | ".DeploymentMeta.Namespace"] => "namespace.name".to_owned(),
        [".DeploymentMeta.Name"] => WORKLOAD.to_owned(),
        [".Spec.ServiceAccountName"] => "pod.spec.?serviceAccountName.orValue('default')".to_owned(),
        ["index", ".ObjectMeta.Annotations", key] => cel_key("annotations", literal(key)?, ""),
        ["index", ".ObjectMeta.Labels", key] => cel_key("labels", literal(key)?, ""),
        ["annotation", ".ObjectMeta", key, default] => cel_key("annotations", literal(key)?, literal(default)?),
        [text] => match text.strip_prefix(".ObjectMeta.Labels.") {
            Some(key) if key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') => {
                cel_key("labels", key, "")
            }
            _ => cel_string(literal(text)?),
        },
        _ => return None,
    })
}

/// The name of the workload, as Istio finds it: that of the pod's controller, of a ReplicaSet without its
/// hash and of a Job without the time that its CronJob gave it. Offline a pod has no controller yet, and
/// its generated name tells.
const WORKLOAD: &str = "(pod.metadata.?ownerReferences.orValue([])\
.filter(o, o.?controller.orValue(false) && pod.metadata.?generateName.orValue('') != '')\
.map(o, o.kind == 'ReplicaSet' && o.name.endsWith('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('')) \
? o.name.substring(0, o.name.lastIndexOf('-')) \
: o.kind == 'Job' && o.name.matches('^.+-[0-9]{8,10}$') ? o.name.substring(0, o.name.lastIndexOf('-')) : o.name) \
+ [pod.metadata.?generateName.orValue('') == '' ? pod.metadata.?name.orValue('') : \
(pod.metadata.generateName + '\\n').replace('-' + pod.metadata.?labels[?'pod-template-hash'].orValue('') + '-\\n', '')\
.replace('-\\n', '')])[0]";

/// The words of an action; a quoted one keeps its first quote.
fn words(action: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = action.trim();
    while let Some(first) = rest.chars().next() {
        let (word, after) = if first == '"' || first == '`' {
            let (inner, after) = rest[1..].split_once(first)?;
            if inner.contains('\\') {
                return None;
            }
            (format!("\"{inner}"), after)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        words.push(word);
        rest = after.trim_start();
    }
    Some(words)
}

fn literal(word: &str) -> Option<&str> {
    word.strip_prefix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_values_become_expressions_and_constants_stay() {
        let text = "a: '{{ .ObjectMeta.Namespace }}/{{ annotation .ObjectMeta \"k'\" `d` }}'\nb: ${X}\nc: \"{{- .Values.x -}}\"\n";
        let template = GoTemplate::read(text).expect("a template");
        let lines: Vec<&str> = template.yaml.lines().collect();
        let expected = "a: '${namespace.name}/${pod.metadata.?annotations[?'k\\''].orValue('d')}'";
        assert_eq!(template.scalar(lines[0]), Scalar::Text(expected.to_owned()));
        assert_eq!(template.scalar(lines[1]), Scalar::Text("b: $${X}".to_owned()));
        assert_eq!(template.scalar(lines[2]), Scalar::Unknown(".Values.x".to_owned()));
        assert!(template.lost.is_empty());
    }

    #[test]
    fn a_text_with_an_unknown_part_is_lost_as_a_whole() {
        let text = "a: |\n  {{ .x }}\nb: |-\n  1\n  {{ if .y }}\n  2\n  {{ end }}\n  3\nc:\n- >\n  {{ .ObjectMeta.Namespace }}\n";
        let template = GoTemplate::read(text).expect("a template");
        let value: serde_json::Value = serde_saphyr::from_str(&template.yaml).expect("YAML");
        let scalar = |text: &serde_json::Value| template.scalar(text.as_str().unwrap_or_default());
        assert_eq!(scalar(&value["a"]), Scalar::Unknown(".x".to_owned()));
        assert_eq!(scalar(&value["b"]), Scalar::Unknown("if .y".to_owned()));
        assert_eq!(scalar(&value["c"][0]), Scalar::Text("${namespace.name}\n".to_owned()));
    }

    #[test]
    fn what_go_cannot_read_is_an_error_with_its_line() {
        for (text, line, problem) in [
            ("a: 1\nb: {{ .x\nc: 2\n", 2, "is not closed, expected }}"),
            ("a: 1\n{{ if .x }}\nc: 2\n", 2, "the block {{ if .x }} has no {{ end }}"),
            ("{{ end }}\n", 1, "{{ end }} stands outside of a block"),
            ("a\n{{- else if .y }}\n", 2, "{{ else if .y }} stands outside of a block"),
        ] {
            let (found, message) = GoTemplate::read(text).expect_err("no template");
            assert!(found == line && message.contains(problem), "{text}: {found}: {message}");
        }
        let quoted = GoTemplate::read("a: x{{ printf \"}}\" }}\n").expect("a template");
        assert_eq!(quoted.scalar(quoted.yaml.trim()), Scalar::Unknown("printf \"}}\"".to_owned()));
    }

    #[test]
    fn blocks_and_lines_of_actions_are_left_out_with_their_lines() {
        let text = "a: 1\n{{- if .x }}\nb: 2\n{{ else }}\nb: 3\n{{ end }}\nc: {{ if .y }}1{{ end }}\n{{ toYaml .z\n| indent 2 }}\n{{/* no */}}\nd: 4\n";
        let template = GoTemplate::read(text).expect("a template");
        let lost: Vec<_> = template.lost.iter().map(|(first, _, last)| (*first, *last)).collect();
        assert_eq!(lost, [(2, 6), (8, 9)]);
        let lines: Vec<&str> = template.yaml.lines().collect();
        assert_eq!((lines[0], lines[10]), ("a: 1", "d: 4"));
        assert_eq!(template.scalar(lines[6]), Scalar::Unknown("if .y".to_owned()));
    }
}
