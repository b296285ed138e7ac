//! `banger vm ssh-proxy`: what `ssh-config` names as the way to a VM's sshd. Not for people.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use banger_proto::VmRef;

use crate::bangerd;
use crate::failure::{Failure, Outcome};
use crate::terminal::Terminal;

/// Bytes that are passed on at once.
const CHUNK: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name or id
    vm: VmRef,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let target = bangerd::connect(terminal).await?.ssh_target(&self.vm).await?;
        // Nothing else goes on in this process: its threads may block.
        let guest =
            TcpStream::connect((target.host.as_str(), target.port)).map_err(Failure::Way)?;
        let mut sending = guest.try_clone().map_err(Failure::Begin)?;
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            // Its end is told to the other side; its failure as well.
            let _over = pass(&mut input, |bytes| sending.write_all(bytes));
            let _gone = sending.shutdown(Shutdown::Write);
        });
        let mut receiving = guest;
        match pass(&mut receiving, |bytes| terminal.pass(bytes)) {
            // ssh hangs up when it has what it wants.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            passed => passed.map(|()| 0).map_err(Failure::Way),
        }
    }
}

fn pass(from: &mut impl Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to(buffer.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
