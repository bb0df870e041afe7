//! The rise and fall of one check.

/// What a check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It may be relied on.
    Up,
    /// It may not.
    Down,
}
