//! The testbed's systemd, udev, D-Bus and polkit answer.

use std::fs;
use std::time::SystemTime;

use banger_tests::testbed::inside;

use crate::sh;

#[test]
fn the_system_is_up_and_its_clock_is_right() {
    inside(|| {
        assert_eq!(sh("systemctl is-system-running"), "running");
        // Nothing else could have made it than what was built a moment ago.
        let built = fs::metadata("/payload/test").unwrap().modified().unwrap();
        assert!(SystemTime::now() > built, "the clock is behind the program");
        sh("udevadm settle --timeout=10");
    });
}

#[test]
fn a_socket_starts_its_service() {
    inside(|| {
        fs::write(
            "/etc/systemd/system/echo.socket",
            "[Socket]\nListenStream=/run/echo.sock\nAccept=yes\nSocketMode=0660\n",
        )
        .unwrap();
        fs::write(
            "/etc/systemd/system/echo@.service",
            "[Service]\nExecStart=/bin/cat\nStandardInput=socket\nDynamicUser=yes\n",
        )
        .unwrap();
        sh("systemctl daemon-reload; systemctl start echo.socket");
        let answer = sh("perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
             connect($s, pack_sockaddr_un(\"/run/echo.sock\")) or die $!; \
             syswrite($s, \"hello\\n\"); shutdown($s, 1); print <$s>'");
        assert_eq!(answer, "hello");
    });
}

#[test]
fn polkit_allows_root_and_refuses_a_user_without_an_agent() {
    inside(|| {
        sh("useradd --create-home --shell /bin/bash ann");
        let action = "org.freedesktop.login1.reboot-multiple-sessions";
        sh(&format!("pkcheck --action-id {action} --process $$"));
        let refused = sh(&format!(
            "setpriv --reuid=ann --regid=ann --init-groups \
             sh -c 'pkcheck --action-id {action} --process $$' 2>&1 || echo status $?"
        ));
        // Authentication is required, and there is nobody to ask.
        assert!(refused.ends_with("status 2"), "{refused}");
    });
}
