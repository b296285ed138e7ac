//! What glibc calls: the functions of its name service, with the caller's memory for the answer.
#![expect(unsafe_code, reason = "functions that C calls, with pointers of C's")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::{align_of, size_of};
use std::net::Ipv4Addr;
use std::path::Path;
use std::ptr;

use libc::{hostent, size_t, socklen_t};

use crate::hosts::{self, Host};

/// `enum nss_status`.
const TRYAGAIN: c_int = -2;
const UNAVAIL: c_int = -1;
const NOTFOUND: c_int = 0;
const SUCCESS: c_int = 1;

/// Values of `h_errno`, from `<netdb.h>`.
const NETDB_INTERNAL: c_int = -1;
const NETDB_SUCCESS: c_int = 0;
const HOST_NOT_FOUND: c_int = 1;
const NO_DATA: c_int = 4;

/// Bytes of an address.
const ADDRESS: usize = size_of::<Ipv4Addr>();
/// Bytes of a pointer.
const POINTER: usize = size_of::<*mut c_char>();

/// Where the caller wants its answer.
#[derive(Debug, Clone, Copy)]
struct Place {
    result: *mut hostent,
    buffer: *mut c_char,
    size: usize,
    error: *mut c_int,
    h_error: *mut c_int,
}

impl Place {
    /// Answers without a host.
    ///
    /// # Safety
    /// Both places of errors can be written to.
    unsafe fn without(self, status: c_int, error: c_int, h_error: c_int) -> c_int {
        // SAFETY: by what is required of the caller.
        unsafe {
            self.error.write(error);
            self.h_error.write(h_error);
        }
        status
    }

    /// Answers with a host: all that `result` points to lies in the buffer.
    ///
    /// # Safety
    /// The result and both places of errors can be written to, the buffer for its size.
    unsafe fn with(self, host: &Host) -> c_int {
        let name = host.name.as_bytes();
        // A list of addresses and one of aliases, each with its end; the address; the name.
        let lists = self.buffer.align_offset(align_of::<*mut c_char>());
        let address = lists.saturating_add(3 * POINTER);
        let text = address.saturating_add(ADDRESS);
        if text.saturating_add(name.len() + 1) > self.size {
            // SAFETY: by what is required of the caller. It comes back with more.
            return unsafe { self.without(TRYAGAIN, libc::ERANGE, NETDB_INTERNAL) };
        }
        // SAFETY: all of it is within the buffer, by the comparison above, and the lists are
        // where pointers may be.
        unsafe {
            let list = self.buffer.add(lists).cast::<*mut c_char>();
            let address = self.buffer.add(address);
            let octets = host.address.octets();
            ptr::copy_nonoverlapping(octets.as_ptr(), address.cast(), ADDRESS);
            let text = self.buffer.add(text);
            ptr::copy_nonoverlapping(name.as_ptr(), text.cast(), name.len());
            text.add(name.len()).write(0);
            list.write(address);
            list.add(1).write(ptr::null_mut());
            list.add(2).write(ptr::null_mut());
            self.result.write(hostent {
                h_name: text,
                h_aliases: list.add(2),
                h_addrtype: libc::AF_INET,
                h_length: ADDRESS as c_int,
                h_addr_list: list,
            });
            self.without(SUCCESS, 0, NETDB_SUCCESS)
        }
    }

    /// Answers with what was found.
    ///
    /// # Safety
    /// As for [`Place::with`].
    unsafe fn answer(self, found: Found) -> c_int {
        // SAFETY: by what is required of the caller.
        unsafe {
            match found {
                Found::Host(host) => self.with(&host),
                Found::Nothing => self.without(NOTFOUND, libc::ENOENT, HOST_NOT_FOUND),
                Found::NoAddress => self.without(NOTFOUND, libc::ENOENT, NO_DATA),
                Found::Failed(error) => self.without(UNAVAIL, error, NETDB_INTERNAL),
            }
        }
    }
}

/// What there is for a question.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Host(Host),
    Nothing,
    /// The host, but no address of the family that was asked for.
    NoAddress,
    /// The file cannot be read.
    Failed(c_int),
}

/// Looks without ever unwinding into C, whatever this crate does wrong.
fn look(find: impl FnOnce(&Path) -> io::Result<Option<Host>> + std::panic::UnwindSafe) -> Found {
    let looked =
        std::panic::catch_unwind(|| hosts::of_this_process().map_or(Ok(None), |file| find(&file)));
    match looked {
        Ok(Ok(Some(host))) => Found::Host(host),
        Ok(Ok(None)) => Found::Nothing,
        Ok(Err(error)) => Found::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        Err(_) => Found::Failed(libc::EIO),
    }
}

fn by_name(name: &CStr, family: c_int) -> Found {
    match look(|file| hosts::named(file, name.to_bytes())) {
        Found::Host(_) if family != libc::AF_INET => Found::NoAddress,
        found => found,
    }
}

