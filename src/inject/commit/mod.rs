//! The last step: changes the tree, writes the patch and the status, and checks the result.
//!
//! Invariant: the status lists exactly what is added and replaced, so that a second pass
//! recognises it and `uninject` can remove it.

mod editor;
mod operations;
mod postconditions;

use self::editor::{EditError, Editor};
use super::annotations::{AnnotationKeys, DEFAULT_CONTAINER};
use super::decision::report::InjectionReport;
use super::error::{ErrorCode, InjectError, Problem};
use super::merge::{Plan, RenderedTemplate};
use super::outcome::{Injection, Outcome};
use super::pod::PodDocument;
use super::schema::merge_path::MergePath;
use super::status::{Status, StatusEntry};
use super::text::pointer::Pointer;
use super::text::{Message, message, value};
use json_patch::Patch;
use serde_json::{Map, Value};

/// The templates to inject, and the plan for them, which has no conflicts.
pub(super) struct PlannedInjection<'t> {
    pub candidates: Vec<RenderedTemplate<'t>>,
    pub plan: Plan,
    /// The default container for `kubectl logs` and `exec`, if an annotation must be added.
    pub default_container: Option<String>,
}

/// Applies the plan. The pod is skipped if the plan changes nothing.
pub(super) fn commit(
    pod: PodDocument,
    status: &[StatusEntry],
    planned: PlannedInjection<'_>,
    keys: &AnnotationKeys,
    mut report: InjectionReport,
) -> Result<Outcome, InjectError> {
    let Some((entries, plan)) = entries(&pod, status, planned) else { return Ok(Outcome::Skipped(report.skip())) };
    // Debug builds compare the result with that of a second engine. They return the same as release
    // builds.
    let original = if cfg!(debug_assertions) { Some(pod.tree().clone()) } else { None };
    let mut editor = Editor::new(pod.into_tree());
    editor.apply(plan).and_then(|()| entries.write(&mut editor, keys)).map_err(to_inject_error)?;
    let problems = postconditions::check(editor.tree(), &entries.new);
    if !problems.is_empty() {
        return Err(InjectError::from(problems));
    }
    let (tree, patch_json) = editor.finish();
    if let Some(original) = original {
        check_with_second_engine(original, &patch_json, &tree)?;
    }
    let templates = entries.changing().map(|entry| entry.name.clone()).collect();
    let (reasons, left_out, warnings) = (report.reasons(), report.take_left_out(), report.warnings);
    Ok(Outcome::Injected(Injection { patch_json, templates, reasons, left_out, warnings }))
}

/// The metadata about templates that the pod will have.
struct Entries {
    /// Entries of earlier passes.
    kept: Vec<StatusEntry>,
    /// Entries of this pass in the order of the templates, including templates that add nothing.
    new: Vec<StatusEntry>,
    /// Positions of the new entries whose templates change the pod. A template that agrees with an
    /// earlier one in all that it adds has an empty entry, but changes the pod like that one.
    changing: Vec<usize>,
    default_container: Option<String>,
}

/// The entries, and the plan without them. `None` if the plan changes nothing.
fn entries(pod: &PodDocument, status: &[StatusEntry], planned: PlannedInjection<'_>) -> Option<(Entries, Plan)> {
    let PlannedInjection { candidates, mut plan, default_container } = planned;
    // A template that adds nothing has an entry too: a later webhook may rewrite what the pod had,
    // and a second pass must not take that for a conflict.
    let changing = (0..plan.entries.len()).filter(|index| plan.changes_for(*index)).collect();
    let mut new = std::mem::take(&mut plan.entries);
    let first = new.iter_mut().find(|entry| !entry.is_empty())?;
    record_empty_metadata(pod, first);
    if default_container.is_some() {
        let path = MergePath::of(["annotations", DEFAULT_CONTAINER]);
        let null = pod.metadata_field("annotations").and_then(|map| map.get(DEFAULT_CONTAINER));
        first.replaced.extend(null.map(|null| (path.clone(), null.clone())));
        first.added.push(path);
    }
    let renewed = |name: &str| candidates.iter().any(|candidate| candidate.template.name == name);
    let kept = status.iter().filter(|entry| !renewed(&entry.name)).cloned().collect();
    Some((Entries { kept, new, changing, default_container }, plan))
}

impl Entries {
    /// Entries of the templates that change the pod.
    fn changing(&self) -> impl Iterator<Item = &StatusEntry> {
        self.changing.iter().filter_map(|index| self.new.get(*index))
    }

    fn write(&self, editor: &mut Editor, keys: &AnnotationKeys) -> Result<(), EditError> {
        let labels = Pointer::of(["metadata", "labels"]);
        let annotations = Pointer::of(["metadata", "annotations"]);
        for entry in self.changing() {
            editor.set(&labels, &keys.revision(&entry.name), Value::from(entry.revision.as_str()))?;
        }
        if let Some(name) = &self.default_container {
            editor.set(&annotations, DEFAULT_CONTAINER, Value::from(name.as_str()))?;
        }
        let status = Status::to_annotation(self.kept.iter().chain(&self.new));
        editor.set(&annotations, &keys.status, Value::from(status))
    }
}

/// Records metadata that was empty, so that `uninject` restores it.
fn record_empty_metadata(pod: &PodDocument, entry: &mut StatusEntry) {
    let fields = [
        ("metadata", pod.tree().get("metadata")),
        ("labels", pod.metadata_field("labels")),
        ("annotations", pod.metadata_field("annotations")),
    ];
    for (field, value) in fields {
        if let Some(value) = value
            && (value.is_null() || value.as_object().is_some_and(Map::is_empty))
        {
            entry.replaced.insert(MergePath::of([field]), value.clone());
        }
    }
}

/// Applies the patch, as it is sent, to the original pod with another engine. Both pods must be
/// equal.
fn check_with_second_engine(mut original: Value, patch_json: &[u8], tree: &Value) -> Result<(), InjectError> {
    let unusable = |error: &dyn std::fmt::Display| internal(message!["the patch does not apply: ", value(error)]);
    let patch: Patch = serde_json::from_slice(patch_json).map_err(|error| unusable(&error))?;
    json_patch::patch(&mut original, &patch).map_err(|error| unusable(&error))?;
    if original == *tree { Ok(()) } else { Err(internal("the patch results in a different pod than the edited one")) }
}

fn to_inject_error(EditError(pointer): EditError) -> InjectError {
    internal(message!["the patch does not fit the pod at ", value(format_args!("{pointer:?}"))])
}

fn internal(message: impl Into<Message>) -> InjectError {
    InjectError::from(vec![Problem::new(ErrorCode::Internal, message)])
}

#[cfg(test)]
mod tests;
