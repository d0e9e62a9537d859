//! Lists and watches the objects of one kind by the API.
//!
//! The library's own watcher keeps bookmarks to itself and reads objects as trees; here a bookmark
//! tells that nothing is missing, and specs stay text. Invariant: a page of a list is bounded in
//! bytes, whatever the size of the objects, as far as the API server follows its limit.

use futures::Stream;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{self, ApiObject};
use crate::api::template_object::TemplateKind;

/// Objects of the first page.
const FIRST_PAGE: u32 = 50;
/// Objects of any page.
const MAX_PAGE: u32 = 500;
/// What a page should have: it is in memory twice while it is read.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// One page of a list.
pub(super) struct Page {
    pub objects: Vec<ApiObject>,
    /// Where a watch of the whole list begins.
    pub version: String,
    pub next: Option<NextPage>,
}

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextPage {
    token: String,
    limit: u32,
}

#[derive(Deserialize)]
struct ListText<'a> {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMetadata {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// What an API server can be asked for.
pub(super) trait TemplateSource: Clone + Send + Sync + 'static {
    /// A page of the list; the first one without `next`.
    fn page(&self, kind: TemplateKind, next: Option<NextPage>) -> impl Future<Output = kube::Result<Page>> + Send;

    /// What happens after this version, for so many seconds.
    fn watch(
        &self,
        kind: TemplateKind,
        version: String,
        seconds: u32,
    ) -> impl Future<Output = kube::Result<impl Stream<Item = kube::Result<WatchEvent<ApiObject>>> + Send>> + Send;
}

impl TemplateSource for Client {
    async fn page(&self, kind: TemplateKind, next: Option<NextPage>) -> kube::Result<Page> {
        let limit = next.as_ref().map_or(FIRST_PAGE, |next| next.limit);
        let mut params = ListParams::default().limit(limit);
        params.continue_token = next.map(|next| next.token);
        let request = Request::new(object::path(kind)).list(&params).map_err(kube::Error::BuildRequest)?;
        page(&self.request_text(request).await?, limit).map_err(kube::Error::SerdeError)
    }

    async fn watch(
        &self,
        kind: TemplateKind,
        version: String,
        seconds: u32,
    ) -> kube::Result<impl Stream<Item = kube::Result<WatchEvent<ApiObject>>> + Send> {
        let params = WatchParams::default().timeout(seconds);
        let request = Request::new(object::path(kind)).watch(&params, &version).map_err(kube::Error::BuildRequest)?;
        self.request_events::<ApiObject>(request).await
    }
}

/// Reads a page that was asked for with this limit.
fn page(text: &str, limit: u32) -> serde_json::Result<Page> {
    let list: ListText<'_> = serde_json::from_str(text)?;
    let items = list.items.unwrap_or_default();
    // An object that is no object at all would otherwise hide all others.
    let objects: Vec<ApiObject> = items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
    let next = list.metadata.next.filter(|token| !token.is_empty());
    Ok(Page {
        version: list.metadata.resource_version.unwrap_or_default(),
        next: next.map(|token| NextPage { token, limit: next_limit(limit, text.len()) }),
        objects,
    })
}

/// How many objects the next page should have, if a page with this limit had so many bytes.
fn next_limit(limit: u32, bytes: usize) -> u32 {
    let fitting = u64::from(limit) * PAGE_BYTES as u64 / bytes.max(1) as u64;
    u32::try_from(fitting).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A page with these objects; another one follows if `more` is set.
    pub(in crate::cluster::templates) fn page_of(objects: &[serde_json::Value], version: &str, more: &str) -> Page {
        let list = json!({"metadata": {"resourceVersion": version, "continue": more}, "items": objects});
        page(&list.to_string(), FIRST_PAGE).expect("a list")
    }

    #[test]
    fn the_next_page_fits_into_the_bytes_of_a_page() {
        assert_eq!(next_limit(50, 50 * 1024), MAX_PAGE);
        assert_eq!(next_limit(50, 4 * PAGE_BYTES), 12);
        assert_eq!(next_limit(1, 2 * PAGE_BYTES), 1);
        let page = page_of(&[json!({"metadata": {"name": "a"}})], "7", "token");
        assert_eq!((page.objects.len(), page.version.as_str()), (1, "7"));
        assert_eq!(page.next, Some(NextPage { token: "token".to_owned(), limit: MAX_PAGE }));
    }

    #[test]
    fn an_item_that_is_no_object_hides_no_other() {
        let page = page_of(&[json!(7), json!({"metadata": {"name": "a"}})], "7", "");
        assert_eq!((page.objects.len(), page.next), (1, None));
        assert!(super::page("{\"items\": null}", 1).expect("an empty list").objects.is_empty());
        assert!(super::page("<html>", 1).is_err());
    }
}
