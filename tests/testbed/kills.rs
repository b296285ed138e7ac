//! Helper, worker and client are killed at moments that nobody chose: nothing of it stays, and what
//! an overlay holds is the old or the new.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_proto::roothelper::{Change, Fate, ObjectKind};
use banger_proto::{Refusal, VmId};
use banger_tests::testbed::inside_with_helper as inside;
use rustix::process::{Pid, Signal, kill_process};

use crate::asking::{User, left, members, node};
use crate::files::filesystem;
use crate::{number, sh};

/// Kills when `BANGER_HELPER_KILLS` says nothing.
const KILLS: u64 = 3;
/// Of so many rounds one has its filesystem checked.
const WHOLE: u64 = 8;
const FILES: [&str; 8] =
    ["/etc/f0", "/etc/f1", "/etc/f2", "/etc/f3", "/etc/f4", "/etc/f5", "/etc/f6", "/etc/f7"];

/// Numbers that a seed brings again: splitmix64.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Helper,
    Worker,
    Client,
}

/// A client that attaches, writes the text into all files, lends, detaches and may discard.
fn client(vm: VmId, base: &Path, text: &str, discard: bool) -> Child {
    Command::new("setpriv")
        .args(["--reuid=ann", "--regid=ann", "--init-groups", "/payload/bin/banger-ask", "life"])
        .arg(vm.to_string())
        .arg(base)
        .args([text, if discard { "discard" } else { "keep" }])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn helper() -> Option<Pid> {
    let pid = sh("systemctl show banger-roothelper.service --property=MainPID --value");
    Pid::from_raw(pid.parse().unwrap())
}

/// The helper's worker, which lives for some tenths of a second: whoever is a child of one of its threads.
fn worker(helper: Pid) -> Option<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", helper.as_raw_nonzero())).ok()?;
    tasks.filter_map(Result::ok).find_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    })
}

/// Kills after a while. A worker that has not begun by then is waited for, as long as the client lives.
fn kill(victim: Victim, after: Duration, helper: Option<Pid>, client: &mut Child) {
    let end = Instant::now() + after;
    let found = loop {
        let over = Instant::now() >= end;
        let found = match victim {
            Victim::Helper => helper,
            Victim::Client => Pid::from_raw(client.id().try_into().unwrap()),
            Victim::Worker => helper.and_then(worker),
        };
        if (over && found.is_some()) || client.try_wait().unwrap().is_some() {
            break found;
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    // It may have ended by itself: then nothing was cut.
    if let Some(pid) = found
        && client.try_wait().unwrap().is_none()
    {
        let _ended = kill_process(pid, Signal::KILL);
    }
}

/// What the files hold, which must be the same in each.
fn held(ann: User, vm: VmId, base: &Path) -> Result<Option<String>, String> {
    let told = |refusal: Refusal| format!("{refusal:?}");
    let device = ann.attach(vm, base).map_err(told)?.device;
    let mut found = ann.read_all(device, &FILES).map_err(told)?;
    found.dedup();
    match found.pop() {
        Some(one) if found.is_empty() => {
            Ok(one.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        }
        other => Err(format!("the files are not of one batch: {found:?}, {other:?}")),
    }
}

/// Mapped and loop devices.
fn devices() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/block").unwrap().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let used = |name: &String| {
        let bound = || Path::new(&format!("/sys/block/{name}/loop/backing_file")).exists();
        name.starts_with("dm-") || (name.starts_with("loop") && bound())
    };
    names.filter(used).collect()
}

/// That sweeping leaves nothing of it: what a killed client asked for may still be on its way.
fn swept(ann: User) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let stays = ann.sweep(&[], false).iter().any(|swept| {
            matches!(swept.object.kind, ObjectKind::Snapshot { .. }) && swept.fate != Fate::Removed
        });
        if !stays && devices().is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("left after a sweep: {:?}; {}", devices(), left()));
        }
    }
}

