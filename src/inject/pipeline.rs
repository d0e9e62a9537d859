//! The injection from start to end: one step a function, in the order in which they happen.
//!
//! 1. [`decision::of_request`]: is it the creation of a pod at all?
//! 2. [`decision::Standing::asked`]: what stands against it, and what is asked for?
//! 3. [`Run::choose`]: what is there already; which templates can this pod have?
//! 4. [`Run::plan`]: what would they change, and where does that conflict?
//! 5. [`Writing::carry_out`]: change the tree, write the status, check the result.
//!
//! Nothing is written before all conflicts are found.

use super::annotations::{self, DEFAULT_CONTAINER};
use super::commit::operations::Operations;
use super::commit::{Form, Writing, internal};
use super::decision;
use super::decision::report::Notes;
use super::decision::{Asked, Standing, Verdict};
use super::error::{Blame, ErrorCode, InjectError, Problem};
use super::merge::memory_limit;
use super::merge::{self, Controller, MergeContext, Parties, Plan, RenderedTemplate};
use super::pod::{ContainerList, PodDocument, PodHead};
use super::prepare::{Preparation, Refusal};
use super::status::{Status, StatusEntry};
use super::template::spec::OnError;
use super::template::{Found, Template};
use super::text::field::{listed, nearest, one_line, quote};
use super::{Injection, Injector, Outcome, PatchText, Request, Skip, SkipReason};
use crate::inject::text::json::text;
use serde_json::Value;
use std::collections::HashSet;

/// All steps, for whoever wants the pod.
pub(super) fn pod(injector: &Injector, request: &Request<'_>) -> Result<Outcome, InjectError> {
    Ok(match run(injector, request, Form::List)? {
        Outcome::Injected(Written { tree: pod, operations, templates, notes }) => {
            let patch = operations.into_patch().map_err(|error| internal(&error))?;
            let reasons = notes.reasons();
            Outcome::Injected(Injection { patch, pod, templates, reasons, warnings: notes.warnings })
        }
        Outcome::Skipped(skip) => Outcome::Skipped(skip),
    })
}

/// All steps, for whoever wants the patch alone.
pub(super) fn patch(injector: &Injector, request: &Request<'_>) -> Result<Outcome<PatchText>, InjectError> {
    Ok(match run(injector, request, Form::Text)? {
        Outcome::Injected(Written { operations, templates, notes, .. }) => {
            let json = operations.into_text().map_err(|error| internal(&error))?;
            let reasons = notes.reasons();
            Outcome::Injected(PatchText { json, templates, reasons, warnings: notes.warnings })
        }
        Outcome::Skipped(skip) => Outcome::Skipped(skip),
    })
}

/// A pod that was changed.
struct Written {
    tree: Value,
    operations: Operations,
    templates: Vec<String>,
    notes: Notes,
}

fn run(injector: &Injector, request: &Request<'_>, form: Form) -> Result<Outcome<Written>, InjectError> {
    let reasons = decision::of_request(request);
    if !reasons.is_empty() {
        return Ok(skipped(reasons));
    }
    // A pod that names our annotation is most likely parsed as a whole in the end; of any other a look at its head is enough.
    let named = memchr::memmem::find(request.object.as_bytes(), injector.keys.inject.as_bytes()).is_some();
    let parsed = match form {
        _ if !named => None,
        Form::Text => part(injector, request).or_else(|| PodDocument::parse(request.object).ok()),
        Form::List => PodDocument::parse(request.object).ok(),
    };
    let head = match &parsed {
        Some(pod) => PodHead::of(pod),
        None => PodHead::parse(request.object).map_err(|error| unreadable(request.object, &error))?,
    };
    let asked = match ask(injector, request, &head)? {
        Ok(asked) => asked,
        Err(reasons) => return Ok(skipped(reasons)),
    };
    if let Some(pod) = &parsed {
        let (writing, notes) = prepare(injector, request, &head, pod, &asked)?;
        return finish(injector, parsed, writing, notes, form);
    }
    let pod = PodDocument::parse(request.object).map_err(|error| pod_invalid(&error))?;
    let (writing, notes) = prepare(injector, request, &PodHead::of(&pod), &pod, &asked)?;
    finish(injector, Some(pod), writing, notes, form)
}

