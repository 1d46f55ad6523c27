//! Arms: which of its two versions a part of a woven program runs.

use serde::{Deserialize, Serialize};

/// How many parts a woven program may have: they are numbered by a `u8`.
pub const PARTS_MAX: usize = 256;

/// The version that a part runs in one request.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// As it was before the change.
    #[default]
    Before,
    /// As the change has it.
    After,
}
