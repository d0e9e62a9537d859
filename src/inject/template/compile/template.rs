//! A compiled template that has been rendered with its defaults without errors.
//!
//! Invariant: [`Template::compile`] returns a template or errors, never both.

use super::draft::{CompiledMatch, Draft};
use super::part_trees::PartTrees;
use super::{companions, new_fields, qos, structure};
use crate::inject::expression::{EvaluationError, Reads, Root, Scope, convert, limits};
use crate::inject::overlay::tenancy::{self, RequiredFields};
use crate::inject::overlay::{Overlay, OverlayPart, SamplePaths};
use crate::inject::pod::read_set::ReadSet;
use crate::inject::pod::{OperatingSystem, PodDocument, usual};
use crate::inject::schema::UnknownField;
use crate::inject::template::container_texts::ContainerTexts;
use crate::inject::template::parameters::{self, Parameter};
use crate::inject::template::render::{KnownInputs, RenderErrors, RenderFindings, Renderer, Rendering, UnmetItems};
use crate::inject::template::spec::{ContainerSelection, Order, TemplateSpec};
use crate::inject::template::{RenderContext, Revision, TemplateScope, read_set};
use crate::inject::text::json::text;
use crate::inject::text::json_writer::FieldTexts;
use crate::inject::text::{FieldError, FieldPath, message, names, quote, value};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A compiled, checked template.
#[derive(Debug)]
pub(crate) struct Template {
    pub name: String,
    pub revision: Revision,
    pub origin: String,
    pub scope: TemplateScope,
    /// The spec as written; settings that need no compilation are read from it.
    pub spec: TemplateSpec,
    pub matching: CompiledMatch,
    pub parameters: Vec<Parameter>,
    /// The constant defaults of the parameters.
    pub defaults: BTreeMap<String, cel::Value>,
    /// The defaults for the usual pod, if some are computed and the usual pod has all of them.
    usual_defaults: Option<BTreeMap<String, cel::Value>>,
    pub(super) parts: PartTrees,
    /// The paths that the parts' expressions read.
    pub(super) reads: Reads,
    /// The rendering with all defaults if the parts and the computed defaults read only parameters,
    /// which most pods do not set, and single fields of the pod's spec. Then it is that of the usual
    /// pod.
    rendered: Option<Overlay>,
    /// The containers of this rendering as text.
    container_texts: ContainerTexts,
    /// These fields.
    usual: BTreeSet<String>,
    /// The fields of a pod that this rendering and the conditions read.
    read_set: Option<ReadSet>,
    /// Names of the containers whose names do not depend on the pod.
    container_names: Vec<String>,
    /// How many of them are sidecars; those come first.
    sidecars: usize,
}

impl Template {
    /// Compiles a spec with a valid structure. `raw` is the same spec as JSON.
    pub(crate) fn compile(
        name: &str,
        scope: &TemplateScope,
        origin: &str,
        spec: TemplateSpec,
        raw: &Value,
    ) -> Result<Self, Vec<FieldError>> {
        limits::together(None, || Self::compile_within_limits(name, scope, origin, spec, raw))
    }

    fn compile_within_limits(
        name: &str,
        scope: &TemplateScope,
        origin: &str,
        spec: TemplateSpec,
        raw: &Value,
    ) -> Result<Self, Vec<FieldError>> {
        let (draft, mut errors) = Draft::compile(raw);
        check_settings(name, &spec, &mut errors);
        let restricted = scope.namespace().map_or_else(Vec::new, |_| tenancy::restrict_settings(raw));
        if !errors.is_empty() {
            errors.extend(restricted);
            errors.extend(draft.check_with_samples());
            return Err(errors);
        }
        let Draft { parameters, matching, parts } = draft;
        let mut template = Self {
            name: name.to_owned(),
            revision: Revision::of(raw),
            origin: origin.to_owned(),
            scope: scope.clone(),
            spec,
            matching,
            defaults: parameters::defaults(&parameters),
            usual_defaults: None,
            parameters,
            reads: parts.reads(),
            parts,
            rendered: None,
            container_texts: ContainerTexts::default(),
            usual: BTreeSet::new(),
            read_set: None,
            container_names: Vec::new(),
            sidecars: 0,
        };
        let errors = structure::with_more(restricted, template.render_with_defaults());
        if errors.is_empty() { Ok(template) } else { Err(errors) }
    }

