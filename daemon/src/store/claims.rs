//! What this daemon is making or removing now, so that nobody takes it for a leftover.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The paths that operations under way have claimed.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Mutex<BTreeSet<PathBuf>>>);

/// A path that is claimed until this is dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Claims,
    path: PathBuf,
}

impl Claims {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Claims a path. Names of what is half made are never used twice, so that nobody
    /// else can have claimed it.
    #[must_use]
    pub fn claim(&self, path: &Path) -> Claim {
        self.with(|paths| paths.insert(path.to_owned()));
        Claim { claims: self.clone(), path: path.to_owned() }
    }

    /// Everything that is claimed now.
    #[must_use]
    pub fn all(&self) -> BTreeSet<PathBuf> {
        self.with(|paths| paths.clone())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.with(|paths| paths.remove(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_lasts_as_long_as_it_is_held() {
        let claims = Claims::default();
        let same = claims.clone();
        let held = same.claim(Path::new("/a"));
        let _other = claims.claim(Path::new("/b"));
        assert_eq!(claims.all().len(), 2);
        drop(held);
        assert_eq!(claims.all(), BTreeSet::from(["/b".into()]));
    }
}
