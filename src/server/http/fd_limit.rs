//! Raises the process's limit of open files to fit the connection limit, or lowers the connection
//! limit to fit.
//!
//! Container runtimes start programs with a low soft limit, for the sake of old programs; a program
//! may raise it.
//! Invariant: whatever the limit, some files are left to read templates and certificates.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are not connections.
const OTHERS: usize = 64;

/// The number of connections that the limit allows, at most `connections`.
pub(in crate::server) fn make_room(connections: usize, admin_connections: usize) -> usize {
    let others = admin_connections + OTHERS;
    let Some(files) = raise(connections + others) else { return connections };
    let room = room(files, connections, others);
    if room < connections {
        tracing::warn!(
            files,
            connections = room,
            wanted = connections,
            "the limit of open files allows fewer connections"
        );
    }
    room
}

/// Raises the limit to `wanted` where that is allowed, and returns the new limit; `None` when there
/// is none.
fn raise(wanted: usize) -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let current = limit.current?;
    if current >= wanted {
        return usize::try_from(current).ok();
    }
    let raised = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let is_raised = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok();
    usize::try_from(if is_raised { raised } else { current }).ok()
}

/// At least half of the files are for connections, however low the limit.
fn room(files: usize, connections: usize, others: usize) -> usize {
    connections.min(files.saturating_sub(others).max(files / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_limit_leaves_files_for_templates_and_certificates() {
        assert_eq!(room(100_000, 4096, 320), 4096);
        assert_eq!(room(4416, 4096, 320), 4096);
        assert_eq!(room(1024, 4096, 320), 704);
        assert_eq!(room(64, 4096, 320), 32);
    }

    #[test]
    fn a_limit_that_is_high_enough_is_kept() {
        assert!(raise(1).is_none_or(|files| files > 1));
    }
}
