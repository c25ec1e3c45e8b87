//! `interfluve backup` and `interfluve restore`, and the socket at which a running server gives its picture away.
//!
//! ```text
//! client                            server, at DATA_DIR/admin.sock (only its own user and root)
//! "backup 1\n"                  →
//!                               ←   {"cluster":"…","picture_bytes":n}\n, then n bytes (engine/backup.rs)
//! copies the files it names         removes no settled file
//! "held?\n"                     →
//!                               ←   "held\n"
//! puts the manifest in place
//! ```
//! The settled bytes never pass through the server: the client reads them from the data directory.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::check::bytes_bar;
use super::place::Place;
use super::stop::Stop;
use crate::chance::Chance;
use crate::cli::FAILED;
use crate::clock::Clock;
use crate::config::server::{DataDir, ServerSettings};
use crate::engine::Engine;
use crate::engine::backup::{self, Picture};
use crate::engine::check::Progress;
use crate::store::Disk;
use crate::store::os::{self, OsDisk};

/// The socket's name in the data directory.
const SOCKET: &str = "admin.sock";
const ASK: &str = "backup 1\n";
const STILL: &str = "held?\n";
const HELD: &str = "held\n";
/// Nobody who speaks our language sends a longer line.
const LINE_BYTES: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Head {
    cluster: String,
    picture_bytes: u64,
}

/// Opens the socket of a server that has its directory. A server that cannot open it serves all the same.
pub fn listen(dir: &Path, cluster: &str, engine: &Arc<Engine>, stop: &Stop) {
    let path = dir.join(SOCKET);
    // What a killed server left behind; the directory is ours alone.
    let _ = std::fs::remove_file(&path);
    let opened = UnixListener::bind(&path).and_then(|listener| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok((listener, std::fs::metadata(&path)?.uid()))
    });
    let (listener, owner) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            tracing::warn!("backups of this server are not possible: cannot listen at {}: {e}", path.display());
            return;
        }
    };
    let (cluster, engine, stop) = (cluster.to_string(), Arc::downgrade(engine), stop.clone());
    tokio::spawn(async move {
        loop {
            let client = tokio::select! {
                client = listener.accept() => client,
                () = stop.clone().told() => break,
            };
            let Ok((client, _)) = client else { continue };
            if !client.peer_cred().is_ok_and(|who| who.uid() == owner || who.uid() == 0) {
                continue;
            }
            let Some(engine) = engine.upgrade() else { break };
            let (cluster, stop) = (cluster.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    given = give(client, &cluster, engine) => {
                        if let Err(e) = given {
                            tracing::warn!("a backup ended early: {e}");
                        }
                    }
                    () = stop.told() => {}
                }
            });
        }
        let _ = std::fs::remove_file(&path);
    });
}

/// One backup, from the server's side.
async fn give(client: tokio::net::UnixStream, cluster: &str, engine: Arc<Engine>) -> io::Result<()> {
    let (from, mut to) = client.into_split();
    let mut from = tokio::io::BufReader::new(from.take(LINE_BYTES));
    let mut line = String::new();
    from.read_line(&mut line).await?;
    if line != ASK {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it asked for {line:?}")));
    }
    let (picture, hold) = engine.picture().await.map_err(io::Error::other)?;
    // The engine may stop while the files are copied.
    drop(engine);
    let head = Head { cluster: cluster.into(), picture_bytes: picture.0.len() as u64 };
    to.write_all(format!("{}\n", serde_json::to_string(&head)?).as_bytes()).await?;
    to.write_all(&picture.0).await?;
    drop(picture);
    line.clear();
    from.read_line(&mut line).await?;
    if line == STILL {
        to.write_all(HELD.as_bytes()).await?;
        tracing::info!("a backup was taken");
    }
    drop(hold);
    Ok(())
}

/// `interfluve backup DIR`; the exit code.
pub fn backup(dir: &Path, settings: &ServerSettings) -> ExitCode {
    told(match &settings.data_dir {
        DataDir::Memory => Err("what is kept in memory only cannot be backed up".into()),
        DataDir::Directory(data) => take(dir, data),
    })
}