/// The part of the pod that the templates look at, where that can be known beforehand: they are rendered without a look at it.
fn part(injector: &Injector, request: &Request<'_>) -> Option<PodDocument> {
    let head = PodHead::parse(request.object).ok()?;
    let asked = ask(injector, request, &head).ok()?.ok()?;
    let mut reaches = Vec::new();
    for name in asked.named.iter().chain(&asked.automatic) {
        let Found::Ready(template) = injector.templates.get(name)? else { return None };
        let sets_parameter = |key: &str| injector.keys.parameter_of(name, key).is_some();
        if head.annotations.iter().any(|(key, _)| sets_parameter(key)) {
            return None;
        }
        reaches.push(template.reach()?);
    }
    let pod = PodDocument::parse_part(request.object, &reaches)?;
    // A text with two metadata may say something else as a tree.
    (ask(injector, request, &PodHead::of(&pod)).ok()?.ok()? == asked).then_some(pod)
}

/// What is asked for, or the reasons why nothing is to be done.
fn ask(
    injector: &Injector,
    request: &Request<'_>,
    head: &PodHead<'_>,
) -> Result<Result<Asked, Vec<SkipReason>>, InjectError> {
    let standing = Standing {
        keys: &injector.keys,
        head,
        request,
        excluded: &injector.settings.excluded_namespaces,
        templates: &injector.templates,
    };
    match standing.asked() {
        Ok(asked) if asked.is_nothing() => Ok(Err(vec![SkipReason::NotRequested])),
        Ok(asked) => Ok(Ok(asked)),
        Err(Verdict::Skip(reasons)) => Ok(Err(reasons)),
        Err(Verdict::Refuse(problem)) => Err(InjectError::from(vec![problem])),
    }
}

/// What is to be written, with all conflicts found; nothing when the pod has everything.
fn prepare(
    injector: &Injector,
    request: &Request<'_>,
    head: &PodHead<'_>,
    pod: &PodDocument,
    asked: &Asked,
) -> Result<(Option<Writing>, Notes), InjectError> {
    let status = Status::of(pod, &injector.keys.status);
    let mut run = Run { injector, request, head, pod, status: &status, notes: Notes::default() };
    let candidates = run.choose(asked)?;
    let (candidates, plan) = run.plan(candidates)?;
    Ok(run.conclude(&candidates, plan))
}

fn finish(
    injector: &Injector,
    pod: Option<PodDocument>,
    writing: Option<Writing>,
    notes: Notes,
    form: Form,
) -> Result<Outcome<Written>, InjectError> {
    let (Some(pod), Some(writing)) = (pod, writing) else { return Ok(Outcome::Skipped(notes.skip())) };
    let templates = writing.templates();
    let (tree, operations) = writing.carry_out(pod, &injector.keys, form)?;
    Ok(Outcome::Injected(Written { tree, operations, templates, notes }))
}

fn skipped(reasons: Vec<SkipReason>) -> Outcome<Written> {
    Outcome::Skipped(Skip { reasons, ..Skip::default() })
}

/// The whole pod's error names the field; that of its head may be in a field that only the head looks at.
fn unreadable(object: &str, of_head: &str) -> InjectError {
    pod_invalid(&PodDocument::parse(object).err().unwrap_or_else(|| of_head.to_owned()))
}

fn pod_invalid(message: &str) -> InjectError {
    const LONGEST: usize = 200;
    let message = format!("the object is no valid pod: {}", one_line(message, LONGEST));
    InjectError::from(vec![Problem {
        code: ErrorCode::PodInvalid,
        template: None,
        annotation: None,
        message: message.into(),
    }])
}

/// Unknown names for which it is said what is known: a near name is looked up long among thousands.
const MAX_HINTS: usize = 8;

struct Run<'a> {
    injector: &'a Injector,
    request: &'a Request<'a>,
    head: &'a PodHead<'a>,
    pod: &'a PodDocument,
    status: &'a [StatusEntry],
    notes: Notes,
}

