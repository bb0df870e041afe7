//! The state file that an earlier agent left. What is read from it is written and read again the same, and an engine
//! that inherits it goes on, whatever it says.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vipd::agent::state::{NAME, read, write};
use vipd::config::{self, Config};
use vipd::engine::Engine;
use vipd::engine::action::{Action, KernelWork};
use vipd::engine::event::{Event, Held, Link, LinkAddress, Opened, Picture};
use vipd::engine::inheritance::{Estate, Inheritance};
use vipd::net::{LinkIndex, Mac};
use vipd::time::{Duration, Instant};

const BOOT: &str = "fuzz";
const NOW: Instant = Instant::from_nanos(1_000_000_000_000);
/// How many actions come of one event: some for each thing that an input has room for.
const MOST: usize = 1024;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let text = "
instances:
  web:
    interface: eth0
    virtual_router_id: 51
    addresses: [192.0.2.10/24, '2001:db8::10/64']
    advert_interval: 100ms
    track: { nginx: fault }
checks:
  nginx: { tcp: '127.0.0.1:80' }
";
    config::parse(text, "fuzz.yaml").expect("it is right")
});

fuzz_target!(|text: &[u8]| {
    let scratch = Scratch::new();
    fs::write(scratch.0.join(NAME), text).expect("the directory is ours");
    let found = match read(&scratch.0, BOOT, NOW) {
        Ok(state) => state.expect("there is a file"),
        Err(why) => return assert!(!why.to_string().is_empty()),
    };
    write(&scratch.0, BOOT, &found).expect("the directory is ours");
    let again = read(&scratch.0, BOOT, NOW).expect("what is written is read");
    assert_eq!(again.as_ref(), Some(&found));
    go_on(found);
});

/// An engine inherits it, all leases alive, on a host where everything is as it was left.
fn go_on(mut left: Inheritance) {
    for estate in left.instances.iter_mut().filter_map(|instance| instance.estate.as_mut()) {
        revive(estate);
    }
    let picture = picture(&left);
    let mut engine = Engine::inheriting(NOW, CONFIG.settings.clone(), left);
    give(&mut engine, NOW, Event::Picture(picture));
    let mut now = NOW;
    for _ in 0..8 {
        give(&mut engine, now, Event::Tick);
        give(&mut engine, now, Event::Silence { until: now });
        drop((engine.status(now), engine.bequest()));
        let Some(due) = engine.deadline() else { return };
        assert!(due > now, "due at {due:?} after a turn at {now:?}");
        now = due;
    }
}

/// Hands an event over, and does what is asked for.
fn give(engine: &mut Engine, now: Instant, event: Event<'_>) {
    let mut actions = Vec::new();
    engine.handle(now, event, &mut actions);
    let mut done = 0;
    while let Some(action) = actions.get(done).cloned() {
        done += 1;
        assert!(done <= MOST, "one thing follows another without an end");
        match action {
            Action::Kernel(KernelWork::Hold(hold)) => {
                let (instance, generation) = (hold.instance, hold.generation);
                let held = Held { instance, generation, refused: Vec::new(), refused_paths: Vec::new() };
                engine.handle(now, Event::Held(held), &mut actions);
            }
            Action::Kernel(KernelWork::Listen(listen)) if listen.groups.is_some() => {
                let (endpoint, generation) = (listen.endpoint, listen.generation);
                engine.handle(
                    now,
                    Event::Opened(Opened { endpoint, generation, refused: None }),
                    &mut actions,
                );
            }
            Action::Kernel(_) | Action::Send(_) | Action::Tell(_) => {}
        }
    }
}

fn revive(estate: &mut Estate) {
    for place in &estate.places {
        estate.leases.insert(place.net.family(), NOW + Duration::from_millis(300));
    }
}

/// The links that the addresses were on, and the addresses.
fn picture(left: &Inheritance) -> Picture {
    let link = |index, name: &str| Link {
        index,
        name: name.to_owned(),
        mac: Some(Mac([2, 0, 0, 0, 0, 5])),
        mtu: 1500,
        up: true,
        set_up: true,
        virtual_link: None,
    };
    let eth0 = LinkIndex(2);
    let own = ["192.0.2.5/24", "fe80::5/64"].map(|net| net.parse().expect("it is right"));
    let mut addresses =
        own.map(|net| LinkAddress { link: eth0, net, ours: false, usable: true, peer: None }).to_vec();
    let estates = left.instances.iter().filter_map(|instance| instance.estate.as_ref());
    let places = estates.flat_map(|estate| &estate.places);
    addresses.extend(places.map(|place| LinkAddress {
        link: place.link,
        net: place.net,
        ours: true,
        usable: true,
        peer: None,
    }));
    Picture { links: vec![link(eth0, "eth0")], addresses }
}

/// A directory of its own, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        // In memory: a disk makes sure of a file that takes another one's place, a hundred times slower.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
        let path = memory.unwrap_or_else(std::env::temp_dir);
        let path = path.join(format!("vipd-fuzz-state-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the host has room");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the directory is ours");
    }
}
