//! What the leader of a group does: it deals the partitions out; and how members write that down
//! (`ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`, version 0).

use crate::draw::Draw;
use crate::oracle::Owned;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

/// The subscription to `topics`.
pub(super) fn subscription(topics: &[String]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(topics.len() as i32);
    for topic in topics {
        put_string(&mut out, topic);
    }
    out.put_i32(-1);
    out.freeze()
}

/// A part of these partitions.
pub(super) fn encode(part: &Owned) -> Bytes {
    let mut topics: BTreeMap<&String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in part {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        put_string(&mut out, topic);
        out.put_i32(partitions.len() as i32);
        for partition in partitions {
            out.put_i32(partition);
        }
    }
    out.put_i32(-1);
    out.freeze()
}

/// The partitions of a part; no bytes at all stand for none. `None` where it cannot be read.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Owned> {
    let mut owned = Owned::new();
    if bytes.is_empty() {
        return Some(owned);
    }
    take(&mut bytes, 2)?;
    for _ in 0..int32(&mut bytes)? {
        let length = i16::from_be_bytes(*take(&mut bytes, 2)?.first_chunk()?);
        let topic = take(&mut bytes, usize::try_from(length).ok()?)?;
        let topic = std::str::from_utf8(topic).ok()?.to_owned();
        for _ in 0..int32(&mut bytes)? {
            owned.insert((topic.clone(), int32(&mut bytes)?));
        }
    }
    Some(owned)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn int32(bytes: &mut &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(*take(bytes, 4)?.first_chunk()?))
}

/// Deals `partitions` out to `members`: each time anew, so that two tries of a leader seldom agree.
pub(super) fn deal(members: &[String], partitions: &Owned, draw: &mut Draw) -> Vec<(String, Bytes)> {
    let mut parts = vec![Owned::new(); members.len()];
    let first = draw.index(members.len());
    let mut left: Vec<_> = partitions.iter().cloned().collect();
    let mut turn = first;
    while !left.is_empty() {
        let next = left.swap_remove(draw.index(left.len()));
        parts[turn % members.len()].insert(next);
        turn += 1;
    }
    members
        .iter()
        .zip(&parts)
        .map(|(member, part)| (member.clone(), encode(part)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{deal, decode, encode};
    use crate::draw::Draw;
    use crate::oracle::Owned;

    #[test]
    fn every_partition_is_dealt_once_and_parts_survive_being_written() {
        let partitions: Owned = (0..7).map(|index| (format!("t-{}", index % 2), index)).collect();
        let members: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let dealt = deal(&members, &partitions, &mut Draw::new(3));
        let parts: Vec<Owned> = dealt.iter().map(|(_, part)| decode(part).unwrap()).collect();
        assert_eq!(parts.iter().map(Owned::len).sum::<usize>(), 7);
        assert_eq!(parts.iter().flatten().cloned().collect::<Owned>(), partitions);
        assert_ne!(dealt, deal(&members, &partitions, &mut Draw::new(4)));
        let whole = encode(&partitions);
        for length in 1..whole.len() - 4 {
            assert_eq!(decode(&whole[..length]), None, "cut at {length}");
        }
        assert_eq!(decode(&[]), Some(Owned::new()));
    }
}
