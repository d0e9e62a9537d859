//! Answers a client that speaks plain HTTP on the TLS port, which otherwise would see an empty reply.
//!
//! Invariant: nothing of the request is read before the answer, and the answer is always the same.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::lingering_close::lingering_close;
use crate::server::Limits;

/// How the methods begin that a client may send; a TLS record begins with no letter.
const METHODS: [&[u8; 5]; 8] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"PATCH", b"DELET", b"OPTIO", b"CONNE"];

/// The text of nginx and of Go's server.
const RESPONSE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 48\r\n\
    Connection: close\r\n\
    \r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// Whether the first bytes are those of an HTTP request. They stay in the socket.
pub(super) async fn is_spoken(stream: &TcpStream) -> bool {
    let mut start = [0; 5];
    matches!(stream.peek(&mut start).await, Ok(5)) && METHODS.contains(&&start)
}

/// Sends the answer and closes the connection in order, so that no reset overtakes the answer.
pub(super) async fn refuse(mut stream: TcpStream, limits: &Limits) {
    let answer = async {
        stream.write_all(RESPONSE).await?;
        stream.shutdown().await
    };
    if matches!(timeout(limits.write, answer).await, Ok(Ok(()))) {
        lingering_close(&mut stream, limits).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_body_is_right() {
        let text = std::str::from_utf8(RESPONSE).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
