//! A template that compiles and renders with its defaults.
//!
//! Invariant: [`Template::compile`] gives a template or problems, never both; what exists can be rendered.

use super::read_set;
use super::spec::{ContainerSelection, InjectionMode, OnConflict, OnError, ParameterSpec, PlacementSpec, TemplateSpec};
use super::tree::{Known, Node, RenderError, Renderer};
use crate::inject::expression::{EvaluationError, Expression, Reads, Root, Scope};
use crate::inject::overlay::Overlay;
use crate::inject::pod::OperatingSystem;
use crate::inject::pod::read_set::ReadSet;
use crate::inject::schema::{self, SchemaRef};
use crate::inject::template::parameters;
use crate::inject::template::parameters::Parameter;
use crate::inject::template::revision::Revision;
use crate::inject::template::selector::LabelSelector;
use crate::inject::text::field::{FieldError, FieldPath, quote};
use crate::inject::text::json::{items, text};
use crate::inject::text::names;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A compiled, checked template.
#[derive(Debug)]
pub struct Template {
    pub name: String,
    pub revision: Revision,
    pub origin: String,
    pub description: String,
    pub mode: InjectionMode,
    pub matching: Matching,
    pub parameters: Vec<Parameter>,
    /// The parameters of pods that set none.
    pub defaults: BTreeMap<String, cel::Value>,
    pub selection: ContainerSelection,
    pub select_init_containers: bool,
    pub take_volume_mounts: bool,
    pub take_env: Vec<String>,
    pub placement: PlacementSpec,
    pub on_conflict: OnConflict,
    pub on_error: OnError,
    /// Whether containers are made to fit Pod Security "restricted".
    pub hardened: bool,
    body: Body,
    /// What body and conditions read.
    reads: Reads,
    /// The rendering with all defaults, when nothing but parameters is read: most pods set none.
    rendered: Option<Overlay>,
    /// What that rendering looks at in a pod.
    read_set: Option<ReadSet>,
    /// Names of all containers, as far as no pod has a say in them.
    container_names: Vec<String>,
}

/// Which pods may have the template.
#[derive(Debug)]
pub struct Matching {
    pub os: Vec<OperatingSystem>,
    pub namespace_selector: LabelSelector,
    pub pod_selector: LabelSelector,
    pub conditions: Vec<Condition>,
}

/// A CEL condition.
#[derive(Debug)]
pub struct Condition {
    pub expression: Expression,
    pub message: String,
    /// Whether it holds for every pod that sets no parameter.
    pub holds_by_default: bool,
}

/// The parts that are rendered.
#[derive(Debug)]
struct Body {
    sidecars: Node,
    init_containers: Node,
    volumes: Node,
    env: Node,
    env_from: Node,
    volume_mounts: Node,
    labels: Node,
    annotations: Node,
    pod: Node,
}

impl Template {
    /// Compiles the spec of one document. `raw` is that spec as JSON, `spec` the same when its shape is right: without it
    /// there is no template, but everything else that is wrong is still found.
    pub fn compile(
        name: &str,
        origin: &str,
        spec: Option<TemplateSpec>,
        raw: &Value,
    ) -> Result<Option<Self>, Vec<FieldError>> {
        let path = FieldPath::root().child("spec");
        let (parts, mut errors) = Parts::compile(raw, &path);
        let Some(spec) = spec.filter(|spec| {
            check_settings(spec, &path, &mut errors);
            errors.is_empty()
        }) else {
            errors.extend(parts.check_with_samples());
            return if errors.is_empty() { Ok(None) } else { Err(errors) };
        };
        let mut reads = Reads::default();
        parts.body.collect_reads(&mut reads);
        let mut template = Self {
            name: name.to_owned(),
            revision: Revision::of(raw),
            origin: origin.to_owned(),
            description: spec.description,
            mode: spec.injection,
            matching: parts.matching,
            defaults: parameters::defaults(&parts.parameters),
            parameters: parts.parameters,
            selection: spec.app.containers,
            select_init_containers: spec.app.init_containers,
            take_volume_mounts: spec.from_app.volume_mounts,
            take_env: spec.from_app.env,
            placement: spec.placement,
            on_conflict: spec.on_conflict,
            on_error: spec.on_error,
            hardened: spec.hardened.0,
            body: parts.body,
            reads,
            rendered: None,
            read_set: None,
            container_names: Vec::new(),
        };
        template.render_with_defaults(&mut errors);
        if errors.is_empty() { Ok(Some(template)) } else { Err(errors) }
    }

    /// Variables that the body reads.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// The rendering of pods that set no parameter, where it is the same for all of them.
    pub fn rendered(&self) -> Option<&Overlay> {
        self.rendered.as_ref()
    }

    /// What the template looks at in pods that set no parameter of it, where that is known.
    pub(crate) fn read_set(&self) -> Option<&ReadSet> {
        self.read_set.as_ref()
    }

