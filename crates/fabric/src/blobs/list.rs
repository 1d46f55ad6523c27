//! The list of the pieces of a blob, as bytes; `docs/formats/blobs.md` describes them.

use belay_model::Hash;

/// Names the format and its version.
const MARK: &[u8; 8] = b"blypcs\x00\x01";
/// Hash and length.
const ENTRY: usize = 32 + 4;
/// Pieces of one blob.
pub(super) const PIECES_MAX: usize = 65_536;

/// Hash and length of each piece, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PieceList(pub(super) Vec<(Hash, u32)>);

impl PieceList {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MARK.to_vec();
        for (hash, length) in &self.0 {
            bytes.extend(hash.as_bytes());
            bytes.extend(length.to_le_bytes());
        }
        // A list that lost its end would be a list too.
        bytes.extend(Hash::of(&bytes).as_bytes());
        bytes
    }

    /// `None` for anything that [`PieceList::encode`] does not give.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_last_chunk::<32>()?;
        let entries = content.strip_prefix(MARK)?;
        let fits = entries.len() % ENTRY == 0 && entries.len() / ENTRY <= PIECES_MAX;
        if !fits || Hash::of(content) != Hash::from_bytes(*sum) {
            return None;
        }
        let entry = |entry: &[u8]| {
            let (hash, length) = entry.split_first_chunk::<32>()?;
            Some((Hash::from_bytes(*hash), u32::from_le_bytes(length.try_into().ok()?)))
        };
        entries.chunks(ENTRY).map(entry).collect::<Option<_>>().map(Self)
    }

    /// Of the whole content.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, length)| u64::from(*length)).sum()
    }
}