/// The VM of a name.
///
/// # Safety
/// As the manual of glibc's name service says: a text that ends with a zero, and places to
/// write to, the buffer as long as it is said to be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_banger_gethostbyname2_r(
    name: *const c_char,
    family: c_int,
    result: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    error: *mut c_int,
    h_error: *mut c_int,
) -> c_int {
    let place = Place { result, buffer, size, error, h_error };
    // SAFETY: by what is required of the caller.
    unsafe { place.answer(by_name(CStr::from_ptr(name), family)) }
}

/// The VM of a name, by its address of IPv4.
///
/// # Safety
/// As for [`_nss_banger_gethostbyname2_r`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_banger_gethostbyname_r(
    name: *const c_char,
    result: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    error: *mut c_int,
    h_error: *mut c_int,
) -> c_int {
    let place = Place { result, buffer, size, error, h_error };
    // SAFETY: by what is required of the caller.
    unsafe { place.answer(by_name(CStr::from_ptr(name), libc::AF_INET)) }
}

/// The VM of an address.
///
/// # Safety
/// As for [`_nss_banger_gethostbyname2_r`]; the address has as many bytes as is said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _nss_banger_gethostbyaddr_r(
    address: *const c_void,
    length: socklen_t,
    family: c_int,
    result: *mut hostent,
    buffer: *mut c_char,
    size: size_t,
    error: *mut c_int,
    h_error: *mut c_int,
) -> c_int {
    let place = Place { result, buffer, size, error, h_error };
    let found = if family == libc::AF_INET && length as usize == ADDRESS {
        // SAFETY: it has as many bytes, wherever it lies.
        let octets = unsafe { address.cast::<[u8; ADDRESS]>().read_unaligned() };
        look(|file| hosts::at(file, Ipv4Addr::from(octets)))
    } else {
        Found::Nothing
    };
    // SAFETY: by what is required of the caller.
    unsafe { place.answer(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls with a buffer that begins `skip` bytes behind where pointers may be, of `size` bytes:
    /// the status, both errors, and the name and address that were answered.
    fn answer(found: &Found, skip: usize, size: usize) -> (c_int, c_int, c_int, Option<Host>) {
        let mut memory = [u64::from_ne_bytes([0x55; 8]); 32];
        let mut result = hostent {
            h_name: ptr::null_mut(),
            h_aliases: ptr::null_mut(),
            h_addrtype: 0,
            h_length: 0,
            h_addr_list: ptr::null_mut(),
        };
        let (mut error, mut h_error) = (-7, -7);
        let room = size_of_val(&memory);
        assert!(skip + size < room);
        let start = memory.as_mut_ptr().cast::<c_char>();
        // SAFETY: the place is within the memory.
        let buffer = unsafe { start.add(skip) };
        let place =
            Place { result: &mut result, buffer, size, error: &mut error, h_error: &mut h_error };
        // SAFETY: all of it is on this stack.
        let status = unsafe { place.answer(found.clone()) };
        // SAFETY: what was answered lies in the memory, with its end.
        let host = (status == SUCCESS).then(|| unsafe {
            assert_eq!((result.h_addrtype, result.h_length), (libc::AF_INET, 4));
            assert!((*result.h_aliases).is_null() && (*result.h_addr_list.add(1)).is_null());
            let octets = (*result.h_addr_list).cast::<[u8; 4]>().read_unaligned();
            let name = CStr::from_ptr(result.h_name).to_str().unwrap().to_owned();
            Host { name, address: octets.into() }
        });
        // SAFETY: bytes of the memory, which are all set.
        let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), room) };
        let outside = bytes.iter().enumerate().filter(|(at, _)| *at < skip || *at >= skip + size);
        assert!(outside.into_iter().all(|(_, byte)| *byte == 0x55), "nothing else is written to");
        (status, error, h_error, host)
    }

    #[test]
    fn an_answer_is_within_the_buffer_wherever_that_begins_or_asks_for_more() {
        let host = Host { name: "web".into(), address: Ipv4Addr::new(172, 16, 0, 9) };
        let found = Found::Host(host.clone());
        let needed = 3 * POINTER + ADDRESS + 4;
        for skip in 0..8 {
            let padding = (8 - skip) % 8;
            for size in 0..needed + 16 {
                let answer = answer(&found, skip, size);
                if size < padding + needed {
                    assert_eq!(
                        answer,
                        (TRYAGAIN, libc::ERANGE, NETDB_INTERNAL, None),
                        "{skip} {size}"
                    );
                } else {
                    let expected = (SUCCESS, 0, NETDB_SUCCESS, Some(host.clone()));
                    assert_eq!(answer, expected, "{skip} {size}");
                }
            }
        }
    }

    #[test]
    fn each_end_has_its_status() {
        let table = [
            (Found::Nothing, (NOTFOUND, libc::ENOENT, HOST_NOT_FOUND, None)),
            (Found::NoAddress, (NOTFOUND, libc::ENOENT, NO_DATA, None)),
            (Found::Failed(libc::EACCES), (UNAVAIL, libc::EACCES, NETDB_INTERNAL, None)),
        ];
        for (found, expected) in table {
            assert_eq!(answer(&found, 0, 64), expected);
        }
        assert_eq!(
            look(|_| panic!("a defect")),
            match hosts::of_this_process() {
                Some(_) => Found::Failed(libc::EIO),
                None => Found::Nothing,
            }
        );
    }
}
