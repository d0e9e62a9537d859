//! Detects changes in all template directories by content.
//!
//! A quick scan compares names, sizes, times and inodes, and reads the files that differ; from time
//! to time it reads all of them. Templates that have not changed are not compiled again. The caller
//! decides when to call [`Directories::scan`].
//! Invariants: the templates of a directory that cannot be read or has lost all its files stay, as
//! orphans; a change in progress is waited for, but not for ever.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::directory::{Listing, TemplateFile, unreadable};
use crate::inject::{CompiledSource, SourceText};
use crate::reload::settled::{Reloaded, Settled, Settling};
use crate::reload::watch::Scan;

/// Everything is read so often, however unchanged it looks: with the pauses between looks no change
/// goes unseen for 15 s.
const FULL: Duration = Duration::from_secs(12);
/// Files that have not come to rest after so long hold up the others no longer.
const UNREST: Duration = Duration::from_secs(10);
/// So many files of one directory are named when they cannot be read.
const MAX_TROUBLES: usize = 3;

/// The directories, in the order of the operator.
pub(crate) struct Directories(Vec<WatchedDirectory>);

struct WatchedDirectory {
    path: PathBuf,
    parsed: Vec<Arc<CompiledSource>>,
    /// What `parsed` was read from; `None` if the next scan has to read.
    fingerprint: Option<u64>,
    read_at: Instant,
    settled: Settled<Listing>,
    /// Why it cannot be read.
    unreadable: Option<String>,
    /// Whether some of its templates may be in service: losing them all at once is a mistake.
    serves: bool,
    /// Whether `parsed` is what it had before it was lost as a whole.
    is_orphaned: bool,
}

/// Why templates are served that no file has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A directory, or files in it, cannot be read.
    Unreadable(String),
    /// A directory has no template file any more.
    Emptied(String),
}

impl Trouble {
    /// What is wrong, and where.
    pub(crate) fn sentence(&self) -> &str {
        match self {
            Self::Unreadable(sentence) | Self::Emptied(sentence) => sentence,
        }
    }
}

/// What was read last, by origin.
type ByOrigin<'s> = HashMap<&'s str, &'s Arc<CompiledSource>>;

impl Directories {
    /// Reads and compiles everything. Fails when a directory cannot be read: at the start that is
    /// the operator's mistake.
    pub(crate) fn open(paths: &[PathBuf], now: Instant) -> Result<Self, (PathBuf, io::Error)> {
        let open = |path: &PathBuf| WatchedDirectory::open(path, now).map_err(|error| (path.clone(), error));
        Ok(Self(paths.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// Looks at all of them; afterwards [`Self::sources`] and [`Self::troubles`] are as of now.
    pub(crate) fn scan(&mut self, scan: Scan, now: Instant) -> Reloaded {
        self.0.iter_mut().map(|directory| directory.scan(scan, now)).max().unwrap_or(Reloaded::Unchanged)
    }

    /// All sources as they were last read.
    pub(crate) fn sources(&self) -> Vec<Arc<CompiledSource>> {
        self.0.iter().flat_map(WatchedDirectory::sources).collect()
    }

    /// What cannot be read now, or is gone: directories, and files in them.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.0.iter().flat_map(WatchedDirectory::troubles).collect()
    }

    /// Directories that have no template file and never had one since the start.
    pub(crate) fn without_files(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|directory| directory.parsed.is_empty()).map(|directory| directory.path.as_path())
    }
}

impl WatchedDirectory {
    fn open(path: &Path, now: Instant) -> io::Result<Self> {
        let mut directory = Self {
            path: path.to_owned(),
            parsed: Vec::new(),
            fingerprint: None,
            read_at: now,
            settled: Settled::default(),
            unreadable: None,
            serves: false,
            is_orphaned: false,
        };
        let listing = Listing::of(path)?;
        directory.parsed = directory.parse(&listing, &[]);
        directory.serves = directory.parsed.iter().any(|source| source.has_templates());
        directory.fingerprint = Some(listing.fingerprint());
        Ok(directory)
    }

    fn sources(&self) -> Vec<Arc<CompiledSource>> {
        if !self.is_orphaned {
            return self.parsed.clone();
        }
        let why = match self.unreadable {
            Some(_) => "the directory of this file cannot be read",
            None => "the directory of this file has no template file any more",
        };
        self.parsed.iter().map(|source| Arc::new(source.orphaned(why))).collect()
    }

