//! The review of one pod or pod template: the engine's outcome, and what else its author should know.

use serde_json::Value;

use super::cluster_pod::ClusterPod;
use super::controller::PodView;
use super::find::PodLocation;
use super::finding::{Finding, FindingCode};
use super::marks::without_marks;
use super::unread_keys;
use crate::inject::annotations::AnnotationKeys;
use crate::inject::merge::equal::same;
use crate::inject::status::{Status, StatusEntry};
use crate::inject::text::json::json_type;
use crate::inject::text::{Message, message, quote, value, words};
use crate::inject::{
    ErrorCode, Explanation, InjectError, Injector, Namespace, Outcome, Problem, Request, Skip, SkipReason, uninject,
};

/// What a review found.
#[derive(Debug)]
pub struct Review {
    /// What the webhook would decide about the pods of this template. The patch of an injection is
    /// for the pod as the cluster creates it; the template's own change is in `after`.
    pub outcome: Result<Outcome, InjectError>,
    /// Why the template gets nothing, or not everything: the reasons that no warning of the outcome
    /// tells.
    pub explanations: Vec<Explanation>,
    /// The template with everything that is injected, if something is.
    pub after: Option<Value>,
    /// What the engine does not say: it sees a pod alone.
    pub findings: Vec<Finding>,
}

/// What was injected before, compared with what would be injected now.
#[derive(Debug)]
pub struct Renewal {
    /// The template without what was injected before.
    pub bare: Value,
    /// The review of that template.
    pub review: Review,
    /// How the two differ, and what to do about it in a file.
    pub difference: Finding,
    /// How the two differ.
    pub summary: String,
    /// What to do about it in a file.
    pub advice: Option<&'static str>,
}

/// The outcome, what else explains it, and the template afterwards if something is injected.
type Injected = Result<(Outcome, Vec<Explanation>, Option<Value>), InjectError>;

/// Reviews templates of one namespace.
#[derive(Clone, Copy)]
pub struct Reviewer<'a> {
    /// The templates and settings.
    pub injector: &'a Injector,
    /// The namespace of the pods.
    pub namespace: &'a str,
    /// Its labels and annotations, if known.
    pub namespace_object: Option<&'a Namespace>,
}

