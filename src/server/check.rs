//! `interfluve check`: a stopped server's directory is read from end to end and reported on. The report goes to stdout,
//! the progress bar to stderr, and only to a terminal. Changes nothing but the text of the file `lock`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::place::Place;
use crate::cli::{FAILED, USAGE};
use crate::engine::check::{Finding, Progress, Report, Severity, check};
use crate::store::Disk;
use crate::store::os::OsDisk;

/// Exit code: 0 nothing is damaged, 1 something is, 2 it could not be read.
pub fn run(dir: &Path, json: bool) -> ExitCode {
    match read(dir) {
        Ok(report) => {
            let text = if json { as_json(&report) } else { as_text(dir, &report) };
            // A reader that has gone away (`| head`) is no failure.
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            if report.damages() == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(why) => {
            eprintln!("interfluve: {why}");
            ExitCode::from(USAGE)
        }
    }
}

fn read(dir: &Path) -> Result<Report, String> {
    let place = Place::look(dir).map_err(|e| e.to_string())?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(&place.dir));
    let bar = bytes_bar();
    let report = check(&disk, &mut |progress| match progress {
        Progress::Total(bytes) => bar.set_length(bytes),
        Progress::Read(bytes) => bar.inc(bytes),
    });
    bar.finish_and_clear();
    report.map_err(|e| format!("cannot check {}: {e}", dir.display()))
}

/// A bar that counts bytes; invisible where stderr is no terminal.
pub fn bytes_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn as_json(report: &Report) -> String {
    let body = serde_json::json!({ "damages": report.damages(), "report": report });
    format!("{body}\n")
}

/// What a person reads: each finding in a few lines, then one line in all.
fn as_text(dir: &Path, report: &Report) -> String {
    let mut text = String::new();
    report.findings.iter().for_each(|finding| tell(&mut text, finding));
    let Report { streams, logs, segments, packs, batches, frames, bytes, .. } = report;
    let _ = writeln!(
        text,
        "{}: read {bytes} bytes: {streams} streams, {logs} logs, {segments} segments, {packs} packs, {batches} batches, \
         {frames} frames of the journal",
        dir.display()
    );
    let notes = report.findings.len() - report.damages();
    let _ = writeln!(
        text,
        "{}, {}",
        count(report.damages(), "damage found", "damages found"),
        count(notes, "note", "notes")
    );
    text
}

fn count(n: usize, one: &str, many: &str) -> String {
    match n {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    }
}

fn tell(text: &mut String, finding: &Finding) {
    let kind = match finding.severity {
        Severity::Damage => "DAMAGE",
        Severity::Note => "note  ",
    };
    let at = finding.at.map_or_else(String::new, |at| format!(" at byte {at}"));
    let _ = writeln!(text, "{kind} {}{at}: {}", finding.file, finding.what);
    if let Some(offsets) = &finding.offsets {
        let log = finding.log.map_or_else(String::new, |log| format!("log {log}"));
        let stream = finding.stream.as_ref().map_or(log, |stream| format!("stream {stream}"));
        let _ = writeln!(text, "       records {} to {} of {stream}", offsets.start, offsets.end.saturating_sub(1));
    }
    let _ = writeln!(text, "       {}\n       to do: {}\n", finding.means, finding.advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where_what_which_records_and_what_to_do() {
        let finding = Finding {
            severity: Severity::Damage,
            file: "logs/16/x.log".into(),
            at: Some(9),
            log: Some(16),
            stream: Some("s, log 0".into()),
            offsets: Some(3..5),
            what: "a batch is damaged".into(),
            means: "withheld".into(),
            advice: "restore".into(),
        };
        let report = Report { findings: vec![finding], ..Report::default() };
        let text = as_text(Path::new("d"), &report);
        let want = "DAMAGE logs/16/x.log at byte 9: a batch is damaged\n       records 3 to 4 of stream s, log 0\n       \
                    withheld\n       to do: restore\n\n";
        assert!(text.starts_with(want), "{text}");
        assert!(text.ends_with("1 damage found, no note\n"), "{text}");
    }

    #[test]
    fn what_is_no_data_directory_cannot_be_checked_and_is_not_made_one() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(read(dir.path()).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
        assert!(read(&dir.path().join("none")).is_err());
    }
}
