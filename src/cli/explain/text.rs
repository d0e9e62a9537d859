//! Prints explanations for people: numbered steps, with a mark and words for each result.
//!
//! Invariant: no line is wider than the terminal, and none has characters that control it.

use super::super::terminal::{Colour, Colours, printable};
use super::explanation::{Effect, ExplainReport, Explanation, mark};
use crate::inject::decision_trace::{
    Check, ParameterSource, StepVerdict, TemplateTrace, TemplateVerdict, TraceRequester, TraceStep,
};
use crate::workload::Carried;

/// The whole report.
pub(super) fn text(report: &ExplainReport, colours: Colours, width: Option<usize>) -> String {
    let mut page = Page { text: String::new(), colours, width };
    for (index, explanation) in report.explanations.iter().enumerate() {
        if index > 0 {
            page.text.push('\n');
        }
        page.explanation(explanation);
    }
    page.text
}

/// What would change with other templates: a line for each pod, and the changes of those that differ.
pub(super) fn comparison(report: &ExplainReport, colours: Colours, width: Option<usize>) -> String {
    let mut page = Page { text: String::new(), colours, width };
    let compared = report.explanations.iter().filter_map(|one| Some((&one.object, one.against.as_ref()?)));
    let compared: Vec<_> = compared.collect();
    for (object, comparison) in &compared {
        if !comparison.differs {
            page.line(0, Some(Colour::Green), "=", &format!("{object}: {}, as before", comparison.before));
            continue;
        }
        let end = match comparison.before == comparison.after {
            true => format!("{}, with other values", comparison.after),
            false => format!("{}; before it {}", comparison.after, comparison.before),
        };
        page.line(0, Some(Colour::Yellow), "~", &format!("{object}: {end}"));
        comparison.changes.iter().for_each(|change| page.line(4, None, "-", change));
    }
    let differing = compared.iter().filter(|(_, comparison)| comparison.differs).count();
    page.line(0, None, &format!("{differing} of {} would change", compared.len()), "");
    page.text
}

struct Page {
    text: String,
    colours: Colours,
    width: Option<usize>,
}

impl Page {
    /// A line with a coloured beginning. It is broken at spaces where it is too wide.
    fn line(&mut self, indent: usize, colour: Option<Colour>, begin: &str, rest: &str) {
        let rest = printable(rest);
        let all = if rest.is_empty() { begin.to_owned() } else { format!("{begin} {rest}") };
        for (index, part) in
            broken(&all, self.width.map(|width| width.saturating_sub(indent + 4).max(20))).iter().enumerate()
        {
            let shift = if index == 0 { indent } else { indent + 4 };
            self.text.push_str(&" ".repeat(shift));
            match (colour, index, part.strip_prefix(begin)) {
                (Some(colour), 0, Some(rest)) => {
                    self.text.push_str(&self.colours.paint(colour, begin));
                    self.text.push_str(rest);
                }
                _ => self.text.push_str(part),
            }
            self.text.push('\n');
        }
    }

    fn explanation(&mut self, explanation: &Explanation) {
        self.line(0, Some(Colour::Bold), &printable(&explanation.object), "");
        let (colour, sign) = match explanation.effect {
            Effect::Injected => (Colour::Green, "✓"),
            Effect::Skipped | Effect::NotAsked => (Colour::Yellow, "–"),
            Effect::Refused | Effect::Failed => (Colour::Red, "✗"),
            Effect::NotKnown => (Colour::Yellow, "?"),
        };
        let subject = if explanation.templates_unread { "" } else { "the pod " };
        self.line(0, Some(colour), sign, &format!("{subject}{}", explanation.summary));
        self.asked(explanation);
        self.text.push_str("\nDecision\n");
        for (index, step) in explanation.decision.steps.iter().enumerate() {
            self.step(index + 1, step);
        }
        if !explanation.decision.templates.is_empty() {
            self.text.push_str("\nTemplates\n");
            explanation.decision.templates.iter().for_each(|template| self.template(template));
        }
        if let Some(carried) = &explanation.carried {
            self.carried(carried, explanation);
        }
        if !explanation.pods.is_empty() {
            self.text.push_str("\nExisting pods\n");
        }
        for group in &explanation.pods {
            let (colour, sign) = if group.is_current { (Colour::Green, "✓") } else { (Colour::Yellow, "✗") };
            let (count, noun) = (group.pods.len(), if group.pods.len() == 1 { "pod" } else { "pods" });
            self.line(2, Some(colour), sign, &format!("{count} {noun} {}: {}", group.state, group.pods.join(", ")));
        }
        for (heading, lines) in [("Warnings", &explanation.decision.warnings), ("Notes", &explanation.notes)] {
            if !lines.is_empty() {
                self.text.push_str(&format!("\n{heading}\n"));
                lines.iter().for_each(|line| self.line(2, None, "-", line));
            }
        }
    }

    fn asked(&mut self, explanation: &Explanation) {
        self.text.push_str("\nDoes the API server ask Outrigger?\n");
        for webhook in &explanation.asked.webhooks {
            let (colour, sign, words) = match webhook.called {
                Some(true) => (Colour::Green, "✓", "called"),
                Some(false) => (Colour::Yellow, "✗", "not called"),
                None => (Colour::Yellow, "–", "not known"),
            };
            let policy =
                format!("{} in {} (failurePolicy {})", webhook.name, webhook.configuration, webhook.failure_policy);
            self.line(2, Some(colour), &format!("{sign} {words}:"), &policy);
            self.checks(6, &webhook.checks);
        }
        explanation.asked.notes.iter().for_each(|note| self.line(2, None, "–", note));
    }

