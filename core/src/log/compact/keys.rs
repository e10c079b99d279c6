//! The last offset of each key, within a bound of memory.
//!
//! A key stands in the map as 128 bits of SipHash-2-4 (Aumasson and Bernstein 2012) under a secret that is drawn anew for
//! each job. Two keys with the same 128 bits would count as one, and the older of their records would be dropped. Nobody
//! who does not know the secret can look for such a pair, and among n keys chance makes one with a probability below
//! n² / 2¹²⁹: for a hundred million keys less than 10⁻²². (Kafka's `SkimpyOffsetMap` takes MD5, for which pairs are known.)
//!
//! Invariants:
//! - an offset of a key never goes back;
//! - the table has at most `bytes` bytes, but for the keys of one batch where even those do not fit.

use crate::types::Offset;
use alloc::vec::Vec;

/// The secret of a map.
pub(in crate::log) type Secret = [u64; 2];

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    /// −1 where the slot is free.
    offset: Offset,
}

const FREE: Slot = Slot {
    hash: [0; 2],
    offset: Offset(-1),
};

/// The map.
#[derive(Debug)]
pub(super) struct KeyMap {
    secret: Secret,
    /// A power of two of them, at most three quarters taken.
    slots: Vec<Slot>,
    len: usize,
    limit: usize,
}

const FIRST_SLOTS: usize = 64;

impl KeyMap {
    /// An empty map whose table may have `bytes` bytes.
    pub(super) fn new(secret: Secret, bytes: usize) -> Self {
        let most = (bytes / size_of::<Slot>()).max(2);
        Self {
            secret,
            slots: Vec::new(),
            len: 0,
            limit: (1 << most.ilog2()) / 4 * 3,
        }
    }

    /// Keys that still fit.
    pub(super) const fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record at `offset` is the last of `key` so far.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) {
        if self.slots.len() / 4 * 3 <= self.len {
            self.grow();
        }
        let hash = sip_hash_128(self.secret, key);
        let at = place(&self.slots, hash);
        let slot = &mut self.slots[at];
        self.len += usize::from(slot.offset == FREE.offset);
        *slot = Slot {
            hash,
            offset: slot.offset.max(offset),
        };
    }

    /// The offset of the last record of `key`, if one was put in.
    pub(super) fn last(&self, key: &[u8]) -> Option<Offset> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots[place(&self.slots, sip_hash_128(self.secret, key))];
        (slot.offset != FREE.offset).then_some(slot.offset)
    }

    fn grow(&mut self) {
        let count = (self.slots.len() * 2).max(FIRST_SLOTS);
        let before = core::mem::replace(&mut self.slots, alloc::vec![FREE; count]);
        for slot in before.into_iter().filter(|slot| slot.offset != FREE.offset) {
            let at = place(&self.slots, slot.hash);
            self.slots[at] = slot;
        }
    }
}

/// Where the hash stands, or is to stand.
fn place(slots: &[Slot], hash: [u64; 2]) -> usize {
    let mask = slots.len() - 1;
    let mut at = hash[0] as usize & mask;
    while slots[at].offset != FREE.offset && slots[at].hash != hash {
        at = (at + 1) & mask;
    }
    at
}

/// SipHash-2-4 with 128 bits of output.
fn sip_hash_128(secret: Secret, bytes: &[u8]) -> [u64; 2] {
    let mut state = [
        secret[0] ^ 0x736f_6d65_7073_6575,
        secret[1] ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        secret[0] ^ 0x6c79_6765_6e65_7261,
        secret[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    for word in words.iter().chain([&last]) {
        let word = u64::from_le_bytes(*word);
        state[3] ^= word;
        rounds(&mut state, 2);
        state[0] ^= word;
    }
    state[2] ^= 0xee;
    rounds(&mut state, 4);
    let first = state[0] ^ state[1] ^ state[2] ^ state[3];
    state[1] ^= 0xdd;
    rounds(&mut state, 4);
    [first, state[0] ^ state[1] ^ state[2] ^ state[3]]
}

fn rounds(state: &mut [u64; 4], count: usize) {
    let [mut v0, mut v1, mut v2, mut v3] = *state;
    for _ in 0..count {
        v0 = v0.wrapping_add(v1);
        v2 = v2.wrapping_add(v3);
        v1 = v1.rotate_left(13) ^ v0;
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v1);
        v0 = v0.wrapping_add(v3);
        v1 = v1.rotate_left(17) ^ v2;
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.rotate_left(32);
    }
    *state = [v0, v1, v2, v3];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;
    use alloc::collections::BTreeMap;

    #[test]
    fn the_hash_is_the_one_of_the_reference() {
        // `vectors_sip128` of the authors' implementation: key 00 to 0f, inputs of 0, 1 and 2 bytes 00, 01, ….
        let secret = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let hash = |bytes: &[u8]| sip_hash_128(secret, bytes).map(u64::to_le_bytes).concat();
        assert_eq!(hash(&[])[..8], [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6]);
        assert_eq!(hash(&[])[8..], [0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93]);
        assert_eq!(hash(&[0])[..8], [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44]);
        assert_eq!(hash(&[0])[8..], [0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45]);
    }

    #[test]
    fn the_map_knows_the_last_offset_of_every_key_through_growth() {
        let mut seed = Seed::new(4);
        let mut map = KeyMap::new([1, 2], 1 << 20);
        let mut model: BTreeMap<Vec<u8>, Offset> = BTreeMap::new();
        for offset in 0..5000 {
            let length = seed.below(20) as usize;
            let key: Vec<u8> = (0..length).map(|_| seed.below(3) as u8).collect();
            map.put(&key, Offset(offset));
            model.insert(key, Offset(offset));
        }
        assert_eq!(map.len, model.len());
        for (key, &offset) in &model {
            assert_eq!(map.last(key), Some(offset));
        }
        assert_eq!(map.last(b"another"), None);
        map.put(b"", Offset(3));
        assert!(map.last(b"") > Some(Offset(3)), "an offset does not go back");
    }

    #[test]
    fn the_room_follows_from_the_bytes() {
        let mut map = KeyMap::new([0; 2], 64 * size_of::<Slot>());
        assert!(map.is_empty() && map.last(b"k").is_none());
        assert_eq!(map.room(), 48);
        for i in 0..48_u8 {
            map.put(&[i], Offset(i64::from(i)));
        }
        assert_eq!((map.room(), map.slots.len()), (0, 64));
    }
}
