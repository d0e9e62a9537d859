//! Checks a template before the API server stores it, and warns of what its change means for pods.
//!
//! The checks are those of loading; nothing is compiled in another way here. Invariant: only what would
//! not load is refused, and a change that leaves the spec as it is never.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::respond::{self, ReviewResponse};
use super::review::{self, checked_envelope};
use super::template_diff::differences;
use super::wire::AdmissionRequest;
use super::{ProtocolError, Record, ReviewResult};
use crate::inject::text::quote;
use crate::inject::{
    CompiledSource, ErrorCode, Injector, LoadProblem, Namespace, ObjectText, TemplateScope, TemplateSet, TemplateState,
    find,
};

/// The group and the resources of templates.
const GROUP: &str = "outrigger.dev";
const RESOURCES: [(&str, &str); 2] =
    [("clusterinjectiontemplates", "ClusterInjectionTemplate"), ("injectiontemplates", "InjectionTemplate")];
/// Longest spec that is parsed, in bytes: a whole template may have as many.
const MAX_SPEC: usize = ObjectText::MAX_BYTES;
/// Lines about what changes.
const MAX_DIFFERENCES: usize = 8;

/// Counts the known namespaces for which this holds.
pub type NamespaceCount<'a> = &'a dyn Fn(&dyn Fn(&Namespace) -> bool) -> usize;

/// Responds to one review of a template.
pub fn validate(injector: &Injector, namespaces: NamespaceCount<'_>, body: &[u8]) -> ReviewResponse {
    let review = match review::parse(body) {
        Ok(review) => review,
        Err((error, detail)) => return respond::protocol_error(error, detail),
    };
    let request = match checked_envelope(&review) {
        Ok(request) => request,
        Err(error) => return respond::protocol_error(error, None),
    };
    let record = Record { result: ReviewResult::Unchanged, ..review::empty_record(request, None) };
    let kind = RESOURCES.iter().find(|(resource, _)| *resource == &*request.resource.resource);
    let Some((_, kind)) = kind.filter(|_| &*request.resource.group == GROUP && request.sub_resource.is_empty()) else {
        return respond::advice(&request.uid, None, &[], record);
    };
    let text = std::str::from_utf8(body).unwrap_or_default();
    let old = find::<&RawValue>(text, &["request", "oldObject"]).map_or("", RawValue::get);
    let (new, old) = (ReviewedObject::read(request.object()), ReviewedObject::read(old));
    Validation { injector, namespaces, request, kind, old, new, record }.respond()
}

/// What is read of an object. The spec stays text until its length is known: the tree of a text can be
/// many times as large.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewedObject<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    metadata: ReviewedMetadata,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    status: ReviewedStatus,
    #[serde(skip)]
    is_present: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewedMetadata {
    name: Option<String>,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReviewedStatus {
    pods: i64,
    namespaces: i64,
    stable_revision: String,
    revisions: Vec<ReviewedRevision>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReviewedRevision {
    revision: String,
    pods: i64,
}

impl<'a> ReviewedObject<'a> {
    /// Reads an object; an absent or unreadable one has nothing. An unreadable status hides nothing else.
    fn read(text: &'a str) -> Self {
        let parsed = serde_json::from_str::<Self>(text).ok().or_else(|| {
            let spec = find::<&RawValue>(text, &["spec"])?;
            let metadata = find(text, &["metadata"]).unwrap_or_default();
            let word = |field: &str| find::<String>(text, &[field]).unwrap_or_default().into();
            let (api_version, kind) = (word("apiVersion"), word("kind"));
            Some(Self { api_version, kind, metadata, spec: Some(spec), ..Self::default() })
        });
        parsed.map(|object| Self { is_present: true, ..object }).unwrap_or_default()
    }

    fn spec_text(&self) -> &'a str {
        self.spec.map_or("", RawValue::get)
    }

    /// The spec, if it is not too large.
    fn spec(&self) -> Value {
        let text = self.spec_text();
        if text.len() > MAX_SPEC { Value::Null } else { serde_json::from_str(text).unwrap_or_default() }
    }
}

/// One template under review.
struct Validation<'a> {
    injector: &'a Injector,
    namespaces: NamespaceCount<'a>,
    request: &'a AdmissionRequest<'a>,
    kind: &'static str,
    /// Absent for a new template.
    old: ReviewedObject<'a>,
    /// Absent for one that is deleted.
    new: ReviewedObject<'a>,
    record: Record,
}