    /// Names of the containers that the template brings.
    pub fn container_names(&self) -> impl Iterator<Item = &str> {
        self.container_names.iter().map(String::as_str)
    }

    /// Renders the body in a scope that holds what [`Self::reads`] names.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Overlay, Vec<RenderError>> {
        let mut renderer = Renderer::new(scope, &|_| true);
        let overlay = self.body.render(&mut renderer);
        if renderer.errors.is_empty() { Ok(overlay) } else { Err(renderer.errors) }
    }

    /// Renders with the defaults; what only a pod can give is a sample, and is not judged.
    fn render_with_defaults(&mut self, errors: &mut Vec<FieldError>) {
        let defaults = self.defaults.clone();
        let required = self.parameters.iter().filter(|one| one.default().is_none());
        let required: BTreeSet<String> = required.map(|one| one.name().to_owned()).collect();
        let known = |reads: &Reads| {
            let objects = Root::ALL.iter().any(|root| *root != Root::Params && reads.of(*root).next().is_some());
            !objects && !required.iter().any(|name| reads.reads_parameter(name))
        };
        let (overlay, problems) = Scope::with(
            &defaults,
            &self.reads,
            None,
            |_| None,
            |scope| {
                let mut renderer = Renderer::new(scope, &known);
                let overlay = self.body.render(&mut renderer);
                (overlay, renderer.errors)
            },
        );
        errors.extend(self.judge_conditions(&known));
        errors.extend(problems.iter().map(|problem| FieldError::new(problem.path.clone(), problem.fault())));
        errors.extend(overlay.check());
        self.container_names = overlay.container_names().map(str::to_owned).collect();
        if known(&self.reads) {
            let conditions = self.matching.conditions.iter().map(|condition| condition.expression.reads());
            let mounts = self.take_volume_mounts.then_some("volumeMounts");
            let env = (!self.take_env.is_empty()).then_some("env");
            self.read_set = read_set::of(&overlay, conditions).map(|mut read_set| {
                read_set.container_fields.extend(mounts.into_iter().chain(env));
                read_set
            });
            self.rendered = Some(overlay);
        }
    }

    /// Judges the conditions that read nothing but parameters.
    fn judge_conditions(&mut self, known: Known<'_>) -> Vec<FieldError> {
        let path = FieldPath::root().child("spec").child("match").child("conditions");
        let mut errors = Vec::new();
        for (index, condition) in self.matching.conditions.iter_mut().enumerate() {
            let reads = condition.expression.reads();
            if !known(reads) {
                continue;
            }
            let fault = match Scope::with(
                &self.defaults,
                reads,
                None,
                |_| None,
                |scope| condition.expression.evaluate(scope),
            ) {
                Ok(cel::Value::Bool(holds)) => {
                    condition.holds_by_default = holds;
                    continue;
                }
                Ok(other) => format!("expected a boolean, found a {}", other.type_of()),
                Err(EvaluationError::MissingKey { key: message, .. } | EvaluationError::Failed(message)) => message,
            };
            errors.push(FieldError::new(path.index(index).child("expression"), fault));
        }
        errors
    }

    /// Whether the template is meant for pods of this operating system.
    pub fn runs_on(&self, os: OperatingSystem) -> bool {
        self.matching.os.contains(&os)
    }
}

/// What is compiled from the raw spec, one part independent of the other, so that all problems are found at once.
struct Parts {
    parameters: Vec<Parameter>,
    matching: Matching,
    body: Body,
}

impl Parts {
    fn compile(raw: &Value, path: &FieldPath) -> (Self, Vec<FieldError>) {
        let mut errors = Vec::new();
        let names: Vec<&str> = items(raw, "parameters").iter().map(|parameter| text(parameter, "name")).collect();
        let parameters = compile_parameters(raw, path, &mut errors);
        let matching = Matching::compile(&raw["match"], &path.child("match"), &names, &mut errors);
        let body = Body::compile(raw, path, &names, &mut errors);
        (Self { parameters, matching, body }, errors)
    }

    /// Names and mounts, whatever the expressions would give.
    fn check_with_samples(&self) -> Vec<FieldError> {
        let render = |scope: &Scope<'_>| self.body.render(&mut Renderer::new(scope, &|_| false));
        Scope::with(&BTreeMap::new(), &Reads::default(), None, |_| None, render).check()
    }
}

