//! Rules for images: their tags, and users with which the kubelet does not start them.

use super::code::Code;
use super::finding::Finding;
use super::view::{Container, View, at, below, known_text};
use crate::inject::text::FieldPath;
use serde_json::Value;

/// Official images whose user is root.
const ROOT: [&str; 41] = [
    "almalinux",
    "alpine",
    "amazonlinux",
    "bash",
    "buildpack-deps",
    "busybox",
    "caddy",
    "centos",
    "debian",
    "docker",
    "eclipse-temurin",
    "elixir",
    "erlang",
    "fedora",
    "gcc",
    "golang",
    "haskell",
    "httpd",
    "mariadb",
    "maven",
    "mongo",
    "mysql",
    "nginx",
    "node",
    "openjdk",
    "oraclelinux",
    "perl",
    "php",
    "postgres",
    "python",
    "rabbitmq",
    "redis",
    "registry",
    "rockylinux",
    "ruby",
    "rust",
    "tomcat",
    "traefik",
    "ubuntu",
    "valkey",
    "wordpress",
];

/// Official images whose user is a name: the kubelet cannot tell whether it is root.
const NAMED: [(&str, &str); 4] =
    [("fluentd", "fluent"), ("haproxy", "haproxy"), ("memcached", "memcache"), ("varnish", "varnish")];

/// Where official images come from.
const OFFICIAL: [&str; 6] = [
    "docker.io/library/",
    "index.docker.io/library/",
    "registry-1.docker.io/library/",
    "registry.hub.docker.com/library/",
    "public.ecr.aws/docker/library/",
    "mirror.gcr.io/library/",
];

/// Warnings about the image of a container.
pub(super) fn of_container(view: View<'_>, container: &Container<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = tag(view, at(container.value, &["image"]), &container.path.child("image")).collect();
    let Some(image) = known(container.value) else { return found };
    if must_not_be_root(view, container.value) {
        let user = match official(image) {
            Some(name) if ROOT.contains(&name) => Some("runs as root".to_owned()),
            Some(name) => NAMED.iter().find(|(known, _)| *known == name).map(|(_, user)| {
                format!("has the non-numeric user {user:?}, of which the kubelet cannot tell that it is not root")
            }),
            None => None,
        };
        if let Some(user) = user {
            let message = format!("the image {image:?} {user}; runAsNonRoot is true, and no runAsUser is set");
            found.push(Finding::new(Code::RootImage, view, &container.path.child("image"), message));
        }
    }
    found
}

/// Warnings about the images of volumes.
pub(super) fn of_volumes(view: View<'_>) -> Vec<Finding> {
    let names = ["image", "reference"];
    view.items("volumes").flat_map(|(path, volume)| tag(view, at(volume, &names), &below(&path, &names))).collect()
}

/// The image of a container, if it is known.
pub(super) fn known(container: &Value) -> Option<&str> {
    known_text(at(container, &["image"]))
}

/// The name of an official image without its registry, tag and digest.
pub(super) fn official(image: &str) -> Option<&str> {
    let name = OFFICIAL.iter().find_map(|registry| image.strip_prefix(registry));
    let name = name.or_else(|| ["docker.io/", "library/"].iter().find_map(|prefix| image.strip_prefix(prefix)));
    let name = name.unwrap_or(image).split([':', '@']).next().unwrap_or_default();
    (!name.contains('/')).then_some(name)
}

fn tag<'a>(view: View<'a>, image: &'a Value, path: &FieldPath) -> impl Iterator<Item = Finding> + use<'a> {
    let path = path.clone();
    known_text(image).into_iter().filter_map(move |image| {
        let message = format!("the image {image:?} {}", tag_fault(image)?);
        Some(Finding::new(Code::ImageTag, view, &path, message))
    })
}

fn tag_fault(image: &str) -> Option<&'static str> {
    // The API server refuses an empty one.
    if image.is_empty() || image.contains('@') {
        return None;
    }
    match image.rsplit('/').next().unwrap_or_default().split_once(':') {
        None | Some((_, "")) => Some("has no tag and no digest"),
        Some((_, "latest")) => Some("has the tag latest"),
        Some(_) => None,
    }
}

/// Whether the kubelet refuses root for the container, and the image alone says who its user is.
fn must_not_be_root(view: View<'_>, container: &Value) -> bool {
    let spec = view.spec();
    let context = at(container, &["securityContext"]);
    let pod_context = at(spec, &["pod", "securityContext"]);
    let has_user = [context, pod_context].iter().any(|context| !at(context, &["runAsUser"]).is_null());
    let is_hardened = at(spec, &["hardened"]) != false;
    let non_root = match at(context, &["runAsNonRoot"]) {
        Value::Null if is_hardened => &Value::Bool(true),
        Value::Null => at(pod_context, &["runAsNonRoot"]),
        own => own,
    };
    non_root == true && !has_user && !context.is_string() && !pod_context.is_string()
}

#[cfg(test)]
mod tests {
    use super::{official, tag_fault};

    #[test]
    fn official_images_are_known_by_all_their_names() {
        for image in [
            "nginx",
            "nginx:1",
            "library/nginx@sha256:0",
            "docker.io/nginx",
            "docker.io/library/nginx:1",
            "index.docker.io/library/nginx:1",
            "registry-1.docker.io/library/nginx",
            "public.ecr.aws/docker/library/nginx:1",
            "mirror.gcr.io/library/nginx:1",
        ] {
            assert_eq!(official(image), Some("nginx"), "{image}");
        }
        for image in ["example.com/nginx", "docker.io/nginx/nginx-prometheus-exporter:1", "localhost:5000/nginx"] {
            assert_ne!(official(image), Some("nginx"), "{image}");
        }
    }

    #[test]
    fn an_empty_tag_is_none() {
        assert!(tag_fault("x:").is_some() && tag_fault("h:5000/x").is_some() && tag_fault("x:latest").is_some());
        assert!(tag_fault("h:5000/x:1").is_none() && tag_fault("x@sha256:0").is_none() && tag_fault("").is_none());
    }
}