impl Reviewer<'_> {
    /// Reviews the first pod that the cluster creates of the pod or pod template at this place of the
    /// document. `after` may have values of this pod alone, such as its name.
    pub fn review(&self, document: &Value, location: &PodLocation) -> Review {
        self.reviewed(document, location, &|keys, object, template| {
            self.inject(keys, location, object, template, PodView::Pod(0))
        })
    }

    /// The same for the template itself: `after` has nothing that belongs to one of its pods.
    pub fn review_template(&self, document: &Value, location: &PodLocation) -> Review {
        self.reviewed(document, location, &|keys, object, template| {
            self.inject_into_template(keys, location, object, template)
        })
    }

    fn reviewed(
        &self,
        document: &Value,
        location: &PodLocation,
        inject: &dyn Fn(&AnnotationKeys, &Value, &Value) -> Injected,
    ) -> Review {
        let (Some(object), Some(template)) = (location.object(document), location.template(document)) else {
            let (outcome, explanations) = not_requested();
            return Review { outcome: Ok(outcome), explanations, after: None, findings: Vec::new() };
        };
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let mut findings = unread_keys::of_workload(self.injector, self.namespace, location, object, template);
        let reviewed = match values_that_are_no_text(location, template) {
            none if none.is_empty() => inject(&keys, object, template),
            problems => Err(InjectError::from(problems)),
        };
        let asks = annotations(template).any(|key| keys.owns(key));
        let (outcome, explanations, after) = match reviewed {
            Ok((outcome, explanations, after)) => (Ok(outcome), explanations, after),
            // The API server refuses this pod; it is not ours to say more than that.
            Err(error) if !asks && error.codes() == [ErrorCode::PodInvalid] => {
                let why = Message::join(error.problems().iter().map(|problem| problem.message.clone()), "; ");
                findings.push(Finding::note(FindingCode::ObjectIncomplete, why.with("; it is left as it is")));
                let (outcome, explanations) = not_requested();
                (Ok(outcome), explanations, None)
            }
            Err(error) => (Err(located(error, location)), Vec::new(), None),
        };
        if !location.is_known && (asks || after.is_some() || outcome.is_err()) {
            let kind = value(quote(&location.object.kind));
            let message = message!["kind ", kind, " is not known; its pod template is treated by its shape"];
            findings.push(Finding::warning(FindingCode::KindUnknown, message));
        }
        Review { outcome, explanations, after, findings }
    }

    /// Compares what was injected into the template before with what would be injected now. `None` if
    /// nothing was injected, or both are the same.
    pub fn renewal(&self, document: &Value, location: &PodLocation) -> Option<Renewal> {
        let template = location.template(document)?;
        let keys = AnnotationKeys::new(&self.injector.settings().domain);
        let status = template.pointer("/metadata/annotations")?.get(&keys.status)?.as_str()?;
        let before = Status::<StatusEntry>::parse(status)?.templates.into_iter().map(|entry| entry.name);
        let bare = uninject(template, &self.injector.settings().domain).ok()??;
        let review = self.review_template(document, location);
        let mut document = document.clone();
        location.put(&mut document, bare.clone());
        let anew = self.review_template(&document, location);
        let wanted = without_marks(anew.after.as_ref().unwrap_or(&bare), &keys);
        let found = without_marks(review.after.as_ref().unwrap_or(template), &keys);
        if anew.outcome.is_ok() && same(&wanted, &found) {
            return None;
        }
        let before: Vec<String> = before.map(|name| quote(&name)).collect();
        let carries = message!["what was injected before (", value(before.join(", ")), ")"];
        let (summary, advice) = match (&anew.outcome, &anew.after) {
            (Err(error), _) => (message![carries, " would be refused now: ", value(error)], None),
            (Ok(_), None) => {
                (message![carries, " is not requested any more"], Some("`--renew` or `outrigger uninject` removes it"))
            }
            (Ok(_), Some(_)) => {
                (message![carries, " has other values than it would get now"], Some("`--renew` injects it anew"))
            }
        };
        let message = match advice {
            Some(advice) => message![summary.clone(), "; ", advice],
            None => summary.clone(),
        };
        let difference = Finding::warning(FindingCode::InjectionOutdated, message);
        Some(Renewal { bare, review: anew, difference, summary: summary.to_string(), advice })
    }

    /// The pods decide what the template gets, and nothing of one pod is written into it: where two pods
    /// would get different things, the decision is about what they share.
    fn inject_into_template(
        &self,
        keys: &AnnotationKeys,
        location: &PodLocation,
        object: &Value,
        template: &Value,
    ) -> Injected {
        let inject = |view| self.inject(keys, location, object, template, view);
        let (shared, first) = (inject(PodView::Shared), inject(PodView::Pod(0)));
        let templates = |injected: &Injected| match injected {
            Ok((Outcome::Injected(injection), ..)) => Some(injection.templates.clone()),
            _ => None,
        };
        let after = |injected: &Injected| injected.as_ref().ok().and_then(|(.., after)| after.clone());
        match (templates(&first), templates(&shared)) {
            (None, _) => first,
            (of_pod, of_all) if of_pod == of_all => shared,
            _ if after(&first) == after(&inject(PodView::Pod(1))) => first,
            _ => shared.map_err(of_template),
        }
    }

    fn inject(
        &self,
        keys: &AnnotationKeys,
        location: &PodLocation,
        object: &Value,
        template: &Value,
        view: PodView,
    ) -> Injected {
        let filled = ClusterPod::new(location, object, template, self.namespace, view);
        let text = filled.pod.to_string();
        let request = Request::create_pod(self.namespace, &text);
        let request = Request { namespace_object: self.namespace_object, ..request };
        let outcome = self.injector.inject(&request)?;
        let reasons = match &outcome {
            Outcome::Injected(injection) => &injection.reasons,
            Outcome::Skipped(skip) => &skip.reasons,
        };
        let explanations = self.injector.explain(&request, reasons);
        let Outcome::Injected(injection) = &outcome else { return Ok((outcome, explanations, None)) };
        let patch = injection.patch().map_err(|error| internal(&error))?;
        let mut pod = filled.pod.clone();
        json_patch::patch(&mut pod, &patch).map_err(|error| internal(&error))?;
        let after = filled.take_out(pod, keys);
        Ok((outcome, explanations, Some(after)))
    }
}

/// The error of a template whose pods have none.
fn of_template(error: InjectError) -> InjectError {
    const HINT: &str =
        "; its pods get it in the cluster, each with values of its own, which cannot stand in their template";
    let problems = error.problems().iter().cloned();
    let with_hint = problems.map(|problem| Problem { message: problem.message.with(HINT), ..problem });
    InjectError::from(with_hint.collect::<Vec<_>>())
}

