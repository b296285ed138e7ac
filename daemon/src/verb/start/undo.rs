//! What a start has done so far, so that it can be undone.

use std::pin::Pin;

use banger_proto::Refusal;

type Undoing = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What is to be undone, in the order in which it was done.
#[derive(Default)]
pub(super) struct Undo {
    steps: Vec<(&'static str, Undoing)>,
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|(name, _)| name)).finish()
    }
}

impl Undo {
    /// Remembers how to undo what was just done.
    pub(super) fn push(
        &mut self,
        name: &'static str,
        undoing: impl Future<Output = Result<(), Refusal>> + Send + 'static,
    ) {
        self.steps.push((name, Box::pin(undoing)));
    }

    /// Undoes everything, the last first. What cannot be undone is added to the refusal
    /// that made it necessary, and the rest is undone all the same.
    pub(super) async fn roll_back(self, refusal: &mut Refusal) {
        for (name, undoing) in self.steps.into_iter().rev() {
            if let Err(failed) = undoing.await {
                tracing::error!(undoing = name, error = %failed, "cannot undo");
                refusal.chain.push(format!("and undoing it failed ({name}): {failed}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use banger_proto::Code;

    use super::*;

    #[tokio::test]
    async fn all_is_undone_in_reverse_and_a_failure_is_told() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut undo = Undo::default();
        for name in ["first", "second", "third"] {
            let order = order.clone();
            undo.push(name, async move {
                order.lock().unwrap().push(name);
                if name == "second" { Err(Refusal::new(Code::Internal, "stuck")) } else { Ok(()) }
            });
        }
        let mut refusal = Refusal::new(Code::Internal, "why");
        undo.roll_back(&mut refusal).await;
        assert_eq!(*order.lock().unwrap(), ["third", "second", "first"]);
        assert_eq!(refusal.chain, ["and undoing it failed (second): stuck"]);
    }
}