    /// The rendering for this pod if it sets no parameter, unless it depends on the pod.
    pub(crate) fn rendered(&self, pod: &PodDocument) -> Option<&Overlay> {
        self.rendered.as_ref().filter(|_| usual::is(pod, &self.usual))
    }

    /// The fields of a container of that rendering, as they are written in a patch.
    pub(crate) fn container_texts(&self, container: &str) -> Option<&Arc<FieldTexts>> {
        self.container_texts.get(container)
    }

    /// The parameters that have a default, for a pod that sets none; `None` if some have to be computed
    /// for this pod.
    pub(crate) fn known_defaults(&self, pod: &PodDocument) -> Option<&BTreeMap<String, cel::Value>> {
        match self.computes_defaults() {
            false => Some(&self.defaults),
            true => self.usual_defaults.as_ref().filter(|_| usual::is(pod, &self.usual)),
        }
    }

    fn computes_defaults(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.computed().is_some())
    }

    /// The fields that the template reads of a pod that sets no parameter of it; `None` if it can
    /// read any.
    pub(crate) fn read_set(&self) -> Option<&ReadSet> {
        self.read_set.as_ref()
    }

    /// Names of the containers that the template adds.
    pub(crate) fn container_names(&self) -> impl Iterator<Item = &str> {
        self.container_names.iter().map(String::as_str)
    }

    /// Names of the sidecars among them.
    pub(super) fn sidecar_names(&self) -> impl Iterator<Item = &str> {
        self.container_names().take(self.sidecars)
    }

    /// Whether an expression reads this parameter, or possibly reads it.
    pub(super) fn reads_parameter(&self, name: &str) -> bool {
        let conditions = self.matching.conditions.iter().map(|condition| condition.expression.reads());
        std::iter::once(&self.reads).chain(conditions).any(|reads| reads.reads_parameter(name))
    }

    /// Renders the template for one pod.
    pub(crate) fn render(&self, context: &RenderContext<'_>) -> Result<Rendering, RenderErrors> {
        let restrict = |overlay: &Overlay| self.restrict(overlay, &SamplePaths::default());
        context.with_scope(&self.reads, |scope| {
            let mut renderer = Renderer::new(scope, KnownInputs::All, UnmetItems::Dropped);
            if !self.reads.has(Root::Container) {
                let overlay = self.parts.render(&mut renderer);
                return renderer.found.finish(Rendering { overlay, apps: Vec::new() }, context, restrict);
            }
            let overlay = self.parts.render_of_app(false, &mut renderer);
            let mut apps = Vec::with_capacity(context.apps.len());
            let started = context.clock.map(|now| now());
            for position in 0..context.apps.len() {
                let container = context.app(position).unwrap_or(&Value::Null);
                let parts = |renderer: &mut Renderer<'_>| self.parts.render_of_app(true, renderer);
                let app = renderer.for_container(container, &self.reads, parts);
                let elapsed = context.clock.zip(started).map(|(now, started)| now().saturating_sub(started));
                if !renderer.may_go_on(&app, elapsed.unwrap_or_default()) {
                    break;
                }
                apps.push(app);
            }
            renderer.found.finish(Rendering { overlay, apps }, context, restrict)
        })
    }

    /// What the overlay has and a template of a namespace must not bring.
    pub(crate) fn restrict(&self, overlay: &Overlay, samples: &SamplePaths) -> Vec<FieldError> {
        let required = match self.spec.hardened.0 {
            true => RequiredFields::Added,
            false => RequiredFields::Written,
        };
        self.scope.namespace().map_or_else(Vec::new, |_| overlay.restrict(required, samples))
    }

    /// Whether the template is meant for pods of this operating system.
    pub(crate) fn runs_on(&self, os: OperatingSystem) -> bool {
        self.matching.os.contains(&os)
    }

    /// Renders with the defaults and keeps the result if it is the same for all pods. Values that
    /// depend on a pod are samples and are not checked.
    fn render_with_defaults(&mut self) -> Vec<FieldError> {
        let names = |is_one: fn(&Parameter) -> bool| -> BTreeSet<String> {
            let names = self.parameters.iter().filter(|one| is_one(one)).map(|one| one.name().to_owned());
            names.collect()
        };
        let unknown = names(|one| one.default().is_none());
        let required = names(Parameter::is_required);
        let known = KnownInputs::Defaults { required: &unknown };
        let mut errors = self.evaluate_conditions(known);
        let (overlay, found) = self.render_without_pod(known, UnmetItems::Sampled);
        errors.extend(found.errors.iter().map(|problem| FieldError::new(problem.path.clone(), problem.fault())));
        errors.extend(found.check(&overlay));
        errors.extend(found.written.correct(self.restrict(&overlay, &found.samples)));
        errors.extend(found.written.correct(qos::check(&self.spec, &overlay, &found.samples)));
        let is_new = |field: &UnknownField| self.spec.new_fields.contains(&field.name);
        let unknown = found.unknown.into_iter().filter(|field| field.is_near && !is_new(field));
        errors.extend(unknown.map(new_fields::misspelt));
        let samples = found.samples;
        self.container_names = known_container_names(OverlayPart::Sidecars, &overlay, &samples);
        self.sidecars = self.container_names.len();
        self.container_names.extend(known_container_names(OverlayPart::InitContainers, &overlay, &samples));
        if !errors.is_empty() {
            return errors;
        }
        let overlay = match self.parts.have_clauses() {
            false => overlay,
            true => {
                let (overlay, found) = self.render_without_pod(known, UnmetItems::Dropped);
                errors.extend(found.check(&overlay));
                errors.extend(found.written.correct(self.restrict(&overlay, &found.samples)));
                overlay
            }
        };
        let known_to_all = known.cover(&self.reads) && !self.computes_defaults();
        let usual = match known_to_all {
            true => Some(UsualRendering { overlay, fields: BTreeSet::new(), defaults: None }),
            false => self.usual_rendering(KnownInputs::Defaults { required: &required }),
        };
        if let Some(UsualRendering { overlay, fields, defaults }) = usual {
            let conditions = self.matching.conditions.iter().map(|condition| condition.expression.reads());
            let mounts = self.spec.from_app.volume_mounts;
            // Mounts and variables can read other variables.
            let env = mounts || !self.spec.from_app.env.is_empty();
            let copied = [(mounts, "volumeMounts"), (env, "env"), (env, "envFrom")];
            let copied = copied.into_iter().filter_map(|(is_copied, field)| is_copied.then_some(field));
            self.read_set = read_set::of(&overlay, conditions).map(|mut read_set| {
                read_set.container_fields.extend(copied);
                read_set.spec_fields.extend(fields.iter().cloned());
                // What it mounts of the pod is judged by the pod's volumes.
                read_set.has_volume_sources |= self.scope.namespace().is_some();
                read_set.usual.clone_from(&fields);
                read_set
            });
            self.container_texts = ContainerTexts::of(&overlay);
            self.rendered = Some(overlay);
            self.usual = fields;
            self.usual_defaults = defaults;
        }
        errors
    }

    /// The rendering without a pod.
    fn render_without_pod(&self, known: KnownInputs<'_>, left_out: UnmetItems) -> (Overlay, RenderFindings) {
        let render = |scope: &Scope<'_>| {
            let mut renderer = Renderer::new(scope, known, left_out);
            let overlay = self.parts.render(&mut renderer);
            (overlay, renderer.found)
        };
        Scope::with(&self.defaults, &self.reads, None, |_| None, render)
    }

    /// The rendering for the usual pod. `None` if it depends on more than single fields.
    fn usual_rendering(&self, known: KnownInputs<'_>) -> Option<UsualRendering> {
        let mut reads = self.reads.clone();
        self.parameters.iter().filter_map(Parameter::computed).for_each(|(_, of_default)| reads.extend(of_default));
        let fields = read_set::single_fields(&reads).filter(|_| known.has_all_parameters(&reads))?;
        let pod = usual::pod(&fields);
        let object = |root: Root| (root == Root::Pod).then_some(Cow::Borrowed(&pod));
        let mut params = self.defaults.clone();
        for parameter in &self.parameters {
            let Some((_, reads)) = parameter.computed() else { continue };
            let value = Scope::with(&self.defaults, reads, None, object, |scope| parameter.compute(scope)).ok()?;
            params.insert(parameter.name().to_owned(), value);
        }
        let render = |scope: &Scope<'_>| {
            let mut renderer = Renderer::new(scope, KnownInputs::All, UnmetItems::Dropped);
            let overlay = self.parts.render(&mut renderer);
            let has_errors = !renderer.found.errors.is_empty()
                || !overlay.check().is_empty()
                || !self.restrict(&overlay, &SamplePaths::default()).is_empty();
            (!has_errors).then_some(overlay)
        };
        let overlay = Scope::with(&params, &self.reads, None, object, render)?;
        Some(UsualRendering { overlay, fields, defaults: self.computes_defaults().then_some(params) })
    }

    /// Evaluates the conditions that read only parameters.
    fn evaluate_conditions(&mut self, known: KnownInputs<'_>) -> Vec<FieldError> {
        let path = FieldPath::root().child("spec").child("match").child("conditions");
        let mut errors = Vec::new();
        for (index, condition) in self.matching.conditions.iter_mut().enumerate() {
            let expression = &condition.expression;
            if !known.cover(expression.reads()) {
                continue;
            }
            let evaluate = |scope: &Scope<'_>| expression.evaluate(scope);
            let fault = match Scope::with(&self.defaults, expression.reads(), None, |_| None, evaluate) {
                Ok(cel::Value::Bool(holds)) => {
                    condition.holds_by_default = holds;
                    continue;
                }
                Ok(other) => message!["expected a boolean, found ", convert::kind_name(&other)],
                Err(EvaluationError::MissingKey { key, .. }) => value(key),
                Err(EvaluationError::Failed(message)) => message,
            };
            errors.push(FieldError::new(path.index(index).child("expression"), fault));
        }
        errors
    }
}

