//! What thousands of hostile connections leave behind in this process: nothing to speak of.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;
use crate::{QUIET, both_serve};

/// A figure of this process, as the system keeps it.
pub fn kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("a field there is");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// From here on `VmHWM` is the peak of what comes.
pub fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
}

const WARM_UP: usize = 300;
const CONNECTIONS: usize = 3000;
const LIMIT_MIB: u64 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_hostile_connections_leave_no_memory_behind() {
    let _quiet = QUIET.write().await;
    let server = Server::start().await;
    let mut rng = fastrand::Rng::with_seed(11);
    let mut before_kib = 0;
    for round in 0..WARM_UP + CONNECTIONS {
        if round == WARM_UP {
            before_kib = kib("VmRSS");
        }
        let port = if round % 2 == 0 { server.kafka } else { server.aws };
        let mut socket = TcpStream::connect(port).await.expect("the port is open");
        let _ = socket.write_all(&hostile(&mut rng, round)).await;
        // One in eight goes away without waiting for what is said.
        if round % 8 != 7 {
            let _ = socket.shutdown().await;
            let _ = socket.read_to_end(&mut Vec::new()).await;
        }
    }
    let grown_mib = kib("VmRSS").saturating_sub(before_kib) / 1024;
    assert!(grown_mib < LIMIT_MIB, "{grown_mib} MiB more after {CONNECTIONS} connections");
    both_serve(&server, "thousands of hostile connections").await;
}

/// Hostile in one of a few ways, with up to 64 KiB of noise.
fn hostile(rng: &mut fastrand::Rng, round: usize) -> Vec<u8> {
    let mut noise = vec![0; rng.usize(0..64 << 10)];
    rng.fill(&mut noise);
    let start: &[u8] = match round / 2 % 8 {
        // A frame that claims 100 MB, and one that claims what comes.
        0 => &[0x05, 0xf5, 0xe1, 0x00],
        1 => &[0x00, 0x00, 0x40, 0x00, 0x00, 0x01, 0x00, 0x0c],
        // Metadata, Produce and ApiVersions of noise.
        2 => &[0, 0, 0x10, 0, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0],
        3 => &[0, 0, 0x10, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 0],
        4 => b"POST / HTTP/1.1\r\ncontent-length: 16000000\r\n\r\n",
        5 => b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        6 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        _ => b"\x16\x03\x01",
    };
    [start, &noise].concat()
}