impl Validation<'_> {
    fn respond(mut self) -> ReviewResponse {
        let mut warnings = Vec::new();
        let refusal = match &*self.request.operation {
            "DELETE" => {
                warnings = self.of_deletion();
                None
            }
            "CREATE" | "UPDATE" if !self.new.is_present => {
                return respond::protocol_error(ProtocolError::ObjectMissing, None);
            }
            // Its spec was let in before, or is about to go.
            "UPDATE" if self.keeps_its_spec() || self.new.metadata.deletion_timestamp.is_some() => None,
            "CREATE" | "UPDATE" => match self.check() {
                Ok(found) => {
                    warnings = found;
                    warnings.extend(self.of_change());
                    None
                }
                Err(refusal) => Some(refusal),
            },
            _ => None,
        };
        if refusal.is_some() {
            self.record.result = ReviewResult::Denied;
            self.record.errors.push(ErrorCode::TemplateBroken.code());
        }
        respond::advice(&self.request.uid, refusal.as_deref(), &warnings, self.record)
    }

    /// An API server writes equal specs alike.
    fn keeps_its_spec(&self) -> bool {
        let (new, old) = (self.new.spec_text(), self.old.spec_text());
        let is_small = new.len() <= MAX_SPEC && old.len() <= MAX_SPEC;
        new == old || (is_small && self.old.is_present && self.new.spec() == self.old.spec())
    }

    fn name(&self) -> &str {
        let named = self.new.metadata.name.as_deref().or(self.old.metadata.name.as_deref());
        named.unwrap_or(&self.request.name)
    }

    fn scope(&self) -> TemplateScope {
        match self.kind {
            "InjectionTemplate" => TemplateScope::Namespace(self.request.namespace.to_string()),
            _ => TemplateScope::Cluster,
        }
    }

    /// Kind and name, as the loader calls the object.
    fn origin(&self) -> String {
        match self.scope().namespace() {
            Some(namespace) => format!("{}/{namespace}/{}", self.kind, self.name()),
            None => format!("{}/{}", self.kind, self.name()),
        }
    }

    /// The warnings about a template that loads, or all its problems on one line.
    fn check(&self) -> Result<Vec<String>, String> {
        let mut metadata = json!({"name": self.name()});
        if let Some(namespace) = self.scope().namespace() {
            metadata["namespace"] = namespace.into();
        }
        // With the spec as it was sent.
        let head = json!({"apiVersion": self.new.api_version, "kind": self.new.kind, "metadata": metadata}).to_string();
        let spec = self.new.spec.map_or("null", RawValue::get);
        let document = format!("{},\"spec\":{spec}}}", head.strip_suffix('}').unwrap_or(&head));
        let origin = self.origin();
        let source = CompiledSource::of_object(&ObjectText {
            origin: origin.clone(),
            name: self.name().to_owned(),
            scope: self.scope(),
            document,
            ..ObjectText::default()
        });
        let loaded = TemplateSet::assemble(&[source.into()], &TemplateSet::default());
        let own = |problem: &LoadProblem| {
            let sentence = problem.to_string();
            sentence.strip_prefix(&format!("{origin}: ")).map(str::to_owned).unwrap_or(sentence)
        };
        let mut problems: Vec<String> = loaded.problems.iter().map(own).collect();
        problems.extend(self.elsewhere(&origin));
        problems.extend(self.injector.templates().has_no_room_for(&self.scope(), self.name()));
        if !problems.is_empty() {
            let count =
                if problems.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", problems.len()) };
            return Err(format!("{origin} would not load, {count}: {}", problems.join("; ")));
        }
        let mut warnings: Vec<String> = loaded.warnings.iter().map(own).collect();
        if let Some(namespace) = self.scope().namespace() {
            let hidden = self.injector.templates().would_be_hidden_in(namespace, self.name());
            warnings.extend(hidden.map(|why| format!("{why}; give this one another name")));
        }
        Ok(warnings)
    }

    /// A file that has a template of this name already.
    fn elsewhere(&self, origin: &str) -> Option<String> {
        let known = self.injector.templates().status_of(&self.scope(), self.name())?;
        // One whose source is gone gives way, as when it is loaded.
        if known.origin == origin || known.is_built_in || known.state == TemplateState::Orphaned {
            return None;
        }
        let name = quote(self.name());
        Some(format!(
            "metadata.name: the name {name} stands at {} as well; neither of the two is taken; rename one of them",
            known.origin
        ))
    }

    /// How many pods carry the template, as they were counted last.
    fn in_use(&self) -> Option<Carriers> {
        let ReviewedStatus { pods, namespaces, .. } = self.old.status;
        (pods > 0).then(|| Carriers { pods, place: format!(" in {}", counted(namespaces, "namespace")) })
    }

    /// The revisions that the object has kept, the newest first, with the pods that carry them.
    fn kept(&self) -> impl Iterator<Item = (&str, i64)> {
        self.old.status.revisions.iter().map(|kept| (kept.revision.as_str(), kept.pods))
    }

    /// A revision that pods carry and that a further one pushes out.
    fn pushed_out(&self, new: &str) -> Option<String> {
        let is_new = self.kept().all(|(revision, _)| revision != new);
        let stable = &self.old.status.stable_revision;
        let (revision, pods) =
            self.kept().skip(ObjectText::MAX_REVISIONS - 1).find(|(revision, _)| revision != stable)?;
        (is_new && pods > 0).then(|| {
            let carriers = Carriers { pods, place: String::new() };
            format!("revision {revision}, which {carriers}, is not kept any longer: no pod can ask for it by \"@\"")
        })
    }

    /// What another revision means.
    fn of_change(&self) -> Vec<String> {
        let (old, new) = (&self.old.spec(), &self.new.spec());
        let is_dry_run = self.request.dry_run.unwrap_or(false);
        let revision = ObjectText::revision_of(new);
        let with_new = self.kept().find(|(kept, _)| *kept == revision).map_or(0, |(_, pods)| pods);
        let pods = self.old.status.pods;
        let in_use = match with_new {
            0 => self.in_use(),
            // A roll-back: some pods have this revision already.
            some => (pods > some).then(|| Carriers { pods: pods - some, place: String::new() }),
        };
        if old.is_null() || (in_use.is_none() && !is_dry_run) {
            return Vec::new();
        }
        let without_rollout = |spec: &Value| {
            let mut spec = spec.clone();
            spec.as_object_mut().map(|fields| fields.remove("rollout"));
            spec
        };
        let differences = differences(&without_rollout(old), &without_rollout(new), MAX_DIFFERENCES);
        if differences.is_empty() {
            return Vec::new();
        }
        let summary = match in_use {
            Some(carriers) => {
                let keep = carriers.either("keeps it until it is created anew", "keep it until they are created anew");
                format!("{carriers} another revision and {keep}; what changes:")
            }
            None => "no pod carries another revision; what changes:".to_owned(),
        };
        std::iter::once(summary).chain(differences).chain(self.pushed_out(&revision)).collect()
    }

    /// What the deletion means for pods and namespaces.
    fn of_deletion(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(carriers) = self.in_use() {
            warnings.push(format!(
                "{carriers} template {}: {}, and new ones that ask for it are refused; to rename a template, create the \
                 new one and change the pods first",
                quote(self.name()),
                carriers.either("it keeps it", "they keep it"),
            ));
        }
        let scope = self.scope();
        let names_it = |namespace: &Namespace| {
            scope.namespace().is_none_or(|own| own == namespace.name)
                && self.injector.default_list_names(namespace, self.name())
        };
        let lists = (self.namespaces)(&names_it);
        if lists > 0 {
            let lists = counted(i64::try_from(lists).unwrap_or(i64::MAX), "namespace");
            warnings.push(format!("the default list of {lists} names template {}", quote(self.name())));
        }
        warnings
    }
}

/// Pods that carry a template or a revision, such as `2 pods in 1 namespace carry`.
struct Carriers {
    pods: i64,
    place: String,
}

impl Carriers {
    const fn either(&self, one: &'static str, more: &'static str) -> &'static str {
        if self.pods == 1 { one } else { more }
    }
}

impl fmt::Display for Carriers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", counted(self.pods, "pod"), self.place, self.either("carries", "carry"))
    }
}

fn counted(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests;
