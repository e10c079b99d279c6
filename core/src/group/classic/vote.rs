//! Which protocol the members speak, and which topics they subscribe to.

use super::member::Member;
use crate::group::java_hash;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;
use core::cmp::Reverse;

/// The protocol type of consumers (`ConsumerProtocol.PROTOCOL_TYPE`).
pub(in crate::group) const CONSUMER: &str = "consumer";

/// How many members can speak each protocol.
#[derive(Clone, Default, Debug)]
pub(in crate::group) struct Spoken {
    counts: BTreeMap<Arc<str>, usize>,
}

impl Spoken {
    pub(in crate::group) fn add<T: Copy>(&mut self, member: &Member<T>) {
        for name in member.protocol_names() {
            *self.counts.entry(Arc::clone(name)).or_insert(0) += 1;
        }
    }

    pub(in crate::group) fn remove<T: Copy>(&mut self, member: &Member<T>) {
        for name in member.protocol_names() {
            if let Some(count) = self.counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(name);
                }
            }
        }
    }

    /// Whether all `members` speak it.
    pub(in crate::group) fn by_all(&self, name: &str, members: usize) -> bool {
        self.counts.get(name).copied().unwrap_or(0) == members
    }

    /// Of the protocols that all can speak, the one that most would choose first; of equals the one that a Java hash map
    /// of few entries lists first (`ClassicGroup.selectProtocol`), so that a group that is moved here stays with its own.
    pub(in crate::group) fn elect<'a, T: Copy + 'a>(
        &self,
        members: impl ExactSizeIterator<Item = &'a Member<T>>,
    ) -> Option<Arc<str>> {
        let all = members.len();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in members {
            if let Some(choice) = member.protocols.iter().find(|it| self.by_all(&it.name, all)) {
                *votes.entry(&choice.name).or_insert(0) += 1;
            }
        }
        let elected = votes
            .into_iter()
            .min_by_key(|(name, count)| (Reverse(*count), bucket(name)));
        elected.map(|(name, _)| Arc::clone(name))
    }
}

/// Where a `java.util.HashMap` of at most 12 entries keeps a name.
fn bucket(name: &str) -> i32 {
    let hash = java_hash(name);
    (hash ^ (hash as u32 >> 16) as i32) & 15
}

/// The topics that a consumer's metadata names (`ConsumerProtocolSubscription`: a version, an array of strings, and whatever
/// else the client says, with a length before it); `None` where it cannot be read.
pub(in crate::group) fn subscription(metadata: &Bytes) -> Option<BTreeSet<String>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.insert(String::from_utf8_lossy(name).into_owned());
        rest = after;
    }
    rest.first_chunk::<4>()?;
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::{bucket, subscription};
    use alloc::vec::Vec;
    use bytes::Bytes;

    #[test]
    fn names_lie_where_java_keeps_them() {
        // As `new HashMap<>()` of Java 17 lists them.
        let mut names = [
            "a",
            "b",
            "range",
            "roundrobin",
            "sticky",
            "cooperative-sticky",
            "uniform",
        ];
        names.sort_by_key(|name| bucket(name));
        let java = [
            "a",
            "uniform",
            "b",
            "sticky",
            "range",
            "roundrobin",
            "cooperative-sticky",
        ];
        assert_eq!(names, java);
    }

    #[test]
    fn a_subscription_names_its_topics_and_damage_names_none() {
        let whole = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff".to_vec();
        let topics: Vec<_> = subscription(&Bytes::from(whole.clone())).unwrap().into_iter().collect();
        assert_eq!(topics, ["a", "bc"]);
        for length in 0..17 {
            assert_eq!(
                subscription(&Bytes::copy_from_slice(&whole[..length])),
                None,
                "{length}"
            );
        }
        assert_eq!(subscription(&Bytes::from_static(b"\0\0\x7f\xff\xff\xff")), None);
        let no_utf8 = subscription(&Bytes::from_static(b"\0\0\0\0\0\x01\0\x01\xff\xff\xff\xff\xff")).unwrap();
        assert_eq!(no_utf8.into_iter().collect::<Vec<_>>(), ["\u{fffd}"]);
    }
}
