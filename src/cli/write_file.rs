//! Replaces the content of files.
//!
//! Invariant: at every moment a regular file has all of its old content or all of the new one. Excepted
//! are those that can only be written in place, where a command that is ended halfway leaves a part: a
//! file with several names, one whose directory takes no other file or that cannot be renamed over, such
//! as a mount, and one that is named by its open handle, such as `/dev/stdout`, to which is appended.
//! What may not be written is not replaced either.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// As many names are tried beside a file, of which killed commands may have left some.
const NAMES: usize = 1000;
/// As many links the kernel follows, too.
const LINKS: usize = 40;

/// Writes a file, which may be there already. Links are followed, and the file keeps its mode.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match handle(path) {
        Some(handle) => append(&handle, content),
        None => write(path, content, &|_| Ok(())),
    }
}

/// Replaces a file of which this was read before; an error if it has another content now.
pub(super) fn replace_unchanged(path: &Path, before: &[u8], content: &[u8]) -> io::Result<()> {
    write(path, content, &|real| match std::fs::read(real)? == before {
        true => Ok(()),
        false => Err(io::Error::other("it was changed while the command ran; run it again")),
    })
}

/// The handle of an open file to which the path leads: `/proc/7/fd/1` for `/dev/stdout`.
pub(super) fn handle(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).canonicalize().ok()?;
        let here = directory.join(path.file_name()?);
        if directory.starts_with("/proc") && directory.ends_with("fd") {
            return Some(here);
        }
        path = directory.join(std::fs::read_link(&here).ok()?);
    }
    None
}

fn append(handle: &Path, content: &[u8]) -> io::Result<()> {
    let is_own = |number: u8| handle == Path::new(&format!("/proc/{}/fd/{number}", std::process::id()));
    // To open it anew would begin at the start of the file, where what is printed later is written too.
    if is_own(1) {
        let mut stdout = io::stdout().lock();
        return stdout.write_all(content).and_then(|()| stdout.flush());
    }
    if is_own(2) {
        return io::stderr().lock().write_all(content);
    }
    OpenOptions::new().append(true).open(handle)?.write_all(content)
}

type Check<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

fn write(path: &Path, content: &[u8], check: Check<'_>) -> io::Result<()> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        // A link that leads nowhere has no file beside which to write.
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => return std::fs::write(path, content),
        Err(error) if error.kind() == ErrorKind::NotFound => return renamed(path, None, content, check),
        Err(error) => return Err(error),
    };
    // A pipe or a device cannot be replaced.
    if !metadata.is_file() {
        return std::fs::write(path, content);
    }
    // To rename needs no right to the file itself.
    let file = OpenOptions::new().write(true).open(path)?;
    let real = path.canonicalize().ok().filter(|real| metadata.nlink() == 1 && !real.starts_with("/proc"));
    let Some(real) = real else { return in_place(file, path, content, check) };
    match renamed(&real, Some(&metadata), content, check) {
        Err(error) if is_of_renaming(&error) => in_place(file, &real, content, check),
        result => result,
    }
}

/// Whether the file itself may be writable nevertheless.
fn is_of_renaming(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::ResourceBusy
            | ErrorKind::CrossesDevices
            | ErrorKind::InvalidFilename
    )
}

fn in_place(mut file: File, path: &Path, content: &[u8], check: Check<'_>) -> io::Result<()> {
    check(path)?;
    file.write_all(content)?;
    let end = file.stream_position()?;
    file.set_len(end)?;
    file.sync_all()
}

