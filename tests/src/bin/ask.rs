//! Asks the root helper, as whoever runs it, and prints what it says:
//! `banger-ask describe|check|detach|attach-network|detach-network`, `banger-ask life VM BASE TEXT keep|discard`,
//! or `banger-ask beat VM BASE`.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use banger_proto::roothelper::{
    AttachSnapshot, DetachSnapshot, Ext4Operation, Ext4Owner, Ext4Write, HelperDescription,
    Interaction, LendDevice, OfVm, RootHelper, WriteExt4, WriteOutcome,
};
use banger_proto::{FileMode, GuestPath, Refusal, VmId};

const SOCKET: &str = "/run/banger/roothelper.sock";
/// Nobody's.
const VM: &str = "0b5e55ed-0000-4000-8000-000000000001";

fn main() -> ExitCode {
    let what = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.expect("a runtime can be made").block_on(ask(&what)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let Refusal { code, message, chain, hint, .. } = refusal;
            println!("{code:?}: {message}");
            for cause in chain {
                println!("because: {cause}");
            }
            println!("try: {hint}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(what: &str) -> Result<(), Refusal> {
    let mut helper = RootHelper::connect(Path::new(SOCKET)).await?;
    match what {
        "describe" => tell(&helper.describe(false).await?),
        "check" => tell(&helper.describe(true).await?),
        "detach" => {
            let vm = VM.parse().expect("an id");
            let request = DetachSnapshot { vm, diskseq: None, interaction: Interaction::Never };
            println!("{:?}", helper.detach_snapshot(request).await?);
        }
        "attach-network" => {
            let network = helper.attach_network(of_vm()).await?;
            let tap = network.tap;
            println!(
                "{:?} {} {}/{} nat {}",
                network.change, tap.name, tap.address, tap.prefix, network.nat
            );
        }
        "life" => life(helper).await?,
        "beat" => beat(helper).await?,
        "detach-network" => println!("{:?}", helper.detach_network(of_vm()).await?),
        _ => panic!("there is no such call: {what:?}"),
    }
    Ok(())
}

/// A snapshot from its beginning to its end, each step said as soon as it is answered: standard
/// output is flushed at the end of a line.
async fn life(mut helper: RootHelper) -> Result<(), Refusal> {
    let word = |n| std::env::args().nth(n).expect("an argument");
    let (vm, base, text): (VmId, _, _) = (word(2).parse().expect("an id"), word(3), word(4));
    let interaction = Interaction::Never;
    let base = Arc::new(File::open(base).expect("the image is there").into());
    let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
    let device = helper.clone().attach_snapshot(request, base).await?.device;
    println!("attached");
    let owner = Ext4Owner { mode: FileMode::new(0o644).expect("a mode"), uid: 0, gid: 0 };
    let writes = eight_files(&text, owner);
    match helper.write_ext4_files(WriteExt4 { device, writes, interaction }).await? {
        WriteOutcome::Applied { .. } => println!("applied"),
        WriteOutcome::NotApplied { chain, .. } => println!("not applied\n{chain:?}"),
        WriteOutcome::Unknown { chain } => println!("unknown\n{chain:?}"),
    }
    helper.lend_device(LendDevice { device, interaction }).await?;
    println!("lent");
    helper.detach_snapshot(DetachSnapshot { vm, diskseq: None, interaction }).await?;
    println!("detached");
    if word(5) == "discard" {
        helper.discard_overlay(OfVm { vm, interaction }).await?;
        println!("discarded");
    }
    Ok(())
}

fn eight_files(text: &str, owner: Ext4Owner) -> Vec<Ext4Write> {
    let file = |n| Ext4Write {
        path: GuestPath::new(format!("/etc/f{n}")).expect("a path"),
        operation: Ext4Operation::File { content: text.to_owned().into_bytes(), owner },
    };
    (0..8).map(file).collect()
}

/// At every line that comes, a snapshot from its beginning to its end: each step with the
/// milliseconds until it was answered.
async fn beat(helper: RootHelper) -> Result<(), Refusal> {
    let word = |n| std::env::args().nth(n).expect("an argument");
    let (vm, base): (VmId, _) = (word(2).parse().expect("an id"), word(3));
    let interaction = Interaction::Never;
    let owner = Ext4Owner { mode: FileMode::new(0o644).expect("a mode"), uid: 0, gid: 0 };
    for line in std::io::stdin().lines() {
        let mut helper = helper.clone();
        let text = line.expect("what comes is text") + "new";
        let begun = Instant::now();
        let ms = || begun.elapsed().as_secs_f64() * 1e3;
        let file = Arc::new(File::open(&base).expect("the image is there").into());
        let request = AttachSnapshot { vm, interaction, create_overlay: true, free_bytes: 0 };
        let device = helper.clone().attach_snapshot(request, file).await?.device;
        let attached = ms();
        let writes = eight_files(&text, owner);
        let outcome = helper.write_ext4_files(WriteExt4 { device, writes, interaction }).await?;
        assert!(matches!(outcome, WriteOutcome::Applied { .. }), "{outcome:?}");
        let patched = ms();
        helper.detach_snapshot(DetachSnapshot { vm, diskseq: None, interaction }).await?;
        let (patch, detach) = (patched - attached, ms() - patched);
        println!("attach {attached:.3}, patch {patch:.3}, detach {detach:.3}");
        helper.discard_overlay(OfVm { vm, interaction }).await?;
    }
    Ok(())
}

fn of_vm() -> OfVm {
    OfVm { vm: VM.parse().expect("an id"), interaction: Interaction::Never }
}

fn tell(description: &HelperDescription) {
    println!("version {} on Linux {}", description.version, description.kernel);
    for facility in &description.facilities {
        println!("facility {:?} {}: {}", facility.kind, facility.available, facility.found);
    }
    for action in &description.actions {
        println!("action {} {:?}", action.action, action.answer);
    }
}