    fn troubles(&self) -> Vec<Trouble> {
        if let Some(problem) = &self.unreadable {
            return vec![Trouble::Unreadable(problem.clone())];
        }
        if self.is_orphaned {
            let problem = format!("the template directory {:?} has no template file any more", self.path);
            return vec![Trouble::Emptied(problem)];
        }
        let mut troubles: Vec<String> = self.parsed.iter().filter_map(|source| source.unreadable_because()).collect();
        let more = troubles.len().saturating_sub(MAX_TROUBLES);
        if more > 0 {
            troubles.truncate(MAX_TROUBLES);
            troubles.push(format!("and {more} more files in {:?}", self.path));
        }
        troubles.into_iter().map(Trouble::Unreadable).collect()
    }

    fn scan(&mut self, scan: Scan, now: Instant) -> Reloaded {
        match Listing::of(&self.path) {
            Ok(listing) => {
                self.unreadable = None;
                self.scan_listing(listing, scan, now)
            }
            Err(error) => {
                self.unreadable = Some(format!("cannot read the template directory {:?}: {error}", self.path));
                // It may come back with anything in it.
                self.fingerprint = None;
                self.orphan()
            }
        }
    }

    fn scan_listing(&mut self, listing: Listing, scan: Scan, now: Instant) -> Reloaded {
        let fingerprint = listing.fingerprint();
        let is_same = self.fingerprint == Some(fingerprint);
        if scan == Scan::Full || is_same {
            self.settled.reset();
            let is_due = scan == Scan::Full || now.duration_since(self.read_at) >= FULL;
            return if is_due { self.read(&listing, now) } else { Reloaded::Unchanged };
        }
        match self.settled.observe(&listing, now) {
            Settling::Settled => self.read_settled(&listing, now),
            Settling::Changing { previous: Some(previous), since } if now.duration_since(since) >= UNREST => {
                let parsed = self.parse(&listing, &listing.changed_since(&previous));
                // Files that still change were not read, so the next scan begins anew.
                self.settled.reset();
                (self.fingerprint, self.read_at) = (None, now);
                self.take(parsed)
            }
            Settling::Changing { .. } => Reloaded::Unsettled,
        }
    }

    /// Reads files that have settled, unless they change again meanwhile.
    fn read_settled(&mut self, listing: &Listing, now: Instant) -> Reloaded {
        let parsed = self.parse(listing, &[]);
        if Listing::of(&self.path).ok().as_ref() != Some(listing) {
            return Reloaded::Unsettled;
        }
        self.settled.reset();
        (self.fingerprint, self.read_at) = (Some(listing.fingerprint()), now);
        self.take(parsed)
    }

    fn read(&mut self, listing: &Listing, now: Instant) -> Reloaded {
        let parsed = self.parse(listing, &[]);
        // This listing is older than the texts: the next scan finds changes made since.
        (self.fingerprint, self.read_at) = (Some(listing.fingerprint()), now);
        self.take(parsed)
    }

    fn take(&mut self, parsed: Vec<Arc<CompiledSource>>) -> Reloaded {
        if parsed.is_empty() && self.serves {
            return self.orphan();
        }
        let is_same = !self.is_orphaned
            && parsed.len() == self.parsed.len()
            && parsed.iter().zip(&self.parsed).all(|(new, old)| Arc::ptr_eq(new, old));
        let may_be_stale = self.serves && parsed.iter().any(|source| source.has_problems());
        self.serves = may_be_stale || parsed.iter().any(|source| source.has_templates());
        (self.parsed, self.is_orphaned) = (parsed, false);
        if is_same { Reloaded::Unchanged } else { Reloaded::Replaced(()) }
    }

    /// Everything is gone at once: a ConfigMap or directory was deleted or not mounted, which
    /// nobody does to remove templates.
    fn orphan(&mut self) -> Reloaded {
        let is_new = self.serves && !self.is_orphaned;
        self.is_orphaned = self.serves;
        if is_new { Reloaded::Replaced(()) } else { Reloaded::Unchanged }
    }

    /// Reads one file after the other, so that no more than one text is in memory, and compiles
    /// those that are new. Of the `restless` only half might be there.
    fn parse(&self, listing: &Listing, restless: &[String]) -> Vec<Arc<CompiledSource>> {
        let known: ByOrigin<'_> = self.parsed.iter().map(|source| (source.origin(), source)).collect();
        let restless: HashSet<&str> = restless.iter().map(String::as_str).collect();
        let of_file = |file: TemplateFile<'_>| {
            let is_restless = restless.contains(file.origin());
            let text = file.read();
            let same = text
                .as_ref()
                .ok()
                .and_then(|text| known.get(text.origin.as_str()).copied().filter(|known| known.is_of(text)));
            match (same, text) {
                (Some(same), _) => Arc::clone(same),
                (None, Ok(SourceText { origin, .. })) if is_restless => known_or_new(&known, at_unrest(origin)),
                (None, Err(problem)) if is_restless => known_or_new(&known, at_unrest(problem.origin)),
                (None, Ok(text)) => known_or_new(&known, parse_or_report(&text)),
                (None, Err(problem)) => known_or_new(&known, CompiledSource::unreadable(*problem)),
            }
        };
        CompiledSource::together(|| {
            let replaced = self.replaced(listing).map(|source| known_or_new(&known, source));
            listing.files().map(of_file).chain(replaced).collect()
        })
    }