/// The rendering for the usual pod.
struct UsualRendering {
    overlay: Overlay,
    /// The fields of the pod's spec on which it depends.
    fields: BTreeSet<String>,
    /// The parameters, if some are computed.
    defaults: Option<BTreeMap<String, cel::Value>>,
}

fn known_container_names(part: OverlayPart, overlay: &Overlay, samples: &SamplePaths) -> Vec<String> {
    let is_known = |index: usize| !samples.contain(&part.path().index(index).child("name"));
    let containers = overlay.list(part).iter().enumerate().filter(|(index, _)| is_known(*index));
    containers.map(|(_, container)| text(container, "name").to_owned()).collect()
}

/// Checks the names in settings that are not compiled.
fn check_settings(own: &str, spec: &TemplateSpec, errors: &mut Vec<FieldError>) {
    let path = FieldPath::root().child("spec");
    companions::check(own, spec, &path, errors);
    let mut check = |name: &str, path: FieldPath, rule: Result<(), &'static str>, what: &'static str| {
        if let Err(rule) = rule {
            errors.push(FieldError::new(path, message![value(quote(name)), " is no ", what, ": ", rule]));
        }
    };
    if let ContainerSelection::Names(names) = &spec.app.containers {
        for (index, name) in names.iter().enumerate() {
            let path = path.child("app").child("containers").index(index);
            check(name, path, names::check_dns_label(name), "container name");
        }
    }
    let orders = [(&spec.placement.order, "order"), (&spec.placement.init_container_order, "initContainerOrder")];
    for (order, field) in orders {
        if let Some(Order::Before(name) | Order::After(name)) = order {
            let path = path.child("placement").child(field);
            check(name, path, names::check_dns_label(name), "container name");
        }
    }
    for (index, name) in spec.from_app.env.iter().enumerate() {
        let path = path.child("fromApp").child("env").index(index);
        check(name, path, names::check_env_var_name(name), "valid name");
    }
}
