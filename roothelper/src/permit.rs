//! That a caller may: a value that only the gate makes, and that every verb takes.
//!
//! ```text
//!  call, frozen --> alive? --> row of the table --> polkit --> alive? --> Permit { caller, call }
//!                     |            |                   |          |
//!                     +------------+---- refusal ------+----------+      one log entry, whichever way
//! ```
//!
//! A permit holds the very call that was asked about, so that what was authorised is what is
//! executed: there is no other way to it, and none to change it on the way.

use std::time::Duration;

use banger_proto::roothelper::{ActionAnswer, Answer, Interaction};
use banger_proto::{Invalid, Refusal, VmId};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::audit::{Audit, Pending};
use crate::authority::{Authority, Denied};
use crate::call::Call;
use crate::{Action, Authorisation, BaseImage, Caller, Method, NotABaseImage, Ownership};

/// A call that its caller may make now.
#[derive(Debug)]
pub struct Permit<C> {
    // Private, and made below alone: whoever has a permit has passed the gate.
    caller: Caller,
    call: C,
}

impl<C: Call> Permit<C> {
    /// Who asked.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What was asked, and authorised.
    #[must_use]
    pub const fn call(&self) -> &C {
        &self.call
    }

    /// Whose objects it is about, when it is about one VM's: all names come from this.
    #[must_use]
    pub fn ownership(&self) -> Option<Ownership> {
        self.call.vm().map(|vm| Ownership { uid: self.caller.uid(), vm })
    }

    /// The caller and the call, for good.
    #[must_use]
    pub fn into_parts(self) -> (Caller, C) {
        (self.caller, self.call)
    }
}

/// Where every call is decided about.
#[derive(Debug)]
pub struct Gate {
    authority: Box<dyn Authority>,
    audit: Audit,
    ending: watch::Sender<bool>,
}

/// How long an answer is waited for by a helper that ends: polkit's own comes by then, and a
/// person's may not.
pub(crate) const A_MOMENT: Duration = Duration::from_secs(5);

impl Gate {
    /// A gate with this authority behind it, and this log.
    #[must_use]
    pub fn new(authority: Box<dyn Authority>, audit: Audit) -> Self {
        Self { authority, audit, ending: watch::Sender::new(false) }
    }

    /// The log.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Asks whether the caller may make this call now.
    ///
    /// # Errors
    /// Whatever is no clear yes; the refusal says what helps.
    pub async fn permit<C: Call>(&self, caller: &Caller, call: C) -> Result<Permit<C>, Refusal> {
        let mut pending = self.audit.begin(caller, C::METHOD);
        pending.about(call.vm(), call.device());
        match self.decide(&mut pending, caller, &call).await {
            Ok(()) => {
                pending.allow();
                Ok(Permit { caller: caller.clone(), call })
            }
            Err(denied) => {
                pending.refuse(denied.word());
                Err(denied.refusal())
            }
        }
    }

    async fn decide<C: Call>(
        &self,
        pending: &mut Pending,
        caller: &Caller,
        call: &C,
    ) -> Result<(), Denied> {
        let alive = || if caller.is_alive() { Ok(()) } else { Err(Denied::CallerEnded) };
        alive()?;
        match C::METHOD.authorisation() {
            Authorisation::NotNeeded => Ok(()),
            Authorisation::Polkit(action) => {
                pending.asks(action);
                let asked = async {
                    // What root does is told whole, and so there is a limit to how often.
                    if let Some(wait) = self.audit.turn(caller) {
                        sleep(wait).await;
                    }
                    self.authority.ask(caller, action, call.interaction()).await
                };
                tokio::select! {
                    answer = asked => answer?,
                    () = self.has_ended() => return Err(Denied::Ending),
                }
                // Its number may be another's by now, and the answer about that one.
                alive()
            }
        }
    }

    /// From now on nothing new is begun: what is asked about has a moment for its answer.
    pub(crate) fn end(&self) {
        self.ending.send_replace(true);
    }

    async fn has_ended(&self) {
        // The sender is ours.
        drop(self.ending.subscribe().wait_for(|&ending| ending).await);
        sleep(A_MOMENT).await;
    }

    /// Refuses a call whose message cannot be right: nobody is asked. `said` is the part of it
    /// that tells what it was about.
    pub fn refuse_message(
        &self,
        caller: &Caller,
        method: Method,
        said: &[u8],
        invalid: Invalid,
    ) -> Refusal {
        self.audit.begin(caller, method).refuse_said("invalid-message", said);
        invalid.into()
    }

    /// Looks at what an attach came with before anybody is asked: what is wrong with it is told
    /// here, and so is that the caller left meanwhile.
    ///
    /// # Errors
    /// When it is no base image.
    pub async fn look_first(
        &self,
        caller: &Caller,
        vm: VmId,
        looked: impl Future<Output = Result<BaseImage, NotABaseImage>>,
    ) -> Result<BaseImage, Refusal> {
        let mut pending = self.audit.begin(caller, Method::AttachSnapshot);
        pending.about(Some(vm), None);
        match looked.await {
            Ok(base) => {
                pending.go_on();
                Ok(base)
            }
            Err(wrong) => {
                pending.refuse(wrong.word());
                Err(wrong.refusal())
            }
        }
    }

    /// What polkit would say to the caller now about each action, nobody being troubled.
    pub async fn answers(&self, caller: &Caller) -> Vec<ActionAnswer> {
        let ask = async |action: Action| {
            let answer = match self.authority.ask(caller, action, Interaction::Never).await {
                Ok(()) => Answer::Yes,
                Err(denied) => denied.answer(),
            };
            ActionAnswer { action: action.id().to_owned(), answer }
        };
        // At once: a polkit that does not answer is waited for no longer than for one action.
        let [a, b, c, d] = Action::ALL;
        let (a, b, c, d) = tokio::join!(ask(a), ask(b), ask(c), ask(d));
        vec![a, b, c, d]
    }
}

#[cfg(test)]
mod tests;
