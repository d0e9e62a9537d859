//! The rows of `outrigger get`: a workload and a template, with what its pods carry.
//!
//! Invariant: each pod counts in one row for each template that it requests or carries.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::super::fleet::{Owner, RequestingWorkload, Served, TemplatePod};

/// How the pods of a workload stand to a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// Pods request the template and run without it.
    Missing,
    /// The workload's pods request a template that the cluster does not have.
    NotFound,
    /// Pods carry another revision than new pods get.
    Outdated,
    /// The pods carry what they should.
    Current,
    /// The pods ask for a revision of their own, and carry it.
    Pinned,
    /// It is not known which revision new pods get, or whether they get one, or they get none.
    Unknown,
    /// The workload requests the template and has no pods that do.
    NoPods,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotFound => "not-found",
            Self::Outdated => "outdated",
            Self::Current => "current",
            Self::Pinned => "pinned",
            Self::Unknown => "unknown",
            Self::NoPods => "no-pods",
        }
    }
}

/// A workload and a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// Namespace of the workload.
    pub namespace: String,
    /// Kind of the workload: `Deployment`, or `Pod` for a pod that nothing creates.
    pub kind: String,
    /// Name of the workload.
    pub workload: String,
    /// Name of the template.
    pub template: String,
    /// How its pods stand to the template.
    pub state: State,
    /// Number of pods that request or carry the template, or that an Automatic one selects.
    pub pods: usize,
    /// How many pods carry each revision.
    pub revisions: BTreeMap<String, usize>,
    /// The revision that new pods get, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Names of pods that request the template and run without it, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Names of pods that carry another revision than new pods get, at most ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outdated: Vec<String>,
}

/// Most names of pods in a row.
const MAX_NAMES: usize = 10;

/// The rows, sorted by namespace, workload and template.
#[derive(Default)]
pub(super) struct Rows {
    rows: BTreeMap<(String, Owner, String), Tally>,
}

#[derive(Default)]
struct Tally {
    pods: usize,
    revisions: BTreeMap<String, usize>,
    without: Names,
    outdated: Names,
    pinned: usize,
    unknown: usize,
    current: Option<String>,
}

/// A number of pods, with the names of the first.
#[derive(Default)]
struct Names {
    count: usize,
    first: Vec<String>,
}

impl Names {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.first.len() < MAX_NAMES {
            self.first.push(name.to_owned());
        }
    }
}

impl Rows {
    /// Counts a pod for each of its templates.
    pub(super) fn add_pod(&mut self, pod: &TemplatePod, served: &Served) {
        let requested = pod.requested.iter().map(|named| named.name.as_str());
        let templates: BTreeSet<&str> = requested.chain(pod.carried.keys().map(String::as_str)).collect();
        for template in templates {
            let key = (pod.namespace.clone(), pod.owner.clone(), template.to_owned());
            let tally = self.rows.entry(key).or_default();
            let found = served.find(&pod.namespace, template);
            tally.pods += 1;
            tally.current = found.and_then(|found| found.revision.clone());
            let Some(carried) = pod.carried.get(template) else {
                if pod.uncertain.contains(template) {
                    tally.unknown += 1;
                    continue;
                }
                tally.without.add(&pod.name);
                continue;
            };
            *tally.revisions.entry(carried.clone()).or_default() += 1;
            let pinned =
                pod.requested.iter().find(|named| named.name == template).and_then(|named| named.revision.as_ref());
            let wanted = match (pinned, found) {
                (Some(pinned), _) => vec![pinned.as_str()],
                (None, Some(found)) => {
                    [&found.revision, &found.stable].into_iter().flatten().map(String::as_str).collect()
                }
                (None, None) => Vec::new(),
            };
            match (wanted.as_slice(), pinned) {
                ([], _) => tally.unknown += 1,
                (wanted, _) if !wanted.contains(&carried.as_str()) => tally.outdated.add(&pod.name),
                (_, Some(_)) => tally.pinned += 1,
                (_, None) => {}
            }
        }
    }

    /// Adds what a workload requests, if it has no pods.
    pub(super) fn add_workload(&mut self, workload: &RequestingWorkload, served: &Served) {
        for named in &workload.requested {
            let key = (workload.namespace.clone(), workload.owner.clone(), named.name.clone());
            let current = served.find(&workload.namespace, &named.name).and_then(|found| found.revision.clone());
            let unknown = usize::from(workload.uncertain.contains(&named.name));
            self.rows.entry(key).or_insert_with(|| Tally { current, unknown, ..Tally::default() });
        }
    }

    /// Names of all templates that pods and workloads have.
    pub(super) fn templates(&self) -> BTreeSet<String> {
        self.rows.keys().map(|(_, _, template)| template.clone()).collect()
    }

    /// All rows, or those of one template.
    pub(super) fn finish(self, template: Option<&str>, served: &Served) -> Vec<Row> {
        let is_chosen = |name: &str| template.is_none_or(|template| template == name);
        let rows = self.rows.into_iter().filter(|((_, _, name), _)| is_chosen(name));
        rows.map(|((namespace, owner, template), tally)| {
            let is_known = served.find(&namespace, &template).is_some();
            Row {
                state: tally.state(is_known || !served.is_complete),
                namespace,
                kind: owner.kind,
                workload: owner.name,
                template,
                pods: tally.pods,
                revisions: tally.revisions,
                current: tally.current,
                without: tally.without.first,
                outdated: tally.outdated.first,
            }
        })
        .collect()
    }
}

