//! Reads the events of controllers whose pods our webhook refused lately.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};

use super::super::observations::RefusalEvent;
use super::trials::is_denial;
use crate::cli::cluster::Lookup;
use crate::cli::cluster::{ApiRequest, Caller, filter_page};

/// A controller that still fails has tried again in this time; what is older may be mended.
const RECENT: Duration = Duration::from_secs(20 * 60);

pub(super) async fn recent(caller: &Caller, domain: &str, now: SystemTime) -> Lookup<Vec<RefusalEvent>> {
    let api: Api<DynamicObject> = Api::all_with(caller.client.clone(), &ApiResource::erase::<Event>(&()));
    let request = ApiRequest { verb: "list", resource: "events", namespace: None };
    caller
        .pages(&request, ListParams::default().fields("reason=FailedCreate"), |params| {
            let api = api.clone();
            async move { Ok(filter_page(api.list(&params).await?, |event| refusal(&event, domain, now))) }
        })
        .await
}

fn refusal(event: &DynamicObject, domain: &str, now: SystemTime) -> Option<RefusalEvent> {
    let text = |path: &str| event.data.pointer(path).and_then(|value| value.as_str());
    let message = text("/message").filter(|message| is_denial(message, domain))?;
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime"];
    let last = times.into_iter().filter_map(text).find_map(|time| time.parse::<Timestamp>().ok())?;
    let is_recent = SystemTime::from(last) + RECENT > now;
    let object = |field: &str| text(&format!("/involvedObject/{field}")).unwrap_or_default().to_owned();
    is_recent.then(|| RefusalEvent {
        kind: object("kind"),
        namespace: object("namespace"),
        name: object("name"),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_recent_denials_of_our_webhook_count() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().expect("a time");
        let denied = "Error creating: admission webhook \"pods.inject.outrigger.dev\" denied the request: conflict: x";
        let event = |message: &str, time: &str| {
            let object = json!({"kind": "ReplicaSet", "namespace": "shop", "name": "web-5f6c"});
            let event = json!({"metadata": {}, "message": message, "lastTimestamp": time, "eventTime": null, "involvedObject": object});
            let event: DynamicObject = serde_json::from_value(event).expect("an event");
            refusal(&event, "outrigger.dev", now.into())
                .map(|found| format!("{} {}/{}", found.kind, found.namespace, found.name))
        };
        assert_eq!(event(denied, "2026-11-28T11:45:00Z").as_deref(), Some("ReplicaSet shop/web-5f6c"));
        assert_eq!(event(denied, "2026-11-28T11:30:00Z"), None, "long ago");
        assert_eq!(event(&denied.replace("outrigger.dev", "other.example"), "2026-11-28T11:59:00Z"), None);
        let failed = "failed calling webhook \"pods.inject.outrigger.dev\": context deadline exceeded";
        assert_eq!(event(failed, "2026-11-28T11:59:00Z"), None, "no verdict");
    }
}