/// `interfluve restore DIR --data-dir NEW`; the exit code.
pub fn restore(dir: &Path, settings: &ServerSettings) -> ExitCode {
    told(match &settings.data_dir {
        DataDir::Memory => Err("a backup is restored to a directory: name it with --data-dir".into()),
        DataDir::Directory(data) => bring_back(dir, data),
    })
}

fn told(outcome: Result<String, String>) -> ExitCode {
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("interfluve: {why}");
            ExitCode::from(FAILED)
        }
    }
}

fn take(dir: &Path, data: &Path) -> Result<String, String> {
    let socket = data.join(SOCKET);
    let no_server = |e| {
        format!(
            "no server answers at {} ({e}): start it, name its directory with --data-dir, or copy the directory of a \
             stopped server as it is",
            socket.display()
        )
    };
    let mut server = BufReader::new(UnixStream::connect(&socket).map_err(no_server)?);
    let (head, picture) = receive(&mut server).map_err(|e| format!("the server gave no picture: {e}"))?;
    let into = |e: &dyn std::fmt::Display| format!("cannot back up into {}: {e}", dir.display());
    let _lock = os::lock(dir).map_err(|e| into(&e))?;
    let bar = bytes_bar();
    let mut progress = |progress| match progress {
        Progress::Total(bytes) => bar.set_length(bytes),
        Progress::Read(bytes) => bar.inc(bytes),
    };
    let mut still = || {
        let mut line = String::new();
        let asked = server.get_mut().write_all(STILL.as_bytes());
        asked.and_then(|()| server.read_line(&mut line)).is_ok() && line == HELD
    };
    let (source, target) = (OsDisk::new(data), OsDisk::new(dir));
    let now = Clock::System.now().0;
    let copied = backup::copy(&picture, &head.cluster, now, &source, &target, &mut progress, &mut still);
    bar.finish_and_clear();
    let done = copied.map_err(|e| into(&e))?;
    Ok(format!(
        "{}: a backup of {}: {} segments with {} bytes, {} of them copied now, and {} bytes that were not settled",
        dir.display(),
        data.display(),
        done.segments,
        done.bytes,
        done.copied_bytes,
        picture.0.len()
    ))
}

fn receive(server: &mut BufReader<UnixStream>) -> io::Result<(Head, Picture)> {
    server.get_mut().write_all(ASK.as_bytes())?;
    let mut line = String::new();
    server.by_ref().take(LINE_BYTES).read_line(&mut line)?;
    let head: Head = serde_json::from_str(&line)?;
    let mut picture = Vec::new();
    server.by_ref().take(head.picture_bytes).read_to_end(&mut picture)?;
    if picture.len() as u64 != head.picture_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head, Picture(picture.into())))
}

fn bring_back(dir: &Path, data: &Path) -> Result<String, String> {
    let from = |e: &dyn std::fmt::Display| format!("cannot restore {}: {e}", dir.display());
    let new = !data.exists();
    let entries = if new { 0 } else { std::fs::read_dir(data).map_err(|e| from(&e))?.count() };
    if entries > 0 {
        return Err(format!("{} is not empty: name a new directory with --data-dir", data.display()));
    }
    let _lock = os::lock(data).map_err(|e| from(&e))?;
    let bar = bytes_bar();
    let mut progress = |progress| match progress {
        Progress::Total(bytes) => bar.set_length(bytes),
        Progress::Read(bytes) => bar.inc(bytes),
    };
    let target: Arc<dyn Disk> = Arc::new(OsDisk::new(data));
    let restored = backup::restore(&OsDisk::new(dir), &target, &mut || Chance::System.draw(), &mut progress);
    bar.finish_and_clear();
    let restored = restored.map_err(|e| from(&e))?;
    Place::mark(data, &restored.cluster).map_err(|e| from(&e))?;
    Ok(format!(
        "{}: restored {} segments with {} bytes; start it with interfluve --data-dir {}",
        data.display(),
        restored.segments,
        restored.bytes,
        data.display()
    ))
}
