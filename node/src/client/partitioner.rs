//! Which partition a record goes to, as Java's producer decides (`BuiltInPartitioner`): by the key's hash, and without a
//! key to one partition for a while, then to the next.

/// Chooses partitions.
#[derive(Clone, Debug)]
pub struct Partitioner {
    partitions: usize,
    current: usize,
}

impl Partitioner {
    /// For a topic with this many partitions, at least one.
    pub fn new(partitions: usize) -> Self {
        Self {
            partitions: partitions.max(1),
            current: 0,
        }
    }

    /// The partition, by its place, of a record with this key.
    pub fn place(&self, key: Option<&[u8]>) -> usize {
        key.map_or(self.current, |key| {
            (murmur2(key) & 0x7FFF_FFFF) as usize % self.partitions
        })
    }

    /// Sends records without a key to the next partition from now on.
    pub fn advance(&mut self) {
        self.current = (self.current + 1) % self.partitions;
    }
}

/// The 32-bit hash that Kafka's partitioners use (`Utils.murmur2`).
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mix = |k: u32| {
        let k = k.wrapping_mul(M);
        (k ^ (k >> 24)).wrapping_mul(M)
    };
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    for &word in words {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(word));
    }
    if !rest.is_empty() {
        for (i, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_kafkas() {
        // The values of Kafka's own `UtilsTest.testMurmur2`.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn a_key_keeps_its_partition_and_records_without_one_move_on() {
        let mut partitioner = Partitioner::new(3);
        let with_key = partitioner.place(Some(b"k"));
        let places: Vec<usize> = (0..4)
            .map(|_| {
                partitioner.advance();
                partitioner.place(None)
            })
            .collect();
        assert_eq!(places, [1, 2, 0, 1]);
        assert_eq!(partitioner.place(Some(b"k")), with_key);
        assert!(with_key < 3);
    }
}
