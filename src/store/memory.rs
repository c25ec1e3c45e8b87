//! A disk in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, File, Open, check_name, parent};

const PAGE: usize = 4096;

/// A disk in memory. Cheap to clone: clones are the same disk.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// `None`: a directory.
    names: BTreeMap<String, Option<Arc<Mutex<Pages>>>>,
}

#[derive(Clone, Default)]
struct Pages {
    bytes: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemDisk {
    pub fn new() -> MemDisk {
        MemDisk::default()
    }
}

impl Inner {
    fn is_dir(&self, name: &str) -> bool {
        name.is_empty() || matches!(self.names.get(name), Some(None))
    }
}

impl Disk for MemDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut inner = held(&self.0);
        if let Some(there) = inner.names.get(name) {
            return match (there, how) {
                (_, Open::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
                (None, _) => Err(io::ErrorKind::IsADirectory.into()),
                (Some(pages), _) => Ok(Arc::new(MemFile(pages.clone()))),
            };
        }
        if matches!(how, Open::Read | Open::Write) || !inner.is_dir(parent(name)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let pages = Arc::new(Mutex::new(Pages::default()));
        inner.names.insert(name.to_owned(), Some(pages.clone()));
        Ok(Arc::new(MemFile(pages)))
    }

    fn create_dir_all(&self, name: &str) -> io::Result<()> {
        if name.is_empty() {
            return Ok(());
        }
        check_name(name)?;
        let mut inner = held(&self.0);
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            match inner.names.get(&name[..end]) {
                Some(None) => {}
                Some(Some(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => drop(inner.names.insert(name[..end].to_owned(), None)),
            }
        }
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        if !dir.is_empty() {
            check_name(dir)?;
        }
        let inner = held(&self.0);
        let inside = inner.names.keys().filter(|name| parent(name) == dir);
        Ok(inside.map(|name| name[if dir.is_empty() { 0 } else { dir.len() + 1 }..].to_owned()).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut inner = held(&self.0);
        if !inner.is_dir(parent(to)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let Some(file) = inner.names.remove(from) else { return Err(io::ErrorKind::NotFound.into()) };
        inner.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let mut inner = held(&self.0);
        if inner.names.keys().any(|inside| parent(inside) == name) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        inner.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        if held(&self.0).is_dir(dir) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct MemFile(Arc<Mutex<Pages>>);

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let file = held(&self.0);
        let n = (buf.len() as u64).min(file.bytes.saturating_sub(at)) as usize;
        let mut done = 0;
        while done < n {
            let (page, from) = ((at + done as u64) / PAGE as u64, ((at + done as u64) % PAGE as u64) as usize);
            let take = (PAGE - from).min(n - done);
            match file.pages.get(&page) {
                Some(bytes) => buf[done..done + take].copy_from_slice(&bytes[from..from + take]),
                None => buf[done..done + take].fill(0),
            }
            done += take;
        }
        Ok(n)
    }

    fn write_at(&self, slices: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut file = held(&self.0);
        for slice in slices {
            let mut rest = *slice;
            while !rest.is_empty() {
                let (page, from) = (at / PAGE as u64, (at % PAGE as u64) as usize);
                let take = (PAGE - from).min(rest.len());
                let bytes = file.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
                Arc::make_mut(bytes)[from..from + take].copy_from_slice(&rest[..take]);
                rest = &rest[take..];
                at += take as u64;
            }
        }
        file.bytes = file.bytes.max(at);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.0).bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut file = held(&self.0);
        if bytes < file.bytes {
            file.pages.split_off(&bytes.div_ceil(PAGE as u64));
            if let Some(page) = file.pages.get_mut(&(bytes / PAGE as u64)) {
                Arc::make_mut(page)[(bytes % PAGE as u64) as usize..].fill(0);
            }
        }
        file.bytes = bytes;
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut file = held(&self.0);
        file.bytes = file.bytes.max(bytes);
        Ok(())
    }

    fn reread(&self) -> io::Result<()> {
        Ok(())
    }
}
