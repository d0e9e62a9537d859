//! Takes connections. Each is a task of its own; what it does is [`super::connection`]'s.
//!
//! Invariants: no error of the listener is fatal, none stalls it for longer than a moment, and a flood of peers is no flood in
//! the log.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::connection::Connections;
use super::connection_table::Table;
use crate::process::shutdown::{Lifecycle, Phase};
use crate::telemetry::metrics::ConnectionEnd;
use crate::telemetry::throttle::Seldom;

/// Where nothing can be closed, nothing helps but waiting.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes connections until the process closes; returns those that are open. Dropping them ends them. The listener is gone
/// then, so that whoever comes late is refused at once instead of waiting in its queue.
pub async fn until_closing(listener: TcpListener, mut lifecycle: Lifecycle, connections: &Connections) -> Table {
    let mut table = Table::new(connections.most);
    tokio::select! {
        () = lifecycle.reached(Phase::Closing) => {}
        () = accept(&listener, &mut table, connections) => {}
    }
    table
}

/// Takes connections and never returns.
pub async fn for_ever(listener: &TcpListener, connections: &Connections) {
    accept(listener, &mut Table::new(connections.most), connections).await;
}

async fn accept(listener: &TcpListener, table: &mut Table, connections: &Connections) {
    let says = Says::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if table.is_full() && !make_room(table, connections, &says).await {
                        continue;
                    }
                    // Answers are written at once; waiting to fill a packet would only add latency. It works without.
                    _ = stream.set_nodelay(true);
                    let clock = connections.clock();
                    table.add(clock.clone(), connections.serve(stream, clock));
                }
                Err(error) => wait_out(&error, table, connections, &says).await,
            },
            () = table.one_ended() => {}
        }
    }
}

/// What is said once a minute.
#[derive(Default)]
struct Says {
    made_room: Seldom,
    no_room: Seldom,
    error: Seldom,
}

async fn make_room(table: &mut Table, connections: &Connections, says: &Says) -> bool {
    let made = dismiss_one(table).await;
    let (end, seldom) =
        if made { (ConnectionEnd::MadeRoom, &says.made_room) } else { (ConnectionEnd::Refused, &says.no_room) };
    connections.count(end);
    if let Some(count) = seldom.due() {
        let (listener, most) = (connections.listener, connections.most);
        match end {
            ConnectionEnd::MadeRoom => {
                tracing::warn!(%listener, most, count, "at the most connections, the longest silent ones are closed");
            }
            _ => tracing::warn!(%listener, most, count, "at the most connections, all busy; new ones are closed"),
        }
    }
    made
}

/// A peer that went away is nothing. Without file descriptors, the longest silent connection gives its own; anything else
/// needs a pause.
async fn wait_out(error: &io::Error, table: &mut Table, connections: &Connections, says: &Says) {
    if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
    {
        return;
    }
    if let Some(count) = says.error.due() {
        tracing::warn!(%error, listener = %connections.listener, count, "cannot take a connection, trying again");
    }
    if is_out_of_files(error) && dismiss_one(table).await {
        connections.count(ConnectionEnd::MadeRoom);
    } else {
        sleep(PAUSE).await;
    }
}

/// Closes the longest silent connection. Its file is free when its task has ended, which takes as long as a task waits for
/// its turn; where that is longer than a moment, the new connection does not wait for it.
async fn dismiss_one(table: &mut Table) -> bool {
    let is_dismissed = table.make_room();
    if is_dismissed {
        _ = timeout(PAUSE, table.one_ended()).await;
    }
    is_dismissed
}

/// `EMFILE` of the process, `ENFILE` of the machine.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
