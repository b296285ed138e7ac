//! The descriptor of an attach, looked at before anybody is asked.

use std::io;
use std::time::Duration;

use banger_proto::Refusal;
use banger_proto::roothelper::AttachSnapshot;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Server;
use super::service::Frozen;
use crate::kernel::Received;
use crate::{BaseImage, NotABaseImage, call};

/// How long a filesystem is waited for. One that users may be on takes microseconds.
const LOOKING: Duration = Duration::from_secs(5);

impl Server {
    /// The attach whose descriptor this is, when that is a base image.
    pub(super) async fn with_base(
        &self,
        Frozen { peer, call: (request, descriptor) }: Frozen<(AttachSnapshot, Received)>,
    ) -> Result<Frozen<call::AttachSnapshot>, Refusal> {
        let (owner, limits) = (peer.caller.uid(), self.limits());
        let looked = async {
            // A filesystem that a user's process serves may never answer: only a thread of that
            // user's waits for it.
            let (done, looking) = oneshot::channel();
            peer.ticket.errand(move || drop(done.send(BaseImage::of(descriptor, owner, &limits))));
            match timeout(LOOKING, looking).await {
                Ok(Ok(base)) => base,
                Ok(Err(error)) => Err(NotABaseImage::Unknown(io::Error::other(error))),
                Err(_) => Err(NotABaseImage::Silent),
            }
        };
        let base = self.gate().look_first(&peer.caller, request.vm, looked).await?;
        Ok(Frozen { peer, call: call::AttachSnapshot { request, base } })
    }
}
