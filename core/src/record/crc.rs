//! CRC-32C (Castagnoli), with which Kafka guards a batch from its attributes to its end.
//!
//! With the feature `std` the processor's own instruction computes it; without, a table does. Both give the same
//! numbers, which a test checks.

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    extend(0, bytes)
}

/// The CRC-32C of what gave `crc`, followed by `bytes`. The CRC of nothing is 0.
#[cfg(feature = "std")]
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// The CRC-32C of what gave `crc`, followed by `bytes`. The CRC of nothing is 0.
#[cfg(not(feature = "std"))]
pub fn extend(crc: u32, bytes: &[u8]) -> u32 {
    table::extend(crc, bytes)
}

#[cfg(any(test, not(feature = "std")))]
mod table {
    /// The polynomial 0x1EDC6F41, bits reversed.
    const POLYNOMIAL: u32 = 0x82F6_3B78;

    /// `TABLES[k][b]` is the CRC of the byte `b` followed by `k` zero bytes, so that eight bytes take eight look-ups
    /// that do not wait for each other.
    static TABLES: [[u32; 256]; 8] = tables();

    const fn tables() -> [[u32; 256]; 8] {
        let mut tables = [[0; 256]; 8];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 {
                    (crc >> 1) ^ POLYNOMIAL
                } else {
                    crc >> 1
                };
                bit += 1;
            }
            tables[0][byte] = crc;
            byte += 1;
        }
        let mut k = 1;
        while k < 8 {
            let mut byte = 0;
            while byte < 256 {
                let shorter = tables[k - 1][byte];
                tables[k][byte] = (shorter >> 8) ^ tables[0][(shorter & 0xFF) as usize];
                byte += 1;
            }
            k += 1;
        }
        tables
    }

    pub(super) fn extend(crc: u32, bytes: &[u8]) -> u32 {
        let mut crc = !crc;
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            let word = u64::from_le_bytes(*chunk) ^ u64::from(crc);
            crc = word
                .to_le_bytes()
                .iter()
                .zip(TABLES.iter().rev())
                .fold(0, |sum, (&byte, table)| sum ^ table[usize::from(byte)]);
        }
        for &byte in rest {
            crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
        }
        !crc
    }
}

#[cfg(test)]
mod tests {
    use super::{crc32c, extend, table};
    use proptest::prelude::*;

    #[test]
    fn the_check_values_of_rfc_3720_come_out() {
        let ascending: [u8; 32] = core::array::from_fn(|i| i as u8);
        for (bytes, expected) in [
            (&b"123456789"[..], 0xE306_9283),
            (&[0; 32][..], 0x8A91_36AA),
            (&[0xFF; 32][..], 0x62A8_AB43),
            (&ascending[..], 0x46DD_794E),
        ] {
            assert_eq!(crc32c(bytes), expected);
            assert_eq!(table::extend(0, bytes), expected);
        }
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn the_table_and_the_processor_agree_however_the_bytes_are_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in any::<prop::sample::Index>(),
        ) {
            let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = crc32c(&bytes);
            prop_assert_eq!(extend(extend(0, left), right), whole);
            prop_assert_eq!(table::extend(table::extend(0, left), right), whole);
        }
    }
}