impl Matching {
    fn compile(raw: &Value, path: &FieldPath, parameters: &[&str], errors: &mut Vec<FieldError>) -> Self {
        let mut selector = |field: &str| {
            LabelSelector::parse(&raw[field], &path.child(field)).unwrap_or_else(|problems| {
                errors.extend(problems);
                LabelSelector::default()
            })
        };
        let namespace_selector = selector("namespaceSelector");
        let pod_selector = selector("podSelector");
        let os = Vec::<OperatingSystem>::deserialize(&raw["os"]).unwrap_or_else(|_| vec![OperatingSystem::Linux]);
        if os.is_empty() {
            errors.push(FieldError::new(path.child("os"), "expected at least one of \"linux\" and \"windows\""));
        }
        let mut conditions = Vec::new();
        for (index, condition) in items(raw, "conditions").iter().enumerate() {
            let Some(source) = condition.get("expression").and_then(Value::as_str) else { continue };
            let path = path.child("conditions").index(index).child("expression");
            match Expression::compile(source, parameters) {
                Ok(expression) => {
                    let message = text(condition, "message").to_owned();
                    conditions.push(Condition { expression, message, holds_by_default: false })
                }
                Err(message) => errors.push(FieldError::new(path, message)),
            }
        }
        Self { os, namespace_selector, pod_selector, conditions }
    }
}

impl Body {
    fn compile(raw: &Value, path: &FieldPath, parameters: &[&str], errors: &mut Vec<FieldError>) -> Self {
        let root = schema::template().child("spec");
        let mut compile = |fields: &[&str]| {
            let (mut value, mut path, mut schema): (Option<&Value>, FieldPath, Option<SchemaRef<'static>>) =
                (Some(raw), path.clone(), root);
            for field in fields {
                value = value.and_then(|value| value.get(*field));
                path = path.child(*field);
                schema = schema.and_then(|schema| schema.child(field));
            }
            Node::compile(value.unwrap_or(&Value::Null), schema, &path, parameters, errors)
        };
        Self {
            sidecars: compile(&["sidecars"]),
            init_containers: compile(&["initContainers"]),
            volumes: compile(&["volumes"]),
            env: compile(&["app", "env"]),
            env_from: compile(&["app", "envFrom"]),
            volume_mounts: compile(&["app", "volumeMounts"]),
            labels: compile(&["metadata", "labels"]),
            annotations: compile(&["metadata", "annotations"]),
            pod: compile(&["pod"]),
        }
    }

    fn nodes(&self) -> [&Node; 9] {
        let Self { sidecars, init_containers, volumes, env, env_from, volume_mounts, labels, annotations, pod, .. } =
            self;
        [sidecars, init_containers, volumes, env, env_from, volume_mounts, labels, annotations, pod]
    }

    fn collect_reads(&self, reads: &mut Reads) {
        self.nodes().into_iter().for_each(|node| node.collect_reads(reads));
    }

    fn render(&self, renderer: &mut Renderer<'_>) -> Overlay {
        Overlay {
            sidecars: list(renderer.render(&self.sidecars)),
            init_containers: list(renderer.render(&self.init_containers)),
            volumes: list(renderer.render(&self.volumes)),
            env: list(renderer.render(&self.env)),
            env_from: list(renderer.render(&self.env_from)),
            volume_mounts: list(renderer.render(&self.volume_mounts)),
            labels: map(renderer.render(&self.labels)),
            annotations: map(renderer.render(&self.annotations)),
            pod: map(renderer.render(&self.pod)),
        }
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn map(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn compile_parameters(raw: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) -> Vec<Parameter> {
    let mut seen = BTreeSet::new();
    let mut compiled = Vec::new();
    for (index, parameter) in items(raw, "parameters").iter().enumerate() {
        let path = path.child("parameters").index(index);
        let name = text(parameter, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::new(path.child("name"), format!("duplicate name {}", quote(name))));
        }
        // A declaration of the wrong shape is listed by the schema.
        if let Ok(spec) = ParameterSpec::deserialize(parameter) {
            compiled.push(Parameter::compile(&spec, &path, errors));
        }
    }
    compiled
}

fn check_settings(spec: &TemplateSpec, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let mut check = |names: &[String], path: FieldPath| {
        for (index, name) in names.iter().enumerate() {
            if let Err(rule) = names::check_dns_label(name) {
                errors
                    .push(FieldError::new(path.index(index), format!("{} is no container name: {rule}", quote(name))));
            }
        }
    };
    if let ContainerSelection::Names(names) = &spec.app.containers {
        check(names, path.child("app").child("containers"));
    }
    let orders = [(&spec.placement.order, "order"), (&spec.placement.init_container_order, "initContainerOrder")];
    for (order, field) in orders {
        use super::spec::Order;
        if let Some(Order::Before(name) | Order::After(name)) = order
            && let Err(rule) = names::check_dns_label(name)
        {
            let path = path.child("placement").child(field);
            errors.push(FieldError::new(path, format!("{} is no container name: {rule}", quote(name))));
        }
    }
    for (index, name) in spec.from_app.env.iter().enumerate() {
        if let Err(rule) = names::check_env_var_name(name) {
            let path = path.child("fromApp").child("env").index(index);
            errors.push(FieldError::new(path, format!("{} is no valid name: {rule}", quote(name))));
        }
    }
}
