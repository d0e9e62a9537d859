//! Reads files that others may replace, lengthen or turn into something else at any moment.
//!
//! Invariants: nothing is waited for, no matter what stands under the name (a FIFO without a writer
//! would hold its reader for ever); what is read is bounded; a file that changes meanwhile is an
//! error and not half a text.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What tells one state of a file from another without reading it. The time of the last change of
/// the inode is part of it: whoever sets the other time back leaves a trace there. The inode's
/// number is not: some network file systems make it up anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The content of a regular file of at most so many bytes; links are followed.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    expect_file(&path.metadata()?)?;
    // It may have become a FIFO since.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let before = file.metadata()?;
    expect_file(&before)?;
    let content = read_bounded(&mut file, max_bytes)?;
    if Stamp::of(&file.metadata()?) != Stamp::of(&before) {
        return Err(io::Error::new(ErrorKind::ResourceBusy, "it changed while it was read"));
    }
    Ok(content)
}

/// As [`read`], for text in UTF-8.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> io::Result<String> {
    let invalid = |_| io::Error::new(ErrorKind::InvalidData, "the text is not valid UTF-8");
    String::from_utf8(read(path, max_bytes)?).map_err(invalid)
}

fn expect_file(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "expected a regular file"))
}

fn read_bounded(file: &mut File, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("larger than {max_bytes} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn nothing_but_a_file_is_read_and_nothing_is_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("file"), "text").expect("a file");
        std::os::unix::fs::symlink("file", path("link")).expect("a link");
        std::os::unix::fs::symlink("loop", path("loop")).expect("a link");
        std::fs::create_dir(path("directory")).expect("a directory");
        assert!(Command::new("mkfifo").arg(path("fifo")).status().expect("mkfifo(1) runs").success());
        assert_eq!(read_text(&path("file"), 4).expect("a text"), "text");
        assert_eq!(read_text(&path("link"), 4).expect("a text"), "text");
        for name in ["fifo", "directory", "loop", "missing"] {
            assert!(read(&path(name), 4).is_err(), "{name}");
        }
        assert_eq!(read(&path("file"), 3).expect_err("too large").kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_stamp_tells_a_change_that_hides_itself() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        let stamp = || Stamp::of(&path.metadata().expect("a file"));
        std::fs::write(&path, "one").expect("a file");
        let (first, modified) = (stamp(), path.metadata().expect("a file").modified().expect("a time"));
        assert_eq!(first, stamp());
        // The clock of a file system is coarse, so this may take a few attempts.
        for _ in 0..10_000 {
            std::fs::write(&path, "two").expect("a file");
            File::options().write(true).open(&path).expect("a file").set_modified(modified).expect("a time");
            if stamp() != first {
                break;
            }
        }
        assert_eq!((stamp().modified, stamp().bytes), (first.modified, first.bytes));
        assert_ne!(first, stamp());
    }
}
