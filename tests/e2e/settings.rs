//! The settings of the tests from the environment: the cluster, the images, the duration of a
//! fault.
//!
//! Invariant: a wrong variable is reported before the cluster is changed.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

const KUBECONFIG: &str = "OUTRIGGER_E2E_KUBECONFIG";
const IMAGE: &str = "OUTRIGGER_E2E_IMAGE";
const BUSYBOX: &str = "OUTRIGGER_E2E_BUSYBOX";
const SECOND_BUSYBOX: &str = "OUTRIGGER_E2E_BUSYBOX_2";
const LOG_COLLECTOR: &str = "OUTRIGGER_E2E_LOG_COLLECTOR";
const LOAD: &str = "OUTRIGGER_E2E_LOAD";
const STOP_API_SERVER: &str = "OUTRIGGER_E2E_STOP_API_SERVER";
const START_API_SERVER: &str = "OUTRIGGER_E2E_START_API_SERVER";
const INSTALLED: &str = "OUTRIGGER_E2E_INSTALLED";
const FAULT_SECONDS: &str = "OUTRIGGER_E2E_FAULT_SECONDS";
/// The folder with kubectl and helm, searched before the PATH.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Long enough to inject and repair each fault once.
const SHORT: Duration = Duration::from_secs(12);

pub struct Settings {
    pub kubeconfig: PathBuf,
    pub image: Image,
    pub busybox: String,
    /// Another image with busybox, to which sidecars are upgraded.
    pub second_busybox: Option<String>,
    /// The parameter `image` of the template `log-collector`; the default if `None`.
    pub log_collector: Option<String>,
    /// A command that loads an image onto the nodes, called with the image's name.
    pub load: Option<String>,
    pub api_server: Option<ApiServer>,
    /// The cluster has Outrigger, which stays: only the catalog is tested.
    pub is_installed: bool,
    pub fault_duration: Duration,
    pub assets: Option<PathBuf>,
}

/// Commands that stop the API server and start it again.
pub struct ApiServer {
    pub stop: String,
    pub start: String,
}

/// `NAME:TAG`.
#[derive(Clone)]
pub struct Image {
    pub name: String,
    pub tag: String,
}

/// Why the tests cannot run.
pub enum Absence {
    /// The tests were not requested.
    NotAsked,
    Wrong(String),
}

impl Settings {
    pub fn from_environment() -> Result<Self, Absence> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Absence> {
        let kubeconfig = variable(KUBECONFIG).map(PathBuf::from).ok_or(Absence::NotAsked)?;
        if !kubeconfig.is_file() {
            return Err(wrong(KUBECONFIG, &kubeconfig.to_string_lossy(), "a file"));
        }
        let image = variable(IMAGE).ok_or_else(|| wrong(IMAGE, "", "NAME:TAG of the program's image"))?;
        let api_server = match (variable(STOP_API_SERVER), variable(START_API_SERVER)) {
            (Some(stop), Some(start)) => Some(ApiServer { stop, start }),
            (None, None) => None,
            (Some(_), None) => return Err(wrong(START_API_SERVER, "", "a command, as there is one that stops it")),
            (None, Some(_)) => return Err(wrong(STOP_API_SERVER, "", "a command, as there is one that starts it")),
        };
        let seconds = match variable(FAULT_SECONDS) {
            None => SHORT,
            Some(text) => match text.parse() {
                Ok(seconds @ 5..=3600) => Duration::from_secs(seconds),
                _ => return Err(wrong(FAULT_SECONDS, &text, "seconds from 5 to 3600")),
            },
        };
        Ok(Self {
            kubeconfig,
            image: Image::parse(&image).ok_or_else(|| {
                wrong(IMAGE, &image, "NAME:TAG with a tag other than `latest`, which would be pulled")
            })?,
            busybox: variable(BUSYBOX).unwrap_or_else(|| "busybox:1.37".to_owned()),
            second_busybox: variable(SECOND_BUSYBOX),
            log_collector: variable(LOG_COLLECTOR),
            load: variable(LOAD),
            api_server,
            is_installed: variable(INSTALLED).is_some(),
            fault_duration: seconds,
            assets: variable(ASSETS).map(PathBuf::from),
        })
    }
}

impl Image {
    fn parse(text: &str) -> Option<Self> {
        // A colon may also precede the port of a registry.
        let (name, tag) = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
        let is_usable = !name.is_empty() && !tag.is_empty() && tag != "latest";
        is_usable.then(|| Self { name: name.to_owned(), tag: tag.to_owned() })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

fn wrong(variable: &str, value: &str, expected: &str) -> Absence {
    Absence::Wrong(format!("{variable}: {value:?}: expected {expected}"))
}
