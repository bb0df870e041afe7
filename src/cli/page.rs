//! `vipctl explain CODE`: what a code means, why it matters and what to do. Needs no agent.

use serde_json::{Value, json};

use super::Exit;
use super::output::{answer, complain};
use super::paragraph::wrapped;
use crate::agent::report::SCHEMA;
use crate::codes::{Code, Page};

/// Explains `name` if it is a code, or lists them all. None: it is something else.
pub(super) fn run(name: Option<&str>, as_json: bool, list: bool) -> Option<Exit> {
    if list {
        return Some(answer(&all(as_json), Exit::Ok));
    }
    let name = name?;
    let Ok(code) = name.parse::<Code>() else {
        return looks_like_one(name).then(|| {
            complain(&format!("there is no code '{name}'; 'vipctl explain --codes' lists them"));
            Exit::Usage
        });
    };
    let page = code.page()?;
    let text = if as_json { format!("{}\n", value(page)) } else { shown(page) };
    Some(answer(&text, Exit::Ok))
}

/// `V` and four digits, which no instance should be called.
fn looks_like_one(name: &str) -> bool {
    let digits = name.strip_prefix(['V', 'v']);
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn all(as_json: bool) -> String {
    if as_json {
        let codes: Vec<_> = Page::all().map(value).collect();
        return format!("{}\n", json!({"schema": SCHEMA, "codes": codes}));
    }
    let mut text = String::new();
    text.extend(Page::all().map(|page| format!("{}  {}\n", page.code, page.code.title())));
    text
}

fn shown(page: &Page) -> String {
    let mut text = format!("{}: {}.\n", page.code, page.code.title());
    for (label, sentences) in
        [("meaning", page.meaning), ("matters", page.importance), ("to do", page.remedy), ("example", "")]
    {
        text.push_str(&wrapped(&format!("  {label:7}  "), sentences));
    }
    text.extend(page.example.lines().map(|line| format!("    {line}\n")));
    text
}

fn value(page: &Page) -> Value {
    json!({
        "schema": SCHEMA,
        "code": page.code.to_string(),
        "title": page.code.title(),
        "meaning": page.meaning,
        "importance": page.importance,
        "remedy": page.remedy,
        "example": page.example,
    })
}
