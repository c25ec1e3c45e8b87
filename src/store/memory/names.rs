//! The names of the memory disk: what is seen, what the disk holds, and the changes between the two. Pure: chance is an
//! argument.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use super::inode::Inode;
use super::{Chance, Survives, held, parent};

/// A file, known by all its names and open handles.
pub(super) type Shared = Arc<Mutex<Inode>>;

#[derive(Clone)]
pub(super) enum Node {
    Dir,
    File(Shared),
}

#[derive(Default)]
pub(super) struct Names {
    seen: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// What was done to the names of a directory since it was last synced, in order, with the directory. A rename from
    /// one directory to another is two changes, either of which a power cut may take.
    pending: Vec<(String, Change)>,
}

#[derive(Clone)]
enum Change {
    Add(String, Node),
    Remove(String),
    Rename(String, String, Node),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Add(name, node) => {
                names.insert(name.clone(), node.clone());
            }
            Change::Remove(name) => {
                names.remove(name);
            }
            Change::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }
}

impl Names {
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.seen.get(name)
    }

    pub fn file(&self, name: &str) -> io::Result<Shared> {
        match self.seen.get(name) {
            Some(Node::File(inode)) => Ok(inode.clone()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(self.missing(name)),
        }
    }

    /// Why a name that is not there is not there.
    pub fn missing(&self, name: &str) -> io::Error {
        let mut above = parent(name);
        while !above.is_empty() {
            if let Some(Node::File(_)) = self.seen.get(above) {
                return io::ErrorKind::NotADirectory.into();
            }
            above = parent(above);
        }
        io::ErrorKind::NotFound.into()
    }

    pub fn files(&self) -> impl Iterator<Item = &Shared> {
        self.seen.values().filter_map(|node| match node {
            Node::File(inode) => Some(inode),
            Node::Dir => None,
        })
    }

    pub fn is_dir(&self, name: &str) -> bool {
        name.is_empty() || matches!(self.seen.get(name), Some(Node::Dir))
    }

    pub fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        if let Some(Node::File(_)) = self.seen.get(dir) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if !self.is_dir(dir) && self.missing(dir).kind() != io::ErrorKind::NotFound {
            return Err(self.missing(dir));
        }
        let skip = if dir.is_empty() { 0 } else { dir.len() + 1 };
        Ok(self.seen.keys().filter(|name| parent(name) == dir).map(|name| name[skip..].to_owned()).collect())
    }

    fn change(&mut self, dir: &str, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push((dir.to_owned(), change));
    }

    pub fn create(&mut self, name: &str) -> io::Result<Shared> {
        if !self.is_dir(parent(name)) {
            return Err(self.missing(name));
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        self.change(parent(name), Change::Add(name.to_owned(), Node::File(inode.clone())));
        Ok(inode)
    }

    pub fn create_dir_all(&mut self, name: &str) -> io::Result<()> {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for dir in ends.map(|end| &name[..end]) {
            match self.seen.get(dir) {
                Some(Node::Dir) => {}
                Some(Node::File(_)) if dir == name => return Err(io::ErrorKind::AlreadyExists.into()),
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => self.change(parent(dir), Change::Add(dir.to_owned(), Node::Dir)),
            }
        }
        Ok(())
    }

    pub fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let node = Node::File(self.file(from)?);
        if !self.is_dir(parent(to)) {
            return Err(self.missing(to));
        }
        if self.is_dir(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if parent(from) == parent(to) {
            self.change(parent(from), Change::Rename(from.to_owned(), to.to_owned(), node));
        } else {
            self.change(parent(to), Change::Add(to.to_owned(), node));
            self.change(parent(from), Change::Remove(from.to_owned()));
        }
        Ok(())
    }

    pub fn remove(&mut self, name: &str) -> io::Result<()> {
        if !self.seen.contains_key(name) {
            return Err(self.missing(name));
        }
        if self.seen.keys().any(|inside| parent(inside) == name) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(parent(name), Change::Remove(name.to_owned()));
        Ok(())
    }

    pub fn sync_dir(&mut self, dir: &str) -> io::Result<()> {
        if !self.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        for (_, change) in self.pending.extract_if(.., |(of, _)| of == dir) {
            change.apply(&mut self.durable);
        }
        Ok(())
    }

    /// The same names and files, apart from these.
    pub fn copy(&self) -> Names {
        let mut copies = Copies::default();
        Names {
            seen: copies.all(&self.seen, &mut Inode::clone),
            durable: copies.all(&self.durable, &mut Inode::clone),
            pending: self.pending.iter().map(|(dir, change)| (dir.clone(), copies.change(change))).collect(),
        }
    }

    /// What a power cut leaves.
    pub fn after_power_cut(&self, chance: &mut Chance) -> Names {
        let mut names = self.durable.clone();
        let dirs: BTreeSet<&String> = self.pending.iter().map(|(dir, _)| dir).collect();
        for dir in dirs {
            let survives = chance.survives();
            let changes = self.pending.iter().filter(|(of, _)| of == dir);
            let older = chance.below(changes.clone().count() as u64 + 1);
            for (index, (_, change)) in (0..).zip(changes) {
                let survived = match survives {
                    Survives::Nothing => false,
                    Survives::Everything => true,
                    Survives::Prefix => index < older,
                    Survives::Sectors => chance.below(2) == 0,
                };
                if survived {
                    change.apply(&mut names);
                }
            }
        }
        // What stands in a directory that is gone is gone with it; parents sort before what is in them.
        let mut reached: BTreeMap<String, Node> = BTreeMap::new();
        for (name, node) in names {
            if parent(&name).is_empty() || matches!(reached.get(parent(&name)), Some(Node::Dir)) {
                reached.insert(name, node);
            }
        }
        let seen = Copies::default().all(&reached, &mut |inode| {
            let survives = chance.survives();
            inode.after_power_cut(survives, chance)
        });
        Names { durable: seen.clone(), seen, pending: Vec::new() }
    }
}

/// Copies of files: one for each, by however many names it is known.
#[derive(Default)]
struct Copies(Vec<(Shared, Shared)>);

impl Copies {
    fn all(&mut self, names: &BTreeMap<String, Node>, copy: &mut dyn FnMut(&Inode) -> Inode) -> BTreeMap<String, Node> {
        names.iter().map(|(name, node)| (name.clone(), self.node(node, copy))).collect()
    }

    fn node(&mut self, node: &Node, copy: &mut dyn FnMut(&Inode) -> Inode) -> Node {
        let Node::File(inode) = node else { return Node::Dir };
        if let Some((_, new)) = self.0.iter().find(|(old, _)| Arc::ptr_eq(old, inode)) {
            return Node::File(new.clone());
        }
        let new = Arc::new(Mutex::new(copy(&held(inode))));
        self.0.push((inode.clone(), new.clone()));
        Node::File(new)
    }

    fn change(&mut self, change: &Change) -> Change {
        match change {
            Change::Add(name, node) => Change::Add(name.clone(), self.node(node, &mut Inode::clone)),
            Change::Remove(name) => Change::Remove(name.clone()),
            Change::Rename(from, to, node) => {
                Change::Rename(from.clone(), to.clone(), self.node(node, &mut Inode::clone))
            }
        }
    }
}
