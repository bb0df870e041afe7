//! Clients that hang, flood, send rubbish or never read.

use std::io::Write;
use std::time::Duration;

use vipd::engine::notice::What;
use vipd::sys::clock;

use super::fake::{Agent, answer, healthy, wait_until};

fn is_answered(agent: &Agent, socket: &str) -> bool {
    agent.http(socket, "GET", "/status", "").0 == 200
}

#[test]
fn half_a_request_is_cut_off_after_two_seconds() {
    let agent = Agent::start(healthy());
    for half in ["GET /sta", "GET /status HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = agent.connect("vipd.sock");
        stream.write_all(half.as_bytes()).unwrap();
        let begun = clock::now();
        let (status, _) = answer(stream);
        assert_ne!(status, 200);
        let took = clock::now().since(begun);
        assert!(took > Duration::from_millis(1500) && took < Duration::from_secs(6), "{took:?}");
    }
}

#[test]
fn a_body_that_does_not_come_is_cut_off_after_ten_seconds() {
    let agent = Agent::start(healthy());
    let mut stream = agent.connect("vipd.sock");
    stream.write_all(b"POST /reload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").unwrap();
    let begun = clock::now();
    assert_ne!(answer(stream).0, 200);
    assert!(clock::now().since(begun) < Duration::from_secs(14), "{:?}", clock::now().since(begun));
    assert!(agent.orders_so_far().is_empty());
}

#[test]
fn a_hundred_idle_clients_lock_nobody_out_for_long() {
    let agent = Agent::start(healthy());
    let idle: Vec<_> = (0..100).map(|_| agent.connect("status.sock")).collect();
    assert!(is_answered(&agent, "vipd.sock"), "the other socket has places of its own");
    let begun = clock::now();
    wait_until("a place", || is_answered(&agent, "status.sock"));
    assert!(clock::now().since(begun) < Duration::from_secs(6), "{:?}", clock::now().since(begun));
    let turned_away = idle.into_iter().map(answer).filter(|(status, _)| *status == 503).count();
    assert!(turned_away >= 30, "{turned_away} were told that there was no place");
}

#[test]
fn rubbish_harms_nobody() {
    let agent = Agent::start(healthy());
    let mut noise: u32 = 1;
    for length in [1, 3, 100, 5_000, 60_000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.to_be_bytes()[0]
            })
            .collect();
        for prefix in
            ["", "GET /status HTTP/1.1\r\n", "POST /reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"]
        {
            let mut stream = agent.connect("vipd.sock");
            // The agent may hang up before it has everything.
            let sent = stream.write_all(prefix.as_bytes()).and_then(|()| stream.write_all(&bytes));
            assert!(sent.is_ok() || !prefix.is_empty() || length > 100);
            stream.shutdown(std::net::Shutdown::Write).ok();
            assert_ne!(answer(stream).0, 200);
        }
    }
    assert!(is_answered(&agent, "vipd.sock"));
    assert!(agent.orders_so_far().is_empty());
}

#[test]
fn a_header_without_end_is_refused() {
    let agent = Agent::start(healthy());
    let mut stream = agent.connect("vipd.sock");
    let header = format!("GET /status HTTP/1.1\r\nX-Long: {}", "x".repeat(100_000));
    // The agent may hang up before it has everything.
    let sent = stream.write_all(header.as_bytes());
    let (status, _) = answer(stream);
    assert!(sent.is_err() || status != 200);
    assert!(is_answered(&agent, "vipd.sock"));
}

#[test]
fn a_follower_that_never_reads_holds_up_nobody() {
    let agent = Agent::start(healthy());
    let mut deaf = agent.connect("status.sock");
    deaf.write_all(b"GET /events?follow=true&since=0 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    for round in 0..20 {
        for _ in 0..500 {
            let why = "x".repeat(200);
            agent.tell("web", What::Check { check: "here".to_owned(), up: round % 2 == 0, why });
        }
        assert!(is_answered(&agent, "status.sock"));
    }
    let (status, events) = agent.http("status.sock", "GET", "/events?since=1", "");
    assert_eq!(status, 200);
    assert!(events.starts_with(r#"{"sequence":"#));
    assert!(events.lines().count() <= vipd::agent::history::ENTRIES + 1, "history is bounded");
}

#[test]
fn followers_beyond_the_limit_are_told_so_and_questions_still_answered() {
    let agent = Agent::start(healthy());
    let mut followers: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = agent.connect("status.sock");
            stream.write_all(b"GET /events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            stream
        })
        .collect();
    assert!(is_answered(&agent, "status.sock"));
    let refused = answer(followers.pop().unwrap());
    assert_eq!(refused.0, 503, "{}", refused.1);
}
