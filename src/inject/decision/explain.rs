//! Explains why a pod is skipped: with the values that decided, and with keys that seem to be
//! misspelt.
//!
//! Nothing here is needed to decide. Invariant: a pod that requests templates and gets none of them
//! is told so by a warning.

use super::keys::{KeyCheck, KeyPlace, UnreadKey};
use super::report::InjectionReport;
use super::{Decider, InjectionLabel, requests_some};
use crate::inject::annotations;
use crate::inject::outcome::{Explanation, SkipReason};
use crate::inject::pod::{Pod, PodHead};
use crate::inject::text::{Message, message, quote, value, words};

/// Most misspelt keys that one sentence names.
const MAX_NAMED: usize = 3;

impl Decider<'_> {
    /// Warns of the reasons for which a pod gets none of the templates that it requests.
    pub(super) fn warn(&self, report: &mut InjectionReport) {
        for reason in report.reasons() {
            if is_told_to_requesters(reason) {
                let sentence = self.sentence(reason);
                report.warn_of(reason, &sentence);
            }
        }
    }

    /// Whether a warning tells the author of this pod of the reason.
    pub(in crate::inject) fn warns(&self, head: &PodHead<'_>, reason: SkipReason) -> bool {
        match reason {
            SkipReason::DefaultListInvalid | SkipReason::DefaultTemplateMissing | SkipReason::DefaultTemplateBroken => {
                true
            }
            _ if head.annotation(annotations::MIRROR_POD).is_some() => false,
            reason => is_told_to_requesters(reason) && requests_some(&self.own_request(head)),
        }
    }

    /// What is known about a reason for which this pod is skipped.
    pub(in crate::inject) fn explain(&self, pod: &Pod<'_>, reason: SkipReason) -> Explanation {
        let says_nothing = || pod.head().annotation(&self.keys.inject).is_none();
        let (message, is_mistake) = match reason {
            SkipReason::NotRequested => {
                let misses = self.nearest_misses(pod);
                if misses.is_empty() && says_nothing() {
                    return Explanation::general(reason);
                }
                let is_mistake = !misses.is_empty();
                let empty = || message!["the annotation ", words(&self.keys.inject), " names none"];
                let details =
                    if is_mistake { Message::join(misses.into_iter().take(MAX_NAMED), "; ") } else { empty() };
                (message!["no template is requested; ", details], is_mistake)
            }
            SkipReason::NamespaceNotEnabled => {
                let has_label = matches!(self.injection_label(), InjectionLabel::Other(_));
                (self.sentence(reason), has_label || self.has_unused_default_list())
            }
            reason => (self.sentence(reason), false),
        };
        Explanation { reason, message, is_mistake }
    }

    /// The sentence of a reason, with what the namespace says.
    fn sentence(&self, reason: SkipReason) -> Message {
        let name = || value(quote(self.request.namespace));
        let label = || words(&self.keys.injection);
        match reason {
            SkipReason::NamespaceExcluded => message!["the configuration excludes namespace ", name()],
            SkipReason::NamespaceDisabled => {
                message!["the label ", label(), " of namespace ", name(), " is \"disabled\": nothing is injected"]
            }
            SkipReason::NamespaceNotEnabled => {
                let namespace = message!["namespace ", name()];
                let who = if self.has_unused_default_list() {
                    message![namespace, " asks, but its label "]
                } else {
                    message!["an Automatic template matches, but in ", namespace, " the label "]
                };
                let found = match self.injection_label() {
                    InjectionLabel::Other(found) => message!["is ", value(quote(found))],
                    _ => "is absent".into(),
                };
                message![who, label(), " ", found, ", expected \"enabled\""]
            }
            SkipReason::OptedOut => message!["the pod's annotation ", words(&self.keys.inject), " is \"false\""],
            reason => reason.sentence().into(),
        }
    }

    /// What the author of a pod that requests nothing may have meant: misspelt and misplaced keys
    /// of the pod first, then those of its namespace.
    fn nearest_misses(&self, pod: &Pod<'_>) -> Vec<Message> {
        let check = KeyCheck::new(self.keys, &self.templates, &[]);
        let mut misses = Vec::new();
        let mut add = |place, keys: Vec<&str>, of: &Message| {
            let near = check.unread(place, keys).into_iter().filter(UnreadKey::is_near);
            misses.extend(near.map(|key| message![of.clone(), key.sentence()]));
        };
        let own = Message::default();
        add(KeyPlace::PodAnnotation, pod.head().annotation_keys().collect(), &own);
        let labels = pod.label_keys();
        add(KeyPlace::PodLabel, labels.iter().map(String::as_str).collect(), &own);
        if let Some(namespace) = self.request.namespace_object {
            let of = message!["namespace ", value(quote(&namespace.name)), ": "];
            add(KeyPlace::NamespaceLabel, namespace.labels.keys().map(String::as_str).collect(), &of);
            add(KeyPlace::NamespaceAnnotation, namespace.annotations.keys().map(String::as_str).collect(), &of);
        }
        misses.extend(self.wrong_label());
        misses
    }

    /// A sentence about a label of the namespace whose value has no effect.
    pub(super) fn wrong_label(&self) -> Option<Message> {
        let InjectionLabel::Other(found) = self.injection_label() else { return None };
        let (label, name) = (words(&self.keys.injection), value(quote(self.request.namespace)));
        let expected = ", expected \"enabled\" or \"disabled\"";
        Some(message!["the label ", label, " of namespace ", name, " is ", value(quote(found)), expected])
    }
}

/// Whether a pod that requests templates gets a warning with this reason. A mirror pod gets none:
/// it has no author who could read it.
const fn is_told_to_requesters(reason: SkipReason) -> bool {
    matches!(reason, SkipReason::WindowsPod | SkipReason::NamespaceExcluded | SkipReason::NamespaceDisabled)
}
