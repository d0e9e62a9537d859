//! Checks and renders one template for the pod.

use super::app_containers::AppContainers;
use super::conditions::{ParameterState, check_conditions};
use super::parameters::Params;
use super::problems::{problem, problems_of};
use super::{Preparation, PrepareError, from_app};
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::{RenderedTemplate, qos};
use crate::inject::overlay::Overlay;
use crate::inject::pod::ContainerList;
use crate::inject::template::spec::Qos;
use crate::inject::template::{RenderContext, Rendering, Template};
use crate::inject::text::json::{items, text};
use crate::inject::text::{message, quote, value};
use serde_json::Value;
use std::borrow::Cow;

impl<'t, 'p> Preparation<'t, 'p> {
    /// Renders the template for this pod, if its `match` selects the pod.
    pub(super) fn candidate(
        &self,
        template: &'t Template,
        app: &AppContainers<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<RenderedTemplate<'t>, PrepareError> {
        self.check_selectors(template).map_err(PrepareError::NotAllowed)?;
        let selected = app.selected_by(template);
        let (params, state, problems) = self.parameters(template, &selected);
        let context = self.context(&params, &selected);
        check_conditions(template, &context, state)?;
        if !problems.is_empty() {
            return Err(PrepareError::Problems(problems));
        }
        self.rendered(template, selected.clone(), &context, state, warnings)
    }

    /// Renders the template with these parameters, whatever its `match` says.
    fn rendered(
        &self,
        template: &'t Template,
        selected: Vec<(ContainerList, usize)>,
        context: &RenderContext<'_>,
        state: ParameterState,
        warnings: &mut Vec<String>,
    ) -> Result<RenderedTemplate<'t>, PrepareError> {
        let (mut overlay, mut apps) = match template.rendered(self.pod).filter(|_| state == ParameterState::Default) {
            Some(overlay) => (Cow::Borrowed(overlay), Vec::new()),
            None => {
                let Rendering { overlay, apps } =
                    template.render(context).map_err(|errors| PrepareError::Problems(problems_of(template, errors)))?;
                (Cow::Owned(overlay), apps)
            }
        };
        let mounted = self.share(template, &mut overlay, &mut apps, &selected).map_err(PrepareError::Problems)?;
        if (template.spec.from_app.volume_mounts || !template.spec.from_app.env.is_empty())
            && let Some(first) = selected.first()
        {
            let problems = from_app::copy_to_sidecars(template, self.container(first), overlay.to_mut(), warnings);
            if !problems.is_empty() {
                let of = |why| problem(template, ErrorCode::ResultInvalid, why);
                return Err(PrepareError::Problems(problems.into_iter().map(of).collect()));
            }
        }
        self.check_class(template, &overlay)?;
        let files = self.files(template, &overlay).map_err(PrepareError::Problems)?;
        let rendered = RenderedTemplate { template, overlay, apps, selected, mounted, files };
        let problems = self.unknown_commands(&rendered);
        if problems.is_empty() { Ok(rendered) } else { Err(PrepareError::Problems(problems)) }
    }

    /// Renders the template for a pod that sets no parameter, whatever its `match` says. `None` if it
    /// cannot be had without one.
    pub(super) fn unconditional(
        &self,
        template: &'t Template,
        app: &AppContainers<'_>,
    ) -> Option<RenderedTemplate<'t>> {
        let selected = app.selected_by(template);
        let (params, state, problems) = self.parameters(template, &selected);
        let context = self.context(&params, &selected);
        if !problems.is_empty() {
            return None;
        }
        self.rendered(template, selected.clone(), &context, state, &mut Vec::new()).ok()
    }

    /// Problems of containers that lack the command before which the template puts something.
    fn unknown_commands(&self, rendered: &RenderedTemplate<'_>) -> Vec<Problem> {
        let prepends = |position: usize| !rendered.app_overlay(position).app_prepend_command().is_empty();
        let places = rendered.selected.iter().enumerate().filter(|(position, _)| prepends(*position));
        let containers = places.map(|(_, place)| self.container(place));
        let unknown = containers.filter(|container| items(container, "command").is_empty());
        unknown
            .map(|container| {
                let why = message![
                    "container ",
                    value(quote(text(container, "name"))),
                    " has no command for prependCommand, and that of its image is not known here; set the container's \
                     command",
                ];
                problem(rendered.template, ErrorCode::CommandUnknown, why)
            })
            .collect()
    }

    /// A template with `qos: Keep` must have limits in a Guaranteed pod.
    fn check_class(&self, template: &Template, overlay: &Overlay) -> Result<(), PrepareError> {
        if template.spec.qos != Qos::Keep {
            return Ok(());
        }
        let lacking = qos::without_limit(self.pod, self.status, overlay).into_iter();
        let of = |(name, resource): (&str, &'static str)| {
            let container = message!["container ", value(quote(name))];
            let why = container.with(" has no limit of ").with(resource);
            let why = why.with(" above 0, which \"qos: Keep\" needs in a pod of the QoS class Guaranteed");
            problem(template, ErrorCode::ResultInvalid, why)
        };
        let problems: Vec<Problem> = lacking.map(of).collect();
        if problems.is_empty() { Ok(()) } else { Err(PrepareError::Problems(problems)) }
    }

    pub(super) fn context<'c>(&self, params: &'c Params, selected: &'c [(ContainerList, usize)]) -> RenderContext<'c>
    where
        'p: 'c,
        't: 'c,
    {
        RenderContext {
            params,
            pod: self.pod,
            apps: selected,
            namespace: self.request.namespace,
            namespace_object: self.request.namespace_object,
            cluster_version: &self.settings.cluster_version,
            templates: self.names,
            clock: self.settings.clock,
        }
    }

    pub(super) fn container(&self, (list, index): &(ContainerList, usize)) -> &'p Value {
        &self.pod.containers(*list)[*index]
    }
}
