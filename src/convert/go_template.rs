//! Reads the Go template of a pod as YAML: well-known values become CEL, everything else is lost.
//!
//! Invariant: each action of the text becomes an expression, or is in [`GoTemplate::lost`] with its
//! line, or marks the value in which it stands as lost.

use super::go_action::cel;
use super::go_lines::{Action, Opened, Part, indent, key_column, parts};

/// Begins a word that stands for an action while the text is read as YAML.
const MARK: &str = "OUTRIGGERACTION";

const UNKNOWN: &str = "has no counterpart in a template";

/// Most lines above an action in which the part around it is looked for.
const LINES_ABOVE: usize = 500;

const JOINS: &str = "joins two lines, which is not read";

/// Characters that a trim marker removes, without line breaks.
const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// A Go template as text without actions.
#[derive(Debug, Default)]
pub(super) struct GoTemplate {
    /// YAML with a word of its own for each action, and with holes.
    pub yaml: String,
    /// The same without holes, for texts that are no YAML with them.
    pub without_holes: String,
    /// Where the last line of `yaml` that is not empty ends.
    end: usize,
    /// Whether that line is marked already.
    is_joined: bool,
    /// Begins the word of each action.
    mark: String,
    actions: Vec<Marked>,
    /// What was left out: the first line with its text, and the last line.
    pub lost: Vec<(usize, String, usize)>,
    /// The column of a block scalar's key while its lines are read.
    scalar: Option<usize>,
    /// Whether the block or action that is open is the last one of `lost`.
    is_listed: bool,
    /// The indentation of the outermost hole in the block that is open.
    outermost: usize,
}

/// An action as the text shows it, with its expression or why it has none.
#[derive(Debug)]
struct Marked {
    text: String,
    cel: Result<String, &'static str>,
    /// Whether the action is in `lost`, and its word stands for the lines that were left out.
    is_hole: bool,
}

/// What a scalar of the template is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// A text in which the known actions are expressions.
    Text(String),
    /// It contains an action without an expression; why.
    Unknown(String),
    /// It stands for lines that were left out, which are in `lost`; why.
    Hole(String),
}

/// A line without actions.
enum Line {
    Kept(String),
    /// It is left out; the hole that stands there, if any.
    LeftOut(Option<String>),
}

impl GoTemplate {
    /// The template, or the line and the reason why Go cannot read it either.
    pub(super) fn read(text: &str) -> Result<Self, (usize, String)> {
        let mut mark = MARK.to_owned();
        while text.contains(&mark) {
            mark.push('N');
        }
        let mut template = Self { mark, ..Self::default() };
        let mut opened = Opened::default();
        for (at, line) in text.lines().enumerate() {
            // A line that is left out stays as an empty one, so that lines keep their numbers.
            let (kept, hole) = match template.line(at + 1, line, &mut opened)? {
                Line::Kept(line) => (line, None),
                Line::LeftOut(hole) => (String::new(), hole),
            };
            let line = hole.as_deref().unwrap_or(&kept);
            template.yaml.push_str(line);
            if !line.trim().is_empty() {
                template.end = template.yaml.trim_end().len();
                template.is_joined = false;
            }
            template.yaml.push('\n');
            template.without_holes.extend([&kept, "\n"]);
        }
        if let Some((line, action)) = opened.action {
            return Err((line, format!("the action {{{{ {action} is not closed, expected }}}}")));
        }
        match opened.blocks.pop() {
            Some((line, action)) => Err((line, format!("the block {{{{ {action} }}}} has no {{{{ end }}}}"))),
            None => Ok(template),
        }
    }

