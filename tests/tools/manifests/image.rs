//! The image: what its build excludes and includes, and the version that all files name.

use std::process::Command;

use serde_json::Value;

use super::{list, object, read, repository, text};

tests! {
    the_image_contains_one_program_and_runs_as_an_unprivileged_user,
    the_image_has_its_labels,
    the_image_is_built_with_the_pinned_toolchain,
    the_program_of_the_image_can_send_traces,
    cargo_accepts_the_files_that_the_dockerfile_copies,
    files_copied_by_the_dockerfile_are_in_the_build_context,
    files_that_the_program_includes_are_copied_by_the_dockerfile,
    every_file_names_the_same_version,
    workflows_pin_actions_to_versions,
}

/// The commands of the Dockerfile that begin with this word, each on one line.
fn instructions(dockerfile: &str, word: &str) -> Vec<String> {
    let lines = dockerfile.replace("\\\n", " ");
    lines.lines().filter_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned())).collect()
}

/// The stage that becomes the image.
fn last_stage(dockerfile: &str) -> &str {
    let (_, stage) = dockerfile.rsplit_once("\nFROM ").expect("a Dockerfile has a stage");
    stage
}

/// There is no shell for an intruder, the user is not root, and instructions that Kubernetes
/// ignores are absent.
fn the_image_contains_one_program_and_runs_as_an_unprivileged_user() {
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.lines().any(|line| line == "ARG BASE=scratch"), "nothing but the program is in the image");
    let stage = last_stage(&dockerfile);
    assert!(stage.starts_with("${BASE}\n"), "{stage}");
    assert_eq!(instructions(stage, "COPY "), ["--from=build /out/outrigger /outrigger"]);
    assert_eq!(instructions(stage, "ENTRYPOINT "), ["[\"/outrigger\"]"], "the exec form: there is no shell");
    assert!(instructions(stage, "CMD ")[0].starts_with("[\"serve\", "), "the exec form: there is no shell");
    for absent in ["RUN ", "ADD ", "SHELL ", "HEALTHCHECK", "VOLUME ", "ENV ", "ONBUILD "] {
        assert_eq!(instructions(stage, absent), Vec::<String>::new(), "{absent}");
    }
    let deployment = object("manifests/base/deployment.yaml");
    let context = &deployment["spec"]["template"]["spec"]["securityContext"];
    let user = format!("{}:{}", context["runAsUser"], context["runAsGroup"]);
    assert_eq!(user, "65532:65532");
    assert_eq!(
        instructions(stage, "USER "),
        [user],
        "the user of the manifests, by number: runAsNonRoot can be checked"
    );
}

fn the_image_has_its_labels() {
    let label = instructions(last_stage(&read("Dockerfile")), "LABEL ").concat();
    for name in ["title", "description", "licenses", "version", "revision", "created", "source"] {
        assert!(label.contains(&format!("org.opencontainers.image.{name}=")), "{name}: {label}");
    }
    assert!(label.contains(&format!("licenses=\"{}\"", env!("CARGO_PKG_LICENSE"))), "{label}");
    assert!(label.contains(env!("CARGO_PKG_DESCRIPTION")), "{label}");
}

