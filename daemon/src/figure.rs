//! Sizes as people read them.

/// So many bytes, in MiB or, from 10 GiB on, in GiB with a tenth; rounded down.
pub(crate) fn bytes(bytes: u64) -> String {
    mib(bytes >> 20)
}

/// So many MiB, as [`bytes`] has them.
pub(crate) fn mib(mib: u64) -> String {
    if mib < 10 << 10 {
        return format!("{mib} MiB");
    }
    let (whole, rest) = (mib / 1024, mib % 1024);
    format!("{whole}.{} GiB", rest * 10 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sizes_are_exact_and_large_ones_short() {
        assert_eq!(mib(10_239), "10239 MiB");
        assert_eq!(mib(10_240), "10.0 GiB");
        assert_eq!(mib(15_872), "15.5 GiB");
        assert_eq!(bytes((1 << 20) - 1), "0 MiB");
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
    }
}
