//! What a long operation tells while it goes on.

use std::time::Duration;

use crate::{Image, Invalid, Vm, wire::daemon as wire};

/// A named step of a long operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The step's fixed name: `prepare_work_disk`.
    pub name: String,
    /// What it does this time: `applying work seed`.
    pub detail: String,
}

impl Stage {
    /// Makes the VM's private view of the rootfs: as fast as the filesystem copies.
    pub const ROOTFS_OVERLAY: &'static str = "prepare_rootfs_overlay";
    /// Makes the work disk.
    pub const WORK_DISK: &'static str = "prepare_work_disk";
    /// Other guests boot, and the host's processors are not enough for one more.
    pub const TURN: &'static str = "wait_for_turn";
    /// The VMM starts: its program is loaded, and the guest's memory, disks and kernel, until
    /// it answers.
    pub const START_VMM: &'static str = "start_vmm";
    /// The VMM has been started and the guest boots, until it answers ssh.
    pub const BOOT: &'static str = "boot_guest";
    /// The guest was asked to shut down and does so.
    pub const SHUTDOWN: &'static str = "shut_down_guest";

    /// Whether the time it takes is banger's own work, and not the filesystem's, the VMM's or
    /// the guest's.
    #[must_use]
    pub fn is_own_work(&self) -> bool {
        ![Self::ROOTFS_OVERLAY, Self::TURN, Self::START_VMM, Self::BOOT, Self::SHUTDOWN]
            .contains(&self.name.as_str())
    }
}

/// How far the running stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all, when known.
    pub total_bytes: Option<u64>,
}

/// One event of a long operation that ends with a `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// A step has begun.
    StageStarted(Stage),
    /// A step has ended well, after so long.
    StageFinished(Stage, Duration),
    /// One line that the user should see.
    Notice(String),
    /// How far the running step is.
    Progress(Progress),
    /// The operation has ended well.
    Done(T),
}

impl From<wire::Progress> for Progress {
    fn from(wire: wire::Progress) -> Self {
        let wire::Progress { bytes, total_bytes } = wire;
        Self { bytes, total_bytes: (total_bytes != 0).then_some(total_bytes) }
    }
}

impl From<Progress> for wire::Progress {
    fn from(progress: Progress) -> Self {
        Self { bytes: progress.bytes, total_bytes: progress.total_bytes.unwrap_or(0) }
    }
}

/// Every stream of events has the same parts but for what it ends with.
macro_rules! event_conversions {
    ($wire_event:ident, $wire_oneof:path, $done:ty) => {
        impl TryFrom<wire::$wire_event> for Event<$done> {
            type Error = Invalid;

            fn try_from(message: wire::$wire_event) -> Result<Self, Invalid> {
                use $wire_oneof as Wire;
                let event = message
                    .event
                    .ok_or_else(|| Invalid::new("event", "", "the message is empty"))?;
                Ok(match event {
                    Wire::StageStarted(stage) => {
                        Self::StageStarted(Stage { name: stage.name, detail: stage.detail })
                    }
                    Wire::StageFinished(stage) => Self::StageFinished(
                        Stage { name: stage.name, detail: stage.detail },
                        Duration::from_micros(stage.duration_us),
                    ),
                    Wire::Notice(notice) => Self::Notice(notice.text),
                    Wire::Progress(progress) => Self::Progress(progress.into()),
                    Wire::Done(done) => Self::Done(done.try_into()?),
                })
            }
        }

        impl From<Event<$done>> for wire::$wire_event {
            fn from(event: Event<$done>) -> Self {
                use $wire_oneof as Wire;
                let event = Some(match event {
                    Event::StageStarted(Stage { name, detail }) => {
                        Wire::StageStarted(wire::StageStarted { name, detail })
                    }
                    Event::StageFinished(Stage { name, detail }, duration) => {
                        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
                        Wire::StageFinished(wire::StageFinished { name, detail, duration_us })
                    }
                    Event::Notice(text) => Wire::Notice(wire::Notice { text }),
                    Event::Progress(progress) => Wire::Progress(progress.into()),
                    Event::Done(done) => Wire::Done(done.into()),
                });
                Self { event }
            }
        }
    };
}

event_conversions!(ImageEvent, wire::image_event::Event, Image);
event_conversions!(VmEvent, wire::vm_event::Event, Vm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
        let stage = Stage { name: "prepare_work_disk".into(), detail: "applying work seed".into() };
        fn events<T>(stage: &Stage) -> [Event<T>; 5] {
            [
                Event::StageStarted(stage.clone()),
                Event::StageFinished(stage.clone(), Duration::from_micros(1234)),
                Event::Notice("no KVM".into()),
                Event::Progress(Progress { bytes: 3, total_bytes: None }),
                Event::Progress(Progress { bytes: 3, total_bytes: Some(9) }),
            ]
        }
        for event in events::<Image>(&stage) {
            assert_eq!(Event::try_from(wire::ImageEvent::from(event.clone())), Ok(event));
        }
        for event in events::<Vm>(&stage) {
            assert_eq!(Event::try_from(wire::VmEvent::from(event.clone())), Ok(event));
        }
    }

    #[test]
    fn the_guests_time_and_the_filesystems_are_not_ours() {
        let own = |name: &str| Stage { name: name.into(), detail: String::new() }.is_own_work();
        assert!(own(Stage::WORK_DISK) && own("anything"));
        assert!(
            ![Stage::ROOTFS_OVERLAY, Stage::TURN, Stage::START_VMM, Stage::BOOT, Stage::SHUTDOWN]
                .into_iter()
                .any(own)
        );
    }

    #[test]
    fn an_empty_event_is_refused() {
        assert!(Event::<Vm>::try_from(wire::VmEvent { event: None }).is_err());
    }
}
