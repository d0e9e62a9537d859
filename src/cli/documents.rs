//! Reads Kubernetes objects from files, directories and stdin.
//!
//! Invariant: either every document of every file was read, or all problems of all files are
//! reported.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::errors::{ErrorList, Usage, unreadable};
use super::given;
use super::json::{self, JsonDocument};
use super::stdio;
use super::yaml::{self, YamlDocument};
use crate::workload::{self, Note, ObjectName, PodLocation};

/// The files that a command reads.
#[derive(Args, Debug)]
pub(super) struct InputArgs {
    /// File with objects in YAML or JSON, or a directory of such files; `-` is stdin
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<PathBuf>,

    /// The same; several files may follow
    #[arg(short, long = "filename", value_name = "FILE", num_args = 1..)]
    filename: Vec<PathBuf>,

    /// Also read the directories below a directory
    #[arg(short = 'R', long)]
    recursive: bool,
}

impl InputArgs {
    /// The same as flags.
    pub(super) const fn of(files: Vec<PathBuf>, recursive: bool) -> Self {
        Self { files, filename: Vec::new(), recursive }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().chain(&self.filename)
    }
}

/// One file of the input, or stdin.
#[derive(Debug)]
pub(super) struct InputFile {
    /// Its name in messages.
    pub origin: String,
    /// The content as it was read.
    pub bytes: Vec<u8>,
    /// The content without the byte order mark.
    pub text: String,
    pub documents: Vec<InputDocument>,
}

/// One object of the input.
#[derive(Debug)]
pub(super) struct InputDocument {
    pub value: Value,
    pub source: Source,
    /// The pods and pod templates in the object.
    pub pods: Vec<PodLocation>,
    /// What is to be said about the object besides its pods.
    pub notes: Vec<Note>,
    /// The Namespace objects in it.
    pub namespaces: Vec<ObjectName>,
}

/// How an object was written.
#[derive(Debug)]
pub(super) enum Source {
    Yaml(YamlDocument),
    Json(JsonDocument),
}

impl InputFile {
    /// `app.yaml:4: Deployment shop/web`: an object in messages.
    pub(super) fn name(&self, document: &InputDocument, object: &ObjectName) -> String {
        format!("{}:{}: {object}", self.origin, document.line(object.pointer.as_str()))
    }

    /// The same for a whole document.
    pub(super) fn title(&self, document: &InputDocument) -> String {
        format!("{}:{}: {}", self.origin, document.line(""), document.title())
    }

    pub(super) fn is_json(&self) -> bool {
        self.documents.iter().any(|document| matches!(document.source, Source::Json(_)))
    }

    pub(super) fn has_byte_order_mark(&self) -> bool {
        self.bytes.starts_with("\u{feff}".as_bytes())
    }
}

impl InputDocument {
    /// The line of the part at this JSON Pointer, or of the nearest part around it.
    pub(super) fn line(&self, pointer: &str) -> usize {
        match &self.source {
            Source::Yaml(source) => source.line(pointer),
            Source::Json(source) => source.line(pointer),
        }
    }

    /// `Deployment shop/web`, for headings.
    pub(super) fn title(&self) -> String {
        let text = |pointer| self.value.pointer(pointer).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or("object");
        match (text("/metadata/namespace"), text("/metadata/name")) {
            (_, None) => kind.to_owned(),
            (None, Some(name)) => format!("{kind} {name}"),
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        }
    }
}

/// An error if stdin is among the files more than once.
pub(super) fn stdin_once<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Usage> {
    match files.into_iter().filter(|path| is_stdin(path)).count() > 1 {
        true => Err(Usage::new("stdin (-) is named twice, but can be read only once")),
        false => Ok(()),
    }
}

/// Reads all objects of all files, in order. `domain` is that of our keys.
pub(super) fn read_any(input: &InputArgs, domain: &str) -> Result<Vec<InputFile>, ErrorList> {
    let mut problems = ErrorList::default();
    let mut files = Vec::new();
    stdin_once(input.paths())?;
    for path in input.paths() {
        let found = problems.keep(files_of(path, input.recursive)).unwrap_or_default();
        files.extend(found.iter().filter_map(|path| problems.keep(read_file(path, domain))));
    }
    let files = problems.or(files)?;
    if files.iter().all(|file| file.documents.is_empty()) {
        let problem = "the input contains no object, expected YAML or JSON";
        let names: Vec<&str> = files.iter().map(|file| &*file.origin).filter(|origin| *origin != "stdin").collect();
        let message = if names.is_empty() { problem.to_owned() } else { format!("{}: {problem}", names.join(", ")) };
        return Err(ErrorList::from(message));
    }
    Ok(files)
}