/// That e2fsck finds nothing.
fn whole(ann: User, vm: VmId, base: &Path) -> Result<(), String> {
    ann.attach(vm, base).map_err(|refusal| format!("{refusal:?}"))?;
    let checked = Command::new("e2fsck").arg("-fn").arg(node(ann, vm)).output().unwrap();
    if !checked.status.success() {
        return Err(format!("e2fsck: {}", String::from_utf8_lossy(&checked.stdout)));
    }
    match ann.detach(vm) {
        Ok(Change::Removed) => Ok(()),
        other => Err(format!("after e2fsck: {other:?}")),
    }
}

/// One kill, and what is there afterwards. True when it was in the middle of something.
fn round(
    ann: User,
    (vm, base): (VmId, &Path),
    (victim, after): (Victim, Duration),
    (round, discard): (u64, bool),
    old: &mut Option<String>,
) -> Result<bool, String> {
    let new = format!("of round {round}");
    let mut asking = client(vm, base, &new, discard);
    kill(victim, after, helper(), &mut asking);
    let ended = asking.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let has = |word: &str| said.lines().any(|line| line == word);

    swept(ann).map_err(|left| format!("{left}\nthe client said: {said}"))?;
    let held = held(ann, vm, base)?;
    let is_old = held == *old && !has("applied") && !has("discarded");
    let is_new = held.as_ref() == Some(&new) && !has("not applied") && !has("discarded");
    let is_gone = held.is_none() && discard && (has("detached") || !has("applied"));
    if !(is_old || is_new || is_gone) {
        return Err(format!(
            "the files hold {held:?}, before it was {old:?}; the client said: {said}"
        ));
    }
    // Whoever comes next gets all of it, of a filesystem that is whole.
    if !client(vm, base, &new, false).wait().unwrap().success() || !left().is_empty() {
        return Err(format!("the next client failed, or left: {}", left()));
    }
    if round.is_multiple_of(WHOLE) {
        whole(ann, vm, base)?;
    }
    *old = Some(new);
    Ok(!ended.status.success() || has("not applied") || has("unknown"))
}

#[test]
fn whoever_is_killed_leaves_nothing_that_the_next_does_not_mend() {
    inside(|| {
        let [ann] = members(["ann"]);
        let base = filesystem(ann, "base");
        let vm = VmId::random();
        // The first starts the helper, and polkit.
        assert!(client(vm, &base, "first", false).wait().unwrap().success());
        let begun = Instant::now();
        assert!(client(vm, &base, "second", true).wait().unwrap().success());
        let whole = begun.elapsed();
        let (seed, kills) = (number("BANGER_SEED", 1), number("BANGER_HELPER_KILLS", KILLS));
        let (mut numbers, mut old) = (Numbers(seed), None);
        let (mut cut, mut wrong) = ([0; 3], Vec::new());
        for n in 0..kills {
            // Each in its turn, so that a sample has all of them.
            let victim = [Victim::Worker, Victim::Helper, Victim::Client][n as usize % 3];
            let after = match victim {
                // Of the moments of which there are many, one.
                Victim::Worker => Duration::from_micros(numbers.below(400_000)),
                _ => Duration::from_micros(numbers.below(1 + whole.as_micros() as u64)),
            };
            let discard = numbers.below(3) == 0;
            match round(ann, (vm, &base), (victim, after), (n, discard), &mut old) {
                Ok(was_cut) => cut[n as usize % 3] += u64::from(was_cut),
                Err(why) => {
                    wrong.push(format!(
                        "kill {n}, {victim:?} after {after:?}, discard {discard}: {why}"
                    ));
                    break;
                }
            }
        }
        println!(
            "RESULT kill -9 while a snapshot is attached, written, lent, detached and discarded, seed {seed}: \
             {kills} kills, in the middle {} of workers, {} of the helper, {} of clients: {} violations",
            cut[0],
            cut[1],
            cut[2],
            wrong.len()
        );
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}
