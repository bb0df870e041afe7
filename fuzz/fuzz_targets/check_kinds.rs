//! The texts that say what a check looks at, and how often. What is taken means the same when it is shown and read
//! again, and can be asked for.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use hyper::Uri;
use hyper::header::HeaderValue;
use libfuzzer_sys::fuzz_target;
use vipd::check::http::{Method, StatusRange};
use vipd::config::parse;
use vipd::net::IpNet;
use vipd::reach::connect::{Endpoint, Host};
use vipd::reach::url::Url;
use vipd::time::Duration;

fuzz_target!(|text: &str| {
    round_trip::<Endpoint>(text);
    round_trip::<Host>(text);
    round_trip::<StatusRange>(text);
    round_trip::<IpNet>(text);
    drop(text.parse::<Method>());
    if let Some(url) = round_trip::<Url>(text) {
        assert_ne!(url.endpoint.port, 0);
        url.path.parse::<Uri>().expect("it can be asked for");
        HeaderValue::from_str(&url.authority()).expect("it can be asked of");
    }
    interval(text);
});

fn round_trip<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<T> {
    let read: T = text.parse().ok()?;
    let shown = read.to_string();
    assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&read), "'{text}' is shown as '{shown}'");
    Some(read)
}

/// A duration, where only the configuration reads them.
fn interval(text: &str) {
    if text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        return;
    }
    let file = format!(
        "instances: {{ web: {{ interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24], track: {{ it: fault }} }} }}\n\
         checks: {{ it: {{ process: nginx, timeout: 10ms, interval: \"{text}\" }} }}\n"
    );
    if let Ok(config) = parse(&file, "fuzz.yaml") {
        let interval = config.checks[0].interval;
        assert!(interval >= Duration::from_millis(10), "{interval:?}");
        assert!(interval <= Duration::from_secs(24 * 3600), "{interval:?}");
    }
}
