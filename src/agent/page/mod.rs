//! The status page: one HTML file with its style and its script in it, and how things stand when it is asked for.
//!
//! Apart from the control API that serves it, because here is what a browser may do with it: run this one script, apply
//! this one style, and ask the agent for [`live`] news; what comes from elsewhere is text.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use super::report::{Instance, Report, Role};
use crate::engine::notice::State;

pub mod live;

/// The file.
const PAGE: &str = include_str!("page.html");
/// Where the first state goes.
const FIRST: &str = "{first}";

/// The `Content-Security-Policy`: nothing but what the file itself brings along, by its hash.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash(inside("script")), hash(inside("style")));
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page with how things stand, or why nobody knows.
pub fn html(report: Result<&Report, &str>) -> String {
    let first = report.map_or_else(paragraph, first);
    PAGE.replacen(FIRST, &first, 1)
}

/// What `status` says in a terminal, for a browser without the script and for the moment before it runs.
fn first(report: &Report) -> String {
    let mut text = paragraph(&report.verdict());
    text.extend(report.problems.iter().map(|problem| paragraph(&format!("problem: {problem}"))));
    text.push_str("<section><table><caption>Instances</caption><thead><tr>");
    text.extend(
        ["Name", "State", "Since", "Held by", "Why"].map(|name| format!("<th scope=\"col\">{name}</th>")),
    );
    text.push_str("</tr></thead><tbody>");
    text.extend(report.instances.iter().map(row));
    text.push_str("</tbody></table></section>");
    text
}

fn row(one: &Instance) -> String {
    let holder = match (one.state, one.master()) {
        (Role::Master, _) => "this node".to_owned(),
        (_, Some(master)) => master.address.to_string(),
        (_, None) => "nobody is heard".to_owned(),
    };
    let state = State::from(one.state).to_string();
    let cells = [&state, &one.since.day_and_time(), &holder, &one.reason];
    let mut text = format!("<tr><th scope=\"row\">{}</th>", escaped(&one.name));
    text.extend(cells.map(|cell| format!("<td>{}</td>", escaped(cell))));
    text + "</tr>"
}

fn paragraph(text: &str) -> String {
    format!("<p>{}</p>", escaped(text))
}

/// Text that is text wherever it stands in HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// What stands between the two tags of an element that is there once.
fn inside(element: &str) -> &'static str {
    let after = PAGE.split_once(&format!("<{element}>")).map_or("", |(_, after)| after);
    after.split_once(&format!("</{element}>")).map_or("", |(inside, _)| inside)
}

/// SHA-256 in Base64, as a policy has it.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in Sha256::digest(text.as_bytes()).chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            coded.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
        coded.extend((three.len()..3).map(|_| '='));
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_others_write_it() {
        // printf '' | openssl dgst -sha256 -binary | base64, and the same of 'abc'.
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn the_file_has_one_script_one_style_one_place_for_the_state_and_nothing_from_elsewhere() {
        for (part, count) in [("<script", 1), ("<style", 1), (FIRST, 1), (" style=", 0), (" onclick", 0)] {
            assert_eq!(PAGE.matches(part).count(), count, "{part}");
        }
        assert!(inside("script").contains("EventSource") && inside("style").contains("prefers-color-scheme"));
        for word in
            ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "@import", "url("]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        let elsewhere = PAGE.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http:"), "a namespace is a name and no place");
    }

    #[test]
    fn what_comes_from_elsewhere_is_text() {
        let page = html(Err("<script>alert('\"&')</script>"));
        assert!(page.contains("<p>&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;</p>"));
    }
}
