//! The codes: the example of each page makes the mistake that the page explains, and nothing else.

use super::*;
use crate::codes::{Code, Page};

/// What no text makes by itself: it takes a file, or a fault of ours.
const OF_FILES: [Code; 5] =
    [Code::FileUnread, Code::NotText, Code::Unexplained, Code::SecretExposed, Code::UnseenProgram];

#[test]
fn every_example_makes_the_mistake_that_its_page_explains() {
    let peers: Vec<_> = (0..300).map(|n| format!("10.0.{}.{}", n / 200, n % 200 + 1)).collect();
    let of_texts = |page: &&Page| page.code.number() < 600 && !OF_FILES.contains(&page.code);
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in Page::all().filter(of_texts) {
        let text = page.example.replace("PEERS", &format!("[{}]", peers.join(", ")));
        let found: Vec<_> = problems(&text).iter().map(|problem| problem.code).collect();
        if found != [page.code] {
            wrong.push(format!("{}: {:#?}", page.code, said(&text)));
        }
        checked += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 30, "{checked}");
}

#[test]
fn what_takes_a_file_has_a_code_too() {
    let code = |problems: Problems| problems.problems[0].code;
    assert_eq!(code(load(Path::new("/nowhere/vipd.yaml")).unwrap_err()), Code::FileUnread);
    assert_eq!(code(load(Path::new("/")).unwrap_err()), Code::FileUnread);
    assert_eq!(code(load(Path::new("/bin/true")).unwrap_err()), Code::NotText);
    assert_eq!(code(parse(&"#".repeat(2 << 20), "f").unwrap_err()), Code::NotText);
}
