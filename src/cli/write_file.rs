//! Replaces the content of files.
//!
//! Invariant: at every moment a regular file has all of its old content or all of the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes a file, which may be there already. Links are followed, and the file keeps its mode.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    write(path, content, |_| Ok(()))
}

/// Replaces a file of which this was read before; an error if it has another content now.
pub(super) fn replace_unchanged(path: &Path, before: &[u8], content: &[u8]) -> io::Result<()> {
    write(path, content, |real| match std::fs::read(real)? == before {
        true => Ok(()),
        false => Err(io::Error::other("it was changed while the command ran; run it again")),
    })
}

fn write(path: &Path, content: &[u8], check: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let metadata = std::fs::metadata(path).ok();
    // A pipe or a device cannot be replaced, and a link that leads nowhere has no file beside which to write.
    let is_other = metadata.as_ref().is_some_and(|metadata| !metadata.is_file());
    if is_other || (metadata.is_none() && path.is_symlink()) {
        return std::fs::write(path, content);
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beside = beside(&real)?;
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        if let Some(metadata) = &metadata {
            keep_owner_and_mode(&file, metadata)?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        check(&real)?;
        std::fs::rename(&beside, &real)
    };
    let result = written();
    if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
        // The file was not renamed, if it was made at all.
        let _ = std::fs::remove_file(&beside);
    }
    result
}

/// A name that no command takes for a template or for cases.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    Ok(path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id())))
}

fn keep_owner_and_mode(file: &File, of: &std::fs::Metadata) -> io::Result<()> {
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
}
