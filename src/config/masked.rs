//! A configuration file for others' eyes: as it was written, comments included, but for what is secret in it. Apart,
//! because it must also do with a file that is wrong: what cannot be told from a secret is one.

use std::collections::BTreeSet;

use super::tree::{self, Scalar};
use super::{authentication, hmac};

/// What stands where a secret stood.
pub const MASK: &str = "***";

/// A file without its secrets, and what they were, for whoever looks for them elsewhere.
#[derive(Debug)]
pub struct Masked {
    /// The file.
    pub text: String,
    /// The secrets, the longest first.
    pub secrets: Vec<String>,
}

/// Shorter ones are no use in looking for them elsewhere: they stand everywhere.
const TELLING: usize = 5;
/// Nor is a mere word, unless it is so long.
const WORD: usize = 12;
/// A part of a webhook's path that is so long is no word.
const TOKEN: usize = 16;

/// Masks what is secret in a file. None: nobody can tell what is, for it is not YAML.
pub fn masked(text: &str) -> Option<Masked> {
    let text = text.trim_start_matches('\u{feff}');
    let mut secrets = BTreeSet::new();
    let mut shown = String::new();
    let characters: Vec<char> = text.chars().collect();
    let mut from = 0;
    for scalar in tree::scalars(text)? {
        let Some(instead) = instead(&scalar, &mut secrets) else { continue };
        shown.extend(characters.get(from..scalar.place.start)?);
        shown.push('"');
        shown.push_str(&instead);
        shown.push('"');
        if characters.get(scalar.place.clone())?.contains(&'\n') {
            // A text of several lines ends with its last line.
            shown.push('\n');
        }
        from = scalar.place.end;
    }
    shown.extend(characters.get(from..)?);
    let mut secrets: Vec<String> = secrets.into_iter().filter(|secret| is_telling(secret)).collect();
    secrets.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
    let text = shown.lines().fold(String::new(), |text, line| text + &comment(line) + "\n");
    let mut masked = Masked { text, secrets };
    masked.text = masked.scrubbed(&masked.text);
    Some(masked)
}

