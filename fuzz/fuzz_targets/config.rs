//! Configuration files: whatever is written is either taken, and then an engine can begin with it, or refused with
//! problems that have a place and a sentence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vipd::config::{Severity, dangerous_changes, parse};
use vipd::engine::Engine;
use vipd::engine::event::{Event, Picture};
use vipd::time::Instant;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A file may name others to read; devices are left alone, some of them never end.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    let lines = text.chars().filter(|c| matches!(c, '\n' | '\r')).count() + 1;
    let config = match parse(text, "fuzz.yaml") {
        Ok(config) => config,
        Err(problems) => {
            assert!(problems.problems.iter().any(|problem| problem.severity == Severity::Error));
            for problem in &problems.problems {
                assert!(problem.line <= lines + 1, "{problem} in {lines} lines");
                assert!(!problem.what.is_empty());
            }
            assert!(problems.to_string().starts_with("fuzz.yaml:"));
            return;
        }
    };
    assert!(!config.settings.instances.is_empty());
    assert!(config.warnings.iter().all(|problem| problem.severity == Severity::Warning));
    assert!(dangerous_changes(&config, &config).is_empty());
    let now = Instant::from_nanos(1_000_000_000);
    let mut engine = Engine::new(now, config.settings);
    for event in [Event::Picture(Picture::default()), Event::Tick, Event::Silence { until: now }] {
        engine.handle(now, event, &mut Vec::new());
    }
    assert!(engine.deadline().is_none_or(|due| due > now), "due at once");
    drop(engine.status(now));
});
