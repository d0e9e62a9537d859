//! A call to ourselves: the last check before readiness, that what clients will reach is us, with
//! our certificate.
//!
//! Any answer counts, an alert too: under a client CA we refuse ourselves, but not before we have
//! presented our certificate. It is neither logged nor counted as a request. Invariant: only the
//! very certificate that we serve counts, presented by whoever has its key: nobody else on the port
//! is taken for us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::pki::Presented;

/// Something that the server answers without a look at any pod.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Calls the server that listens on `address` and expects it to have the certificate `leaf`.
pub async fn self_call(address: SocketAddr, leaf: CertificateDer<'static>) -> io::Result<()> {
    let (config, presented) = Presented::client().map_err(io::Error::other)?;
    let result = call(address, config).await;
    let is_ours = presented.proven().is_some_and(|proven| proven == leaf);
    match result {
        Ok(()) if !is_ours => Err(io::Error::other("the port answers with another certificate than ours")),
        Err(error) if is_alert(&error) && is_ours => Ok(()),
        result => result,
    }
}

async fn call(address: SocketAddr, config: ClientConfig) -> io::Result<()> {
    let address = reachable(address);
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    stream.read_u8().await.map(drop)
}

/// Whether the other side has told us, by TLS, that it does not want us.
fn is_alert(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::AlertReceived(_)))
}

/// One cannot call "any address".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