/// The engine names the fields of an invalid pod by their paths in the pod.
fn located(error: InjectError, location: &PodLocation) -> InjectError {
    if location.pointer == location.object.pointer {
        return error;
    }
    let place = location.field(&[]);
    let problems = error.problems().iter().cloned().map(|problem| match problem.code {
        ErrorCode::PodInvalid if !problem.message.to_string().starts_with(&place) => {
            let message = message!["in ", words(&place), ": ", problem.message];
            Problem { message, ..problem }
        }
        _ => problem,
    });
    InjectError::from(problems.collect::<Vec<_>>())
}

fn internal(error: &dyn std::fmt::Display) -> InjectError {
    let message = message!["the patch does not apply: ", value(error)];
    InjectError::from(vec![Problem { code: ErrorCode::Internal, template: None, annotation: None, message }])
}

fn not_requested() -> (Outcome, Vec<Explanation>) {
    let reason = SkipReason::NotRequested;
    let outcome = Outcome::Skipped(Skip { reasons: vec![reason], ..Skip::default() });
    (outcome, vec![Explanation::general(reason)])
}

fn annotations(template: &Value) -> impl Iterator<Item = &str> {
    let annotations = template.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.into_iter().flat_map(|annotations| annotations.keys()).map(String::as_str)
}

