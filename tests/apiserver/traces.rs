//! A trace that begins before the API server continues in Outrigger.

use hyper::Request;
use kube::client::Body;
use serde_json::json;

use crate::cluster::{in_namespace, pod};
use crate::collector::{Collector, attribute, hex};
use crate::outrigger::Outrigger;

tests! { the_span_of_a_review_is_a_child_of_the_api_servers_span }

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";

fn the_span_of_a_review_is_a_child_of_the_api_servers_span() {
    in_namespace("traced", "traced", |namespace| {
        let collector = Collector::start();
        let endpoint = format!("http://{}", collector.address);
        let outrigger = Outrigger::start(namespace.cluster, "traced", &["--otlp-endpoint", &endpoint]);
        // Requests are not sampled, and so not exported, until the API server calls Outrigger.
        outrigger.register(namespace, "traced", "log-collector", |_| {});
        let asking = pod("web", &json!({"outrigger.dev/inject": "log-collector"}));
        let request = Request::post(namespace.path("pods"))
            .header("content-type", "application/json")
            .header("traceparent", format!("00-{TRACE}-{CLIENT}-01"))
            .body(Body::from(asking.to_string().into_bytes()))
            .expect("a valid request");
        let answer = namespace.cluster.runtime.block_on(namespace.cluster.client().send(request)).expect("an answer");
        assert_eq!(answer.status(), 201);
        let (_, _, spans) = collector.next();
        let span = spans.first().expect("a span");
        assert_eq!(hex(&span.trace_id), TRACE);
        let parent = hex(&span.parent_span_id);
        assert!(!parent.is_empty() && parent != CLIENT, "the API server has spans of its own in between");
        assert_eq!(attribute(&span.attributes, "outrigger.templates").as_deref(), Some("log-collector"));
        assert_eq!(attribute(&span.attributes, "k8s.namespace.name").as_deref(), Some("traced"));
    });
}
