//! The templates of the catalog in pods that run: each file of this directory is a case.
//!
//! The images of templates and examples are the public ones; a node without a container registry has
//! images of these names.
//!
//! Invariant: a case has a namespace of its own, which is deleted also after a failure.

#[allow(dead_code, reason = "the pages of the catalog are made of the same cases, and read more of them")]
mod case;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, pause};
use case::{Case, Object, Part, Step};

/// How many cases run at a time.
const PARALLEL: usize = 4;
/// For one run of a step's command.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);
/// How much of an output a failure shows.
const SHOWN: usize = 4000;

/// What became of a case.
pub struct Outcome {
    pub name: String,
    pub duration: Duration,
    /// The failed step with its command and output.
    pub failure: Option<String>,
}

/// Names of all cases: `catalog::short::…` and `catalog::long::…`.
pub fn names() -> Vec<String> {
    case::all().iter().map(name_of).collect()
}

fn name_of(case: &Case) -> String {
    let part = match case.part {
        Part::Short => "short",
        Part::Long => "long",
    };
    format!("catalog::{part}::{}", case.name)
}

/// Runs the chosen cases, some at a time; calls `report` with each outcome.
pub fn run(cluster: &Cluster, chosen: &[String], report: impl FnMut(Outcome) + Send) {
    let cases: Vec<Case> = case::all().into_iter().filter(|case| chosen.contains(&name_of(case))).collect();
    let (next, report) = (AtomicUsize::new(0), Mutex::new(report));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let failure = run_case(cluster, case).err();
                    let outcome = Outcome { name: name_of(case), duration: start.elapsed(), failure };
                    report.lock().expect("no report panics")(outcome);
                }
            });
        }
    });
}

/// Runs one case in a namespace of its own.
fn run_case(cluster: &Cluster, case: &Case) -> Result<(), String> {
    let place = Place::create(cluster, case)?;
    let result = place.apply(&case.objects).and_then(|()| case.steps.iter().try_for_each(|step| place.run(step)));
    let result = result.map_err(|failure| format!("{failure}\n{}", place.state()));
    place.delete();
    result
}

/// A namespace, and a kubeconfig in which it is the default.
struct Place<'a> {
    cluster: &'a Cluster,
    namespace: String,
    kubeconfig: String,
    output: std::path::PathBuf,
}

impl<'a> Place<'a> {
    fn create(cluster: &'a Cluster, case: &Case) -> Result<Self, String> {
        let namespace = format!("outrigger-e2e-catalog-{}", case.name);
        cluster.delete_namespace(&namespace);
        let level = &case.pod_security;
        cluster.make_namespace(
            &namespace,
            &json!({"outrigger.dev/injection": "enabled", "pod-security.kubernetes.io/enforce": level}),
        );
        let file = |end: &str| cluster.directory.path().join(format!("{namespace}.{end}"));
        let (kubeconfig, output) = (file("kubeconfig"), file("output"));
        let text = cluster.kubectl(&["config", "view", "--raw", "--minify", "--flatten"]);
        std::fs::write(&kubeconfig, text).map_err(|error| format!("{}: {error}", kubeconfig.display()))?;
        let kubeconfig = kubeconfig.to_string_lossy().into_owned();
        let place = Self { cluster, namespace, kubeconfig, output };
        place.checked("kubectl config set-context --current --namespace \"$NAMESPACE\"")?;
        Ok(place)
    }

    fn apply(&self, objects: &[Object]) -> Result<(), String> {
        for object in objects {
            match object {
                Object::File(object) => self.checked(&format!("kubectl apply --filename {}", object.file))?,
                Object::Inline(object) => self.apply_inline(object)?,
            }
        }
        Ok(())
    }

    fn apply_inline(&self, object: &Value) -> Result<(), String> {
        let arguments = ["--kubeconfig", &self.kubeconfig, "apply", "--filename=-"];
        let ended = self.cluster.try_kubectl_with(&arguments, object);
        if ended.is_success { Ok(()) } else { Err(format!("kubectl apply: {}{}", ended.stderr, object)) }
    }

    /// Runs a command that must succeed.
    fn checked(&self, command: &str) -> Result<(), String> {
        let (is_success, output) = self.bash(command, COMMAND_LIMIT);
        if is_success { Ok(()) } else { Err(format!("{command}: {output}")) }
    }

    /// Repeats the step until it holds.
    fn run(&self, step: &Step) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let (is_success, output) = self.bash(&step.run, COMMAND_LIMIT);
            let problems = step.problems(is_success, &output);
            if problems.is_empty() {
                return Ok(());
            }
            if step.once || start.elapsed() >= step.within {
                let (name, problems, command) = (&step.name, problems.join("; "), step.run.trim_end());
                return Err(format!("step {name:?}: {problems}\n$ {command}\n{}", last(&output)));
            }
            pause(Duration::from_millis(300));
        }
    }

    /// Runs a text of bash in the repository; returns whether it succeeded, and its whole output.
    fn bash(&self, text: &str, limit: Duration) -> (bool, String) {
        let open = || File::create(&self.output).expect("a file in the temporary directory");
        let output = open();
        let errors = output.try_clone().expect("a second handle of a file");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", text]).current_dir(env!("CARGO_MANIFEST_DIR"));
        command.env("KUBECONFIG", &self.kubeconfig).env("NAMESPACE", &self.namespace).env("PATH", self.cluster.path());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut child = command.spawn().expect("bash starts");
        let is_success = wait(&mut child, limit);
        let output = std::fs::read(&self.output).unwrap_or_default();
        (is_success, String::from_utf8_lossy(&output).into_owned())
    }

    /// What helps to diagnose a failure.
    fn state(&self) -> String {
        let commands = [
            "kubectl get pods --output wide",
            "kubectl get events --sort-by .lastTimestamp | tail -n 25",
            "for pod in $(kubectl get pods --output name); do for container in $(kubectl get \"$pod\" --output \
             jsonpath='{.spec.initContainers[*].name} {.spec.containers[*].name}'); do echo \"--- $pod $container\"; \
             kubectl logs \"$pod\" --container \"$container\" --tail 12 || true; done; done",
        ];
        let texts = commands.map(|command| format!("$ {command}\n{}", last(&self.bash(command, COMMAND_LIMIT).1)));
        texts.join("\n")
    }

    /// Deletes the namespace without waiting for the end of its pods.
    fn delete(&self) {
        self.bash("kubectl delete namespace \"$NAMESPACE\" --wait=false", COMMAND_LIMIT);
    }
}

/// Waits for the end of a command; kills it when the time is over.
fn wait(child: &mut Child, limit: Duration) -> bool {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child that was not awaited") {
            return status.success();
        }
        if start.elapsed() >= limit {
            child.kill().and_then(|()| child.wait()).expect("a child that ends");
            return false;
        }
        pause(Duration::from_millis(20));
    }
}

/// The end of a long text.
fn last(text: &str) -> &str {
    let start = text.len().saturating_sub(SHOWN);
    let start = (start..text.len()).find(|place| text.is_char_boundary(*place)).unwrap_or(text.len());
    &text[start..]
}
