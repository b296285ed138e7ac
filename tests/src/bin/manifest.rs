//! Prints the manifest of a mounted tree; started as root by the oracles, which
//! may themselves run as an ordinary user.

fn main() {
    let top = std::env::args_os().nth(1).expect("usage: manifest FOLDER");
    for line in banger_tests::manifest::of_mounted(top.as_ref()) {
        println!("{line}");
    }
}
