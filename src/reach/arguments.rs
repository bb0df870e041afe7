//! What has to follow a program on its command line, for whoever looks for it: the agent, or the runner that it asks.

use serde::{Deserialize, Serialize};

/// What has to follow the program on the command line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arguments {
    /// The words; none: there must not be any.
    pub words: Vec<String>,
    /// How they are compared.
    pub matching: Matching,
}

/// How arguments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// These and no more.
    Exact,
    /// More may follow.
    Partial,
    /// More may follow, and the last of these may be the beginning of a longer one.
    Prefix,
}

impl Arguments {
    /// Whether these follow.
    pub fn fit(&self, found: &[&[u8]]) -> bool {
        let same = |count: usize| {
            self.words[..count].iter().zip(found).all(|(word, found)| word.as_bytes() == *found)
                && found.len() >= count
        };
        let all = self.words.len();
        match (self.matching, self.words.last()) {
            (Matching::Exact, _) => found.len() == all && same(all),
            (Matching::Partial, _) | (Matching::Prefix, None) => same(all),
            (Matching::Prefix, Some(last)) => {
                same(all - 1) && found.get(all - 1).is_some_and(|word| word.starts_with(last.as_bytes()))
            }
        }
    }
}