/// The same; at least one document must be a Kubernetes object.
pub(super) fn read(input: &InputArgs, domain: &str) -> Result<Vec<InputFile>, ErrorList> {
    let files = read_any(input, domain)?;
    let mut documents = files.iter().flat_map(|file| &file.documents);
    if documents.all(|document| document.value.get("kind").is_none()) {
        let message = "the input contains no Kubernetes object, expected one with apiVersion and kind";
        return Err(ErrorList::from(message.to_owned()));
    }
    Ok(files)
}

/// The path itself, or the files of a directory in order of their names.
fn files_of(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, ErrorList> {
    if ["http://", "https://"].iter().any(|scheme| path.to_string_lossy().starts_with(scheme)) {
        let url = path.display();
        let command = given::command().unwrap_or_else(|| "inject".to_owned());
        let read = format!("curl -fsSL {url} | outrigger {command} -f -");
        let message = format!("{url}: URLs are not read; download it first: {read}");
        return Err(message.into());
    }
    if is_stdin(path) || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    directory(path, recursive, &mut found).map_err(|error| unreadable(path.display(), &error))?;
    found.sort();
    if found.is_empty() {
        let below = if recursive { "" } else { "; -R reads the directories below it too" };
        let path = path.display();
        return Err(format!("{path}: the directory has no file *.yaml, *.yml or *.json{below}").into());
    }
    Ok(found)
}

fn directory(path: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        let has_extension =
            path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|one| extension == *one));
        // A link to a directory could lead back.
        if entry.file_type()?.is_dir() {
            if recursive {
                directory(&path, recursive, found)?;
            }
        } else if has_extension && !path.is_dir() {
            found.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, domain: &str) -> Result<InputFile, ErrorList> {
    input_file(origin(path), bytes(path)?, domain)
}

pub(super) fn input_file(origin: String, bytes: Vec<u8>, domain: &str) -> Result<InputFile, ErrorList> {
    let text = decode(&bytes).map_err(|problem| format!("{origin}: {problem}"))?;
    let documents = parse(&origin, &text)?.into_iter().map(|(source, value)| {
        let found = workload::find(&value, domain);
        let namespaces = found.objects.into_iter().filter(ObjectName::is_namespace).collect();
        InputDocument { value, source, pods: found.pods, notes: found.notes, namespaces }
    });
    Ok(InputFile { documents: documents.collect(), origin, bytes, text })
}

/// The documents of a file, except empty ones.
pub(super) fn values(path: &Path) -> Result<Vec<Value>, ErrorList> {
    values_of(&origin(path), &bytes(path)?)
}

/// The documents of the text of a file, except empty ones.
pub(super) fn values_of(origin: &str, bytes: &[u8]) -> Result<Vec<Value>, ErrorList> {
    let text = decode(bytes).map_err(|problem| format!("{origin}: {problem}"))?;
    Ok(parse(origin, &text)?.into_iter().map(|(_, value)| value).collect())
}

/// The name of a file in messages.
pub(super) fn origin(path: &Path) -> String {
    if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn bytes(path: &Path) -> Result<Vec<u8>, ErrorList> {
    let bytes = if is_stdin(path) { stdio::read_stdin() } else { std::fs::read(path) };
    bytes.map_err(|error| unreadable(origin(path), &error).into())
}

/// UTF-8, or UTF-16 that begins with a byte order mark, as kubectl reads it.
fn decode(bytes: &[u8]) -> Result<String, String> {
    let utf_16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, odd) = rest.as_chunks::<2>();
        let text: Result<String, _> = char::decode_utf16(units.iter().copied().map(unit)).collect();
        text.ok().filter(|_| odd.is_empty()).ok_or_else(|| "no valid UTF-16, expected YAML or JSON as text".to_owned())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        _ => {
            let text = std::str::from_utf8(bytes)
                .map_err(|error| format!("byte {} is not UTF-8, expected YAML or JSON as text", error.valid_up_to()))?;
            Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
        }
    }
}

fn parse(origin: &str, text: &str) -> Result<Vec<(Source, Value)>, ErrorList> {
    if let Some(documents) = json::read(text) {
        return Ok(documents.into_iter().map(|(source, value)| (Source::Json(source), value)).collect());
    }
    match yaml::read(text) {
        Ok(documents) => Ok(documents.into_iter().map(|(source, value)| (Source::Yaml(source), value)).collect()),
        Err(problems) => Err(problems.iter().map(|problem| format!("{origin}:{problem}")).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_kubectl_reads() {
        let utf_16 = |mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| {
            [&mark[..], &"é: 1".encode_utf16().flat_map(bytes).collect::<Vec<_>>()].concat()
        };
        for bytes in [
            "é: 1".as_bytes().to_vec(),
            "\u{feff}é: 1".as_bytes().to_vec(),
            utf_16([0xff, 0xfe], u16::to_le_bytes),
            utf_16([0xfe, 0xff], u16::to_be_bytes),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok("é: 1"));
        }
        for bytes in [&b"a\xe9"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8"] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
