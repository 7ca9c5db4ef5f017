//! Directions as the protocol writes them, read into those of `core`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vertskommune_core::directory::Direction;

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Inbound,
    Outbound,
    Both,
}

impl From<Word> for Direction {
    fn from(word: Word) -> Self {
        match word {
            Word::Inbound => Self::Inbound,
            Word::Outbound => Self::Outbound,
            Word::Both => Self::Both,
        }
    }
}

impl From<Direction> for Word {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::Inbound,
            Direction::Outbound => Self::Outbound,
            Direction::Both => Self::Both,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) fn write<S: Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    Word::from(*direction).serialize(serializer)
}

#[cfg(test)]
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Direction, D::Error> {
    Word::deserialize(deserializer).map(Direction::from)
}

/// `null` is a trust that is switched off.
pub(super) fn read_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Direction>, D::Error> {
    Ok(Option::<Word>::deserialize(deserializer)?.map(Direction::from))
}

pub(super) fn read_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Direction>, D::Error> {
    Ok(Vec::<Word>::deserialize(deserializer)?.into_iter().map(Direction::from).collect())
}
