//! `meta.klamm`: whose log directory this is. A text file that people can read.

use crate::record::crc;
use crate::types::{BrokerId, Uuid};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The version of the log directory's format that this build writes, and the only one it reads.
const VERSION: &str = "1";

/// The most bytes the file may have.
const MAX_BYTES: usize = 4096;

/// Whose log directory it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The cluster.
    pub cluster_id: String,
    /// The broker (`node.id`).
    pub node_id: BrokerId,
    /// The directory itself.
    pub directory_id: Uuid,
}

/// Why a `meta.klamm` cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetaError {
    /// It is not what this program writes, or was changed since.
    Damaged(&'static str),
    /// Another version of this program wrote it.
    Version(String),
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "meta.klamm is damaged: {what}"),
            Self::Version(version) => write!(
                f,
                "meta.klamm has format version {version}, and this build reads version {VERSION} only"
            ),
        }
    }
}

impl core::error::Error for MetaError {}

impl Meta {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let text = format!(
            "# Written by klamm. A log directory belongs to one broker of one cluster; do not edit.\n\
             version={VERSION}\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            self.cluster_id, self.node_id, self.directory_id
        );
        let crc = crc::crc32c(text.as_bytes());
        format!("{text}crc32c={crc:08x}\n").into_bytes()
    }

    /// Reads the file.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        if bytes.len() > MAX_BYTES {
            return Err(MetaError::Damaged("it is too long"));
        }
        let text = core::str::from_utf8(bytes).map_err(|_| MetaError::Damaged("it is not text"))?;
        let value = |key: &'static str, missing| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let found = lines.find(|&(name, _)| name == key);
            found.map(|(_, value)| value).ok_or(MetaError::Damaged(missing))
        };
        let version = value("version", "it names no version")?;
        if version != VERSION {
            return Err(MetaError::Version(version.chars().take(20).collect()));
        }
        let (covered, crc) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once("crc32c="))
            .ok_or(MetaError::Damaged("its last line is missing"))?;
        if u32::from_str_radix(crc, 16).ok() != Some(crc::crc32c(covered.as_bytes())) {
            return Err(MetaError::Damaged("its checksum does not match"));
        }
        let node_id = value("node.id", "it names no node")?.parse();
        let directory_id = Uuid::parse(value("directory.id", "it names no directory")?);
        Ok(Self {
            cluster_id: value("cluster.id", "it names no cluster")?.into(),
            node_id: BrokerId(node_id.map_err(|_| MetaError::Damaged("its node id is no number"))?),
            directory_id: directory_id.ok_or(MetaError::Damaged("its directory id is none"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> Meta {
        Meta {
            cluster_id: "4L6g3nShT-eMCtK--X86sw".into(),
            node_id: BrokerId(7),
            directory_id: Uuid(9u128.to_be_bytes()),
        }
    }

    #[test]
    fn it_reads_back_and_people_can_read_it_too() {
        let bytes = meta().encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta()));
        let text = core::str::from_utf8(&bytes).expect("it is text");
        assert!(text.contains("\nnode.id=7\n"), "{text}");
    }

    #[test]
    fn a_later_version_is_named() {
        let text = "version=2\ncluster.id=x\n";
        assert_eq!(Meta::decode(text.as_bytes()), Err(MetaError::Version("2".into())));
    }

    proptest! {
        #[test]
        fn a_cut_or_a_flipped_bit_is_found(cut in any::<prop::sample::Index>(), bit in 0..8u32) {
            let whole = meta().encode();
            let at = cut.index(whole.len());
            prop_assert!(Meta::decode(&whole[..at]).is_err());
            let mut spoilt = whole;
            spoilt[at] ^= 1 << bit;
            prop_assert_ne!(Meta::decode(&spoilt), Ok(meta()));
        }
    }
}
