//! Root helpers that lack something, as facts: what their users are told.

use banger_proto::roothelper::{
    Answer, Facility, FacilityKind, HelperDescription, HelperLimits, HelperUsage,
};
use banger_proto::{CheckState, Code, Refusal};

use super::super::super::facts::{
    Bridge, Facts, FileState, Helper, Membership, NameService, Network, Polkit, Role, Shipped,
    Told, Unit, Units,
};
use super::super::tests::{healthy, shown, told};

const RULES: &str = "/usr/share/polkit-1/rules.d/dev.banger.roothelper.rules";
const ACTIONS: [&str; 4] = ["manage-snapshots", "edit-files", "discard-overlays", "manage-network"];

fn file(path: &str, role: Role) -> Shipped {
    Shipped { path: path.into(), role, state: FileState::Same }
}

fn unit(active: &str, file: &str) -> Unit {
    Unit { load: "loaded".into(), active: active.into(), file: file.into() }
}

fn answers(answer: Answer) -> Vec<(String, Result<Answer, String>)> {
    ACTIONS.map(|name| (format!("dev.banger.roothelper.{name}"), Ok(answer))).to_vec()
}

fn network(address: [u8; 4], prefix: u8) -> Network {
    Network { address: address.into(), prefix }
}

fn description() -> HelperDescription {
    let there = |&kind| Facility { kind, available: true, found: "there".into() };
    HelperDescription {
        version: env!("CARGO_PKG_VERSION").into(),
        limits: HelperLimits {
            overlay_quota_bytes: 256 << 30,
            vms: 64,
            read_bytes: 1,
            read_paths: 1,
            batch_entries: 1,
            batch_bytes: 1,
            keep_vms: 1,
        },
        usage: HelperUsage { overlay_bytes: 3 << 30, overlay_free_bytes: 50 << 30 },
        kernel: "6.12".into(),
        minimum_kernel: "6.5".into(),
        facilities: FacilityKind::ALL.iter().map(there).collect(),
        actions: Vec::new(),
    }
}

/// A helper that serves this user, on a Debian 12, where rules are root's to read.
fn helper() -> Helper {
    Helper {
        files: vec![
            file("/usr/libexec/banger/banger-roothelper", Role::Program),
            file("/usr/lib/systemd/system/banger-roothelper.socket", Role::Program),
            Shipped { state: FileState::Unseen, ..file(RULES, Role::Polkit) },
            file("/usr/lib/udev/rules.d/56-banger-dm.rules", Role::Udev),
            file("/usr/lib/udev/rules.d/59-banger-loop.rules", Role::Udev),
        ],
        units: Some(Units { socket: unit("active", "enabled"), service: unit("active", "static") }),
        membership: Membership { exists: true, joined: true, here: true, in_daemon: Some(true) },
        polkit: Polkit {
            answers: answers(Answer::Yes),
            closed: vec!["/etc/polkit-1/rules.d".into()],
            ..Polkit::default()
        },
        bridge: Bridge {
            wanted: Ok((network([172, 16, 0, 0], 24), false)),
            routes: vec![(network([10, 0, 0, 0], 8), "eth0".into())],
            forwards: false,
        },
        name_service: NameService { module: true, asked: true, runtime: true },
        told: Told::Said { description: Box::new(description()), objects: Vec::new() },
        needed_by: 0,
    }
}

/// The same without a group, and so without an answer.
fn of_a_stranger(helper: &mut Helper) {
    helper.membership = Membership { exists: true, ..Membership::default() };
    helper.polkit.answers = answers(Answer::Challenge);
    helper.told = Told::Refused(
        Refusal::new(Code::PermissionDenied, "cannot reach the root helper").hint("usermod"),
    );
}

fn describes(helper: &mut Helper, spoil: impl Fn(&mut HelperDescription)) {
    let mut description = description();
    spoil(&mut description);
    helper.told = Told::Said { description: Box::new(description), objects: Vec::new() };
}

fn with(helper: Helper) -> impl Fn(&mut Facts) {
    move |facts| facts.helper = Some(helper.clone())
}

#[test]
fn without_a_helper_one_line_says_that_nothing_is_missing() {
    let checks = super::check(&healthy());
    assert_eq!((checks.len(), checks[0].state), (1, CheckState::Ok));
    assert_eq!(told(|_| {}), "");
    insta::assert_snapshot!(shown(&checks[0]));
}

#[test]
fn a_helper_that_serves_is_told_by_what_it_is() {
    assert_eq!(told(with(helper())), "");
    let mut facts = healthy();
    with(helper())(&mut facts);
    let all: String = super::check(&facts).iter().map(shown).collect();
    insta::assert_snapshot!(all);
}