/// The release is built with the tested compiler: every file names the same version.
fn the_image_is_built_with_the_pinned_toolchain() {
    let toolchain = read("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("a channel").trim_matches('"');
    let builder = instructions(&read("Dockerfile"), "ARG BUILDER=");
    assert_eq!(builder, [format!("rust:{channel}-bookworm")]);
}

/// `cargo build` leaves them out, and the tests have them.
fn the_program_of_the_image_can_send_traces() {
    let builds: Vec<String> =
        instructions(&read("Dockerfile"), "RUN ").into_iter().filter(|run| run.contains("cargo build")).collect();
    assert!(builds.len() == 1 && builds[0].contains("--features otel "), "{builds:?}");
}

/// The build context has only what the Dockerfile copies: Cargo must still accept the reduced
/// Cargo.toml, with every target present.
fn cargo_accepts_the_files_that_the_dockerfile_copies() {
    let dockerfile = read("Dockerfile");
    let folder = tempfile::tempdir().expect("a temporary directory");
    for instruction in instructions(&dockerfile, "COPY ").iter().filter(|instruction| !instruction.starts_with("--")) {
        for source in instruction.split_whitespace().rev().skip(1) {
            let to = folder.path().join(source);
            std::fs::create_dir_all(to.parent().expect("a folder")).expect("a folder that can be made");
            let status = Command::new("cp").arg("-r").arg(repository(source)).arg(&to).status().expect("cp runs");
            assert!(status.success(), "COPY {source}");
        }
    }
    let strip = instructions(&dockerfile, "RUN ").remove(0);
    assert!(strip.starts_with("awk "), "{strip}");
    let status = Command::new("sh").args(["-c", &strip]).current_dir(folder.path()).status().expect("sh runs");
    assert!(status.success(), "{strip}");

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let output = cargo.current_dir(folder.path()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let targets = list(&metadata, "/packages/0/targets");
    for target in targets {
        assert!(std::path::Path::new(text(target, "/src_path")).exists(), "{target}");
    }
    let kinds: Vec<&Value> = targets.iter().map(|target| &target["kind"][0]).collect();
    assert_eq!(kinds, ["lib", "bin", "custom-build"], "the program, its library and build.rs, and nothing else");
}

fn files_copied_by_the_dockerfile_are_in_the_build_context() {
    let ignored = read(".dockerignore");
    let sent: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for instruction in instructions(&read("Dockerfile"), "COPY ").iter().filter(|copy| !copy.starts_with("--")) {
        for source in instruction.split_whitespace().rev().skip(1) {
            assert!(sent.iter().any(|sent| sent.trim_end_matches('/') == source), "{source} is not sent");
        }
    }
}

/// The sources of the `COPY` instructions.
fn copied() -> Vec<String> {
    let copies = instructions(&read("Dockerfile"), "COPY ").into_iter().filter(|copy| !copy.starts_with("--"));
    copies.flat_map(|copy| copy.split_whitespace().rev().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// A file that is part of the program and lies elsewhere than its source.
fn files_that_the_program_includes_are_copied_by_the_dockerfile() {
    let root = repository("");
    let copied = copied();
    let mut pending = vec![root.join("src")];
    let mut found = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        for line in source.lines().filter(|line| line.contains("include_str!") || line.contains("include_bytes!")) {
            let Some((_, rest)) = line.split_once("\"../") else { continue };
            let included = format!("../{}", rest.split('"').next().unwrap_or_default());
            let mut target = path.parent().expect("a folder").to_owned();
            for step in std::path::Path::new(&included).components() {
                match step {
                    std::path::Component::ParentDir => drop(target.pop()),
                    step => target.push(step),
                }
            }
            found += 1;
            let is_copied = copied.iter().any(|source| target.starts_with(root.join(source)));
            assert!(is_copied, "{}: the image is built without {included}", path.display());
        }
    }
    assert!(found > 0, "no line was looked at");
}

fn every_file_names_the_same_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = object("manifests/chart/Chart.yaml");
    assert_eq!((text(&chart, "/version"), text(&chart, "/appVersion")), (version, version));
    let deployment = object("manifests/base/deployment.yaml");
    let image = text(&deployment, "/spec/template/spec/containers/0/image");
    assert_eq!(image, format!("registry.example/outrigger:{version}"));
    let values = object("manifests/chart/values.yaml");
    assert_eq!(text(&values, "/image/repository"), "registry.example/outrigger");
}

/// Workflows only run elsewhere; here they must be valid YAML, and every action must have a
/// version.
fn workflows_pin_actions_to_versions() {
    for name in ["ci", "release", "audit"] {
        let path = format!(".github/workflows/{name}.yaml");
        let workflow = object(&path);
        let jobs = workflow["jobs"].as_object().expect("jobs by name");
        assert_eq!(
            workflow["permissions"],
            serde_json::json!({ "contents": "read" }),
            "{path}: jobs ask for more by themselves"
        );
        for step in jobs.values().flat_map(|job| list(job, "/steps")) {
            if let Some(action) = step.get("uses").and_then(Value::as_str) {
                let version = action.split_once('@').map_or("", |(_, version)| version);
                // Renovate replaces a version by the commit that it stands for.
                let is_commit = version.len() == 40 && version.chars().all(|digit| digit.is_ascii_hexdigit());
                assert!(is_commit || version.split('.').count() == 3, "{path}: {action}");
            }
        }
    }
}
