//! Goldens with a few bytes changed, cut off or doubled: whatever comes of them is read or refused, never a panic and
//! never a wait. `FUZZ_ROUNDS` and `FUZZ_SEED` widen and move the run.

use bytes::Bytes;
use fastrand::Rng;
use interfluve::record::compress::Limits;
use interfluve::record::{batch, records};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::exchanges;
use crate::frames::read_any;
use crate::server::Server;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Bytes that mean something somewhere: lengths, counts, signs.
const SHARP: [&[u8]; 7] =
    [&[0x7f, 0xff, 0xff, 0xff], &[0xff; 4], &[0x80, 0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x07], &[0], &[0xff], &[0x80]];

fn mutated(rng: &mut Rng, bytes: &[u8], spared: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.usize(1..4) {
        if bytes.len() <= spared {
            break;
        }
        let at = rng.usize(spared..bytes.len());
        match rng.u8(0..5) {
            0 => bytes[at] ^= 1 << rng.u8(0..8),
            1 => bytes.truncate(at),
            2 => {
                let sharp = SHARP[rng.usize(0..SHARP.len())];
                let end = (at + sharp.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&sharp[..end - at]);
            }
            3 => {
                let sharp = SHARP[rng.usize(0..SHARP.len())];
                bytes.splice(at..at, sharp.iter().copied());
            }
            _ => {
                let end = (at + rng.usize(1..32)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

#[test]
fn mutated_requests_and_batches_are_read_or_refused() {
    let goldens = exchanges("kafka");
    let mut rng = Rng::with_seed(setting("FUZZ_SEED", 1));
    let limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };
    for _ in 0..setting("FUZZ_ROUNDS", 20_000) {
        let golden = &goldens[rng.usize(0..goldens.len())];
        read_any(&mutated(&mut rng, &golden.asked, 4));
        // Anything from the magic byte's place on may be a batch; records are looked for where goldens have them.
        let asked = &golden.asked;
        let Some(at) = asked.windows(17).position(|window| window[..8] == [0; 8] && window[16] == 2) else { continue };
        let bytes = Bytes::from(mutated(&mut rng, &asked[at..], 0));
        if let Ok(batch) = batch::trust(bytes)
            && let Ok(opened) = records::open(&batch, limits)
        {
            let _ = opened.views().take(10_000).filter(Result::is_ok).count();
        }
    }
}

/// The same against a whole server: each connection ends with an answer or without, and the server goes on.
#[tokio::test]
async fn mutated_connections_end_and_the_server_goes_on() {
    let server = Server::start().await;
    let goldens = exchanges("kafka");
    let calls = exchanges("http1");
    let mut rng = Rng::with_seed(setting("FUZZ_SEED", 1));
    for round in 0..setting("FUZZ_ROUNDS", 20_000) / 40 {
        let (address, bytes) = if round % 2 == 0 {
            let golden = &goldens[rng.usize(0..goldens.len())];
            let frame = mutated(&mut rng, &golden.asked, 4);
            (server.kafka, [&(frame.len() as u32).to_be_bytes()[..], &frame].concat())
        } else {
            let call = &calls[rng.usize(0..calls.len())];
            (server.aws, mutated(&mut rng, &call.asked, 0))
        };
        let mut socket = tokio::net::TcpStream::connect(address).await.expect("the port is open");
        let _ = socket.write_all(&bytes).await;
        let _ = socket.shutdown().await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    let mut connection = server.kafka().await;
    connection.send(&[0, 18, 0, 0, 0, 0, 0, 9, 0xff, 0xff]).await;
    assert!(connection.answer().await.is_some());
}
