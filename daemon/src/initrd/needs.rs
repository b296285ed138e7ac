//! Which modules a kernel needs, and in which order they are loaded: pure.

use std::collections::{BTreeMap, BTreeSet};

/// Without these no root disk is found and mounted.
const NEEDED: [&str; 3] = ["virtio_mmio", "virtio_blk", "ext4"];
/// With these a guest has its network whatever it does about modules itself.
const WANTED: [&str; 1] = ["virtio_net"];
/// Most modules that are loaded. Debian's kernel has six, the most divided ones a dozen.
const MOST: usize = 64;
/// Most looks at modules. What may be absent is looked at again wherever it is good to have.
const LOOKS: usize = 4096;
/// Most modules that one is good to have, and most that a name may stand for.
const EACH: usize = 32;
/// Longest name of a module, in bytes.
const LONGEST: usize = 56;

/// What is in the folder of a kernel's modules, as `depmod` writes it. What is absent is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tables<'a> {
    /// `modules.dep`: each module with those that it needs.
    pub(super) dependencies: &'a str,
    /// `modules.builtin`: those that are in the kernel.
    pub(super) builtin: &'a str,
    /// `modules.builtin.modinfo`: what these say of themselves.
    pub(super) builtin_facts: &'a str,
    /// `modules.softdep`: what else is good to have before.
    pub(super) soft: &'a str,
    /// `modules.alias`: other names of modules.
    pub(super) aliases: &'a str,
}

/// A module that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module<'a> {
    /// Its name, with underscores.
    pub(super) name: String,
    /// Its file, from the folder of the kernel's modules.
    pub(super) path: &'a str,
}

/// Modules that cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NeedError {
    /// Neither a module nor built in.
    #[error("it has no {0}, neither built in nor as a module")]
    Lacks(String),
    /// Not what depmod writes.
    #[error("the list of its modules is damaged: {0:?} is no module's file")]
    Damaged(String),
    /// Each needs the other.
    #[error("the list of its modules is damaged: {0} needs itself")]
    Cycle(String),
    /// More than there can be.
    #[error("the list of its modules is damaged: more than {MOST} are needed")]
    Many,
}

/// The modules that are loaded, each behind those that it needs. None when all is built in.
pub(super) fn order<'a>(tables: &Tables<'a>) -> Result<Vec<Module<'a>>, NeedError> {
    let mut resolving =
        Resolving { known: Known::read(tables), open: Vec::new(), order: Vec::new(), looks: 0 };
    for name in NEEDED {
        resolving.require(name)?;
    }
    // Where the disk needs none, there is nobody to load others.
    if resolving.order.is_empty() {
        return Ok(Vec::new());
    }
    for name in WANTED {
        resolving.try_it(name);
    }
    Ok(resolving.order)
}

/// The tables, looked up by names.
struct Known<'a> {
    /// Each module's file, and those of what it needs.
    modules: BTreeMap<String, (&'a str, &'a str)>,
    builtin: BTreeSet<String>,
    /// Other names of those.
    builtin_aliases: BTreeSet<String>,
    soft: BTreeMap<String, Vec<&'a str>>,
    aliases: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Known<'a> {
    /// What makes no sense is no module: when it is one that is needed, it is missing.
    fn read(tables: &Tables<'a>) -> Self {
        let lines = tables.dependencies.lines().filter_map(|line| line.split_once(':'));
        let modules =
            lines.filter_map(|(path, needed)| Some((name_of(path).ok()?, (path, needed))));
        let builtin = tables.builtin.lines().filter_map(|path| name_of(path).ok());
        let mut soft = BTreeMap::<_, Vec<_>>::new();
        for line in tables.soft.lines() {
            let mut words = line.split_whitespace();
            let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
            let before = words.skip_while(|word| *word != "pre:").skip(1);
            let before = before.take_while(|word| !word.ends_with(':'));
            let known = soft.entry(plain(name)).or_default();
            known.extend(before.take(EACH - EACH.min(known.len())));
        }
        let mut aliases = BTreeMap::<_, Vec<_>>::new();
        for line in tables.aliases.lines() {
            let mut words = line.split_whitespace();
            let (Some("alias"), Some(alias), Some(name)) =
                (words.next(), words.next(), words.next())
            else {
                continue;
            };
            // Those of devices are patterns, and nothing needs them by these.
            if !alias.contains(['*', '?', '[']) {
                let known = aliases.entry(plain(alias)).or_default();
                known.extend(Some(name).filter(|_| known.len() < EACH));
            }
        }
        // "crc32c_generic.alias=crc32c", with zeros between.
        let facts = tables.builtin_facts.split('\0').filter_map(|fact| fact.split_once(".alias="));
        Self {
            modules: modules.collect(),
            builtin: builtin.collect(),
            builtin_aliases: facts.map(|(_, alias)| plain(alias)).collect(),
            soft,
            aliases,
        }
    }
}

struct Resolving<'a> {
    known: Known<'a>,
    /// What is being looked at, each for the one before it.
    open: Vec<String>,
    order: Vec<Module<'a>>,
    looks: usize,
}

impl<'a> Resolving<'a> {
    fn is_there(&self, name: &str) -> bool {
        self.known.builtin.contains(name) || self.order.iter().any(|module| module.name == name)
    }

    /// Puts a module behind all that it needs.
    fn require(&mut self, name: &str) -> Result<(), NeedError> {
        let name = plain(name);
        if self.is_there(&name) {
            return Ok(());
        }
        if self.open.contains(&name) {
            return Err(NeedError::Cycle(name));
        }
        self.looks += 1;
        if self.open.len() + self.order.len() >= MOST || self.looks > LOOKS {
            return Err(NeedError::Many);
        }
        let (path, needed) =
            *self.known.modules.get(&name).ok_or_else(|| NeedError::Lacks(name.clone()))?;
        self.open.push(name.clone());
        for other in self.known.soft.get(&name).cloned().unwrap_or_default() {
            self.try_it(other);
        }
        // What is needed first stands last.
        for path in needed.split_whitespace().rev() {
            self.require(&name_of(path)?)?;
        }
        self.open.pop();
        self.order.push(Module { name, path });
        Ok(())
    }

    /// The same for what may be absent, and may have other names; then nothing is changed.
    fn try_it(&mut self, name: &str) {
        let (open, done) = (self.open.len(), self.order.len());
        if self.known.builtin_aliases.contains(&plain(name)) || self.require(name).is_ok() {
            return;
        }
        self.open.truncate(open);
        self.order.truncate(done);
        for other in self.known.aliases.get(&plain(name)).cloned().unwrap_or_default() {
            let done = self.order.len();
            if self.require(other).is_err() {
                self.open.truncate(open);
                self.order.truncate(done);
            }
        }
    }
}

/// Names are the same with hyphens and with underscores.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file, which lies in the folder of the kernel's modules.
fn name_of(path: &str) -> Result<String, NeedError> {
    let damaged = || NeedError::Damaged(path.chars().take(80).collect());
    let path = path.trim();
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(damaged());
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let (name, packed) = file.split_once(".ko").ok_or_else(damaged)?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_name = !name.is_empty() && name.len() <= LONGEST && name.chars().all(word);
    (is_name && matches!(packed, "" | ".gz" | ".xz" | ".zst"))
        .then(|| plain(name))
        .ok_or_else(damaged)
}

#[cfg(test)]
mod tests;