impl Masked {
    /// A text without the secrets of this file.
    pub fn scrubbed(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

/// Whether a secret can be told from what stands everywhere.
fn is_telling(secret: &str) -> bool {
    let is_word = secret.bytes().all(|byte| byte.is_ascii_lowercase());
    secret.len() >= if is_word { WORD } else { TELLING }
}

/// What is shown instead of a scalar, if it may not be shown; `secrets` gets what is hidden of it.
fn instead(scalar: &Scalar, secrets: &mut BTreeSet<String>) -> Option<String> {
    let text = scalar.text.as_str();
    if text.is_empty() || !is_secret(scalar) {
        let shown = url(text, is_webhook(scalar), secrets);
        return (shown != text).then_some(shown);
    }
    // A text of several lines is looked for line by line, for it may be indented.
    secrets.extend(text.lines().map(|line| line.trim().to_owned()));
    let digits = text.strip_prefix("hex:");
    secrets.extend(digits.map(str::to_owned));
    Some(MASK.to_owned())
}

/// What the configuration reads as a secret, and what somebody may have meant as one.
fn is_secret(scalar: &Scalar) -> bool {
    let Some((last, before)) = scalar.path.split_last() else { return false };
    let within = |name: &str| before.iter().any(|key| key == name) || last == name;
    if scalar.is_key {
        // A key that was taken for its number.
        return last == "keys" && !scalar.text.bytes().all(|byte| byte.is_ascii_digit());
    }
    if within("authentication") {
        let known = [authentication::KEYS, hmac::KEYS, hmac::KEY, &["password_file"]].concat();
        let is_path = scalar.text.starts_with('/') || !last.ends_with("file");
        return last == "keys" || last == "authentication" || !known.contains(&last.as_str()) || !is_path;
    }
    let last = last.to_ascii_lowercase();
    if last.ends_with("_file") {
        // A path, or the secret itself by mistake.
        return named(&last) && !scalar.text.starts_with('/');
    }
    within("headers") || named(&last)
}

/// Whether a key is called as keys of secrets are.
fn named(key: &str) -> bool {
    let words = ["pass", "secret", "token", "credential", "authorization", "api_key", "apikey"];
    words.iter().any(|word| key.contains(word))
}

/// Who may post there is often told by nothing but the path.
fn is_webhook(scalar: &Scalar) -> bool {
    scalar.path.iter().any(|key| key == "webhook")
}

/// A URL without user, password and query, and without its path if that is one, too; anything else as it is.
fn url(text: &str, hides_path: bool, secrets: &mut BTreeSet<String>) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let mut hidden = Vec::new();
    let host = match authority.rsplit_once('@') {
        None => authority.to_owned(),
        Some((user, host)) => {
            hidden.push(user);
            hidden.extend(user.split(':'));
            format!("{MASK}@{host}")
        }
    };
    let (path, query) = tail.split_at(tail.find(['?', '#']).unwrap_or(tail.len()));
    let mut shown = format!("{scheme}://{host}");
    if hides_path && path.len() > 1 {
        // Alone it may be a word as any other.
        secrets.insert(format!("{host}{path}"));
        hidden.extend(path.split('/').filter(|part| part.len() >= TOKEN));
        shown.push('/');
        shown.push_str(MASK);
    } else {
        shown.push_str(path);
    }
    if query.len() > 1 {
        hidden.push(&query[1..]);
        shown.push_str(&query[..1]);
        shown.push_str(MASK);
    }
    secrets.extend(hidden.into_iter().map(str::to_owned));
    shown
}

/// A line whose comment tells no secret: what follows a word for one and a colon is not shown, and no user of a URL.
fn comment(line: &str) -> String {
    let start = line
        .char_indices()
        .find(|&(at, c)| c == '#' && line[..at].chars().next_back().is_none_or(char::is_whitespace));
    let Some((start, _)) = start else { return line.to_owned() };
    let lower = line.to_ascii_lowercase();
    let words = ["password", "secret", "token", "authorization", "cookie", "hex"];
    let named = words.iter().filter_map(|word| {
        let at = start + lower.get(start..)?.find(&format!("{word}:"))?;
        Some(at + word.len() + 1)
    });
    let urls = lower.get(start..).and_then(|text| text.find("://")).map(|at| start + at + 3);
    let url =
        urls.filter(|at| line[*at..].split_whitespace().next().is_some_and(|word| word.contains(['@', '?'])));
    match named.chain(url).min() {
        Some(at) => format!("{} {MASK}", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        masked(text).unwrap().text
    }

    #[test]
    fn what_is_no_secret_stays_as_it_was_written() {
        let text = include_str!("../../etc/full.yaml");
        let masked = masked(text).unwrap();
        let changed: Vec<_> = text.lines().zip(masked.text.lines()).filter(|(was, is)| was != is).collect();
        assert_eq!(text.lines().count(), masked.text.lines().count());
        for (was, is) in &changed {
            assert!(is.contains(MASK), "{was} became {is}");
        }
        let lines: Vec<_> = changed.iter().map(|(was, _)| was.trim().split(':').next().unwrap()).collect();
        assert!(lines.contains(&"url") && lines.contains(&"password") && lines.contains(&"1"), "{lines:?}");
        assert!(changed.len() < 8, "{changed:?}");
    }

    #[test]
    fn every_secret_of_a_configuration_is_masked_however_it_is_written() {
        let text = "\
# password: Alpha-1, and https://Bravo-2@hooks.example.org/x
instances:
  web:
    authentication: { type: hmac, keys: { 1: 'hex:Charlie-3', 2: \"Delta-4\", Echo-5: x, 3: { file: /etc/k } } }
    notify: { webhook: 'https://Foxtrot-6:Golf-7@hooks.example.org/services/Hotel-8?t=India-9' }
  mail:
    authentication:
      type: simple
      password: |
        Juliett-10
      pasword: Kilo-11
notify:
  webhook: { url: https://hooks.example.org/Lima-12, headers: { X-Team: Mike-13 }, token: November-14, token_file: Romeo-18 }
checks:
  a: { http: 'http://Oscar-15@127.0.0.1/?Papa-16' }
mail: { password: Quebec-17, password_file: /etc/vipd/mail.password }
";
        let masked = masked(text).unwrap();
        let words = [
            "Alpha", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett",
            "Kilo", "Lima", "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo",
        ];
        for word in words {
            assert!(!masked.text.contains(word), "{word}\n{}", masked.text);
        }
        for kept in ["type: hmac", "/etc/k", "hooks.example.org", "/etc/vipd/mail.password", "127.0.0.1"] {
            assert!(masked.text.contains(kept), "{kept}\n{}", masked.text);
        }
        assert_eq!(masked.scrubbed("said Delta-4 in /Lima-12"), "said *** in /Lima-12");
        assert_eq!(masked.scrubbed("to https://hooks.example.org/Lima-12"), "to https://***");
    }

    #[test]
    fn what_is_not_yaml_is_not_shown_at_all() {
        for text in ["a: 'x", "a: [1}\n", "? [a]\n: b\n", "a: b: c\n"] {
            assert!(masked(text).is_none(), "{text}");
        }
        assert_eq!(shown("\u{feff}é: {password: ü}\n"), "é: {password: \"***\"}\n");
    }
}