impl<'a> Run<'a> {
    /// Templates that are to be put in, rendered. All problems of all templates are collected.
    fn choose(&mut self, asked: &Asked) -> Result<Vec<RenderedTemplate<'a>>, InjectError> {
        let mut problems = Vec::new();
        let mut templates = Vec::new();
        for name in &asked.named {
            self.resolve(name, Origin::Named, asked, &mut templates, &mut problems);
        }
        for name in &asked.automatic {
            self.resolve(name, Origin::Automatic, asked, &mut templates, &mut problems);
        }
        let narrowed = self.narrowed(&mut problems);
        let foreign = self.foreign(&templates);
        let preparation = Preparation {
            settings: &self.injector.settings,
            keys: &self.injector.keys,
            request: self.request,
            head: self.head,
            pod: self.pod,
            foreign: &foreign,
            narrowed: narrowed.as_deref(),
        };
        let mut candidates = Vec::new();
        for (template, origin) in templates {
            let prepared = preparation.candidate(template, &mut self.notes.warnings);
            candidates.extend(self.accept(template, origin, prepared, &mut problems));
        }
        problems.extend(self.unclaimed(&candidates));
        problems.extend(memory_limit::check(&candidates));
        if problems.is_empty() { Ok(candidates) } else { Err(InjectError::from(problems)) }
    }

    /// A template under a name, unless the pod carries it already.
    fn resolve(
        &mut self,
        name: &str,
        origin: Origin,
        asked: &Asked,
        found: &mut Vec<(&'a Template, Origin)>,
        problems: &mut Vec<Problem>,
    ) {
        let entry = self.injector.templates.get(name);
        if let Some(done) = self.status.iter().find(|entry| entry.name == name) {
            if let Some(Found::Ready(template)) = entry
                && template.revision != done.revision
            {
                let shown = quote(name);
                let message = format!(
                    "template {shown}: the pod carries revision {}, the current one is {}",
                    quote(done.revision.as_str()),
                    template.revision
                );
                self.notes.warnings.push(message);
            }
            self.notes.done.push(name.to_owned());
            return;
        }
        match entry {
            Some(Found::Ready(template)) => found.push((template, origin)),
            Some(Found::Broken(problem)) => {
                let message = format!("template {} cannot be used: {problem}", quote(name));
                problems.push(self.problem(ErrorCode::TemplateBroken, name, message));
            }
            None => {
                let message = self.not_found(name, asked, problems.len());
                problems.push(match self.injector.templates.unread() {
                    // Whose mistake it is, is not known: nothing may be refused that the template's author has to mend.
                    Some(unread) => {
                        let message = format!("{message}; it may stand in what cannot be read: {unread}");
                        Problem { template: None, ..self.problem(ErrorCode::TemplateBroken, name, message) }
                    }
                    None => self.problem(ErrorCode::TemplateNotFound, name, message),
                });
            }
        }
    }

    fn problem(&self, code: ErrorCode, name: &str, message: String) -> Problem {
        // An unknown name is the pod's text, not a template: it stays out of logs.
        let template = (code != ErrorCode::TemplateNotFound).then(|| name.to_owned());
        Problem { code, template, annotation: Some(self.injector.keys.inject.clone()), message: message.into() }
    }

    fn not_found(&self, name: &str, asked: &Asked, problems_before: usize) -> String {
        let of =
            if asked.by_namespace { format!(" of namespace {}", quote(self.request.namespace)) } else { String::new() };
        let known = if problems_before < MAX_HINTS { self.known(name) } else { String::new() };
        format!("annotation {}{of}: template {} does not exist{known}", self.injector.keys.inject, quote(name))
    }

    /// What could have been meant: the nearest first, the others by name.
    fn known(&self, name: &str) -> String {
        let mut known = self.injector.templates.names();
        if known.is_empty() {
            return " (no template is loaded)".to_owned();
        }
        let near = nearest(name, known.iter().copied()).map(str::to_owned);
        let hint = near.as_ref().map(|near| format!("; did you mean {}?", quote(near))).unwrap_or_default();
        known.sort_by_key(|known| near.as_deref() != Some(*known));
        format!("{hint} (known: {})", listed(&known))
    }

    /// The app containers that the pod's annotation names; each must exist.
    fn narrowed(&self, problems: &mut Vec<Problem>) -> Option<Vec<String>> {
        let key = &self.injector.keys.containers;
        let value = self.head.annotation(key)?;
        let mut add = |code, message: String| {
            let (template, annotation) = (None, Some(key.clone()));
            problems.push(Problem {
                code,
                template,
                annotation,
                message: format!("annotation {key}: {message}").into(),
            });
        };
        let names = match annotations::parse_list(value) {
            Ok(names) => names,
            Err(message) => {
                add(ErrorCode::AnnotationInvalid, message);
                return Some(Vec::new());
            }
        };
        let containers = self.pod.containers(ContainerList::Containers);
        let has = names_of(containers);
        if names.is_empty() {
            add(ErrorCode::ContainerNotFound, format!("it names no container; the pod has {has}"));
        }
        let known: HashSet<&str> = containers.iter().map(|container| text(container, "name")).collect();
        for name in names.iter().filter(|name| !known.contains(name.as_str())) {
            let message = format!("the pod has no container {}; it has {has}", quote(name));
            add(ErrorCode::ContainerNotFound, message);
        }
        Some(names)
    }

    /// Containers that are not the app's: put in earlier, or overriding a sidecar, or a sidecar already.
    fn foreign(&self, templates: &[(&'a Template, Origin)]) -> HashSet<&'a str> {
        let status: &'a [StatusEntry] = self.status;
        let mut names: HashSet<&str> = status.iter().flat_map(StatusEntry::container_names).collect();
        names.extend(self.auto_containers());
        let done = self.notes.done.iter().filter_map(|name| match self.injector.templates.get(name)? {
            Found::Ready(template) => Some(template),
            Found::Broken(_) => None,
        });
        let asked = templates.iter().map(|(template, _)| *template).chain(done);
        names.extend(asked.flat_map(Template::container_names));
        names
    }

    fn auto_containers(&self) -> impl Iterator<Item = &'a str> {
        let pod: &'a PodDocument = self.pod;
        let all = pod.containers(ContainerList::Containers).iter().chain(pod.containers(ContainerList::InitContainers));
        all.filter(|container| text(container, "image") == "auto").map(|container| text(container, "name"))
    }

    fn accept(
        &mut self,
        template: &'a Template,
        origin: Origin,
        prepared: Result<RenderedTemplate<'a>, Refusal>,
        problems: &mut Vec<Problem>,
    ) -> Option<RenderedTemplate<'a>> {
        let found = match (prepared, origin) {
            (Ok(candidate), _) => return Some(candidate),
            (Err(Refusal::NotAllowed(_)), Origin::Automatic) => return None,
            (Err(Refusal::NotAllowed(why)), Origin::Named) => {
                let name = &template.name;
                vec![self.problem(
                    ErrorCode::TemplateNotAllowed,
                    name,
                    format!("template {} is not for this pod: {why}", quote(name)),
                )]
            }
            // A key that a condition reads and the pod lacks: not the pod for a template that nobody asked for.
            (Err(Refusal::Problems(found)), Origin::Automatic)
                if found.iter().all(|one| one.code == ErrorCode::ExpressionMissingKey) =>
            {
                return None;
            }
            (Err(Refusal::Problems(found)), _) => found,
        };
        self.leave_out_or_report(template, found, problems);
        None
    }

    /// `onError: Skip` turns what the pod's author could mend into warnings.
    fn leave_out_or_report(&mut self, template: &Template, found: Vec<Problem>, problems: &mut Vec<Problem>) {
        let mendable = found.iter().all(|problem| problem.code.blame() == Blame::Pod);
        if template.on_error == OnError::Skip && mendable {
            for problem in found {
                let name = quote(&template.name);
                self.notes.warnings.push(format!(
                    "template {name} is left out: {}: {}",
                    problem.code.code(),
                    problem.message
                ));
                self.notes.add_error(problem.code);
            }
        } else {
            problems.extend(found);
        }
    }

    /// Containers that wait for a template nobody brings.
    fn unclaimed(&self, candidates: &[RenderedTemplate<'_>]) -> Vec<Problem> {
        let claimed: HashSet<&str> = container_names(candidates).collect();
        let loose = self.auto_containers().filter(|name| !claimed.contains(*name));
        loose
            .map(|name| {
                let message = format!(
                    "container {} has \"image: auto\", but no template that the pod gets has a container of this name",
                    quote(name)
                );
                Problem {
                    code: ErrorCode::AutoContainerUnclaimed,
                    template: None,
                    annotation: None,
                    message: message.into(),
                }
            })
            .collect()
    }

    /// Plans the merge; templates that may be skipped give way, and conflicts are counted anew.
    fn plan(
        &mut self,
        mut candidates: Vec<RenderedTemplate<'a>>,
    ) -> Result<(Vec<RenderedTemplate<'a>>, Plan), InjectError> {
        let is_of_job = self.request.owner_kind == Some("Job") || self.pod.is_owned_by_job();
        let controller = if is_of_job { Controller::Job } else { Controller::Other };
        let native_sidecars = self.injector.settings.native_sidecars;
        let context = MergeContext { native_sidecars, os: self.head.operating_system(), controller };
        loop {
            let plan = merge::plan(self.pod, self.status, &candidates, context);
            if plan.conflicts.is_empty() {
                // A template that gave way may have been the one that a container waits for.
                let unclaimed = self.unclaimed(&candidates);
                return if unclaimed.is_empty() { Ok((candidates, plan)) } else { Err(InjectError::from(unclaimed)) };
            }
            let gives_way = |index: usize| {
                let with_pod = plan.conflicts.iter().any(|conflict| conflict.parties == Parties::TemplateAndPod(index));
                with_pod && candidates[index].template.on_error == OnError::Skip
            };
            let Some(index) = (0..candidates.len()).find(|index| gives_way(*index)) else {
                return Err(InjectError::from(
                    plan.conflicts.iter().map(|conflict| conflict_problem(conflict, &candidates)).collect::<Vec<_>>(),
                ));
            };
            for conflict in plan.conflicts.iter().filter(|conflict| conflict.parties == Parties::TemplateAndPod(index))
            {
                let name = quote(&candidates[index].template.name);
                self.notes.warnings.push(format!("template {name} is left out: conflict: {}", conflict.message));
                self.notes.add_error(ErrorCode::Conflict);
            }
            candidates.remove(index);
        }
    }

    /// What is to be written, or nothing when the pod has everything already.
    fn conclude(mut self, candidates: &[RenderedTemplate<'_>], plan: Plan) -> (Option<Writing>, Notes) {
        self.notes.warnings.extend(plan.warnings.iter().map(ToString::to_string));
        let already = plan.entries.iter().filter(|entry| entry.is_nothing());
        self.notes.done.extend(already.map(|entry| entry.name.clone()));
        let default_container = self.default_container(candidates).map(str::to_owned);
        let writing = Writing::new(self.pod, self.status, candidates, plan, default_container);
        (writing, self.notes)
    }

    /// The app's first container, unless the pod names one itself.
    fn default_container(&self, candidates: &[RenderedTemplate<'_>]) -> Option<&'a str> {
        let named = candidates.iter().any(|candidate| candidate.overlay.annotations.contains_key(DEFAULT_CONTAINER));
        if named || self.pod.annotation(DEFAULT_CONTAINER).is_some() {
            return None;
        }
        let status: &'a [StatusEntry] = self.status;
        let pod: &'a PodDocument = self.pod;
        let mut foreign: HashSet<&str> =
            status.iter().flat_map(StatusEntry::container_names).chain(self.auto_containers()).collect();
        foreign.extend(container_names(candidates));
        let mut own = pod.containers(ContainerList::Containers).iter().map(|container| text(container, "name"));
        own.find(|name| !foreign.contains(*name))
    }
}

/// Who wants a template.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The pod, or its namespace for it.
    Named,
    /// The template itself.
    Automatic,
}

fn conflict_problem(conflict: &merge::Conflict, candidates: &[RenderedTemplate<'_>]) -> Problem {
    let index = match conflict.parties {
        Parties::TemplateAndPod(index) | Parties::Templates(_, index) => index,
    };
    let template = candidates.get(index).map(|candidate| candidate.template.name.clone());
    Problem { code: ErrorCode::Conflict, template, annotation: None, message: conflict.message.clone() }
}

fn container_names<'c>(candidates: &'c [RenderedTemplate<'_>]) -> impl Iterator<Item = &'c str> {
    candidates.iter().flat_map(|candidate| candidate.overlay.container_names())
}

/// Names of containers as a message lists them.
fn names_of(containers: &[Value]) -> String {
    let names: Vec<String> = containers.iter().map(|container| quote(text(container, "name"))).collect();
    listed(&names.iter().map(String::as_str).collect::<Vec<_>>())
}
