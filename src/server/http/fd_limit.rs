//! The process's limit of open files: raised for the connections that there may be, or fewer of them.
//!
//! Container runtimes start programs with a low limit that they may raise themselves, for the sake of old programs alone.
//! Invariant: whatever the limit, some files are left for what is no connection: reading templates and certificates.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that are neither of the webhook's nor of the admin listener's connections.
const OTHERS: usize = 64;

/// How many of `connections` there may be.
pub fn make_room(connections: usize, admin_connections: usize) -> usize {
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

/// Raises the limit to `wanted`, where that is allowed; gives what it is then, `None` where there is none.
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

/// At least half of the files are for connections, however few there are.
fn room(files: usize, connections: usize, others: usize) -> usize {
    connections.min(files.saturating_sub(others).max(files / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_others() {
        assert_eq!(room(100_000, 4096, 320), 4096);
        assert_eq!(room(4416, 4096, 320), 4096);
        assert_eq!(room(1024, 4096, 320), 704);
        assert_eq!(room(64, 4096, 320), 32);
    }

    #[test]
    fn what_is_enough_is_left_alone() {
        assert!(raise(1).is_none_or(|files| files > 1));
    }
}