    fn step(&mut self, number: usize, step: &TraceStep) {
        let (colour, sign, words) = match step.verdict {
            StepVerdict::Passed => (Colour::Green, "✓", "passed"),
            StepVerdict::Partly => (Colour::Yellow, "–", "partly"),
            StepVerdict::Stopped => (Colour::Red, "✗", "stops here"),
            StepVerdict::NotReached => (Colour::Dim, "–", "not reached"),
        };
        let begin = format!("{number}. {sign}");
        self.line(2, Some(colour), &begin, &format!("{}: {words}", step.step.title()));
        self.checks(6, &step.checks);
        for reason in &step.reasons {
            self.line(6, None, "→", &format!("{}: {}", reason.code, reason.sentence));
        }
    }

    fn checks(&mut self, indent: usize, checks: &[Check]) {
        for check in checks {
            let colour = match check.holds {
                Some(true) => Colour::Green,
                Some(false) => Colour::Red,
                None => Colour::Dim,
            };
            self.line(indent, Some(colour), mark(check), &format!("{}: {}", check.what, check.found));
        }
    }

    fn template(&mut self, template: &TemplateTrace) {
        let (colour, words) = match template.verdict {
            TemplateVerdict::Injected => (Colour::Green, "injected"),
            TemplateVerdict::AlreadyInjected => (Colour::Yellow, "already injected"),
            TemplateVerdict::NotChosen => (Colour::Yellow, "not chosen"),
            TemplateVerdict::LeftOut => (Colour::Yellow, "left out"),
            TemplateVerdict::Refused => (Colour::Red, "refused"),
            TemplateVerdict::NothingToAdd => (Colour::Yellow, "nothing to add"),
            TemplateVerdict::NotInjected => (Colour::Yellow, "not injected"),
        };
        let by = match template.requested_by {
            TraceRequester::Pod => "requested by the pod",
            TraceRequester::Namespace => "requested by the namespace",
            TraceRequester::Template => "Automatic",
        };
        let revision = template.revision.as_ref().map(|one| format!(", revision {one}")).unwrap_or_default();
        self.line(2, Some(colour), &format!("{}:", printable(&template.name)), &format!("{words} ({by}{revision})"));
        self.checks(6, &template.checks);
        for parameter in &template.parameters {
            let value = parameter.value.as_ref().map_or_else(|| "no value".to_owned(), |value| format!("{value:?}"));
            let source = match parameter.source {
                ParameterSource::Annotation => format!("annotation {}", parameter.annotation),
                ParameterSource::Default => "default".to_owned(),
                ParameterSource::Computed => "default computed for this pod".to_owned(),
                ParameterSource::Missing => format!("set annotation {}", parameter.annotation),
            };
            self.line(6, None, "parameter", &format!("{} = {value} ({source})", parameter.name));
        }
        for item in &template.left_out_items {
            let of = item.container.as_ref().map(|name| format!(" for container {name}")).unwrap_or_default();
            self.line(6, None, "left out", &format!("{}{of} ({})", item.path, item.clause));
        }
        for brought in &template.brings {
            let to = brought.container.as_ref().map(|name| format!(" [container {name}]")).unwrap_or_default();
            let detail = if brought.detail.is_empty() { String::new() } else { format!(": {}", brought.detail) };
            self.line(6, Some(Colour::Green), "+", &format!("{} {}{to}{detail}", brought.kind, brought.name));
        }
        for problem in &template.problems {
            self.line(6, Some(Colour::Red), "✗", &format!("{}: {}", problem.code, problem.sentence));
        }
    }

    fn carried(&mut self, carried: &Carried, explanation: &Explanation) {
        self.text.push_str("\nCarries\n");
        for template in &carried.templates {
            let current = match &template.current {
                Some(current) if *current == template.revision => "the current one".to_owned(),
                Some(current) => format!("the current one is {current}"),
                None if explanation.templates_unread => "the current one is not known".to_owned(),
                None => "no such template any more".to_owned(),
            };
            self.line(2, None, "-", &format!("{} at revision {} ({current})", template.name, template.revision));
        }
        match &carried.difference {
            None => self.line(2, Some(Colour::Green), "✓", "it is what the pod would get today"),
            Some(difference) => {
                let advice = carried.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
                self.line(2, Some(Colour::Yellow), "✗", &format!("{difference}{advice}"));
            }
        }
        carried.changes.iter().for_each(|change| self.line(6, None, "~", change));
    }
}

/// The text in lines of at most `width` characters, broken at spaces where there are some.
fn broken(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().map_or(0, |line| line.chars().count());
            let needed = word.len() + usize::from(line > 0);
            let Some(last) = lines.last_mut() else { break };
            if line + needed <= width {
                if line > 0 {
                    last.push(' ');
                }
                last.extend(word.drain(..));
                break;
            }
            if line > 0 {
                lines.push(String::new());
            } else {
                last.extend(word.drain(..width));
                lines.push(String::new());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!(broken("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(broken("abcdefghij kl", Some(4)), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(broken("one two three", None), ["one two three"]);
    }
}
