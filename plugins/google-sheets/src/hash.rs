//! A small hash, the same in every version of the plugin: what was written down with one is compared with another.

/// FNV-1a with 64 bits, seeded, and mixed at the end so that each bit depends on the whole text. It is no cryptography: nobody gains by a
/// collision of their own rows or steps.
pub(crate) fn of(seed: u64, text: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut hash = text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn it_never_changes() {
        assert_eq!(of(0, "key-of-this-step"), of(0, "key-of-this-step"));
        assert_ne!(of(0, "key"), of(1, "key"));
        // Written down in spreadsheets and cursors: another value here would make every mark and row look new.
        assert_eq!((of(0, ""), of(1, "a")), (17_280_346_270_528_514_342, 5_656_076_326_713_248_563));
    }
}
