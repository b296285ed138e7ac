//! Real guests on snapshots of their images, as an ordinary member of the group runs them.

use std::time::Instant;

use banger_tests::testbed::{GuestImage, inside_with_guests};

use crate::login::user;
use crate::owning::{by, devices, left_of_vms, overlays, vm, wait_until, with_guests};
use crate::{number, sh};

#[test]
fn a_debian_guest_of_a_member_keeps_what_it_wrote_and_leaves_nothing() {
    inside_with_guests(&[GuestImage::Debian], || {
        with_guests("ann");
        let image = "stat --format '%s %b %Y' ~ann/.local/share/banger/images/debian/rootfs.ext4";
        let before = sh(image);
        by("ann", "banger create --name web --cpus 2 --memory 512M");
        assert_eq!(vm("web")["isolation"], "system");
        by("ann", "banger start --timeout 200s web");
        // bangerd found out by itself that KVM runs guests here.
        let told = sh("cat ~ann/.local/state/banger/kvm-probe.json");
        assert!(told.contains(r#""verdict":"Works""#), "{told}");
        let line = sh("tr '\\0' ' ' </proc/$(pgrep --oldest qemu-system)/cmdline");
        assert!(line.contains("-accel kvm"), "{line}");
        let id = vm("web")["id"].as_str().unwrap().to_owned();
        assert!(devices().contains(&format!("banger-u1000-{id}")), "{}", devices());

        let said = by(
            "ann",
            "banger exec web -- sh -c 'echo mine >/etc/mine; echo kept >/root/kept; \
             systemd-detect-virt; findmnt --noheadings --output SOURCE,FSTYPE /; hostname'",
        );
        assert_eq!(said, "kvm\n/dev/vda ext4\nweb");
        by("ann", "banger stop --timeout 100s web");
        assert_eq!((vm("web")["state_reason"].as_str(), devices()), (Some(""), String::new()));
        assert_eq!(overlays(), format!("0 600 {id}.cow"));

        by("ann", "banger start --timeout 200s web");
        assert_eq!(by("ann", "banger exec web -- cat /etc/mine /root/kept"), "mine\nkept");
        by("ann", "banger rm --force web");
        assert_eq!((left_of_vms(), sh(image)), (String::new(), before));
    });
}

#[test]
fn vms_are_reached_by_their_names_among_guests_and_on_the_host() {
    inside_with_guests(&[GuestImage::Tiny], || {
        with_guests("ann");
        user("ben");
        // The folder that comes with a session.
        sh("loginctl enable-linger ann; loginctl enable-linger ben");
        let uid = sh("id -u ann");
        wait_until("ann has no runtime directory", || {
            std::fs::exists(format!("/run/user/{uid}/bus")).unwrap()
        });
        let start = |name: &str| {
            by(
                "ann",
                &format!(
                    "banger -q create --name {name} --memory 128M --cpus 1 --disk 64M >/dev/null; \
                     banger -q start --timeout 200s {name}"
                ),
            );
            vm(name)["running"]["address"].as_str().unwrap().to_owned()
        };
        let asked = |who: &str, what: &str| by(who, &format!("getent {what} || echo none $?"));
        let web = start("web");
        by("ann", "banger exec web -- sh -c \"echo 10.9.9.9 mine >>/etc/hosts\"");
        // Whoever was there before is told.
        let db = start("db");
        assert_ne!(web, db);
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (name, address) in [("web", &web), ("db", &db)] {
            assert_eq!(words(asked("ann", &format!("hosts {name}"))), [address, name]);
            assert_eq!(words(asked("ann", &format!("hosts {address}"))), [address, name]);
            let all = asked("ann", &format!("ahosts {name}"));
            assert!(all.lines().all(|line| line.starts_with(address.as_str())), "{all}");
            let greeting = by("ann", &format!("exec 3<>/dev/tcp/{name}/22; head -c 8 <&3"));
            assert_eq!(greeting, "SSH-2.0-", "{name}");
            // They are ann's, and nobody else's.
            assert_eq!(asked("ben", &format!("hosts {name}")), "none 2");
            assert_eq!(sh(&format!("getent hosts {name} || echo none $?")), "none 2");
        }
        let hosts = |name: &str| by("ann", &format!("banger exec {name} -- cat /etc/hosts"));
        let told = |of: &str, at: &str| format!("{at} {of} # banger");
        assert_eq!(
            hosts("db"),
            format!("127.0.0.1 localhost\n127.0.1.1 db\n{}", told("web", &web))
        );
        wait_until("web was not told of db", || hosts("web").contains(&told("db", &db)));
        assert!(hosts("web").contains("10.9.9.9 mine\n"), "{}", hosts("web"));
        let pings = |from: &str, to: &str| {
            let said = by("ann", &format!("banger exec {from} -- ping -c 1 -W 20 {to}"));
            assert!(said.contains("1 packets received"), "{said}");
        };
        pings("web", "db");
        pings("db", "web");

        // Whatever becomes of bangerd, the names that programs find are right.
        sh("pkill -KILL -x bangerd");
        assert_eq!(words(asked("ann", "hosts web")), [&*web, "web"]);
        by("ann", "banger -q stop web");
        wait_until("web is still found", || asked("ann", "hosts web") == "none 2");
        assert_eq!(words(asked("ann", "hosts db")), [&*db, "db"]);
        // A guest that starts again has the address that the others know.
        by("ann", "banger -q start --timeout 200s web");
        assert_eq!(vm("web")["running"]["address"], *web);
        pings("web", "db");
        pings("db", "web");
        by("ann", "banger -q rm --force web; banger -q rm --force db");
        wait_until("a file is left", || {
            !std::fs::exists(format!("/run/user/{uid}/banger/hosts")).unwrap()
        });
        assert_eq!(left_of_vms(), "");
    });
}

/// Guests at once.
const GUESTS: u64 = 20;

#[test]
fn twenty_guests_of_a_member_live_at_once_and_leave_nothing() {
    inside_with_guests(&[GuestImage::Tiny], || {
        with_guests("ann");
        let rounds = number("BANGER_PARALLEL_ROUNDS", 1);
        let live = |name: &str| {
            by(
                "ann",
                &format!(
                    "banger -q create --name {name} --memory 128M --cpus 1 --disk 64M >/dev/null; \
                 banger -q start --timeout 200s {name}; banger exec {name} -- hostname; \
                 banger -q stop {name}; banger -q rm {name}"
                ),
            )
        };
        assert_eq!(live("first"), "first");
        let mut lived = 0;
        let begun = Instant::now();
        for round in 1..=rounds {
            let names: Vec<_> = (1..=GUESTS).map(|index| format!("tiny-{round}-{index}")).collect();
            std::thread::scope(|scope| {
                let lives: Vec<_> = names.iter().map(|name| scope.spawn(|| live(name))).collect();
                for (name, life) in names.iter().zip(lives) {
                    match life.join() {
                        Ok(said) if said == *name => lived += 1,
                        Ok(said) => println!("{name} said:\n{said}"),
                        Err(_) => println!("{name} did not live"),
                    }
                }
            });
            assert_eq!(lived, round * GUESTS, "round {round}");
            assert_eq!((left_of_vms(), by("ann", "banger ls -q")), (String::new(), String::new()));
        }
        println!(
            "RESULT {GUESTS} guests under KVM at once on snapshots: {rounds} rounds, {lived} of {} lived, \
             nothing left, {} s",
            rounds * GUESTS,
            begun.elapsed().as_secs()
        );
    });
}

#[test]
fn the_strangest_image_starts_or_is_refused_with_the_reason() {
    inside_with_guests(&[GuestImage::Tiny], || {
        with_guests("ann");
        // No systemd and no folder for sshd's configuration; fstab is a link; and the filesystem
        // was copied while it was mounted.
        sh(
            "cd ~ann/.local/share/banger/images; cp --sparse=always -r --preserve=all tiny strange; cd strange; \
            sed -i 's/\"tiny\"/\"strange\"/; s/\"id\": \"[0-9a-f]\\{8\\}/\"id\": \"00000000/' image.json; \
            mkdir /mnt/image; mount -o loop rootfs.ext4 /mnt/image; cd /mnt/image; \
            rm -rf etc/ssh/sshd_config.d; sed -i /Include/d etc/ssh/sshd_config; rm -f etc/fstab; \
            echo '/dev/sda1 /home ext4 defaults 0 2' >usr/lib/fstab; ln -s ../usr/lib/fstab etc/fstab; \
            ls -R . >/dev/null; sync; cd -; cp --sparse=always rootfs.ext4 copy; umount /mnt/image; \
            dumpe2fs -h copy 2>/dev/null | grep -q needs_recovery; cat copy >rootfs.ext4; rm copy",
        );
        by("ann", "banger create --name odd --image strange --memory 128M --cpus 1 --disk 64M");
        by("ann", "banger start --timeout 200s odd");
        let said = by("ann", "banger exec odd -- cat /etc/fstab /etc/hostname");
        assert!(
            said.contains(" /root ") && !said.contains("/home") && said.ends_with("odd"),
            "{said}"
        );
        by("ann", "banger rm --force odd");

        // What is no filesystem any more is refused before anything runs, and says so.
        sh(
            "cd ~ann/.local/share/banger/images/strange; dd if=/dev/zero of=rootfs.ext4 bs=4k count=1 conv=notrunc",
        );
        by("ann", "banger create --name odd --image strange --memory 128M --cpus 1 --disk 64M");
        let said = by("ann", "banger start odd || echo status $?");
        assert!(said.contains("status 1") && said.contains("because"), "{said}");
        by("ann", "banger rm odd");
        assert_eq!(left_of_vms(), "");
    });
}
