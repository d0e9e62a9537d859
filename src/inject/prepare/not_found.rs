//! The problem of a template that is requested and does not exist, with what its author may have
//! meant.

use super::Preparation;
use crate::inject::decision::report::annotation_problem;
use crate::inject::decision::{RequestedBy, RequestedTemplate};
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::text::{Message, listed, message, nearest, quote, value, words};

/// Most unknown templates whose message suggests a similar name: the search for one is slow if
/// there are thousands of templates.
const MAX_HINTS: usize = 8;

/// Values with which other injectors are switched off.
const OFF: [&str; 9] = ["false", "no", "off", "disabled", "disable", "none", "never", "n", "0"];

/// Values with which other injectors are switched on.
const ON: [&str; 8] = ["true", "yes", "on", "enabled", "enable", "always", "y", "1"];

impl Preparation<'_, '_> {
    /// The problem of an unknown template. Logs show a problem's template, so this one names none:
    /// an unknown name is text of the pod.
    pub(super) fn not_found(&self, requested: &RequestedTemplate<'_>, problems_before: usize) -> Problem {
        let (of, why) = (self.of_requester(requested.by), self.unknown(&requested.name, problems_before));
        let (code, why) = match self.templates.unread() {
            // The template may exist there, so the pod's author need not act.
            Some(unread) => {
                let why = why.with("; it may be defined in a source that cannot be read: ").with(unread);
                (ErrorCode::TemplateBroken, why)
            }
            None => (ErrorCode::TemplateNotFound, why),
        };
        annotation_problem(code, &self.keys.inject, of, why)
    }

    /// The problem of a revision that is not kept any more, or never was.
    pub(super) fn revision_not_found(&self, requested: &RequestedTemplate<'_>, known: &[String]) -> Problem {
        let wanted = requested.revision.as_ref().map(ToString::to_string).unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let why = message![
            "template ",
            words(quote(&requested.name)),
            " has no revision ",
            value(quote(&wanted)),
            "; there are ",
            words(listed(&known)),
            ", the newest first; without \"@\" the pod gets the current one",
        ];
        let problem =
            annotation_problem(ErrorCode::RevisionNotFound, &self.keys.inject, self.of_requester(requested.by), why);
        Problem { template: Some(requested.name.clone()), ..problem }
    }

    /// Whose annotation requests the template.
    pub(super) fn of_requester(&self, by: RequestedBy) -> Message {
        match by {
            RequestedBy::Namespace => message![" of namespace ", value(quote(self.request.namespace))],
            RequestedBy::Pod | RequestedBy::Template => Message::default(),
        }
    }

    fn unknown(&self, name: &str, problems_before: usize) -> Message {
        let lower = name.to_lowercase();
        if OFF.contains(&lower.as_str()) {
            let rule = " is no template; did you mean \"false\", which opts out?";
            return message![value(quote(name)), rule, words(self.known(None))];
        }
        if ON.contains(&lower.as_str()) {
            let rule = " is no template; the value is a list of template names";
            return message![value(quote(name)), rule, words(self.known(None))];
        }
        let hint = match problems_before < MAX_HINTS {
            true => nearest(name, self.templates.names()),
            false => None,
        };
        let known = if problems_before < MAX_HINTS { self.known(hint) } else { String::new() };
        let hint = hint.map(|near| format!("; did you mean {}?", quote(near))).unwrap_or_default();
        message!["template ", value(quote(name)), " does not exist", words(hint), words(known)]
    }

    /// A list of the known templates: the most similar name first, the others sorted.
    fn known(&self, near: Option<&str>) -> String {
        let mut known = self.templates.names();
        if known.is_empty() {
            return " (no template is loaded)".to_owned();
        }
        known.sort_by_key(|known| near != Some(*known));
        format!(" (known: {})", listed(&known))
    }
}
