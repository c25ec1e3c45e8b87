//! The first bytes of a connection: which protocol they are of. Reads no more than it takes to tell, and what it has
//! read is read once more by whoever speaks that protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What an HTTP/2 connection begins with (RFC 9113 3.4). Read whole before HTTP/2 is spoken, which would wait for ever.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection turned out to speak, with the bytes that said so still to be read.
pub enum Spoken {
    Http1(Begun),
    Http2(Begun),
    Tls,
    Foreign(u8),
}

/// Reads as many bytes as it takes to tell the protocols apart: at most the HTTP/2 preface.
pub async fn first_bytes(mut socket: TcpStream) -> io::Result<Spoken> {
    let mut seen = [0; PREFACE.len()];
    let mut length = 0;
    while length < seen.len() {
        let more = socket.read(&mut seen[length..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += more;
        match seen[0] {
            0x16 => return Ok(Spoken::Tls),
            b'A'..=b'Z' | b'\r' | b'\n' => {}
            other => return Ok(Spoken::Foreign(other)),
        }
        if seen[..length] != PREFACE[..length] {
            return Ok(Spoken::Http1(Begun { seen, read: 0, length, socket }));
        }
    }
    Ok(Spoken::Http2(Begun { seen, read: 0, length, socket }))
}

/// A connection of which the first bytes have been read already: they are read once more.
pub struct Begun {
    seen: [u8; PREFACE.len()],
    read: usize,
    length: usize,
    socket: TcpStream,
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.length - self.read;
        if left == 0 {
            return Pin::new(&mut self.socket).poll_read(cx, into);
        }
        let now = left.min(into.remaining());
        into.put_slice(&self.seen[self.read..self.read + now]);
        self.read += now;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
