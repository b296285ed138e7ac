//! The model: a tree in memory that changes as a filesystem must.

use std::collections::{BTreeMap, HashMap, VecDeque};

use banger_ext4::{Attributes, Node, Timestamp};
use banger_tests::manifest::Record;

use super::content::Content;

/// Number of an entry; the root is 0.
pub type Id = usize;

const ROOT: Id = 0;
/// Links that a path may lead through.
const MOST_LINKS: usize = 40;

#[derive(Debug, Clone)]
pub enum Kind {
    Directory(BTreeMap<Vec<u8>, Id>),
    File(Content),
    Link(Vec<u8>),
    Node(Node),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub kind: Kind,
    pub attributes: Attributes,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// When it was changed, where that was set.
    pub modified: Option<Timestamp>,
}

impl Entry {
    pub fn new(kind: Kind, attributes: Attributes) -> Self {
        let attributes = Attributes { mode: attributes.mode & 0o7777, ..attributes };
        Self { kind, attributes, xattrs: BTreeMap::new(), modified: None }
    }

    pub fn directory(attributes: Attributes) -> Self {
        Self::new(Kind::Directory(BTreeMap::new()), attributes)
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }
}

/// Why a change is not possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    WrongType,
    Loop,
}

pub type Answer<T> = Result<T, Refused>;

/// Where a path's last name stands, or would stand.
#[derive(Debug)]
pub struct Place {
    parent: Id,
    name: Vec<u8>,
    pub found: Option<Id>,
}

#[derive(Debug, Clone)]
pub struct Tree {
    entries: Vec<Entry>,
}

impl Tree {
    /// What mke2fs leaves.
    pub fn new() -> Self {
        let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
        let mut tree = Self { entries: vec![Entry::directory(root)] };
        tree.add(ROOT, b"lost+found", Entry::directory(Attributes { mode: 0o700, ..root }));
        tree
    }

    pub fn entry(&self, id: Id) -> &Entry {
        &self.entries[id]
    }

