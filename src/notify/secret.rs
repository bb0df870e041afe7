//! What is told to a server and to nobody else: neither a log nor a status shows it.

use std::fmt;

/// A password, a token, or a header that may be one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What is not to be shown.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// For whoever it is meant for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
