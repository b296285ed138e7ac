//! What a machine writes, kept beside its disk: a file of QEMU's format qcow2.

use std::fs::File;
use std::io::{Result, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a cluster, QEMU's own choice.
const CLUSTER: u64 = 1 << 16;
/// Bytes that one cluster of the second table stands for.
const OF_A_TABLE: u64 = CLUSTER / 8 * CLUSTER;

/// Where the name of what is below begins, behind the header and its extensions.
const NAME: u64 = 128;

/// Makes an empty one in `file`, which reads as `below` until something is written: a disk of
/// `len` bytes, raw or of this same format.
///
/// Its clusters: the header, the table of reference counts, the counts of these four, the first table.
pub(super) fn make(file: &mut File, below: &Path, format: &str, len: u64) -> Result<()> {
    let name = below.as_os_str().as_bytes();
    let tables = u32::try_from(len.div_ceil(OF_A_TABLE)).expect("a small disk");
    let mut header = Vec::new();
    header.extend(b"QFI\xfb");
    header.extend(3_u32.to_be_bytes());
    header.extend(NAME.to_be_bytes());
    header.extend(u32::try_from(name.len()).expect("a short path").to_be_bytes());
    header.extend(CLUSTER.ilog2().to_be_bytes());
    header.extend(len.to_be_bytes());
    // No encryption.
    header.extend(0_u32.to_be_bytes());
    header.extend(tables.to_be_bytes());
    header.extend((3 * CLUSTER).to_be_bytes());
    header.extend(CLUSTER.to_be_bytes());
    header.extend(1_u32.to_be_bytes());
    // No snapshots, no features.
    header.extend([0; 4 + 8 + 3 * 8]);
    // Counts of 2^4 bits; the length of all this.
    header.extend(4_u32.to_be_bytes());
    header.extend(104_u32.to_be_bytes());
    // What is below is not looked at to find its format out. No more extensions.
    header.extend(0xe279_2aca_u32.to_be_bytes());
    header.extend(u32::try_from(format.len()).expect("a short name").to_be_bytes());
    header.extend(format.as_bytes());
    header.resize(usize::try_from(NAME).expect("a small number"), 0);
    header.extend(name);
    file.set_len(4 * CLUSTER)?;
    file.write_all(&header)?;
    file.seek(SeekFrom::Start(CLUSTER))?;
    file.write_all(&(2 * CLUSTER).to_be_bytes())?;
    file.seek(SeekFrom::Start(2 * CLUSTER))?;
    file.write_all(&[0, 1, 0, 1, 0, 1, 0, 1])
}
