//! The other end of [`crate::reach::runner`]: apart from it, because it looks for processes as the checks do.

pub mod serve;

#[cfg(test)]
pub(super) mod tests;
