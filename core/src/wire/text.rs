//! Strings of the wire. Invariant: a [`Text`] holds UTF-8, because every way to make one checks it.

use alloc::borrow::Cow;
use alloc::string::String;
use bytes::Bytes;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

/// An immutable string that shares the bytes it was decoded from. What outlives its request is [detached](Self::detach).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// The empty string.
    pub const EMPTY: Self = Self(Bytes::new());

    /// A string over `bytes`, without copying; `None` when they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Option<Self> {
        core::str::from_utf8(&bytes).is_ok().then_some(Self(bytes))
    }

    /// A string over `bytes`, without copying where they are UTF-8; what is not becomes U+FFFD, and up to three times as long
    /// (Java's `String` of a client's bytes does the same).
    pub fn from_utf8_lossy(bytes: Bytes) -> Self {
        match String::from_utf8_lossy(&bytes) {
            Cow::Borrowed(_) => Self(bytes),
            Cow::Owned(replaced) => Self::from(replaced),
        }
    }

    /// The string. It is checked again at each call, which costs nanoseconds for the short strings of the protocol and
    /// spares the core unsafe code.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("a Text holds UTF-8: whatever made it has checked that")
    }

    /// The string's UTF-8 bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The same string with bytes of its own, so that a short id does not keep the frame it came in alive.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Text {
    /// Hashes as `str` does, so that maps can be asked with a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Text;
    use alloc::collections::BTreeMap;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use bytes::Bytes;

    #[test]
    fn a_text_is_utf8_or_nothing() {
        assert_eq!(Text::from_utf8(Bytes::from_static(b"\xC3\x28")), None);
        assert_eq!(
            Text::from_utf8(Bytes::from_static("größer".as_bytes())).unwrap(),
            "größer"
        );
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_the_rest_is_shared() {
        let latin = Bytes::from_static(b"gr\xF6\xDFer");
        assert_eq!(Text::from_utf8_lossy(latin), "gr\u{FFFD}\u{FFFD}er");
        let good = Bytes::from_static("größer".as_bytes());
        assert_eq!(Text::from_utf8_lossy(good.clone()).as_bytes().as_ptr(), good.as_ptr());
    }

    #[test]
    fn a_detached_text_lets_its_frame_go() {
        let frame = Bytes::from(Vec::from(&b"a frame with a name in it"[..]));
        let name = Text::from_utf8(frame.slice(15..19)).unwrap();
        let detached = name.detach();
        drop(name);
        assert!(frame.is_unique(), "the detached copy still holds the frame");
        assert_eq!(detached, "name");
    }

    #[test]
    fn a_map_of_texts_answers_to_a_str() {
        let map: BTreeMap<Text, i32> = [(Text::from("b".to_string()), 2), (Text::from("a"), 1)].into();
        assert_eq!((map.get("a"), map.get("b"), map.get("c")), (Some(&1), Some(&2), None));
    }
}
