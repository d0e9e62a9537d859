//! Prints explanations as a Graphviz graph: the webhooks and steps as nodes, the failed ones red.
//!
//! Invariant: every text of an object stands in quotes, with quotes and backslashes escaped.

use std::fmt::Write;

use super::super::terminal::printable;
use super::explanation::{Effect, ExplainReport, Explanation};
use crate::inject::decision_trace::{StepVerdict, TemplateVerdict};

/// One digraph with a cluster for each explanation.
pub(super) fn dot(report: &ExplainReport) -> String {
    let mut graph =
        Graph("digraph explain {\n  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned());
    for (index, explanation) in report.explanations.iter().enumerate() {
        graph.explanation(index, explanation);
    }
    graph.0.push_str("}\n");
    graph.0
}

/// The text of the graph so far.
struct Graph(String);

/// How a node or an edge looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Good,
    Bad,
    Pale,
}

impl Look {
    /// That of something that holds, does not hold, or is not known.
    const fn of(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::Good,
            Some(false) => Self::Bad,
            None => Self::Pale,
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Good => "forestgreen",
            Self::Bad => "red",
            Self::Pale => "gray",
        }
    }
}

impl Graph {
    /// Writing to a String cannot fail.
    fn node(&mut self, id: &str, lines: &[String], look: Look) {
        _ = writeln!(self.0, "    {id} [label={}, color={}];", quoted(lines), look.colour());
    }

    fn edge(&mut self, from: &str, to: &str, look: Look) {
        _ = writeln!(self.0, "    {from} -> {to} [color={}];", look.colour());
    }

    fn explanation(&mut self, index: usize, explanation: &Explanation) {
        let title = quoted(std::slice::from_ref(&explanation.object));
        _ = writeln!(self.0, "  subgraph cluster_{index} {{\n    label={title};");
        let id = |name: &str| format!("e{index}_{name}");
        let end = id("end");
        let look = match explanation.effect {
            Effect::Injected => Look::Good,
            Effect::NotKnown => Look::Pale,
            _ => Look::Bad,
        };
        self.node(&id("pod"), &["new pod".to_owned()], Look::Good);
        self.webhooks(index, explanation);
        let first = if explanation.asked.webhooks.is_empty() { id("pod") } else { id("asked") };
        let mut before = first;
        let mut is_alive = explanation.asked.is_called() != Some(false);
        if !is_alive {
            self.edge(&before, &end, Look::Bad);
        }
        for (position, step) in explanation.decision.steps.iter().enumerate() {
            let name = id(&format!("step{}", position + 1));
            let mut lines = vec![format!("{}. {}", position + 1, step.step.title())];
            lines.extend(
                step.checks
                    .iter()
                    .filter(|check| check.fails())
                    .map(|check| format!("{}: {}", check.what, check.found)),
            );
            lines.extend(step.reasons.iter().map(|reason| reason.code.clone()));
            let (node, edge) = match step.verdict {
                _ if !is_alive => (Look::Pale, Look::Pale),
                StepVerdict::Passed | StepVerdict::Partly => (Look::Good, Look::Good),
                StepVerdict::Stopped => (Look::Bad, Look::Good),
                StepVerdict::NotReached => (Look::Pale, Look::Pale),
            };
            self.node(&name, &lines, node);
            self.edge(&before, &name, edge);
            if step.verdict == StepVerdict::Stopped && is_alive {
                self.edge(&name, &end, Look::Bad);
                is_alive = false;
            }
            before = name;
        }
        for (position, template) in explanation.decision.templates.iter().enumerate() {
            let name = id(&format!("template{}", position + 1));
            let mut lines = vec![format!("template {}", template.name)];
            lines.extend(template.problems.iter().map(|problem| problem.code.clone()));
            let look = match template.verdict {
                TemplateVerdict::Injected => Look::Good,
                TemplateVerdict::Refused => Look::Bad,
                _ => Look::Pale,
            };
            self.node(&name, &lines, look);
            self.edge(&id("step7"), &name, look);
        }
        self.node(&end, std::slice::from_ref(&explanation.summary), look);
        if is_alive {
            self.edge(&before, &end, if explanation.effect == Effect::NotKnown { Look::Pale } else { Look::Good });
        }
        self.0.push_str("  }\n");
    }

    fn webhooks(&mut self, index: usize, explanation: &Explanation) {
        if explanation.asked.webhooks.is_empty() {
            return;
        }
        let asked = format!("e{index}_asked");
        let called = explanation.asked.is_called();
        let label = match called {
            Some(true) => "Outrigger is asked",
            Some(false) => "Outrigger is not asked",
            None => "Outrigger may be asked",
        };
        self.node(&asked, &[label.to_owned()], Look::of(called));
        for (position, webhook) in explanation.asked.webhooks.iter().enumerate() {
            let name = format!("e{index}_webhook{}", position + 1);
            let failed = webhook.checks.iter().filter(|check| check.fails());
            let mut lines = vec![webhook.name.clone()];
            lines.extend(failed.map(|check| format!("{}: {}", check.what, check.found)));
            let look = Look::of(webhook.called);
            self.node(&name, &lines, look);
            self.edge(&format!("e{index}_pod"), &name, Look::Good);
            self.edge(&name, &asked, look);
        }
    }
}

/// A quoted label of these lines.
fn quoted(lines: &[String]) -> String {
    let escape = |line: &String| printable(line).replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", lines.iter().map(escape).collect::<Vec<_>>().join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside_of_the_label() {
        let lines = ["a \"b\"".to_owned(), "c\\".to_owned(), "d\n\u{1b}]".to_owned()];
        assert_eq!(quoted(&lines), r#""a \"b\"\nc\\\nd\\n\\u{1b}]""#);
    }
}
