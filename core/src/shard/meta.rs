//! `meta.klamm`: whose a log directory is. A few lines of text, so that people can read it, with a checksum.

use crate::record::crc::crc32c;
use crate::types::Uuid;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The layout of everything below the directory. A later layout has another number.
const FORMAT: u32 = 1;

/// Whose a log directory is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "these are the ids that Kafka knows by these names"
)]
pub struct MetaFile {
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// The node it belongs to.
    pub node_id: i32,
    /// The directory itself (KIP-858).
    pub directory_id: Uuid,
}

impl MetaFile {
    /// The file's bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self {
            cluster_id,
            node_id,
            directory_id,
        } = self;
        let text =
            format!("format={FORMAT}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n");
        format!("{text}crc32c={:08x}\n", crc32c(text.as_bytes())).into_bytes()
    }

    /// Reads the file's bytes; the error says what is wrong with them.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = core::str::from_utf8(bytes).map_err(|_| "it is not text")?;
        let (body, crc) = text.rsplit_once("crc32c=").ok_or("it has no checksum")?;
        let values: BTreeMap<_, _> = body.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |key: &str| values.get(key).copied().ok_or_else(|| format!("it has no {key}"));
        let format = value("format")?;
        if format != FORMAT.to_string() {
            return Err(format!(
                "it has format {format}, and this version of Klamm reads format {FORMAT}"
            ));
        }
        if crc.trim_end() != format!("{:08x}", crc32c(body.as_bytes())) {
            return Err(String::from(
                "its checksum is wrong: the file was changed or is damaged",
            ));
        }
        let cluster_id = value("cluster.id")?.to_string();
        let node_id = value("node.id")?.parse().map_err(|_| "its node.id is not a number")?;
        let directory_id = Uuid::parse(value("directory.id")?).ok_or("its directory.id is not an id")?;
        Ok(Self {
            cluster_id,
            node_id,
            directory_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> MetaFile {
        MetaFile {
            cluster_id: String::from("a-cluster"),
            node_id: 7,
            directory_id: Uuid([3; 16]),
        }
    }

    #[test]
    fn it_reads_back_what_it_wrote() {
        assert_eq!(MetaFile::decode(&meta().encode()), Ok(meta()));
    }

    #[test]
    fn no_prefix_and_no_changed_byte_is_taken_for_the_file() {
        let bytes = meta().encode();
        for length in 0..bytes.len() - 1 {
            assert!(MetaFile::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() - 1 {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(MetaFile::decode(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_later_format_is_named() {
        let error = MetaFile::decode(b"format=2\ncrc32c=0\n").unwrap_err();
        assert!(error.contains("format 2") && error.contains("format 1"), "{error}");
    }
}
