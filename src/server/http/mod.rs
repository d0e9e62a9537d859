//! HTTP/1.1 over TLS, and plain HTTP for the admin listener. `accept` takes connections into the
//! `connection_table`, and `connection` serves each: `deadline` holds its state, which
//! `deadline_io` and `deadline_body` update as bytes pass, and `drive` ends it when a deadline
//! passes. `in_flight` counts requests for shutdown, `lingering_close` ends a connection without a
//! reset, `plain_http` answers clients that do not speak TLS, and `fd_limit` makes file descriptors
//! available.

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
pub(super) mod plain_http;
