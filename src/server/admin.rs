//! `/livez`, `/readyz`, `/metrics`, `/version` and `/templates`, for the kubelet, Prometheus and
//! people.
//!
//! Invariants: `/livez` succeeds as long as the process responds; readiness never depends on
//! another server being reachable now; of a template only its description and its parameters are
//! shown, which its author wrote for the authors of pods, since clients are not authenticated here.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;

use super::admission::webhook::Snapshot;
use crate::inject::{TemplateInterface, TemplateSet};
use crate::process::health::Readiness;
use crate::process::shutdown::{Lifecycle, Phase};
use crate::telemetry::build;
use crate::telemetry::metrics::Metrics;

/// What the admin listener needs of the rest of the program.
pub struct Admin {
    /// The checks of `/readyz`.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// The templates that `/templates` shows.
    pub snapshot: Snapshot,
    /// Further lines of `/readyz?verbose`, such as broken templates.
    pub details: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

struct AdminService {
    admin: Admin,
    lifecycle: Lifecycle,
}

/// The routes of the admin listener.
pub(super) fn router(admin: Admin, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/templates", get(templates))
        .fallback(async || (StatusCode::NOT_FOUND, "no such page; / lists the pages\n"))
        .with_state(Arc::new(AdminService { admin, lifecycle }))
}

/// All pages, for people.
const PAGES: [(&str, &str); 6] = [
    ("/livez", "whether the process responds"),
    ("/readyz", "whether it can review pods"),
    ("/readyz?verbose", "each check, and every problem"),
    ("/metrics", "the metrics, in Prometheus' text format"),
    ("/version", "the version, as JSON"),
    ("/templates", "the templates with their states, parameters and problems, as JSON"),
];

async fn index() -> String {
    let mut text = format!("Outrigger {}, admin listener\n\n", build::VERSION);
    for (path, meaning) in PAGES {
        // Writing to a String cannot fail.
        _ = writeln!(text, "{path:<17}{meaning}");
    }
    text
}

async fn readyz(State(service): State<Arc<AdminService>>, RawQuery(query): RawQuery) -> (StatusCode, String) {
    let is_draining = service.lifecycle.phase() > Phase::Serving;
    let is_ready = service.admin.readiness.is_ready() && !is_draining;
    let verbose =
        query.is_some_and(|query| query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose=")));
    let mut text = if verbose { service.checks(is_draining) } else { String::new() };
    text.push_str(if is_ready { "ok\n" } else { "not ready\n" });
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

impl AdminService {
    /// A line for each check, in the form of Kubernetes' own components.
    fn checks(&self, is_draining: bool) -> String {
        let mut text = String::new();
        let checks = self.admin.readiness.checks();
        let checks = checks.iter().map(|check| (check.name, check.is_ready)).chain([("shutdown", !is_draining)]);
        for (name, is_ready) in checks {
            // Writing to a String cannot fail.
            _ = writeln!(
                text,
                "[{}]{name} {}",
                if is_ready { '+' } else { '-' },
                if is_ready { "ok" } else { "not ready" }
            );
        }
        for detail in (self.admin.details)() {
            _ = writeln!(text, "[!]{detail}");
        }
        text
    }
}

async fn metrics(State(service): State<Arc<AdminService>>) -> Response {
    match service.admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the metrics cannot be written: {error}\n")).into_response()
        }
    }
}

async fn version() -> Response {
    json(&VersionBody {
        version: build::VERSION,
        revision: build::REVISION,
        features: build::FEATURES,
        kubernetes_api: build::KUBERNETES_API,
    })
}

async fn templates(State(service): State<Arc<AdminService>>) -> Response {
    json(&TemplatesBody { templates: shown((service.admin.snapshot)().templates()) })
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot be written as JSON: {error}\n")).into_response()
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionBody {
    version: &'static str,
    revision: Option<&'static str>,
    features: &'static [&'static str],
    kubernetes_api: &'static str,
}

#[derive(Serialize)]
struct TemplatesBody<'t> {
    templates: Vec<TemplateBody<'t>>,
}

/// The state of one template, and what its author says to the authors of pods.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TemplateBody<'t> {
    name: &'t str,
    /// The namespace of an `InjectionTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'t str>,
    state: &'static str,
    #[serde(flatten)]
    interface: Option<InterfaceBody<'t>>,
    /// The served revision; absent when none is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'t str>,
    /// The revision that pods outside of a rollout get.
    #[serde(skip_serializing_if = "Option::is_none")]
    stable_revision: Option<&'t str>,
    /// Whether a template of a namespace takes its place there.
    shadowable: bool,
    source: &'t str,
    /// What is wrong with its source.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// What is probably not as its author expects.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct InterfaceBody<'t> {
    description: &'t str,
    injection: &'static str,
    /// As the template declares them: name, type, default, rule, description.
    parameters: Vec<Value>,
}

impl<'t> InterfaceBody<'t> {
    fn of(interface: TemplateInterface<'t>) -> Self {
        let injection = if interface.is_automatic() { "Automatic" } else { "OptIn" };
        Self { description: interface.description(), injection, parameters: interface.parameters() }
    }
}

fn shown(templates: &TemplateSet) -> Vec<TemplateBody<'_>> {
    let shown = templates.all().map(|template| TemplateBody {
        name: template.name,
        namespace: template.namespace,
        state: template.state.code(),
        interface: template.interface.map(InterfaceBody::of),
        revision: template.revision,
        stable_revision: template.interface.map(TemplateInterface::stable_revision),
        shadowable: template.is_built_in || template.interface.is_some_and(TemplateInterface::is_shadowable),
        source: template.origin,
        problem: template.problem.map(|problem| problem.sentence().redacted()),
        warnings: template.warnings.iter().map(|warning| warning.sentence().redacted()).collect(),
    });
    shown.collect()
}
