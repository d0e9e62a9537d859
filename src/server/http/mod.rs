//! HTTP over TLS: connections, their states and their deadlines.

pub(super) mod accept;
pub(super) mod connection;
pub(super) mod connection_table;
pub(super) mod deadline;
pub(super) mod deadline_body;
pub(super) mod deadline_io;
pub(super) mod drive;
pub(super) mod fd_limit;
pub(super) mod in_flight;
pub(super) mod lingering_close;