    fn line(&mut self, number: usize, line: &str, opened: &mut Opened) -> Result<Line, (usize, String)> {
        let before = opened.blocks.len();
        let was_inside = before > 0 || opened.action.is_some();
        let parts = parts(number, line, &mut opened.action);
        let is_block = opened.follow(number, &parts)?;
        let actions: Vec<&Action> =
            parts.iter().filter_map(|part| if let Part::Action(action) = part { Some(action) } else { None }).collect();
        let texts = parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(*text) } else { None });
        let content: String = texts.collect();
        let stands_alone = content.trim().is_empty();
        let in_scalar = self.is_in_scalar(line);
        if was_inside {
            // The block, or the action, goes on until here.
            if let Some((.., last)) = self.lost.last_mut().filter(|_| self.is_listed) {
                *last = number;
            }
            let hole = if self.is_listed { self.hole(&content) } else { None };
            return Ok(Line::LeftOut(hole));
        }
        let opens = opened.blocks.len() != before || opened.action.is_some();
        self.is_listed = !(in_scalar && opens);
        if !self.is_listed {
            // The text would miss a part, so all of it is lost.
            let open = opened.action.as_ref().map(|(_, text)| format!("{{{{ {text}"));
            let action = actions.first().map(|action| action.written()).or(open).unwrap_or_default();
            return Ok(Line::Kept(format!("{}{}", &line[..indent(line)], self.word(action, Err(UNKNOWN), false))));
        }
        if opens || (stands_alone && !actions.is_empty() && !in_scalar) {
            let opens_block = opened.blocks.len() != before;
            let open = opened.action.as_ref().map(|(_, text)| text.as_str());
            return Ok(Line::LeftOut(self.left_out(number, line, &actions, &content, (opens_block, open))));
        }
        Ok(Line::Kept(self.marked(parts, is_block, in_scalar)))
    }

    /// Lists a line that begins a block or an action, or has nothing but actions. Returns its hole.
    fn left_out(
        &mut self,
        number: usize,
        line: &str,
        actions: &[&Action],
        content: &str,
        (opens_block, open): (bool, Option<&str>),
    ) -> Option<String> {
        let stands_alone = content.trim().is_empty();
        let is_comment = stands_alone
            && actions.iter().all(|action| action.is_comment())
            && open.map_or(!actions.is_empty(), |text| Action::new(text).is_comment());
        // A comment between two trim markers joins the line before it with the next one.
        let joins =
            open.is_none() && self.end > 0 && actions.iter().all(|action| action.trims_before && action.trims_after);
        if is_comment && !joins {
            self.is_listed = false;
            return None;
        }
        self.lost.push((number, line.trim().to_owned(), number));
        self.outermost = usize::MAX;
        if opens_block || !stands_alone {
            return self.hole(content);
        }
        match actions.first() {
            Some(action) if action.inserts() && action.joins_line_before() => {
                self.join(action);
                None
            }
            Some(action) if action.inserts() => self.inserted(action.indent().unwrap_or(indent(line))),
            Some(_) => None,
            None => self.inserted(indent(line)),
        }
    }

    /// Marks the value of the line above, to which a trim marker joins what the action writes.
    fn join(&mut self, action: &Action) {
        if self.end == 0 || self.is_joined {
            return;
        }
        let word = self.word(action.written(), Err(JOINS), false);
        let space = if self.yaml[..self.end].ends_with([':', '-']) { " " } else { "" };
        self.yaml.insert_str(self.end, &format!("{space}{word}"));
        self.is_joined = true;
    }

    /// A key or an item in place of this line of a block that is left out, unless one stands as far out already.
    fn hole(&mut self, content: &str) -> Option<String> {
        let text = content.trim();
        let column = indent(content);
        let is_item = text == "-" || text.starts_with("- ");
        let is_key = text.contains(':') && text.starts_with(|first: char| first.is_alphanumeric() || first == '$');
        if column >= self.outermost || !(is_item || is_key) {
            return None;
        }
        self.outermost = column;
        self.hole_at(column, is_item)
    }

    /// A key or an item in place of what an action inserts at this column, as the lines before it tell.
    fn inserted(&mut self, column: usize) -> Option<String> {
        let mut lines = self.yaml[..self.end].lines().rev().filter(|line| !line.trim().is_empty()).take(LINES_ABOVE);
        let above = lines.find(|line| indent(line) <= column)?;
        let is_open = above.trim_end().ends_with(':');
        let is_item = indent(above) == column && (is_open || above.trim_start().starts_with('-'));
        let is_key = is_open || indent(above) == column || key_column(above) == column;
        if is_item || is_key { self.hole_at(column, is_item) } else { None }
    }

    fn hole_at(&mut self, column: usize, is_item: bool) -> Option<String> {
        let (_, text, _) = self.lost.last()?;
        let word = self.word(text.clone(), Err(UNKNOWN), true);
        let space = " ".repeat(column);
        Some(if is_item { format!("{space}- {word}") } else { format!("{space}{word}: {word}") })
    }

    /// Whether the line belongs to a block scalar; the next one may, if this line begins one.
    fn is_in_scalar(&mut self, line: &str) -> bool {
        if line.trim().is_empty() {
            return self.scalar.is_some();
        }
        let is_in = self.scalar.is_some_and(|key| indent(line) > key);
        if !is_in {
            let line = line.split(" #").next().unwrap_or_default().trim_end();
            let header = line.trim_end_matches(|letter: char| matches!(letter, '+' | '-' | '0'..='9'));
            let begins = header.strip_suffix(['|', '>']).is_some_and(|before| {
                // Anchors and tags may stand before the header.
                let is_property = |word: &&str| word.starts_with(['&', '!']);
                let last = before.split_whitespace().rev().find(|word| !is_property(word));
                before.ends_with(' ') && last.is_some_and(|word| word.ends_with(':') || word == "-")
            });
            self.scalar = begins.then(|| key_column(line));
        }
        is_in
    }

    /// The line with a word for each action.
    fn marked(&mut self, mut parts: Vec<Part<'_>>, is_block: bool, in_scalar: bool) -> String {
        let joins = trim(&mut parts);
        let mut line = String::new();
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Action(action) => {
                    let after =
                        parts.get(at + 1).map_or("", |part| if let Part::Text(text) = part { text } else { "" });
                    let is_whole = !in_scalar && is_whole_value(&line, after);
                    let cel = if joins.contains(&at) {
                        Err(JOINS)
                    } else if is_block {
                        Err(UNKNOWN)
                    } else {
                        cel(&action.text, is_whole).ok_or(UNKNOWN)
                    };
                    line.push_str(&self.word(action.written(), cel, false));
                }
            }
        }
        line
    }

    fn word(&mut self, text: String, cel: Result<String, &'static str>, is_hole: bool) -> String {
        let word = format!("{}{}X", self.mark, self.actions.len());
        self.actions.push(Marked { text, cel, is_hole });
        word
    }

    /// A scalar of the YAML with its actions.
    pub(super) fn scalar(&self, text: &str) -> Scalar {
        let mut pieces = text.split(&self.mark);
        let mut result = pieces.next().unwrap_or_default().replace("${", "$${");
        for (action, rest) in pieces.filter_map(|piece| self.action(piece)) {
            match &action.cel {
                Ok(cel) => result = format!("{result}${{{cel}}}{}", rest.replace("${", "$${")),
                Err(why) if action.is_hole => return Scalar::Hole(format!("{} {why}", action.text)),
                Err(why) => return Scalar::Unknown(format!("{} {why}", action.text)),
            }
        }
        Scalar::Text(result)
    }

    /// The text with the actions as they were written.
    pub(super) fn written(&self, text: &str) -> String {
        let mut pieces = text.split(&self.mark);
        let first = pieces.next().unwrap_or_default().to_owned();
        let written =
            pieces.filter_map(|piece| self.action(piece)).map(|(action, rest)| format!("{}{rest}", action.text));
        std::iter::once(first).chain(written).collect()
    }

    /// The action whose word goes on with this piece, and what follows the word.
    fn action<'t>(&self, piece: &'t str) -> Option<(&Marked, &'t str)> {
        let (number, rest) = piece.split_once('X')?;
        Some((self.actions.get(number.parse::<usize>().ok()?)?, rest))
    }
}

