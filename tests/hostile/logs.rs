//! What the server logs, kept in memory so that a test can look for its own line.

use std::io;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static BEGUN: Once = Once::new();

struct Kept;

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lines().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines() -> MutexGuard<'static, Vec<u8>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on, warnings of this process are kept.
pub fn keep() {
    BEGUN.call_once(|| {
        let kept = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN);
        kept.with_writer(|| Kept).init();
    });
}

/// The lines that name a client's address.
pub fn about(peer: std::net::SocketAddr) -> Vec<String> {
    let peer = format!("peer={peer}");
    with(&peer)
}

/// The lines that have this word.
pub fn with(word: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&lines()).into_owned();
    text.lines().filter(|line| line.split(' ').any(|found| found == word)).map(str::to_owned).collect()
}
