//! What the kernel says over netlink: reports and dumps of links and addresses, acknowledgements. All of it is then told
//! to an engine, whose picture of the host it becomes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vipd::config::{self, Config};
use vipd::engine::Engine;
use vipd::engine::event::{Event, Picture};
use vipd::sys::netlink::{messages, outcome};
use vipd::sys::picture::change;
use vipd::time::{Duration, Instant};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "instances: { web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24, '2001:db8::10/64'] } }";
    config::parse(text, "fuzz.yaml").expect("it is right")
});

fuzz_target!(|datagram: &[u8]| {
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut engine = Engine::new(now, CONFIG.settings.clone());
    let mut actions = Vec::new();
    engine.handle(now, Event::Picture(Picture::default()), &mut actions);
    let (mut read, mut ended) = (0, false);
    for message in messages(datagram) {
        assert!(!ended, "nothing is read behind an error");
        let Ok(message) = message else {
            ended = true;
            continue;
        };
        read += 16 + message.payload.len();
        if let Err(failure) = outcome(&message) {
            assert_ne!(failure.errno, 0);
        }
        if let Ok(Some(change)) = change(message) {
            now = now + Duration::from_millis(700);
            engine.handle(now, Event::Change(change), &mut actions);
            engine.handle(now, Event::Tick, &mut actions);
            engine.handle(now, Event::Silence { until: now }, &mut actions);
            assert!(engine.deadline().is_none_or(|due| due > now), "due at once");
        }
    }
    assert!(read <= datagram.len());
    drop(engine.status(now));
});