/// Trims the texts beside `{{-` and `-}}`. Returns the actions whose marker reaches into another line.
fn trim(parts: &mut [Part<'_>]) -> Vec<usize> {
    let mut joins = Vec::new();
    for at in 0..parts.len() {
        let Part::Action(Action { trims_before, trims_after, .. }) = parts[at] else { continue };
        if let Some(Part::Text(text)) =
            at.checked_sub(1).and_then(|before| parts.get_mut(before)).filter(|_| trims_before)
        {
            let trimmed = text.trim_end_matches(BLANKS);
            if trimmed.is_empty() && at == 1 {
                joins.push(at);
            } else {
                *text = trimmed;
            }
        }
        let is_last = at + 2 == parts.len();
        if let Some(Part::Text(text)) = parts.get_mut(at + 1).filter(|_| trims_after) {
            *text = text.trim_start_matches(BLANKS);
            if text.is_empty() && is_last {
                joins.push(at);
            }
        }
    }
    joins
}

/// Whether what stands between these texts of a line is a whole value of the YAML.
fn is_whole_value(before: &str, after: &str) -> bool {
    let (before, after) = (before.trim(), after.trim_start());
    (before.ends_with([':', '[', ',']) || before.chars().all(|letter| matches!(letter, '-' | ' ')))
        && (after.is_empty() || after.starts_with([',', ']', '}', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(action: &str) -> Scalar {
        Scalar::Unknown(format!("{action} {UNKNOWN}"))
    }

    /// The member `a` of the YAML with its actions.
    fn member(text: &str) -> Scalar {
        let template = GoTemplate::read(text).expect("a template");
        let value: serde_json::Value = serde_saphyr::from_str(&template.yaml).expect("YAML");
        template.scalar(value["a"].as_str().expect("a text"))
    }

    #[test]
    fn trim_markers_remove_the_blanks_beside_them() {
        for (text, expected) in [
            ("a: \"x/{{- .ObjectMeta.Namespace -}} :1\"\n", "x/${namespace.name}:1"),
            ("a: \"pre- {{- .ObjectMeta.Namespace }} :1\"\n", "pre-${namespace.name} :1"),
            ("a: '{{ .ObjectMeta.Namespace -}} {{- .ObjectMeta.Namespace }}'\n", "${namespace.name}${namespace.name}"),
            ("a: >-\n  x {{- .ObjectMeta.Namespace -}} y\n  z\n", "x${namespace.name}y z"),
            ("a: {{ .ObjectMeta.Namespace | quote }}\n", "${namespace.name}"),
        ] {
            assert_eq!(member(text), Scalar::Text(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_text_whose_lines_a_trim_marker_joins_is_lost() {
        for text in [
            "a: |\n  x\n  {{- .ObjectMeta.Namespace }}\n",
            "a: |\n  {{ .ObjectMeta.Namespace -}}\n  x\n",
            "a: \"x\n  {{- .ObjectMeta.Namespace }}\"\n",
            "a: x {{ .ObjectMeta.Namespace -}}\nb: 1\n",
            "a: x/\n  {{- .ObjectMeta.Namespace }}\nb: 1\n",
            "a:\n  {{- .ObjectMeta.Namespace }}\nb: 1\n",
        ] {
            let Scalar::Unknown(why) = member(text) else { panic!("{text} is not lost") };
            assert!(why.ends_with("joins two lines, which is not read"), "{text}: {why}");
        }
        assert_eq!(member("a: |\n  x {{ .ObjectMeta.Name | quote }}\n"), unknown("{{ .ObjectMeta.Name | quote }}"));
        let commented = |text: &str| GoTemplate::read(text).expect("a template").lost.len();
        assert_eq!(commented("{{- /* c */ -}}\na: 1\n{{- /* }} */}}\nb: 2\n"), 0);
        assert_eq!(commented("a: {{ .x }}\n{{- /* c\nd */}}\n{{- toYaml .y | nindent 2 }}\nb: 2\n"), 1);
        assert_eq!(commented("a: 1\n{{- /* c */ -}}\nb: 2\n"), 1);
    }

    #[test]
    fn a_block_scalar_ends_where_a_line_is_at_the_column_of_its_key() {
        let text = "- a: >-\n    x\n  {{ if .y }}\n  b: 1\n  {{ end }}\n- - c: &d |+ # e\n      {{ .z }}\n";
        let template = GoTemplate::read(text).expect("a template");
        assert_eq!(template.lost.len(), 1);
        let value: serde_json::Value = serde_saphyr::from_str(&template.yaml).expect("YAML");
        assert_eq!(template.scalar(value[0]["a"].as_str().expect("a text")), Scalar::Text("x".to_owned()));
    }

    #[test]
    fn the_words_of_actions_are_none_of_the_text() {
        assert_eq!(member("a: OUTRIGGERACTION0X {{ .x }}\n"), unknown("{{ .x }}"));
        assert_eq!(member("b: {{ .x }}\na: OUTRIGGERACTION0X\n"), Scalar::Text("OUTRIGGERACTION0X".to_owned()));
    }

    #[test]
    fn a_hole_stands_for_the_lines_that_are_left_out() {
        let text = "a:\n- b\n{{ if .x }}\n- c: 1\n  d: 2\n{{ else }}\n- e\n{{ end }}\n{{ toYaml .y | nindent 0 }}\nf:\n  {{ .z }}\n";
        let template = GoTemplate::read(text).expect("a template");
        let value: serde_json::Value = serde_saphyr::from_str(&template.yaml).expect("YAML");
        let hole =
            |text: &serde_json::Value| matches!(template.scalar(text.as_str().expect("a text")), Scalar::Hole(_));
        let items = value["a"].as_array().expect("a list");
        assert_eq!(items.iter().map(hole).collect::<Vec<_>>(), [false, true, true]);
        assert!(value["f"].as_object().is_some_and(|map| map.values().all(hole)));
        assert_eq!(template.without_holes.lines().filter(|line| !line.is_empty()).count(), 3);
    }

    #[test]
    fn well_known_values_become_expressions_and_constants_stay() {
        let text = "a: '{{ .ObjectMeta.Namespace }}/{{ annotation .ObjectMeta \"k'\" `d` }}'\nb: ${X}\nc: \"{{- .Values.x -}}\"\n";
        let template = GoTemplate::read(text).expect("a template");
        let lines: Vec<&str> = template.yaml.lines().collect();
        let expected = "a: '${namespace.name}/${pod.metadata.?annotations[?'k\\''].orValue('d')}'";
        assert_eq!(template.scalar(lines[0]), Scalar::Text(expected.to_owned()));
        assert_eq!(template.scalar(lines[1]), Scalar::Text("b: $${X}".to_owned()));
        assert_eq!(template.scalar(lines[2]), unknown("{{- .Values.x -}}"));
        assert!(template.lost.is_empty());
    }

    #[test]
    fn a_text_with_an_unknown_part_is_lost_as_a_whole() {
        let text = "a: |\n  {{ .x }}\nb: |-\n  1\n  {{ if .y }}\n  2\n  {{ end }}\n  3\nc:\n- >\n  {{ .ObjectMeta.Namespace }}\n";
        let template = GoTemplate::read(text).expect("a template");
        let value: serde_json::Value = serde_saphyr::from_str(&template.yaml).expect("YAML");
        let scalar = |text: &serde_json::Value| template.scalar(text.as_str().unwrap_or_default());
        assert_eq!(scalar(&value["a"]), unknown("{{ .x }}"));
        assert_eq!(scalar(&value["b"]), unknown("{{ if .y }}"));
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
        assert_eq!(quoted.scalar(quoted.yaml.trim()), unknown("{{ printf \"}}\" }}"));
    }

    #[test]
    fn blocks_and_lines_of_actions_are_left_out_with_their_lines() {
        let text = "a: 1\n{{- if .x }}\nb: 2\n{{ else }}\nb: 3\n{{ end }}\nc: {{ if .y }}1{{ end }}\n{{ toYaml .z\n| indent 2 }}\n{{/* no */}}\nd: 4\n";
        let template = GoTemplate::read(text).expect("a template");
        let lost: Vec<_> = template.lost.iter().map(|(first, _, last)| (*first, *last)).collect();
        assert_eq!(lost, [(2, 6), (8, 9)]);
        let lines: Vec<&str> = template.yaml.lines().collect();
        assert_eq!((lines[0], lines[10]), ("a: 1", "d: 4"));
        assert_eq!(template.scalar(lines[6]), unknown("{{ if .y }}"));
    }
}