/// Writes a file beside this one, and gives it its name.
fn renamed(real: &Path, metadata: Option<&Metadata>, content: &[u8], check: Check<'_>) -> io::Result<()> {
    let (mut file, beside) = beside(real)?;
    let mut written = || {
        if let Some(metadata) = metadata {
            keep_owner_and_mode(&file, metadata)?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        check(real)?;
        std::fs::rename(&beside, real)
    };
    let result = written();
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result
}

/// A new file with a name that no command takes for a template or for cases.
fn beside(path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().ok_or(ErrorKind::IsADirectory)?.to_string_lossy();
    let names = (0..NAMES).map(|number| format!(".{name}.{}-{number}.new", std::process::id()));
    for beside in names.map(|name| path.with_file_name(name)) {
        match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            file => return Ok((file?, beside)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

fn keep_owner_and_mode(file: &File, of: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (of.uid(), of.gid()) {
        // Without the right to do so, the file belongs to who changed it.
        let _ = std::os::unix::fs::fchown(file, Some(of.uid()), Some(of.gid()));
    }
    file.set_permissions(of.permissions())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_through_links_and_keeps_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("below")).expect("a directory");
        std::fs::write(path("below/file"), "old").expect("a file");
        std::fs::set_permissions(path("below/file"), PermissionsExt::from_mode(0o640)).expect("a mode");
        symlink("below/file", path("link")).expect("a link");
        let before = std::fs::metadata(path("link")).expect("a file").ino();
        replace(&path("link"), b"new").expect("it is written");
        replace(&path("other"), b"other").expect("it is written");
        assert_eq!(std::fs::read(path("below/file")).expect("a file"), b"new");
        let metadata = std::fs::metadata(path("below/file")).expect("a file");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        assert_ne!(metadata.ino(), before, "a writer that stops halfway would leave half of it");
        assert_eq!(names(directory.path()), ["below", "link", "other"]);
        assert_eq!(names(&path("below")), ["file"]);
        symlink("nowhere", path("dangling")).expect("a link");
        replace(&path("dangling"), b"new").expect("it is written");
        assert_eq!(std::fs::read(path("nowhere")).expect("a file"), b"new");
        replace(Path::new("/dev/null"), b"new").expect("a device is written to");
    }

    #[test]
    fn a_file_that_cannot_be_written_or_was_changed_meanwhile_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "edited").expect("a file");
        let problem = replace_unchanged(&path, b"read", b"new").expect_err("it was changed").to_string();
        assert!(problem.contains("changed while the command ran"), "{problem}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"edited");
        assert_eq!(names(directory.path()), ["file"]);
        replace_unchanged(&path, b"edited", b"new").expect("it is written");
        assert_eq!(std::fs::read(&path).expect("a file"), b"new");
        assert!(replace(directory.path(), b"new").is_err() && replace(&path.join("below"), b"new").is_err());
    }

    #[test]
    fn a_file_is_written_in_place_where_no_other_can_take_its_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let read = |name: &str| std::fs::read_to_string(path(name)).expect("a file");
        std::fs::write(path("file"), "a long text").expect("a file");
        std::fs::hard_link(path("file"), path("same")).expect("a second name");
        replace_unchanged(&path("same"), b"a long text", b"new").expect("it is written");
        assert_eq!((read("file").as_str(), read("same").as_str()), ("new", "new"));
        std::fs::remove_file(path("same")).expect("it is there");
        // A killed command has left it.
        let left = format!(".file.{}-0.new", std::process::id());
        std::fs::write(path(&left), "left").expect("a file");
        replace(&path("file"), b"newer").expect("it is written");
        assert_eq!((read("file").as_str(), read(&left).as_str()), ("newer", "left"));
        let set_mode = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("a mode");
        };
        set_mode(directory.path(), 0o555);
        let written = replace_unchanged(&path("file"), b"newer", b"newest");
        set_mode(directory.path(), 0o755);
        written.expect("the file itself is writable");
        assert_eq!(read("file"), "newest");
        set_mode(&path("file"), 0o444);
        // The superuser may.
        let may = OpenOptions::new().write(true).open(path("file")).is_ok();
        assert_eq!(replace(&path("file"), b"other").is_ok(), may);
        assert_eq!(read("file"), if may { "other" } else { "newest" });
        assert_eq!(names(directory.path()), [&left, "file"]);
    }

    #[test]
    fn what_is_named_by_its_handle_is_appended_to() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let directory = tempfile::tempdir().expect("a directory");
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&path, "old ").expect("a file");
        let mut file = File::open(&path).expect("a file");
        symlink(format!("/proc/self/fd/{}", file.as_raw_fd()), &link).expect("a link");
        assert!(handle(&link).is_some() && handle(Path::new("/dev/stdout")).is_some());
        assert!(handle(&path).is_none() && handle(Path::new("/dev/null")).is_none());
        replace(&link, b"new ").expect("it is written");
        // Now no path leads to it.
        std::fs::remove_file(&path).expect("it is there");
        replace(&link, b"newer").expect("it is written");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        assert_eq!(text, "old new newer");
        assert!(link.is_symlink());
        replace_unchanged(&link, b"old new newer", b"all").expect("it is written");
        assert_eq!(
            (std::fs::read(&link).expect("a file"), names(directory.path())),
            (b"all".to_vec(), vec!["link".to_owned()])
        );
    }
}
