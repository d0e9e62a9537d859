//! Uses the volume that the app has at a path in place of the one that a template would mount there.
//!
//! The template's volume is left out, and its mounts lead to the same files of the app's volume, by a
//! sub-path. So the files of the app stay where its author has put them.
//!
//! Invariant: if no selected container mounts anything at the path or above it, or if it mounts the
//! template's own volume there, the template's volume is used as it is written.

use super::Preparation;
use super::problems::problem;
use crate::inject::error::{ErrorCode, Problem};
use crate::inject::merge::{equal, is_plugins_volume};
use crate::inject::overlay::{Overlay, OverlayPart, SHARE};
use crate::inject::pod::{ContainerList, PodDocument};
use crate::inject::schema::merge_keys::{clean_path, steps};
use crate::inject::template::Template;
use crate::inject::text::json::{items, text};
use crate::inject::text::{Message, message, quote, value, words};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Volumes that are read-only whatever their mounts say, as messages name them.
const READ_ONLY: [(&str, &str); 5] = [
    ("configMap", "a ConfigMap"),
    ("downwardAPI", "a downwardAPI volume"),
    ("image", "an image"),
    ("projected", "a projected volume"),
    ("secret", "a Secret"),
];
/// Of these the ones that a template shares only if its `allow` lists them.
const ALLOWED: [(&str, &str); 2] = [("projected", "Projected"), ("secret", "Secret")];

/// Positions of selected containers, and of mounts that they need not get.
type Mounted = BTreeSet<(usize, usize)>;

impl Preparation<'_, '_> {
    /// Replaces each volume that the app already has. `selected` are the containers of the app that
    /// count; returns the mounts that they need not get.
    pub(super) fn share(
        &self,
        template: &Template,
        overlay: &mut Cow<'_, Overlay>,
        apps: &mut [Overlay],
        selected: &[(ContainerList, usize)],
    ) -> Result<Mounted, Vec<Problem>> {
        if !overlay.shares_volumes() {
            return Ok(Mounted::new());
        }
        let shares: Vec<Share> = overlay.volumes().iter().filter_map(Share::of).collect();
        let containers: Vec<&Value> = selected.iter().map(|place| self.container(place)).collect();
        let app = App { pod: self.pod, containers: &containers, containers_key: &self.keys.containers };
        let problem_at = |share: &Share, why: Message| {
            let advice = self.advice_about_mount(template, clean_path(&share.path)).unwrap_or_default();
            problem(template, ErrorCode::Conflict, why.with(advice))
        };
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for share in &shares {
            match app.place(share) {
                Ok(place) => found.extend(place.map(|place| Shared { share, place })),
                Err(why) => problems.push(problem_at(share, why)),
            }
        }
        if found.is_empty() && problems.is_empty() {
            return Ok(Mounted::new());
        }
        let mounted = app.mounted(&found, overlay, apps);
        for shared in &found {
            let writer = shared.share.writer(overlay).or_else(|| app.writer(shared, overlay, apps, &mounted));
            problems.extend(app.refuse(shared, writer).map(|why| problem_at(shared.share, why)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        replace(&found, overlay.to_mut(), apps);
        Ok(mounted)
    }
}

/// A volume that the app may already have.
struct Share {
    /// The volume as it is written, without `share`.
    volume: Value,
    path: String,
    allow: Vec<String>,
}

impl Share {
    fn of(volume: &Value) -> Option<Self> {
        let share = volume.get(SHARE)?;
        let path = text(share, "mountedAt").to_owned();
        let allow = items(share, "allow").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut volume = volume.clone();
        volume.as_object_mut()?.remove(SHARE);
        Some(Self { volume, path, allow })
    }

    fn name(&self) -> &str {
        text(&self.volume, "name")
    }

    fn is_of(&self, mount: &Value) -> bool {
        text(mount, "name") == self.name()
    }

    /// The first container of the template that writes to the volume.
    fn writer<'o>(&self, overlay: &'o Overlay) -> Option<&'o str> {
        let containers = overlay.sidecars().iter().chain(overlay.init_containers());
        let writes = |mount: &Value| self.is_of(mount) && !is_read_only(mount);
        let mut writers = containers.filter(|container| items(container, "volumeMounts").iter().any(writes));
        writers.next().map(|container| text(container, "name"))
    }
}

/// A volume of the template, and where the app has it.
struct Shared<'a> {
    share: &'a Share,
    place: Place<'a>,
}

