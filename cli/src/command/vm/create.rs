//! `banger vm create`.

use banger_proto::{
    Code, Cpus, ImageName, Isolation, Lifetime, Mib, Network, NewVm, PortForward, Refusal, Share,
    VmName, VmmChoice,
};

use crate::bangerd;
use crate::failure::{Failure, Outcome};
use crate::terminal::{Terminal, during};

/// What a new VM is to be; `run` takes the same.
#[derive(Debug, clap::Args)]
pub(super) struct Shape {
    /// Name of the VM, which is its host name too [default: one is made up]
    #[arg(long)]
    name: Option<VmName>,
    /// Image to make it from [default: the only one there is]
    #[arg(long)]
    image: Option<ImageName>,
    /// Virtual processors
    #[arg(long, value_name = "COUNT")]
    cpus: Option<Cpus>,
    /// Memory, as in 512M or 2G
    #[arg(long, value_name = "SIZE")]
    memory: Option<Mib>,
    /// Size of the work disk, which is /root in the guest, as in 8G
    #[arg(long, value_name = "SIZE")]
    disk: Option<Mib>,
    /// Even with more memory than this computer has
    #[arg(long)]
    pub(super) force: bool,
    /// Remove it after this time, whatever it does then, as in 30m or 2h [default: never]
    #[arg(long, value_name = "TIME")]
    ttl: Option<Lifetime>,
    /// Network: bridge, by the root helper; user, of its own; or none for no card at all, where only
    /// the console leads [default: bridge with --isolation system, else user]
    #[arg(long, value_name = "NETWORK")]
    pub(super) net: Option<Network>,
    /// Publish a port of the guest, as in 8080:80, 5353:53/udp, or 80 for a free port of this
    /// computer; on 127.0.0.1 unless an address stands before. Several times for several ports
    #[arg(short, long, value_name = "[[ADDRESS:]HOST:]GUEST")]
    publish: Vec<PortForward>,
    /// Folder of this computer that the guest has at PATH, as long as the VM is there; with :ro it
    /// cannot change it. Several times for several folders
    #[arg(short, long, value_name = "DIR:PATH[:ro]")]
    volume: Vec<Share>,
    /// Which way it runs in, for all its life: rootless, or system with the root helper
    /// [default: system where the helper does what it is asked, else rootless]
    #[arg(long, value_name = "WAY")]
    isolation: Option<Isolation>,
    /// What runs it, for all its life: auto, qemu or firecracker; auto is Firecracker where the
    /// root helper is, and where it can do what the VM needs [default: auto]
    #[arg(long, value_name = "PROGRAM")]
    vmm: Option<VmmChoice>,
}

impl Shape {
    /// The VM to ask for.
    ///
    /// # Errors
    /// When a folder is relative and the working directory cannot be written.
    pub(super) fn new_vm(self, ephemeral: bool) -> Result<NewVm, Failure> {
        let Self {
            name,
            image,
            cpus,
            memory,
            disk,
            force,
            ttl: lifetime,
            net,
            publish,
            volume,
            isolation,
            vmm,
        } = self;
        let (network, shares) = (net, seen_from_here(volume)?);
        Ok(NewVm {
            name,
            image,
            cpus,
            memory,
            disk,
            ephemeral,
            force,
            lifetime,
            network,
            publish,
            shares,
            isolation,
            vmm,
        })
    }
}

/// Folders as bangerd, which has another working directory, finds them.
fn seen_from_here(shares: Vec<Share>) -> Result<Vec<Share>, Failure> {
    if shares.is_empty() {
        return Ok(shares);
    }
    let here =
        std::env::current_dir().map_err(|source| Failure::Input { path: ".".into(), source })?;
    let seen = shares.into_iter().map(|share| {
        share
            .seen_from(&here)
            .map_err(|error| Refusal::from_error(Code::InvalidArgument, &error).into())
    });
    seen.collect()
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    shape: Shape,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let new = self.shape.new_vm(false)?;
        let mut client = bangerd::connect(terminal).await?;
        let vm = during(terminal, "creating the VM", client.create_vm(new)).await?;
        terminal.result(vm.name.as_str())?;
        Ok(0)
    }
}
