//! The owner's daemon: all of it is in the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whatever whoever starts us had open is none of our children's business, and no
    // folder is kept from being unmounted by where we were started.
    close_fds::set_fds_cloexec(3, bangerd::vmm::kept(std::env::args_os().nth(1).as_deref()));
    let _stays_where_it_is = std::env::set_current_dir("/");
    bangerd::spawn::settle();
    bangerd::command::run(std::env::args_os().skip(1))
}
