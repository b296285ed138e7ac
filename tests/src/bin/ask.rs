//! Asks the root helper, as whoever runs it, and prints what it says: banger-ask describe|check|detach|attach-network|detach-network.

use std::path::Path;
use std::process::ExitCode;

use banger_proto::Refusal;
use banger_proto::roothelper::{DetachSnapshot, HelperDescription, Interaction, OfVm, RootHelper};

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
        "detach-network" => println!("{:?}", helper.detach_network(of_vm()).await?),
        _ => panic!("there is no such call: {what:?}"),
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
