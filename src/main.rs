//! The program: reads the command line, does what it asks, and turns the outcome into an exit code.

use std::process::ExitCode;

use interfluve::cli::{self, Asked, Misuse};

/// glibc's allocator keeps what large requests once needed: after a load of 1 GiB it held three times as much memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A huge page is zeroed whole when its first byte is touched, and kept whole while one byte of it is used: that was
    // a third of the CPU of a heavy producer, and twice the memory. Where it cannot be said, nothing is lost but that.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    // A variable that is not UTF-8 cannot be one of ours.
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match cli::read(std::env::args_os(), environment) {
        Ok(Asked::Serve { settings, ready_json }) => interfluve::server::run(*settings, ready_json),
        Ok(Asked::Check { dir, json }) => interfluve::server::check::run(&dir, json),
        Ok(Asked::Backup { to, settings }) => interfluve::server::backup::backup(&to, &settings),
        Ok(Asked::Restore { from, settings }) => interfluve::server::backup::restore(&from, &settings),
        Ok(Asked::Print(text)) => print(&text),
        Err(Misuse(text)) => refuse(&text),
    }
}

/// Writes to stdout; a reader that has gone away (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    ExitCode::SUCCESS
}

fn refuse(text: &str) -> ExitCode {
    for line in text.lines().filter(|line| !line.is_empty()) {
        eprintln!("interfluve: {line}");
    }
    eprintln!("interfluve --help lists all options.");
    ExitCode::from(cli::USAGE)
}
