//! Checks a template before the API server stores it, and warns of what its change means for pods.
//!
//! The checks are those of loading; nothing is compiled in another way here. Invariant: only what would
//! not load is refused, and a change that leaves the spec as it is never.

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
/// Revisions that an object keeps.
const MAX_REVISIONS: usize = 5;
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
    let object = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let text = std::str::from_utf8(body).unwrap_or_default();
    let old = find::<&RawValue>(text, &["request", "oldObject"]).map(|old| object(old.get())).unwrap_or_default();
    let validation = Validation { injector, namespaces, request, kind, old, new: object(request.object()), record };
    validation.respond()
}

/// One template under review.
struct Validation<'a> {
    injector: &'a Injector,
    namespaces: NamespaceCount<'a>,
    request: &'a AdmissionRequest<'a>,
    kind: &'static str,
    /// Null for a new template.
    old: Value,
    /// Null for one that is deleted.
    new: Value,
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
            "CREATE" | "UPDATE" if self.new.is_null() => {
                return respond::protocol_error(ProtocolError::ObjectMissing, None);
            }
            // Its spec was let in before, or is about to go.
            "UPDATE" if self.new["spec"] == self.old["spec"] || self.is_being_deleted() => None,
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

    fn is_being_deleted(&self) -> bool {
        self.new.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
    }

    fn name(&self) -> &str {
        let named = self.new.pointer("/metadata/name").or_else(|| self.old.pointer("/metadata/name"));
        named.and_then(Value::as_str).unwrap_or(&self.request.name)
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
        let document = json!({
            "apiVersion": self.new["apiVersion"], "kind": self.new["kind"], "metadata": metadata, "spec": self.new["spec"],
        });
        let origin = self.origin();
        let source = CompiledSource::of_object(&ObjectText {
            origin: origin.clone(),
            name: self.name().to_owned(),
            scope: self.scope(),
            document: document.to_string(),
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
    fn in_use(&self) -> Option<String> {
        let count = |field: &str| self.old["status"][field].as_i64().unwrap_or_default();
        let (pods, namespaces) = (count("pods"), count("namespaces"));
        (pods > 0).then(|| format!("{} in {}", counted(pods, "pod"), counted(namespaces, "namespace")))
    }

    /// The revisions that the object has kept, the newest first, with the pods that carry them.
    fn kept(&self) -> impl Iterator<Item = (&str, i64)> {
        let kept = self.old["status"]["revisions"].as_array().into_iter().flatten();
        kept.map(|kept| (kept["revision"].as_str().unwrap_or_default(), kept["pods"].as_i64().unwrap_or_default()))
    }

    /// A revision that pods carry and that a further one pushes out.
    fn pushed_out(&self, new: &str) -> Option<String> {
        let is_new = self.kept().all(|(revision, _)| revision != new);
        let stable = self.old["status"]["stableRevision"].as_str().unwrap_or_default();
        let (revision, pods) = self.kept().skip(MAX_REVISIONS - 1).find(|(revision, _)| *revision != stable)?;
        (is_new && pods > 0).then(|| {
            let pods = counted(pods, "pod");
            format!("revision {revision}, which {pods} carry, is not kept any longer: no pod can ask for it by \"@\"")
        })
    }

    /// What another revision means.
    fn of_change(&self) -> Vec<String> {
        let (old, new) = (&self.old["spec"], &self.new["spec"]);
        let is_dry_run = self.request.dry_run.unwrap_or(false);
        let revision = ObjectText::revision_of(new);
        let with_new = self.kept().find(|(kept, _)| *kept == revision).map_or(0, |(_, pods)| pods);
        let pods = self.old["status"]["pods"].as_i64().unwrap_or_default();
        let in_use = match with_new {
            0 => self.in_use(),
            // A roll-back: some pods have this revision already.
            some => (pods > some).then(|| counted(pods - some, "pod")),
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
            Some(pods) => {
                format!("{pods} carry another revision and keep it until they are created anew; what changes:")
            }
            None => "no pod carries another revision; what changes:".to_owned(),
        };
        std::iter::once(summary).chain(differences).chain(self.pushed_out(&revision)).collect()
    }

    /// What the deletion means for pods and namespaces.
    fn of_deletion(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(pods) = self.in_use() {
            warnings.push(format!(
                "{pods} carry template {}: they keep it, and new ones that ask for it are refused; to rename a template, \
                 create the new one and change the pods first",
                quote(self.name())
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

fn counted(count: i64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests;
