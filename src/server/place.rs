//! The data directory as a whole: taken by one process, and marked with the format of what is in it.
//!
//! ```text
//! lock      held (flock) while a process has the directory; its text is that process' id
//! format    "format 3\ncluster 8vXr…\nwritten-by 0.1.0\n"
//! …         everything else is the engine's
//! ```
//! Nothing is ever removed here, and a directory that we did not make and that is not empty is not touched.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::store::os::{self, Lock};

/// The format this program writes, and the only one it reads: until the first release there is nobody to convert for.
pub const FORMAT: u32 = 4;

/// A data directory that is ours as long as this lives.
#[derive(Debug)]
pub struct Place {
    pub dir: PathBuf,
    /// Given once to each data directory: 128 random bits, in 22 characters.
    pub cluster_id: String,
    /// Whether it was made just now.
    pub new: bool,
    _lock: Lock,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum PlaceError {
    Taken { dir: PathBuf, pid: Option<u32> },
    Newer { dir: PathBuf, format: u32, written_by: String },
    Older { dir: PathBuf, format: u32, written_by: String },
    Foreign { dir: PathBuf, found: String },
    Damaged { dir: PathBuf },
    Io { dir: PathBuf, error: io::Error },
}

impl std::fmt::Display for PlaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        match self {
            PlaceError::Taken { dir, pid } => {
                let who = pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
                write!(
                    f,
                    "the data directory {} is in use by {who}: stop it, or choose another --data-dir",
                    dir.display()
                )
            }
            PlaceError::Newer { dir, format, written_by } => write!(
                f,
                "the data directory {} has format {format}, written by interfluve {written_by}; this is interfluve \
                 {version}, which reads format {FORMAT}: use the newer version",
                dir.display()
            ),
            PlaceError::Older { dir, format, written_by } => write!(
                f,
                "the data directory {} has format {format}, written by interfluve {written_by}; this is interfluve \
                 {version}, which reads format {FORMAT}: use the older version, or begin with an empty directory",
                dir.display()
            ),
            PlaceError::Foreign { dir, found } => write!(
                f,
                "the directory {} is no data directory of interfluve (it holds {found:?} and no file named format): \
                 choose an empty or missing one with --data-dir",
                dir.display()
            ),
            PlaceError::Damaged { dir } => {
                write!(f, "the file {} cannot be understood: restore it from a backup", dir.join("format").display())
            }
            PlaceError::Io { dir, error } => write!(f, "cannot use the data directory {}: {error}", dir.display()),
        }
    }
}

/// What the file `format` says.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    format: u32,
    cluster_id: String,
    written_by: String,
}

impl Mark {
    fn parse(text: &str) -> Option<Mark> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let format = field("format")?.trim().parse().ok()?;
        let text = |name| field(name).unwrap_or("").trim().to_string();
        Some(Mark { format, cluster_id: text("cluster"), written_by: text("written-by") })
    }

    fn text(&self) -> String {
        format!("format {}\ncluster {}\nwritten-by {}\n", self.format, self.cluster_id, self.written_by)
    }
}

impl Place {
    /// Marks a directory whose content was made elsewhere as ours: the last step of a restore.
    pub fn mark(dir: &Path, cluster_id: &str) -> io::Result<()> {
        let mark = Mark { format: FORMAT, cluster_id: cluster_id.into(), written_by: env!("CARGO_PKG_VERSION").into() };
        write_durably(dir, "format", mark.text().as_bytes())
    }

    /// Takes a directory that was made before, and changes nothing in it.
    pub fn look(dir: &Path) -> Result<Place, PlaceError> {
        if !dir.join("format").is_file() {
            let error = io::Error::new(io::ErrorKind::NotFound, "it has no file named format");
            return Err(PlaceError::Io { dir: dir.into(), error });
        }
        Place::take(dir, 0)
    }

