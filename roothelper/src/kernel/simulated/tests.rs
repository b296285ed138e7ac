//! The simulated kernel behaves as Linux does where the helper counts on it.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use banger_proto::VmId;

use super::Simulated;
use crate::kernel::device::{Access, Binding, Device, Life, Removal};
use crate::kernel::{Devices, Hold, Kernel, Table};
use crate::{OwnerUid, Ownership, overlay_size};

const SIZE: u64 = 1 << 20;

fn vm(uid: u32) -> Ownership {
    Ownership { uid: OwnerUid::new(uid).unwrap(), vm: VmId::random() }
}

/// Loops over a base image and an overlay.
fn loops(kernel: &Simulated, of: Ownership) -> (Table, [Hold; 2]) {
    let base = tempfile::tempfile().unwrap();
    base.set_len(SIZE).unwrap();
    base.write_all_at(b"original", 4096).unwrap();
    let _there = kernel.create_overlay(of, overlay_size(SIZE).unwrap());
    let overlay = kernel.open_overlay(of).unwrap();
    let bound = |file: &std::fs::File, read_only| {
        let (number, hold) = kernel.claim_loop().unwrap();
        let size = file.metadata().unwrap().len();
        kernel.bind_loop(number, file.as_fd(), &Binding { of, read_only, size }).unwrap();
        (number, hold)
    };
    let (origin, first) = bound(&base, true);
    let (overlay, second) = bound(&overlay, false);
    (Table { origin, overlay, size: SIZE }, [first, second])
}

fn attach(kernel: &Simulated, of: Ownership) -> Device {
    let (table, holds) = loops(kernel, of);
    kernel.make_device(of).unwrap();
    let made = kernel.device(of).unwrap().unwrap();
    assert_eq!((made.life, made.diskseq, made.node_owner), (Life::Made, None, None));
    kernel.load_table(of, &table).unwrap();
    assert_eq!(kernel.device(of).unwrap().unwrap().life, Life::Loaded);
    kernel.resume_device(of).unwrap();
    drop(holds);
    kernel.device(of).unwrap().unwrap()
}

#[test]
fn a_device_holds_its_loops_and_keeps_what_was_written_with_its_overlay() {
    let kernel = Simulated::default();
    let of = vm(1000);
    let device = attach(&kernel, of);
    assert_eq!((device.life, device.size, device.node_owner), (Life::Active, SIZE, Some(0)));
    let below = kernel.loops_of(&device).unwrap();
    assert_eq!(below.iter().map(|found| found.read_only).collect::<Vec<_>>(), [true, false]);
    assert_eq!(kernel.release_loop(below[0].number).unwrap_err().kind(), ErrorKind::ResourceBusy);
    kernel.give_node(&device, Some(of.uid)).unwrap();
    let (file, open) = kernel.open_as(1000, of).unwrap();
    let mut content = [0; 8];
    file.read_exact_at(&mut content, 4096).unwrap();
    assert_eq!(&content, b"original");
    file.write_all_at(b"changed!", 4096).unwrap();
    assert!(!kernel.unused(of).unwrap());
    drop(open);
    assert_eq!(kernel.remove_device(of).unwrap(), Removal::Done);
    // Cleared by themselves; their numbers stay.
    assert_eq!(kernel.loops().unwrap(), []);
    assert_eq!(kernel.release_stray_loops().unwrap(), 2);

    let again = attach(&kernel, of);
    assert!(again.diskseq > device.diskseq);
    assert_eq!(kernel.give_node(&device, None).unwrap_err().kind(), ErrorKind::NotFound);
    let (file, _open) = kernel.open_as(0, of).unwrap();
    file.read_exact_at(&mut content, 4096).unwrap();
    assert_eq!(&content, b"changed!");
}

#[test]
fn a_device_that_is_open_goes_with_its_last_user() {
    let kernel = Simulated::default();
    let of = vm(1000);
    let device = attach(&kernel, of);
    let opened = kernel.open_device(&device, Access::Write).unwrap();
    assert!(opened.writing.is_some());
    for _ in 0..2 {
        assert_eq!(kernel.remove_device(of).unwrap(), Removal::Pending);
        assert!(kernel.device(of).unwrap().unwrap().removal_pending);
    }
    assert!(kernel.make_device(of).is_err());
    drop(opened);
    assert_eq!(kernel.device(of).unwrap(), None);
    assert_eq!(kernel.loops().unwrap(), []);
}

#[test]
fn a_lent_device_is_its_users_alone() {
    let kernel = Simulated::default();
    let of = vm(1000);
    let device = attach(&kernel, of);
    assert!(kernel.open_as(1000, of).is_err());
    kernel.give_node(&device, Some(of.uid)).unwrap();
    assert_eq!(kernel.device(of).unwrap().unwrap().node_owner, Some(1000));
    let busy = kernel.open_device(&device, Access::Read).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
    assert!(kernel.open_as(1001, of).is_err());
    assert_eq!(kernel.devices_of(OwnerUid::new(1001).unwrap()).unwrap(), []);
}

#[test]
fn what_nothing_holds_any_more_is_let_go() {
    let kernel = Simulated::default();
    let of = vm(1000);
    let (table, holds) = loops(&kernel, of);
    assert_eq!(kernel.release_stray_loops().unwrap(), 0);
    drop(holds);
    assert_eq!(kernel.loops().unwrap(), []);
    kernel.make_device(of).unwrap();
    assert!(kernel.load_table(of, &table).is_err());
    assert_eq!(kernel.device(of).unwrap().unwrap().life, Life::Made);
    assert_eq!(kernel.release_stray_loops().unwrap(), 2);
}

#[test]
fn steps_fail_as_they_are_told_to_and_change_nothing() {
    let kernel = Simulated::default();
    let of = vm(1000);
    kernel.state().failing.insert(2);
    kernel.make_device(of).unwrap();
    assert!(kernel.make_device(vm(1001)).is_err());
    assert_eq!(kernel.state().devices.len(), 1);
    kernel.state().cut = Some(4);
    assert!(kernel.device(of).unwrap().is_some());
    for _ in 0..3 {
        assert!(kernel.remove_device(of).is_err());
    }
    kernel.state().cut = None;
    assert_eq!(kernel.remove_device(of).unwrap(), Removal::Done);
}