/// Where a container of the app has the files of a path.
struct Place<'a> {
    container: &'a Value,
    mount: &'a Value,
    /// The steps from the root of the volume to the files.
    steps: Vec<&'a str>,
}

impl<'a> Place<'a> {
    /// The nearest mount at the path or above it.
    fn of(container: &'a Value, path: &[&'a str]) -> Option<Self> {
        let above = items(container, "volumeMounts").iter().filter_map(|mount| {
            let at = steps(text(mount, "mountPath"));
            path.starts_with(&at).then_some((at.len(), mount))
        });
        let (depth, mount) = above.max_by_key(|(depth, _)| *depth)?;
        let below = path.get(depth..).unwrap_or_default();
        let steps = [steps(text(mount, "subPath")), below.to_vec()].concat();
        Some(Self { container, mount, steps })
    }

    fn volume(&self) -> &'a str {
        text(self.mount, "name")
    }

    fn is_same(&self, other: &Self) -> bool {
        self.volume() == other.volume() && self.steps == other.steps
    }

    /// The volume and the container that mounts it.
    fn described(&self) -> Message {
        let (container, at) = (quote(text(self.container, "name")), quote(text(self.mount, "mountPath")));
        let mounts =
            message!["container ", value(container), " mounts volume ", value(quote(self.volume())), " at ", value(at)];
        match text(self.mount, "subPath") {
            "" => mounts,
            sub_path => mounts.with(message![" with the subPath ", value(quote(sub_path))]),
        }
    }

    /// Makes a mount of the template's volume one of the same files of the app's volume.
    fn redirect(&self, mount: &mut Value) {
        let Some(fields) = mount.as_object_mut() else { return };
        fields.insert("name".to_owned(), self.volume().into());
        if self.steps.is_empty() {
            return;
        }
        let own = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
        let (field, path) = match own("subPathExpr") {
            "" => ("subPath", [self.steps.clone(), steps(own("subPath"))].concat().join("/")),
            // A dollar sign of the app's sub-path is none of a variable.
            expression => ("subPathExpr", format!("{}/{expression}", self.steps.join("/").replace('$', "$$"))),
        };
        fields.insert(field.to_owned(), path.into());
    }
}

/// The selected containers of the app.
struct App<'a> {
    pod: &'a PodDocument,
    containers: &'a [&'a Value],
    /// The annotation that selects containers.
    containers_key: &'a str,
}

impl<'a> App<'a> {
    /// Where the app has the volume; `None` if the template's own is used.
    fn place(&self, share: &'a Share) -> Result<Option<Place<'a>>, Message> {
        let path = steps(&share.path);
        let mut places = self.containers.iter().filter_map(|container| Place::of(container, &path));
        let Some(first) = places.next() else { return Ok(None) };
        let others: Vec<Place<'a>> = places.collect();
        let all = || std::iter::once(&first).chain(&others);
        if all().any(|place| self.is_own(share, place)) {
            return Ok(None);
        }
        if let Some(place) = all().find(|place| !text(place.mount, "subPathExpr").is_empty()) {
            let expression = value(quote(text(place.mount, "subPathExpr")));
            let why = "; only a mount without subPathExpr can be shared";
            return Err(message![place.described(), " with the subPathExpr ", expression, why]);
        }
        if let Some(other) = others.iter().find(|place| !place.is_same(&first)) {
            return Err(message![
                first.described(),
                ", and ",
                other.described(),
                "; the template can share one volume at ",
                value(quote(&share.path)),
                "; name the containers that share it in the annotation ",
                words(self.containers_key),
            ]);
        }
        Ok(Some(first))
    }

    fn volume(&self, name: &str) -> Option<&'a Value> {
        self.pod.spec_items("volumes").iter().rev().find(|volume| text(volume, "name") == name)
    }

    /// Whether an earlier pass has mounted the template's own volume.
    fn is_own(&self, share: &Share, place: &Place<'_>) -> bool {
        let own = self.volume(place.volume()).filter(|_| share.is_of(place.mount));
        own.is_some_and(|own| equal::same(&share.volume, own))
    }

