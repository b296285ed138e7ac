//! The owner's daemon: all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use bangerd::vmm::landlocked;

fn main() -> ExitCode {
    // Whatever whoever starts us had open is none of our children's business, and no
    // folder is kept from being unmounted by where we were started.
    let becomes_vmm = std::env::args_os().nth(1).is_some_and(|word| word == landlocked::ARGUMENT);
    // A VMM is about to find its own two.
    let kept: &[i32] = if becomes_vmm { &landlocked::KEPT } else { &[] };
    close_fds::set_fds_cloexec(3, kept);
    let _stays_where_it_is = std::env::set_current_dir("/");
    bangerd::spawn::settle();
    bangerd::command::run(std::env::args_os().skip(1))
}
