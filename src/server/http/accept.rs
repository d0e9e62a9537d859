//! Accepts connections; each is a task of its own, which [`super::connection`] runs.
//!
//! Invariants: no error of the listener is fatal or stalls it for longer than a moment; a flood of
//! connections does not flood the log.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::connection::ConnectionServer;
use super::connection_table::ConnectionTable;
use crate::process::shutdown::{Lifecycle, Phase};
use crate::telemetry::metrics::ConnectionEnd;
use crate::telemetry::throttle::EventThrottle;

/// Pause after an error, when no connection can be evicted.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until the process closes, and returns the open ones; dropping them ends
/// them. The listener is closed by then, so that a late client is refused at once instead of
/// waiting in its queue.
pub(in crate::server) async fn until_closing(
    listener: TcpListener,
    mut lifecycle: Lifecycle,
    server: &ConnectionServer,
) -> ConnectionTable {
    let mut table = ConnectionTable::new(server.max_connections);
    tokio::select! {
        () = lifecycle.reached(Phase::Closing) => {}
        () = accept(&listener, &mut table, server) => {}
    }
    table
}

/// Accepts connections and never returns.
pub(in crate::server) async fn for_ever(listener: &TcpListener, server: &ConnectionServer) {
    accept(listener, &mut ConnectionTable::new(server.max_connections), server).await;
}

async fn accept(listener: &TcpListener, table: &mut ConnectionTable, server: &ConnectionServer) {
    let logs = Logs::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if table.is_full() && !make_room(table, server, &logs).await {
                        continue;
                    }
                    // Responses are written at once; waiting to fill a packet would only add
                    // latency. Errors do not matter.
                    _ = stream.set_nodelay(true);
                    let state = server.new_state();
                    table.add(state.clone(), server.serve(stream, state));
                }
                Err(error) => recover(&error, table, server, &logs).await,
            },
            () = table.next_ended() => {}
        }
    }
}

/// One throttle for each recurring message.
#[derive(Default)]
struct Logs {
    evicted: EventThrottle,
    refused: EventThrottle,
    error: EventThrottle,
}

async fn make_room(table: &mut ConnectionTable, server: &ConnectionServer, logs: &Logs) -> bool {
    let is_evicted = evict_one(table).await;
    let (listener, limit) = (server.listener, server.max_connections);
    if is_evicted {
        server.count(ConnectionEnd::MadeRoom);
        if let Some(count) = logs.evicted.due() {
            tracing::warn!(%listener, limit, count, "connection limit reached; closing the connections that have been idle longest");
        }
    } else {
        server.count(ConnectionEnd::Refused);
        if let Some(count) = logs.refused.due() {
            tracing::warn!(%listener, limit, count, "connection limit reached and all connections are busy; closing new ones");
        }
    }
    is_evicted
}

/// A peer that went away is no error. Without file descriptors, the longest idle connection is
/// evicted; any other error needs a pause.
async fn recover(error: &io::Error, table: &mut ConnectionTable, server: &ConnectionServer, logs: &Logs) {
    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
    {
        return;
    }
    if let Some(count) = logs.error.due() {
        tracing::warn!(%error, listener = %server.listener, count, "cannot accept a connection; trying again");
    }
    if is_out_of_files(error) && evict_one(table).await {
        server.count(ConnectionEnd::MadeRoom);
    } else {
        sleep(PAUSE).await;
    }
}

/// Evicts the longest idle connection, and waits up to [`PAUSE`] for its task to end, which frees
/// its file descriptor.
async fn evict_one(table: &mut ConnectionTable) -> bool {
    let is_evicted = table.evict_idle();
    if is_evicted {
        _ = timeout(PAUSE, table.next_ended()).await;
    }
    is_evicted
}

/// `EMFILE` of the process, `ENFILE` of the machine.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