    /// Files that have become directories: what stood in them goes on, since nobody removes
    /// templates like that.
    fn replaced(&self, listing: &Listing) -> impl Iterator<Item = CompiledSource> {
        let known: HashSet<&str> = self.parsed.iter().map(|source| source.origin()).collect();
        listing.directories().filter(move |origin| known.contains(origin.as_str())).map(|origin| {
            let error = io::Error::new(ErrorKind::IsADirectory, "it is a directory, expected a file");
            CompiledSource::unreadable(unreadable(&origin, &error))
        })
    }
}

/// Said alike however it is read, so that it is said once.
fn at_unrest(origin: String) -> CompiledSource {
    let error = io::Error::new(ErrorKind::ResourceBusy, "it keeps changing while it is read");
    CompiledSource::unreadable(unreadable(&origin, &error))
}

/// A fault of ours that one text brings to light takes no other with it.
fn parse_or_report(text: &SourceText) -> CompiledSource {
    catch_unwind(|| CompiledSource::compile(text)).unwrap_or_else(|_| {
        let error = io::Error::other("a bug in outrigger, please report it");
        CompiledSource::unreadable(unreadable(&text.origin, &error))
    })
}

fn known_or_new(known: &ByOrigin<'_>, source: CompiledSource) -> Arc<CompiledSource> {
    match known.get(source.origin()) {
        Some(known) if known.is_same(&source) => Arc::clone(known),
        _ => Arc::new(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::{TemplateSet, TemplateState};

    const SECOND: Duration = Duration::from_secs(1);

    fn write(directory: &Path, name: &str, image: &str) {
        let text = format!(
            "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionTemplate\nmetadata: {{name: {name}}}\nspec:\n  sidecars: [{{name: s, image: \"{image}\"}}]\n"
        );
        std::fs::write(directory.join(format!("{name}.yaml")), text).expect("a file");
    }

    fn open(directory: &Path, now: Instant) -> Directories {
        Directories::open(&[directory.to_owned()], now).unwrap_or_else(|(_, error)| panic!("{error}"))
    }

    fn states(directories: &Directories) -> Vec<(String, TemplateState)> {
        let loaded = TemplateSet::assemble(&directories.sources(), &TemplateSet::default());
        loaded.templates.all().map(|template| (template.name.to_owned(), template.state)).collect()
    }

    fn names(directories: &Directories) -> Vec<String> {
        states(directories).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_change_is_taken_once_it_has_come_to_rest() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "a", "one");
        let now = Instant::now();
        let mut directories = open(directory.path(), now);
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unchanged);
        write(directory.path(), "b", "one");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        write(directory.path(), "c", "one");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        assert_eq!(names(&directories), ["a"]);
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Replaced(()));
        assert_eq!(names(&directories), ["a", "b", "c"]);
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unchanged);
        write(directory.path(), "d", "one");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()), "no waiting when it is asked for");
        // An editor that moves the old file away before it writes the new one.
        write(directory.path(), "a", "two");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        std::fs::remove_file(directory.path().join("a.yaml")).expect("removed");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        write(directory.path(), "a", "three");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Replaced(()));
        assert_eq!(names(&directories), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_never_comes_to_rest_holds_up_the_others_for_a_while() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "growing", "one");
        let now = Instant::now();
        let mut directories = open(directory.path(), now);
        let path = directory.path().join("growing.yaml");
        write(directory.path(), "good", "one");
        let mut seen = Vec::new();
        for second in 0..30 {
            let text = std::fs::read_to_string(&path).expect("a file");
            std::fs::write(&path, text + "# more\n").expect("a file");
            let change = directories.scan(Scan::Quick, now + SECOND * second);
            if change != Reloaded::Unsettled {
                seen.push((second, change));
            }
        }
        // The growing file is a trouble now, and always the same one: nothing has changed the
        // second time.
        assert_eq!(seen, [(10, Reloaded::Replaced(())), (21, Reloaded::Unchanged)]);
        assert_eq!(names(&directories), ["good"]);
        let trouble = directories.troubles()[0].sentence().to_owned();
        assert!(
            trouble.contains("growing.yaml: cannot read the file: it keeps changing while it is read"),
            "{trouble}"
        );
        assert_eq!(directories.scan(Scan::Quick, now + SECOND * 30), Reloaded::Replaced(()), "it has come to rest");
        assert!(directories.troubles().is_empty());
    }

    #[test]
    fn only_what_changes_is_compiled_again() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "a", "one");
        write(directory.path(), "b", "one");
        let now = Instant::now();
        let mut directories = open(directory.path(), now);
        let before = directories.sources();
        write(directory.path(), "b", "two");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        let after = directories.sources();
        assert!(Arc::ptr_eq(&before[0], &after[0]) && !Arc::ptr_eq(&before[1], &after[1]));
        // Another time, the same text.
        write(directory.path(), "b", "two");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Unchanged);
        assert!(Arc::ptr_eq(&after[1], &directories.sources()[1]));
    }

    #[test]
    fn trouble_keeps_what_was_there_and_ends() {
        let parent = tempfile::tempdir().expect("a directory");
        let (path, away) = (parent.path().join("t"), parent.path().join("away"));
        std::fs::create_dir(&path).expect("a directory");
        write(&path, "a", "one");
        let now = Instant::now();
        let mut directories = open(&path, now);
        std::fs::rename(&path, &away).expect("moved");
        for (scan, change) in [(Scan::Quick, Reloaded::Replaced(())), (Scan::Full, Reloaded::Unchanged)] {
            assert_eq!(directories.scan(scan, now), change);
            let troubles = directories.troubles();
            assert!(matches!(&troubles[0], Trouble::Unreadable(why) if why.contains("No such file")), "{troubles:?}");
            assert_eq!(states(&directories), [("a".to_owned(), TemplateState::Orphaned)]);
        }
        std::os::unix::fs::symlink(&path, &path).expect("a link to itself");
        directories.scan(Scan::Full, now);
        assert_eq!((directories.troubles().len(), names(&directories).len()), (1, 1), "a loop of links");
        std::fs::remove_file(&path).expect("removed");
        std::fs::rename(&away, &path).expect("moved back");
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Unsettled);
        assert_eq!(directories.scan(Scan::Quick, now), Reloaded::Replaced(()), "no orphan any more");
        assert!(directories.troubles().is_empty());
        assert_eq!(states(&directories), [("a".to_owned(), TemplateState::Active)]);
    }

    #[test]
    fn a_directory_that_loses_all_files_keeps_its_templates_until_a_file_comes() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, now) = (directory.path(), Instant::now());
        write(path, "a", "one");
        write(path, "b", "one");
        let mut directories = open(path, now);
        std::fs::remove_file(path.join("b.yaml")).expect("removed");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert_eq!(states(&directories), [("a".to_owned(), TemplateState::Active)], "one file of several is removed");

        std::fs::remove_file(path.join("a.yaml")).expect("removed");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        for _ in 0..2 {
            assert_eq!(states(&directories), [("a".to_owned(), TemplateState::Orphaned)]);
            assert!(matches!(&directories.troubles()[..], [Trouble::Emptied(_)]), "{:?}", directories.troubles());
            assert_eq!(directories.scan(Scan::Full, now), Reloaded::Unchanged, "said once");
        }

        std::fs::write(path.join("none.yaml"), "# no templates, on purpose\n").expect("a file");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert_eq!((states(&directories).len(), directories.troubles().len()), (0, 0), "a file says so");
        std::fs::remove_file(path.join("none.yaml")).expect("removed");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert!(directories.troubles().is_empty(), "there was nothing to lose");
    }

    #[test]
    fn a_template_that_moves_to_another_directory_leaves_no_orphan() {
        let parent = tempfile::tempdir().expect("a directory");
        let paths = ["t", "u"].map(|name| parent.path().join(name));
        for path in &paths {
            std::fs::create_dir(path).expect("a directory");
        }
        write(&paths[0], "a", "one");
        let now = Instant::now();
        let mut directories = Directories::open(&paths, now).unwrap_or_else(|(_, error)| panic!("{error}"));
        assert_eq!(directories.without_files().collect::<Vec<_>>(), [paths[1].as_path()]);
        std::fs::rename(paths[0].join("a.yaml"), paths[1].join("a.yaml")).expect("moved");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert_eq!(states(&directories), [("a".to_owned(), TemplateState::Active)]);
    }

    #[test]
    fn a_file_that_becomes_something_else_is_unreadable_and_not_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        write(directory.path(), "a", "one");
        let path = directory.path().join("a.yaml");
        let now = Instant::now();
        let mut directories = open(directory.path(), now);
        let sources_readable = |directories: &Directories| {
            directories.sources().iter().map(|source| source.unreadable_because().is_none()).collect::<Vec<_>>()
        };
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a directory");
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert_eq!(sources_readable(&directories), [false]);
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Unchanged, "said once");
        std::fs::remove_dir(&path).expect("removed");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo(1) runs").success());
        assert_eq!(directories.scan(Scan::Full, now), Reloaded::Replaced(()));
        assert_eq!(sources_readable(&directories), [false]);
    }
}
