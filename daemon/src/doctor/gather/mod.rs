//! Looks at everything, once. Nothing here judges.

mod helper;
mod programs;
mod state;
mod storage;
mod system;

use banger_proto::paths::Paths;

use super::facts::{Builds, Facts, Kvm, Shares};
use crate::config;
use crate::context::{Context, now};
use crate::spawn::{BWRAP, FIRECRACKER, MMDEBSTRAP, Missing, PASST, QEMU};
use crate::store::{Images, Vms};
use crate::verb::host_memory;
use crate::vmm::{Accelerator, Host, Walls};

/// All facts, and what a guest would be run with.
pub(super) async fn all(paths: &Paths, quick: bool) -> (Facts, Result<Host, Missing>) {
    let loaded = config::load(paths);
    let finder = Context::finder(&loaded.settings);
    let own_finder = finder.clone();
    let (kvm, walls, qemu, networks, firecracker, passt, bubblewrap, mmdebstrap) = tokio::join!(
        system::kvm(&finder, &paths.state, quick),
        Walls::probe(&finder),
        programs::version(&finder, &QEMU),
        programs::networks(&finder),
        programs::version(&finder, &FIRECRACKER),
        programs::version(&finder, &PASST),
        programs::version(&finder, &BWRAP),
        programs::version(&finder, &MMDEBSTRAP),
    );
    let virtiofsd = programs::file_server(&finder, &walls).await;
    let accelerator = if kvm == Kvm::Works { Accelerator::Kvm } else { Accelerator::Tcg };
    let host = finder.find(&QEMU).map(|_| Host::of(finder, accelerator, walls.clone()));
    let vms = Vms::in_state(&paths.state);
    let known = state::records(&vms);
    let image_folders = Images::in_data(&paths.data);
    let (images, largest_image, newest_image) = state::images(paths, &image_folders);
    let user = system::user();
    let helper = helper::look(paths, &own_finder, &user, known.with_helper, quick).await;
    let facts = Facts {
        system: system::system(),
        kvm,
        qemu,
        qemu_networks: networks,
        firecracker,
        passt,
        bubblewrap,
        no_walls: match walls {
            Walls::Bubblewrap { .. } => None,
            Walls::Landlock(reason) | Walls::Bare(reason) => Some(reason),
        },
        namespaces: system::namespaces(),
        landlock: crate::confine::has_landlock(),
        storage: storage::storage(paths, &known.disks, largest_image),
        memory: host_memory::now(),
        usual_memory: loaded.settings.memory(),
        clock: super::facts::Clock {
            now: now(),
            newest: known.newest.max(newest_image).max(system::built_at()),
        },
        config: super::facts::Config {
            files: config::files(paths).into_iter().filter(|file| file.exists()).collect(),
            problems: loaded.problems,
        },
        images,
        leftovers: state::leftovers(paths, helper.as_ref(), &known.ids),
        records: known.records,
        builds: Builds {
            mmdebstrap,
            uidmap: system::has_uidmap(),
            ids: system::has_ids(&user),
            user,
        },
        shares: Shares { virtiofsd },
        helper,
    };
    (facts, host)
}