/// A name, and what is wrong there.
type Host = (&'static str, fn(&mut Helper));

#[test]
fn whatever_keeps_it_from_its_user_is_told_with_what_mends_it() {
    let hosts: &[Host] = &[
        ("a stranger", of_a_stranger),
        ("a member who did not log in anew", |h| {
            of_a_stranger(h);
            h.membership.joined = true;
            h.polkit.answers = answers(Answer::Yes);
        }),
        ("a bangerd of before", |h| h.membership.in_daemon = Some(false)),
        ("no group", |h| {
            of_a_stranger(h);
            h.membership.exists = false;
        }),
        ("half of it", |h| {
            h.files[0].state = FileState::Missing;
            h.files[1].state = FileState::Differs;
        }),
        ("another version's unit", |h| h.files[1].state = FileState::Differs),
        ("rules of udev missing", |h| h.files[3].state = FileState::Missing),
        ("rules of udev replaced", |h| {
            h.files[4] = Shipped {
                path: "/etc/udev/rules.d/59-banger-loop.rules".into(),
                role: Role::Udev,
                state: FileState::Off,
            };
        }),
        ("no systemd", |h| h.units = None),
        ("socket off", |h| {
            h.units = Some(Units {
                socket: unit("inactive", "disabled"),
                service: unit("inactive", "static"),
            });
            h.told = Told::Refused(Refusal::new(Code::Unavailable, "no"));
        }),
        ("socket for this boot", |h| {
            h.units = Some(Units {
                socket: unit("active", "disabled"),
                service: Unit { active: "inactive".into(), ..unit("", "static") },
            });
        }),
        ("socket masked", |h| {
            let masked = Unit { load: "masked".into(), ..unit("inactive", "masked") };
            h.units = Some(Units { socket: masked, service: unit("inactive", "static") });
        }),
        ("socket failed", |h| {
            h.units = Some(Units {
                socket: unit("failed", "enabled"),
                service: unit("inactive", "static"),
            });
        }),
        ("service failed", |h| {
            h.units = Some(Units {
                socket: unit("active", "enabled"),
                service: unit("failed", "static"),
            });
        }),
        ("units unknown", |h| {
            let unknown = Unit { load: "not-found".into(), ..unit("inactive", "") };
            h.units = Some(Units { socket: unknown.clone(), service: unknown });
        }),
        ("polkit is down", |h| {
            for (_, answer) in &mut h.polkit.answers {
                *answer = Err("Error getting authority: no such\nfile".into());
            }
        }),
        ("an action that is not registered", |h| {
            h.polkit.answers[3].1 = Err("Action dev.x is not registered".into());
        }),
        ("a rule says no to one", |h| {
            h.polkit.answers[2].1 = Ok(Answer::No);
        }),
        ("a rule that can be read says no to all", |h| {
            h.polkit.answers = answers(Answer::No);
            h.polkit.before = vec!["/etc/polkit-1/rules.d/10-x.rules".into()];
        }),
        ("banger's rule is missing", |h| {
            h.polkit.answers = answers(Answer::Challenge);
            h.files[2].state = FileState::Missing;
        }),
        ("another rule asks members for a password", |h| {
            h.polkit.answers = answers(Answer::Challenge);
        }),
        ("the pool collides", |h| {
            h.bridge.routes.push((network([172, 16, 0, 0], 12), "wg0".into()));
        }),
        ("the configuration is wrong", |h| {
            h.bridge.wanted = Err("/etc/banger/roothelper.toml is no TOML: expected `=`".into());
        }),
        ("NAT without forwarding", |h| {
            h.bridge.wanted = Ok((network([172, 16, 0, 0], 24), true));
        }),
        ("no module of the name service", |h| h.name_service.module = false),
        ("a module that nobody asks", |h| h.name_service.asked = false),
        ("no runtime directory", |h| h.name_service.runtime = false),
        ("it does not answer", |h| {
            h.told = Told::Refused(
                Refusal::new(Code::Unavailable, "the root helper closed the connection")
                    .hint("its log says why"),
            );
        }),
        ("another version", |h| describes(h, |it| it.version = "0.0.1".into())),
        ("no device-mapper, an old kernel", |h| {
            describes(h, |it| {
                for facility in &mut it.facilities[..2] {
                    (facility.available, facility.found) = (false, format!("{:?}", facility.kind));
                }
            });
        }),
        ("the quota is used", |h| describes(h, |it| it.usage.overlay_bytes = 256 << 30)),
        ("the disk is full", |h| describes(h, |it| it.usage.overlay_free_bytes = 1 << 20)),
    ];
    let mut text = String::new();
    for (name, spoil) in hosts {
        let mut spoilt = helper();
        spoil(&mut spoilt);
        let words = told(with(spoilt));
        assert!(!words.is_empty(), "{name}");
        assert!(!words.contains("Failed"), "VMs run without a helper: {words}");
        text.push_str(&format!("== {name}\n{words}"));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_vms_need_that_were_made_with_it_has_failed() {
    let hosts: [fn(&mut Helper); 5] = [
        of_a_stranger,
        |h| h.files[0].state = FileState::Missing,
        |h| h.files[3].state = FileState::Missing,
        |h| h.polkit.answers = answers(Answer::No),
        |h| h.told = Told::Refused(Refusal::new(Code::Unavailable, "gone")),
    ];
    for spoil in hosts {
        let mut spoilt = helper();
        spoil(&mut spoilt);
        spoilt.needed_by = 1;
        let words = told(with(spoilt));
        assert!(words.starts_with("Failed"), "{words}");
    }
}

#[test]
fn the_rule_that_answers_is_named_as_far_as_it_can_be_seen() {
    let mut text = String::new();
    let mut say = |spoil: fn(&mut Helper)| {
        let mut spoilt = helper();
        spoil(&mut spoilt);
        text.push_str(&format!("{}\n", super::polkit::check(&spoilt).found));
    };
    say(|_| {});
    say(|h| h.polkit.closed.clear());
    say(|h| h.membership = Membership { exists: true, ..Membership::default() });
    say(|h| {
        h.polkit.closed.clear();
        h.files[2].state = FileState::Missing;
        h.polkit.behind = vec!["/usr/share/polkit-1/rules.d/z.rules".into()];
    });
    say(|h| h.polkit.before = vec!["/etc/polkit-1/rules.d/10-banger.rules".into()]);
    insta::assert_snapshot!(text);
}