impl Tally {
    fn state(&self, may_exist: bool) -> State {
        let carrying: usize = self.revisions.values().sum();
        match () {
            () if !may_exist && carrying == 0 => State::NotFound,
            () if self.without.count > 0 => State::Missing,
            () if self.pods == 0 && self.unknown == 0 => State::NoPods,
            () if self.outdated.count > 0 => State::Outdated,
            () if self.unknown > 0 => State::Unknown,
            () if self.pinned == carrying => State::Pinned,
            () => State::Current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fleet::ServedTemplate;
    use super::*;
    use crate::api::template_object::ObjectKey;
    use crate::inject::annotations::NamedTemplate;

    fn served(revision: &str, stable: &str) -> Served {
        let key = ObjectKey { namespace: None, name: "proxy".to_owned() };
        let template = ServedTemplate {
            revision: Some(revision.to_owned()),
            stable: Some(stable.to_owned()),
            is_shadowable: None,
        };
        [(key, template)].into_iter().collect()
    }

    fn pod(name: &str, requested: &[(&str, Option<&str>)], carried: &[(&str, &str)]) -> TemplatePod {
        let named = |(name, revision): &(&str, Option<&str>)| NamedTemplate {
            name: (*name).to_owned(),
            revision: revision.map(str::to_owned),
        };
        TemplatePod {
            created: 0,
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            owner: Owner { kind: "Deployment".to_owned(), name: "web".to_owned() },
            controller: None,
            has_own_name: false,
            requested: requested.iter().map(named).collect(),
            uncertain: BTreeSet::new(),
            carried: carried.iter().map(|(name, revision)| ((*name).to_owned(), (*revision).to_owned())).collect(),
        }
    }

    fn row(pods: &[TemplatePod], served: &Served) -> Row {
        let mut rows = Rows::default();
        pods.iter().for_each(|pod| rows.add_pod(pod, served));
        let rows = rows.finish(None, served);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.into_iter().next().expect("one row")
    }

    #[test]
    fn each_state_is_told() {
        const ASKS: &[(&str, Option<&str>)] = &[("proxy", None)];
        let served = served("b", "b");
        let current = pod("p", ASKS, &[("proxy", "b")]);
        for (more, expected) in [
            (pod("q", ASKS, &[("proxy", "b")]), State::Current),
            (pod("q", ASKS, &[("proxy", "a")]), State::Outdated),
            (pod("q", ASKS, &[]), State::Missing),
            (pod("q", &[("proxy", Some("a"))], &[("proxy", "a")]), State::Current),
            (pod("q", &[("proxy", Some("a"))], &[("proxy", "b")]), State::Outdated),
        ] {
            assert_eq!(row(&[current.clone(), more], &served).state, expected);
        }
        let pinned = pod("q", &[("proxy", Some("a"))], &[("proxy", "a")]);
        assert_eq!(row(&[pinned], &served).state, State::Pinned);
        assert_eq!(row(std::slice::from_ref(&current), &Served::default()).state, State::Unknown);
        assert_eq!(row(&[pod("q", &[("prxy", None)], &[])], &served).state, State::NotFound);
        let uncertain = |carried| TemplatePod { uncertain: ["proxy".to_owned()].into(), ..pod("q", ASKS, carried) };
        assert_eq!(row(&[uncertain(&[])], &served).state, State::Unknown);
        assert_eq!(row(&[uncertain(&[("proxy", "b")])], &served).state, State::Current);
    }

    #[test]
    fn during_a_rollout_both_revisions_are_current() {
        let pods = [pod("p", &[], &[("proxy", "a")]), pod("q", &[], &[("proxy", "b")])];
        let row = row(&pods, &served("b", "a"));
        assert_eq!((row.state, row.revisions.len()), (State::Current, 2));
    }

    #[test]
    fn a_workload_without_pods_has_a_row_of_its_own() {
        let served = served("b", "b");
        let workload = |name: &str, template: &str| RequestingWorkload {
            namespace: "shop".to_owned(),
            owner: Owner { kind: "Deployment".to_owned(), name: name.to_owned() },
            requested: vec![NamedTemplate { name: template.to_owned(), revision: None }],
            is_silent: false,
            uncertain: BTreeSet::new(),
            labels: BTreeMap::new(),
        };
        let mut rows = Rows::default();
        rows.add_pod(&pod("p", &[("proxy", None)], &[("proxy", "b")]), &served);
        for workload in [workload("web", "proxy"), workload("idle", "proxy"), workload("wrong", "prxy")] {
            rows.add_workload(&workload, &served);
        }
        let states = rows.finish(None, &served).into_iter().map(|row| (row.workload, row.state)).collect::<Vec<_>>();
        let expected = [("idle", State::NoPods), ("web", State::Current), ("wrong", State::NotFound)];
        assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)));
    }
}