    /// Takes the directory, made and marked if it is missing or empty. `random`: 128 random bits.
    pub fn take(dir: &Path, random: u128) -> Result<Place, PlaceError> {
        let io = |error| PlaceError::Io { dir: dir.into(), error };
        let found = fs::read_dir(dir).map_or(Ok(Vec::new()), |entries| {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<Vec<_>>>()
        });
        let found = found.map_err(io)?;
        let ours = |name: &str| ["lock", "format", "format.new", "lost+found"].contains(&name);
        if !found.iter().any(|name| name == "format")
            && let Some(other) = found.iter().find(|name| !ours(name))
        {
            return Err(PlaceError::Foreign { dir: dir.into(), found: other.clone() });
        }
        let lock = os::lock(dir).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let pid = fs::read_to_string(dir.join("lock")).ok().and_then(|text| text.trim().parse().ok());
                PlaceError::Taken { dir: dir.into(), pid }
            }
            _ => io(error),
        })?;
        // Through a second descriptor, which the lock does not mind.
        fs::write(dir.join("lock"), format!("{}\n", std::process::id())).map_err(io)?;
        let (mark, new) = match fs::read_to_string(dir.join("format")) {
            Ok(text) => (Mark::parse(&text).ok_or(PlaceError::Damaged { dir: dir.into() })?, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let cluster_id = cluster_id(random);
                let mark = Mark { format: FORMAT, cluster_id, written_by: env!("CARGO_PKG_VERSION").into() };
                write_durably(dir, "format", mark.text().as_bytes()).map_err(io)?;
                (mark, true)
            }
            Err(error) => return Err(io(error)),
        };
        if mark.format > FORMAT {
            return Err(PlaceError::Newer { dir: dir.into(), format: mark.format, written_by: mark.written_by });
        }
        if mark.format == 0 || mark.cluster_id.is_empty() {
            return Err(PlaceError::Damaged { dir: dir.into() });
        }
        if mark.format < FORMAT {
            return Err(PlaceError::Older { dir: dir.into(), format: mark.format, written_by: mark.written_by });
        }
        Ok(Place { dir: dir.into(), cluster_id: mark.cluster_id, new, _lock: lock })
    }
}

/// 128 bits as Kafka writes them: base64 for URLs, without padding. A leading dash would be taken for an option by tools.
pub fn cluster_id(random: u128) -> String {
    let text = URL_SAFE_NO_PAD.encode(random.to_be_bytes());
    match text.strip_prefix('-') {
        Some(rest) => format!("A{rest}"),
        None => text,
    }
}

/// The file is there whole, or not at all.
fn write_durably(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(dir: &Path, want: &str) {
        let error = Place::take(dir, 7).expect_err("should be refused").to_string();
        assert!(error.contains(want), "{want:?} in {error:?}");
    }

    #[test]
    fn a_directory_is_made_marked_and_known_again() {
        let parent = tempfile::tempdir().expect("a directory");
        let dir = parent.path().join("a/b");
        let first = Place::take(&dir, 7).expect("taken");
        assert!(first.new);
        let id = first.cluster_id.clone();
        assert_eq!(id.len(), 22);
        drop(first);
        let again = Place::take(&dir, 8).expect("taken again");
        assert_eq!((again.new, again.cluster_id), (false, id));
    }

    #[test]
    fn a_second_taker_is_told_who_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let _first = Place::take(dir.path(), 7).expect("taken");
        refused(dir.path(), &format!("in use by process {}", std::process::id()));
    }

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("format"), "format 9\ncluster x\nwritten-by 3.0.0\n").expect("written");
        refused(dir.path(), "has format 9, written by interfluve 3.0.0; this is interfluve");
    }

    #[test]
    fn an_older_format_is_refused_with_both_versions() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("format"), "format 1\ncluster x\nwritten-by 0.0.9\n").expect("written");
        refused(dir.path(), "has format 1, written by interfluve 0.0.9; this is interfluve");
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("thesis.tex"), "x").expect("written");
        refused(dir.path(), "thesis.tex");
        assert!(!dir.path().join("lock").exists());
    }

    #[test]
    fn a_mark_that_says_nothing_is_refused() {
        for text in ["", "format\n", "format x\ncluster y\n", "format 0\ncluster y\n", "format 1\n"] {
            let dir = tempfile::tempdir().expect("a directory");
            fs::write(dir.path().join("format"), text).expect("written");
            refused(dir.path(), "cannot be understood");
        }
    }

    #[test]
    fn a_cluster_id_never_looks_like_an_option() {
        assert!(!cluster_id(u128::MAX - 1).starts_with('-') && !cluster_id(0xfb << 120).starts_with('-'));
        assert_eq!(cluster_id(u128::MAX), "_____________________w");
    }
}
