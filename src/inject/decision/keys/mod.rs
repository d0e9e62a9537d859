//! Says for a key of an annotation or label whether Outrigger reads it, and if not, which key its
//! author probably meant.
//!
//! It is pure and knows nothing of a pod: the caller says where the key is and which templates are
//! requested. Invariant: a key that is read at its place, or that belongs to somebody else, has no
//! sentence.

mod domain;
mod known;

use self::domain::{KeyParts, Spelling};
pub(crate) use self::known::KnownTemplates;
use crate::inject::annotations::{self, AnnotationKeys};
use crate::inject::text::{Message, message, nearest_within, quote, value};
use std::cell::Cell;

/// Most edits between a key and the one that its author meant.
const MAX_EDITS: usize = 2;

/// Most searches for a similar name of a template, or of a parameter of all requested templates:
/// each is slow if there are thousands.
const MAX_SEARCHES: usize = 16;

/// Most keys of one map that are reported: a pod can have thousands.
const MAX_UNREAD: usize = 32;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPlace {
    PodAnnotation,
    PodLabel,
    NamespaceAnnotation,
    NamespaceLabel,
    /// An annotation at another place: of the workload that creates the pod, or elsewhere in it.
    OtherAnnotation,
    /// A label at another place.
    OtherLabel,
}

impl KeyPlace {
    /// What a key at this place is called.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::PodAnnotation | Self::NamespaceAnnotation | Self::OtherAnnotation => "annotation",
            Self::PodLabel | Self::NamespaceLabel | Self::OtherLabel => "label",
        }
    }

    /// The same with its article and the object.
    const fn described(self) -> &'static str {
        match self {
            Self::PodAnnotation => "an annotation of the pod",
            Self::PodLabel => "a label of the pod",
            Self::NamespaceAnnotation => "an annotation of the namespace",
            Self::NamespaceLabel => "a label of the namespace",
            Self::OtherAnnotation => "an annotation",
            Self::OtherLabel => "a label",
        }
    }

    const fn is_of_namespace(self) -> bool {
        matches!(self, Self::NamespaceAnnotation | Self::NamespaceLabel)
    }
}

/// What Outrigger does with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// The key belongs to somebody else.
    Foreign,
    /// Outrigger reads or writes the key at this place.
    Read,
    /// A parameter of a template that exists, but that the pod does not request.
    NotRequested { template: String },
    /// The key is right, but Outrigger reads it at another place.
    Misplaced { belongs: KeyPlace },
    /// Nothing reads the key; it resembles one that is read.
    Near {
        /// The similar key; with a value if the key alone would not say what to write.
        meant: String,
        belongs: KeyPlace,
        /// The similar key would change what this pod gets, so the pod is not what its author
        /// means.
        misleads: bool,
    },
    /// The key is read under our domain, and this is another spelling of it.
    OtherDomain { meant: String, belongs: KeyPlace },
    /// Nothing reads the key, and it resembles none that is read.
    Unread,
}

/// A key that nothing reads at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadKey {
    pub key: String,
    pub place: KeyPlace,
    /// Neither [`KeyUse::Foreign`] nor [`KeyUse::Read`].
    pub found: KeyUse,
}

impl UnreadKey {
    /// Whether a pod that gets templates must be refused for this key: it means something else than
    /// its author thinks.
    pub(crate) fn is_error(&self) -> bool {
        let is_here = |belongs: KeyPlace| self.place == KeyPlace::PodAnnotation && belongs == self.place;
        matches!(self.found, KeyUse::Near { belongs, misleads: true, .. } if is_here(belongs))
    }

    /// Whether the author seems to have meant a key that is read.
    pub(crate) fn is_near(&self) -> bool {
        self.found != KeyUse::Unread
    }

    /// One line for the author: which key is not read, and what to write instead.
    pub(crate) fn sentence(&self) -> Message {
        let subject = message![self.place.kind(), " ", value(shown(&self.key))];
        let unread = ": nothing reads this key";
        match &self.found {
            KeyUse::Foreign | KeyUse::Read => subject,
            KeyUse::Unread => message![subject, unread],
            KeyUse::NotRequested { template } => {
                message![subject, " has no effect: the pod does not request template ", value(quote(template))]
            }
            KeyUse::Misplaced { belongs } => {
                message![subject, " has no effect here: it must be ", belongs.described()]
            }
            KeyUse::Near { meant, belongs, .. } | KeyUse::OtherDomain { meant, belongs } => {
                let meant = value(quote(meant));
                if self.place == *belongs {
                    message![subject, unread, "; did you mean ", meant, "?"]
                } else {
                    message![subject, unread, "; did you mean ", meant, ", ", belongs.described(), "?"]
                }
            }
        }
    }
}