    /// The mounts that containers need not get, because they have the same files there.
    fn mounted(&self, found: &[Shared<'_>], overlay: &Overlay, apps: &[Overlay]) -> Mounted {
        let mut mounted = Mounted::new();
        for (position, container) in self.containers.iter().enumerate() {
            let mounts = apps.get(position).unwrap_or(overlay).list(OverlayPart::AppVolumeMounts);
            for (index, mount) in mounts.iter().enumerate() {
                let Some(shared) = found.iter().find(|shared| shared.share.is_of(mount)) else { continue };
                let wanted = [shared.place.steps.clone(), steps(text(mount, "subPath"))].concat();
                let has_it = Place::of(container, &steps(text(mount, "mountPath")))
                    .is_some_and(|own| own.volume() == shared.place.volume() && own.steps == wanted);
                if has_it && text(mount, "subPathExpr").is_empty() {
                    mounted.insert((position, index));
                }
            }
        }
        mounted
    }

    /// The first container of the app that would get the volume and write to it.
    fn writer(&self, shared: &Shared<'_>, overlay: &Overlay, apps: &[Overlay], mounted: &Mounted) -> Option<&'a str> {
        let writes = |(position, _): &(usize, &&Value)| {
            let mounts = apps.get(*position).unwrap_or(overlay).list(OverlayPart::AppVolumeMounts);
            mounts.iter().enumerate().any(|(index, mount)| {
                shared.share.is_of(mount) && !is_read_only(mount) && !mounted.contains(&(*position, index))
            })
        };
        self.containers.iter().enumerate().find(writes).map(|(_, container)| text(container, "name"))
    }

    /// Why the template cannot have the app's volume.
    fn refuse(&self, Shared { share, place }: &Shared<'_>, writer: Option<&str>) -> Option<Message> {
        let volume = self.volume(place.volume())?;
        let has = |field: &str| volume.get(field).is_some_and(|source| !source.is_null());
        if is_plugins_volume(volume) {
            return Some(message![place.described(), "; the service account's token is never shared"]);
        }
        if let Some((field, kind)) = ALLOWED.iter().find(|(field, _)| has(field))
            && !share.allow.iter().any(|allowed| allowed == kind)
        {
            let (_, kind) = READ_ONLY.iter().find(|(name, _)| name == field)?;
            return Some(message![place.described(), "; the template may not share ", *kind]);
        }
        let writer = message!["; container ", value(quote(writer?)), " of the result would write to it"];
        if let Some((_, kind)) = READ_ONLY.iter().find(|(field, _)| has(field)) {
            return Some(message![place.described(), ", which is ", *kind, " and cannot be written", writer]);
        }
        let mut sources = volume.as_object().into_iter().flatten();
        if sources.any(|(_, source)| is_read_only(source)) {
            return Some(message![place.described(), ", which is a read-only volume", writer]);
        }
        let path = steps(&share.path);
        let mut mounts = self.containers.iter().filter_map(|container| Place::of(container, &path));
        mounts.all(|place| is_read_only(place.mount)).then(|| message![place.described(), " read-only", writer])
    }
}

fn is_read_only(object: &Value) -> bool {
    object.get("readOnly") == Some(&Value::Bool(true))
}

/// Leaves out the template's volumes, and redirects their mounts to the app's.
fn replace(found: &[Shared<'_>], overlay: &mut Overlay, apps: &mut [Overlay]) {
    let redirect = |mount: &mut Value| {
        if let Some(shared) = found.iter().find(|shared| shared.share.is_of(mount)) {
            shared.place.redirect(mount);
        }
    };
    let redirect_all = |mounts: Option<&mut Vec<Value>>| mounts.into_iter().flatten().for_each(redirect);
    if let Some(volumes) = overlay.list_mut(OverlayPart::Volumes) {
        volumes.retain(|volume| !found.iter().any(|shared| shared.share.is_of(volume)));
    }
    for part in [OverlayPart::Sidecars, OverlayPart::InitContainers] {
        for container in overlay.list_mut(part).into_iter().flatten() {
            redirect_all(container.get_mut("volumeMounts").and_then(Value::as_array_mut));
        }
    }
    redirect_all(overlay.list_mut(OverlayPart::AppVolumeMounts));
    apps.iter_mut().for_each(|app| redirect_all(app.list_mut(OverlayPart::AppVolumeMounts)));
}