/// Annotations and labels of the pod that are no text, by their path in the object.
pub(super) fn values_that_are_no_text(location: &PodLocation, template: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (kind, map) in [("annotation", "annotations"), ("label", "labels")] {
        let entries = template.pointer(&format!("/metadata/{map}")).and_then(Value::as_object);
        for (key, found) in entries.into_iter().flatten() {
            if found.is_string() || found.is_null() {
                continue;
            }
            let path = words(location.field(&["metadata", map]));
            let hint = if found.is_boolean() || found.is_number() { "; put it in quotes" } else { "" };
            let message =
                message![path, "[", value(quote(key)), "]: expected a string, found ", json_type(found), hint,];
            let annotation = (kind == "annotation").then(|| key.clone());
            problems.push(Problem { code: ErrorCode::PodInvalid, template: None, annotation, message });
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inject::{CompiledSource, Settings, SourceText, TemplateSet};
    use crate::workload::find;

    const TEMPLATE: &str = "
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionTemplate
metadata: {name: helper}
spec:
  sidecars:
  - name: helper
    image: 'example.com/helper:1'
    env:
    - {name: OWNER, value: '${pod.metadata.generateName}${pod.metadata.ownerReferences[0].kind}'}
    - {name: PLACE, value: '${pod.metadata.namespace} ${pod.spec.serviceAccountName}'}
  volumes: [{name: data, emptyDir: {}}]
  pod: {terminationGracePeriodSeconds: 60, securityContext: {fsGroup: 5}}
";

    fn injector(template: &str) -> Injector {
        let text = SourceText { origin: "t.yaml".to_owned(), text: template.to_owned() };
        let loaded = TemplateSet::assemble(&CompiledSource::compile_all(&[text]), &TemplateSet::default());
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        Injector::new(loaded.templates, Settings::default())
    }

    /// The reviews of the template and of its first pod.
    fn reviews(template: &str, document: &Value) -> [Review; 2] {
        let injector = injector(template);
        let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object: None };
        let found = find(document, "outrigger.dev");
        assert_eq!(found.pods.len(), 1, "{found:?}");
        [reviewer.review_template(document, &found.pods[0]), reviewer.review(document, &found.pods[0])]
    }

    fn review(template: &str, document: &Value) -> Review {
        let [of_template, _] = reviews(template, document);
        of_template
    }

    fn workload(api_version: &str, kind: &str, metadata: &Value) -> Value {
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"},
            "spec": {"template": {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}}})
    }

    fn asking() -> Value {
        json!({"annotations": {"outrigger.dev/inject": "helper"}})
    }

    fn findings(review: &Review) -> Vec<String> {
        review.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn templates_read_what_the_cluster_fills_in_and_the_output_has_none_of_it() {
        for (api_version, kind, owner) in [
            ("apps/v1", "Deployment", "ReplicaSet"),
            ("apps/v1", "StatefulSet", "StatefulSet"),
            ("batch/v1", "Job", "Job"),
        ] {
            let document = workload(api_version, kind, &asking());
            let review = review(TEMPLATE, &document);
            let after = review.after.unwrap_or_else(|| panic!("{kind}: {:?}", review.outcome));
            let env = &after["spec"]["initContainers"][0]["env"];
            assert_eq!(env[0]["value"], format!("web-{owner}"));
            assert_eq!(env[1]["value"], "shop default");
            assert_eq!(after["spec"]["terminationGracePeriodSeconds"], 60);
            let keys = |value: &Value| value.as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(&after), ["metadata", "spec"]);
            assert_eq!(keys(&after["metadata"]), ["annotations", "labels"]);
            let expected =
                ["containers", "initContainers", "securityContext", "terminationGracePeriodSeconds", "volumes"];
            assert_eq!(keys(&after["spec"]), expected);
        }
    }

    #[test]
    fn uninject_gives_back_the_template_whatever_was_filled_in() {
        let spec = |more: Value| {
            let mut document = workload("apps/v1", "StatefulSet", &asking());
            for (key, value) in more.as_object().expect("fields") {
                document["spec"]["template"]["spec"][key] = value.clone();
            }
            document["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "claim"}}]);
            document
        };
        for more in [
            json!({}),
            json!({"terminationGracePeriodSeconds": null, "securityContext": null, "volumes": null}),
            json!({"terminationGracePeriodSeconds": 30, "securityContext": {}, "volumes": []}),
            json!({"volumes": [{"name": "own", "emptyDir": {}}, {"name": "claim", "emptyDir": {}}]}),
        ] {
            let document = spec(more);
            for review in reviews(TEMPLATE, &document) {
                let after = review.after.expect("it is injected");
                assert!(!after.to_string().contains("claimName"), "{after}");
                let back =
                    crate::inject::uninject(&after, "outrigger.dev").expect("a status").expect("something to take out");
                assert_eq!(back, document["spec"]["template"]);
            }
        }
    }

    /// The template of a StatefulSet afterwards and that of its first pod, or the codes of the refusals.
    fn of_stateful_set(sidecar: &str) -> [String; 2] {
        let spec = "{sidecars: [{name: helper, image: 'helper:1'SIDECAR";
        let template =
            format!("{}spec: {}", TEMPLATE.split("spec:").next().unwrap_or_default(), spec.replace("SIDECAR", sidecar));
        reviews(&template, &workload("apps/v1", "StatefulSet", &asking())).map(|review| match review.outcome {
            Ok(_) => review.after.map_or_else(String::new, |after| after.to_string()),
            Err(error) => error.to_string(),
        })
    }

    #[test]
    fn a_value_of_one_pod_is_read_by_its_review_and_not_written_into_the_template() {
        let [template, pod] = of_stateful_set(", args: ['${pod.metadata.name}']}]}");
        assert!(
            template.starts_with("expression_missing_key: ") && template.contains("; its pods get it"),
            "{template}"
        );
        assert!(pod.contains("\"args\":[\"web-0\"]"), "{pod}");
        let [template, pod] =
            of_stateful_set(", args: ['${has(pod.spec.hostname) ? pod.spec.hostname : \"none\"}']}]}");
        assert!(template.contains("\"args\":[\"none\"]"), "{template}");
        assert!(pod.contains("\"args\":[\"web-0\"]"), "{pod}");
        let labels = ", args: ['${pod.metadata.labels[\"controller-revision-hash\"]}']}]}";
        let template = &of_stateful_set(labels)[0];
        assert!(template.starts_with("expression_missing_key: "), "{template}");
    }

    #[test]
    fn labels_of_the_controller_decide_about_the_template_too() {
        let matching = |key: &str, operator: &str| {
            let [template, pod] = of_stateful_set(&format!(
                "}}], match: {{podSelector: {{matchExpressions: [{{key: {key}, operator: {operator}}}]}}}}}}"
            ));
            assert_eq!(template, pod, "{key} {operator}");
            template.contains("helper:1")
        };
        assert!(matching("apps.kubernetes.io/pod-index", "Exists"));
        assert!(!matching("apps.kubernetes.io/pod-index", "DoesNotExist"));
        assert!(matching("pod-template-hash", "DoesNotExist"));
        assert!(!matching("pod-template-hash", "Exists"));
    }

    #[test]
    fn a_claim_is_a_volume_of_the_pod() {
        let mut document = workload("apps/v1", "StatefulSet", &asking());
        document["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}}]);
        let error = review(TEMPLATE, &document).outcome.expect_err("two volumes of one name");
        assert_eq!(error.codes(), [ErrorCode::Conflict]);
        let mounts = TEMPLATE.replace("volumes: [{name: data, emptyDir: {}}]", "fromApp: {volumeMounts: true}");
        document["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/d"}]);
        let after = review(&mounts, &document).after.expect("the claim can be mounted");
        assert_eq!(after["spec"]["initContainers"][0]["volumeMounts"][0]["name"], "data");
        assert_eq!(after["spec"].get("volumes"), None);
    }

    #[test]
    fn keys_at_the_wrong_level_are_named_with_the_right_one() {
        let mut document = workload("apps/v1", "Deployment", &json!({"labels": {"outrigger.dev/inject": "helper"}}));
        document["metadata"]["annotations"] = json!({"outrigger.dev/containers": "app"});
        document["spec"]["template"]["annotations"] = json!({"helper.outrigger.dev/x": "1"});
        let review = review(TEMPLATE, &document);
        assert_eq!(
            findings(&review),
            [
                "key_misplaced: annotation outrigger.dev/containers has no effect in metadata.annotations; \
                 move it to spec.template.metadata.annotations",
                "key_misplaced: annotation helper.outrigger.dev/x has no effect in spec.template.annotations; \
                 move it to spec.template.metadata.annotations",
            ]
        );
        assert!(matches!(review.outcome, Ok(Outcome::Skipped(_))));
        let explained: Vec<String> = review.explanations.iter().map(ToString::to_string).collect();
        let label = "label outrigger.dev/inject has no effect here: it must be an annotation of the pod";
        assert_eq!(explained, [format!("not_requested: no template is requested; {label}")]);
    }

    #[test]
    fn a_value_that_is_no_text_is_named_by_its_path_in_the_object() {
        let document = workload("apps/v1", "Deployment", &json!({"annotations": {"outrigger.dev/inject": false}}));
        let error = review(TEMPLATE, &document).outcome.expect_err("no text").to_string();
        let expected = "pod_invalid: spec.template.metadata.annotations[\"outrigger.dev/inject\"]: \
                        expected a string, found a boolean; put it in quotes";
        assert_eq!(error, expected);
        let mut document = workload("apps/v1", "Deployment", &asking());
        document["spec"]["template"]["spec"]["containers"][0]["env"] = json!(7);
        let error = review(TEMPLATE, &document).outcome.expect_err("no list").to_string();
        assert!(error.starts_with("pod_invalid: in spec.template: ") && error.contains("spec.containers"), "{error}");
        let document = workload("apps/v1", "Deployment", &json!({"annotations": {"other": 1}}));
        let review = review(TEMPLATE, &document);
        assert!(matches!(review.outcome, Ok(Outcome::Skipped(_))));
        assert!(findings(&review)[0].ends_with("put it in quotes; it is left as it is"), "{review:?}");
    }

    #[test]
    fn what_was_injected_before_is_compared_with_now() {
        let before = workload("apps/v1", "Deployment", &asking());
        let mut document = before.clone();
        document["spec"]["template"] = review(TEMPLATE, &before).after.expect("it is injected");
        let renewal = |template: &str, document: &Value| {
            let injector = injector(template);
            let reviewer = Reviewer { injector: &injector, namespace: "shop", namespace_object: None };
            let location = find(document, "outrigger.dev").pods.remove(0);
            reviewer.renewal(document, &location)
        };
        assert!(renewal(TEMPLATE, &document).is_none());
        assert!(renewal(TEMPLATE, &before).is_none());
        let other = TEMPLATE.replace("helper:1", "helper:2");
        let found = renewal(&other, &document).expect("another image");
        assert!(found.difference.to_string().contains("has other values than it would get now"), "{found:?}");
        assert_eq!(found.bare, before["spec"]["template"]);
        assert!(found.review.after.expect("injected").to_string().contains("helper:2"));
        let annotations = document["spec"]["template"]["metadata"]["annotations"].as_object_mut().expect("a map");
        annotations.remove("outrigger.dev/inject");
        let found = renewal(TEMPLATE, &document).expect("not requested");
        assert!(found.difference.to_string().contains("is not requested any more"), "{found:?}");
        assert!(found.review.after.is_none());
    }

    #[test]
    fn an_unknown_kind_is_said_where_it_matters() {
        let document = workload("example.com/v1", "Server", &asking());
        let asks = review(TEMPLATE, &document);
        assert!(asks.after.is_some());
        assert!(findings(&asks)[0].starts_with("kind_unknown: kind \"Server\" is not known"));
        assert!(review(TEMPLATE, &workload("example.com/v1", "Server", &json!({}))).findings.is_empty());
    }
}