/// A key as messages show it: without quotes, cut and escaped.
fn shown(key: &str) -> String {
    quote(key).trim_matches('"').to_owned()
}

/// What is known where keys are judged.
pub(crate) struct KeyCheck<'a> {
    keys: &'a AnnotationKeys,
    templates: &'a dyn KnownTemplates,
    /// The templates that the pod requests. Without one, no key of a template is read.
    requested: &'a [&'a str],
    /// Searches that are still allowed.
    searches: Cell<usize>,
}

impl<'a> KeyCheck<'a> {
    /// A check for a pod that requests these templates; an empty list for everything but a pod.
    pub(crate) fn new(keys: &'a AnnotationKeys, templates: &'a dyn KnownTemplates, requested: &'a [&'a str]) -> Self {
        Self { keys, templates, requested, searches: Cell::new(MAX_SEARCHES) }
    }

    /// The first of these keys that nothing reads at this place, in their order.
    pub(crate) fn unread<'k>(&self, place: KeyPlace, keys: impl IntoIterator<Item = &'k str>) -> Vec<UnreadKey> {
        let found = keys.into_iter().map(|key| (key, self.key(place, key)));
        found
            .filter(|(_, found)| !matches!(found, KeyUse::Foreign | KeyUse::Read))
            .map(|(key, found)| UnreadKey { key: key.to_owned(), place, found })
            .take(MAX_UNREAD)
            .collect()
    }

    /// What Outrigger does with this key at this place.
    pub(crate) fn key(&self, place: KeyPlace, key: &str) -> KeyUse {
        let Some(parts) = domain::split(key, self.keys.domain()) else { return KeyUse::Foreign };
        match parts.spelling {
            Spelling::Exact => self.ours(place, &parts),
            Spelling::Case => match self.places(&parts) {
                [] => self.near(place, &parts),
                places => KeyUse::Near {
                    meant: self.rebuilt(&parts),
                    belongs: best(places, place),
                    misleads: self.would_be_read(&parts),
                },
            },
            Spelling::Other => self.other_domain(place, &parts),
        }
    }

    /// A key of our domain.
    fn ours(&self, place: KeyPlace, parts: &KeyParts<'_>) -> KeyUse {
        match (parts.template, self.places(parts)) {
            // Whether the template has this parameter is checked together with its value.
            (Some(template), _) if place == KeyPlace::PodAnnotation && self.is_requested(template) => KeyUse::Read,
            // A label that Outrigger writes, maybe of a template that has been removed since.
            (Some(_), _) if place == KeyPlace::PodLabel && parts.name == REVISION => KeyUse::Read,
            // Likewise an annotation with the text of a file.
            (Some(_), _) if place == KeyPlace::PodAnnotation && annotations::is_file(parts.name) => KeyUse::Read,
            (_, []) => self.near(place, parts),
            (Some(template), places) if places.contains(&place) => {
                KeyUse::NotRequested { template: template.to_owned() }
            }
            (_, places) if places.contains(&place) => KeyUse::Read,
            (_, places) => KeyUse::Misplaced { belongs: best(places, place) },
        }
    }

    /// A key whose domain resembles ours. It may be somebody else's, so it must resemble a key that
    /// people write.
    fn other_domain(&self, place: KeyPlace, parts: &KeyParts<'_>) -> KeyUse {
        let is_written_by_us = parts.name == REVISION || parts.name == STATUS || annotations::is_file(parts.name);
        match self.places(parts) {
            _ if is_written_by_us => KeyUse::Foreign,
            [] => match self.near(place, parts) {
                KeyUse::Near { meant, belongs, .. } => KeyUse::OtherDomain { meant, belongs },
                _ => KeyUse::Foreign,
            },
            places => KeyUse::OtherDomain { meant: self.rebuilt(parts), belongs: best(places, place) },
        }
    }

    /// The places at which a key is read or written; none if it is unknown.
    fn places(&self, parts: &KeyParts<'_>) -> &'static [KeyPlace] {
        match (parts.template, parts.name) {
            (None, INJECT) => &[KeyPlace::PodAnnotation, KeyPlace::NamespaceAnnotation],
            (None, CONTAINERS | STATUS) => &[KeyPlace::PodAnnotation],
            (None, INJECTION) => &[KeyPlace::NamespaceLabel],
            (None, _) => &[],
            (Some(template), name) if known::declares(self.templates, template, name) => &[KeyPlace::PodAnnotation],
            (Some(template), REVISION) if self.templates.has(template) => &[KeyPlace::PodLabel],
            (Some(_), _) => &[],
        }
    }

    /// The key of ours that an unknown one resembles.
    fn near(&self, place: KeyPlace, parts: &KeyParts<'_>) -> KeyUse {
        let near = match parts.template {
            None => self.near_without_template(place, parts.name),
            Some(template) => self.near_with_template(place, template, parts.name),
        };
        near.unwrap_or(KeyUse::Unread)
    }

    fn near_without_template(&self, place: KeyPlace, name: &str) -> Option<KeyUse> {
        self.near_fixed(place, name, &[INJECT, CONTAINERS, INJECTION])
            .or_else(|| {
                self.take_search()?;
                self.requested.iter().find_map(|template| self.near_parameter(template, name))
            })
            .or_else(|| {
                let template = self.search(name)?;
                let misleads = !self.is_requested(template);
                let meant = format!("{}: {template}", self.keys.inject);
                Some(KeyUse::Near { meant, belongs: KeyPlace::PodAnnotation, misleads })
            })
    }

    fn near_with_template(&self, place: KeyPlace, template: &str, name: &str) -> Option<KeyUse> {
        // `sidecar.outrigger.dev/inject`
        if let Some(fixed) = self.near_fixed(place, name, &[INJECT, CONTAINERS]) {
            return Some(fixed);
        }
        if self.templates.has(template) {
            return self
                .near_parameter(template, name)
                .or_else(|| Some(KeyUse::NotRequested { template: template.to_owned() }));
        }
        let near = self.search(template)?;
        let known = self.templates.parameters(near).unwrap_or_default();
        let parameter = nearest_within(name, known, MAX_EDITS).unwrap_or(name);
        Some(self.parameter(near, parameter))
    }

    fn near_fixed(&self, place: KeyPlace, name: &str, candidates: &[&'static str]) -> Option<KeyUse> {
        let near = nearest_within(name, candidates.iter().copied(), MAX_EDITS)?;
        let places = self.places(&KeyParts { template: None, name: near, spelling: Spelling::Exact });
        Some(KeyUse::Near { meant: self.keys.key(near), belongs: best(places, place), misleads: true })
    }

    fn near_parameter(&self, template: &str, name: &str) -> Option<KeyUse> {
        let near = nearest_within(name, self.templates.parameters(template)?, MAX_EDITS)?;
        Some(self.parameter(template, near))
    }

    fn parameter(&self, template: &str, parameter: &str) -> KeyUse {
        let meant = self.keys.parameter(template, parameter);
        KeyUse::Near { meant, belongs: KeyPlace::PodAnnotation, misleads: self.is_requested(template) }
    }

    /// The template whose name is similar. While a source cannot be read, the name may be right.
    fn search(&self, name: &str) -> Option<&str> {
        self.take_search().filter(|()| self.templates.is_complete())?;
        nearest_within(name, self.templates.names(), MAX_EDITS)
    }

    /// `None` once all searches are used up.
    fn take_search(&self) -> Option<()> {
        self.searches.set(self.searches.get().checked_sub(1)?);
        Some(())
    }

    fn is_requested(&self, template: &str) -> bool {
        self.requested.contains(&template)
    }

    fn would_be_read(&self, parts: &KeyParts<'_>) -> bool {
        parts.template.is_none_or(|template| self.is_requested(template))
    }

    /// The key with our domain.
    fn rebuilt(&self, parts: &KeyParts<'_>) -> String {
        match parts.template {
            Some(template) => self.keys.parameter(template, parts.name),
            None => self.keys.key(parts.name),
        }
    }
}

const INJECT: &str = "inject";
const CONTAINERS: &str = "containers";
const STATUS: &str = "status";
const INJECTION: &str = "injection";
const REVISION: &str = "revision";

/// Of the places at which a key is read, the one that is nearest to where it stands.
fn best(places: &[KeyPlace], place: KeyPlace) -> KeyPlace {
    let here = places.iter().find(|one| **one == place);
    let same_object = || places.iter().find(|one| one.is_of_namespace() == place.is_of_namespace());
    here.or_else(same_object).or(places.first()).copied().unwrap_or(KeyPlace::PodAnnotation)
}

#[cfg(test)]
mod tests;