    pub fn names(&self, id: Id) -> Option<&BTreeMap<Vec<u8>, Id>> {
        match &self.entries[id].kind {
            Kind::Directory(names) => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, id: Id) -> &mut BTreeMap<Vec<u8>, Id> {
        match &mut self.entries[id].kind {
            Kind::Directory(names) => names,
            kind => panic!("{kind:?} is no directory"),
        }
    }

    fn add(&mut self, parent: Id, name: &[u8], entry: Entry) {
        self.entries.push(entry);
        let id = self.entries.len() - 1;
        self.names_mut(parent).insert(name.to_vec(), id);
    }

    /// Follows names from the root; the entries on the way.
    fn walk(&self, mut left: VecDeque<Vec<u8>>, follow_last: bool) -> Answer<Id> {
        let mut way = vec![ROOT];
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            let names = self.names(*way.last().unwrap()).ok_or(Refused::WrongType)?;
            match name.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let id = *names.get(&name).ok_or(Refused::NotFound)?;
            match &self.entries[id].kind {
                Kind::Link(target) if follow_last || !left.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Refused::Loop);
                    }
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    for part in target.split(|byte| *byte == b'/').rev() {
                        left.push_front(part.to_vec());
                    }
                }
                _ => way.push(id),
            }
        }
        Ok(*way.last().unwrap())
    }

    /// What a path leads to, a link in the last place followed.
    pub fn resolve(&self, path: &[u8]) -> Answer<Id> {
        self.walk(split(path), true)
    }

    pub fn place(&self, path: &[u8]) -> Answer<Place> {
        let mut names = split(path);
        let Some(name) = names.pop_back() else {
            return Ok(Place { parent: ROOT, name: Vec::new(), found: Some(ROOT) });
        };
        let parent = self.walk(names, true)?;
        let found = self.names(parent).ok_or(Refused::WrongType)?.get(&name).copied();
        Ok(Place { parent, name, found })
    }

    /// What stands at a path itself.
    fn existing(&self, path: &[u8]) -> Answer<(Place, Id)> {
        let place = self.place(path)?;
        let id = place.found.ok_or(Refused::NotFound)?;
        Ok((place, id))
    }

    fn replaceable(&self, path: &[u8]) -> Answer<Place> {
        let place = self.place(path)?;
        match place.found {
            Some(id) if self.entries[id].is_directory() => Err(Refused::WrongType),
            _ => Ok(place),
        }
    }

    /// A new entry, in place of anything but a directory.
    pub fn put(&mut self, path: &[u8], entry: Entry) -> Answer<()> {
        let place = self.replaceable(path)?;
        self.add(place.parent, &place.name, entry);
        Ok(())
    }

    pub fn make_directory(&mut self, path: &[u8], to: Attributes) -> Answer<()> {
        let place = self.place(path)?;
        if place.found.is_none() {
            self.add(place.parent, &place.name, Entry::directory(to));
            return Ok(());
        }
        let id = self.resolve(path)?;
        if !self.entries[id].is_directory() {
            return Err(Refused::WrongType);
        }
        self.entries[id].attributes = Entry::directory(to).attributes;
        Ok(())
    }

    /// Every missing directory; those made before one that cannot be are there.
    pub fn make_directories(&mut self, path: &[u8], to: Attributes) -> Answer<()> {
        let mut at = Vec::new();
        for name in split(path) {
            at.push(b'/');
            at.extend(name);
            match self.place(&at)?.found {
                None => self.make_directory(&at, to)?,
                Some(_) if self.entries[self.resolve(&at)?].is_directory() => {}
                Some(_) => return Err(Refused::WrongType),
            }
        }
        Ok(())
    }

    pub fn hard_link(&mut self, from: &[u8], to: &[u8]) -> Answer<()> {
        let (_, id) = self.existing(from)?;
        if self.entries[id].is_directory() {
            return Err(Refused::WrongType);
        }
        let place = self.replaceable(to)?;
        self.names_mut(place.parent).insert(place.name, id);
        Ok(())
    }

    pub fn change(&mut self, path: &[u8], change: impl FnOnce(&mut Entry)) -> Answer<()> {
        let (_, id) = self.existing(path)?;
        change(&mut self.entries[id]);
        Ok(())
    }

    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Answer<()> {
        let (source, id) = self.existing(from)?;
        let target = self.place(to)?;
        if source.name.is_empty() || target.name.is_empty() {
            return Err(Refused::WrongType);
        }
        if target.found == Some(id) {
            return Ok(());
        }
        let directory = self.entries[id].is_directory();
        if directory && self.is_below(target.parent, id) {
            return Err(Refused::WrongType);
        }
        if let Some(old) = target.found {
            let makes_way = match (self.names(old), directory) {
                (Some(names), true) => names.is_empty(),
                (None, false) => true,
                _ => false,
            };
            if !makes_way {
                return Err(Refused::WrongType);
            }
        }
        self.names_mut(source.parent).remove(&source.name);
        self.names_mut(target.parent).insert(target.name, id);
        Ok(())
    }

    fn is_below(&self, id: Id, top: Id) -> bool {
        if id == top {
            return true;
        }
        self.names(top).is_some_and(|names| names.values().any(|child| self.is_below(id, *child)))
    }

    pub fn remove(&mut self, path: &[u8], recursive: bool) -> Answer<()> {
        let (place, id) = self.existing(path)?;
        let full = self.names(id).is_some_and(|names| !names.is_empty());
        if place.name.is_empty() || full && !recursive {
            return Err(Refused::WrongType);
        }
        self.names_mut(place.parent).remove(&place.name);
        Ok(())
    }

    /// Bytes of the longest path below an entry.
    pub fn height(&self, id: Id) -> usize {
        let below = |(name, child): (&Vec<u8>, &Id)| name.len() + 1 + self.height(*child);
        self.names(id).and_then(|names| names.iter().map(below).max()).unwrap_or(0)
    }

    /// Every path with its entry, in the order of a walk; the root first.
    pub fn paths(&self) -> Vec<(Vec<u8>, Id)> {
        let mut found = vec![(b"/".to_vec(), ROOT)];
        let mut waiting = vec![(Vec::new(), ROOT)];
        while let Some((path, id)) = waiting.pop() {
            if id != ROOT {
                found.push((path.clone(), id));
            }
            for (name, child) in self.names(id).into_iter().flatten().rev() {
                waiting.push(([&path, &b"/"[..], name].concat(), *child));
            }
        }
        found
    }

    /// The lines of a manifest, without times and without sizes of directories.
    pub fn lines(&self) -> Vec<String> {
        let paths = self.paths();
        let mut links: HashMap<Id, u64> = HashMap::new();
        for (_, id) in &paths {
            *links.entry(*id).or_default() += 1;
        }
        let mut first: HashMap<Id, Vec<u8>> = HashMap::new();
        let mut lines: Vec<String> = Vec::new();
        for (path, id) in paths {
            let Entry { kind, attributes, xattrs, .. } = &self.entries[id];
            let mut record = Record {
                path: path.clone(),
                mode: attributes.mode.into(),
                uid: attributes.uid,
                gid: attributes.gid,
                links: links[&id],
                xattrs: xattrs.clone(),
                ..Record::default()
            };
            match kind {
                Kind::Directory(names) => {
                    record.kind = "dir";
                    let below = names.values().filter(|id| self.entries[**id].is_directory());
                    record.links = 2 + below.count() as u64;
                }
                Kind::File(content) => {
                    record.kind = "file";
                    record.size = content.len() as u64;
                    record.content = Some(content.hash());
                }
                Kind::Link(target) => {
                    record.kind = "link";
                    record.size = target.len() as u64;
                    record.target = Some(target.clone());
                }
                Kind::Node(node) => {
                    (record.kind, record.rdev) = match *node {
                        Node::CharDevice(major, minor) => ("char", (major, minor)),
                        Node::BlockDevice(major, minor) => ("block", (major, minor)),
                        Node::Fifo => ("fifo", (0, 0)),
                        Node::Socket => ("socket", (0, 0)),
                    }
                }
            }
            if record.kind != "dir" && record.links > 1 {
                record.group = Some(first.entry(id).or_insert(path).clone());
            }
            lines.push(without_times(&record.line()));
        }
        lines.sort();
        lines
    }
}

fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.map(<[u8]>::to_vec).collect()
}

/// A manifest's line without its time, and without its size where that is a directory's.
pub fn without_times(line: &str) -> String {
    let mut line = line.to_owned();
    let mut cut = |word: &str| {
        if let Some(start) = line.find(word) {
            let end = line[start + 1..].find(' ').map_or(line.len(), |len| start + 1 + len);
            line.replace_range(start..end, "");
        }
    };
    cut(" mtime=");
    if line.contains(" dir ") {
        let start = line.find(" size=").unwrap();
        let end = line[start + 1..].find(' ').map_or(line.len(), |len| start + 1 + len);
        line.replace_range(start..end, "");
    }
    line
}
