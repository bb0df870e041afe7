//! Mistakes in checks.

use super::*;

#[test]
fn a_check_looks_at_one_thing_and_http_has_the_most_to_say() {
    told(&[
        (
            checking("{ interval: 5s }"),
            &[
                "8:3: checks.c: nothing says what to check; write one of http, tcp, script, shell, process, file, value_file, ping, route, interface",
            ],
        ),
        (
            checking("{ tcp: 'x:1', file: /x }"),
            &[
                "8:26: checks.c.file: there is 'tcp' as well; a check looks at one thing, write a second check",
            ],
        ),
        (
            checking("nginx"),
            &[
                "8:6: checks.c: 'nginx' is no set of keys; write what to check, for example '{ http: \"http://127.0.0.1/\" }'",
            ],
        ),
        (
            checking("{ http: 127.0.0.1 }"),
            &[
                "8:14: checks.c.http: '127.0.0.1' is no http or https URL; write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH",
            ],
        ),
        (
            checking("{ http: 'http://x/', method: POST }"),
            &["8:35: checks.c.method: 'POST' is no method of a check; write GET or HEAD"],
        ),
        (
            checking("{ http: 'http://x/', status: [200, 3xx] }"),
            &[
                "8:41: checks.c.status[1]: '3xx' is no status; write a code from 100 to 599 or a range, for example 200-299",
            ],
        ),
        (
            checking("{ http: 'http://x/', method: HEAD, body: ok }"),
            &["8:47: checks.c.body: an answer to HEAD has no body; remove this, or write 'method: GET'"],
        ),
        (
            checking("{ http: 'http://x/', tls_verify: false }"),
            &["8:39: checks.c.tls_verify: does nothing for http; remove it, or write https"],
        ),
        (
            checking("{ http: 'http://x/', host: 'a b' }"),
            &[
                "8:33: checks.c.host: 'a b' is no host; write a name or an address, for example www.example.org",
            ],
        ),
    ]);
}

#[test]
fn the_other_kinds_say_what_they_look_at() {
    told(&[
        (
            checking("{ tcp: 127.0.0.1 }"),
            &[
                "8:13: checks.c.tcp: '127.0.0.1' has no port; write HOST:PORT, for example 127.0.0.1:80 or [::1]:80",
            ],
        ),
        (
            checking("{ script: /bin/x -q }"),
            &[
                "8:16: checks.c.script: '/bin/x -q' is no list; write [/bin/x, -q], or 'shell:' if a shell is to read it",
            ],
        ),
        (
            checking("{ script: [x] }"),
            &["8:17: checks.c.script[0]: 'x' is no absolute path; write one that begins with '/'"],
        ),
        (checking("{ shell: ' ' }"), &["8:15: checks.c.shell: is empty; write a text"]),
        (
            checking("{ process: nginx, count: 0 }"),
            &["8:31: checks.c.count: '0' is no number from 1 to 100000; write one"],
        ),
        (
            checking("{ file: x, exists: maybe }"),
            &[
                "8:14: checks.c.file: 'x' is no absolute path; write one that begins with '/'",
                "8:25: checks.c.exists: 'maybe' is not true or false; write true or false",
            ],
        ),
        (
            checking("{ file: /x, status: 200 }"),
            &[
                "8:18: checks.c.status: unknown key; it is for 'http' checks; known here: file, exists, interval, timeout, rise, fall, initial, up_delay, down_delay",
            ],
        ),
        (
            checking("{ interface: eth0, interval: 1s }"),
            &[
                "8:25: checks.c.interval: unknown key; the kernel tells of an interface by itself; known here: interface, up_delay, down_delay",
            ],
        ),
    ]);
}

#[test]
fn the_times_of_a_check_fit_into_each_other() {
    told(&[
        (
            checking("{ file: /x, timeout: 2s }"),
            &["8:27: checks.c.timeout: 2s is longer than the interval of 1s; write at most 1s"],
        ),
        (
            checking("{ file: /x, interval: 1ms }"),
            &["8:28: checks.c.interval: '1ms' is too short; write 10ms to 1h"],
        ),
        (
            checking("{ file: /x, interval: 1 }"),
            &["8:28: checks.c.interval: '1' has no unit; write 1ms, 1s, 1m or 1h"],
        ),
        (
            checking("{ file: /x, rise: 0, fall: two, initial: yes }"),
            &[
                "8:24: checks.c.rise: '0' is no number from 1 to 1000; write one",
                "8:33: checks.c.fall: 'two' is no number from 1 to 1000; write one",
                "8:47: checks.c.initial: 'yes' is no verdict; write up or down",
            ],
        ),
    ]);
}

#[test]
fn a_value_is_multiplied_and_nothing_else_is() {
    let tracking = |effect: &str, check: &str| {
        format!("{INSTANCE}    track: {{ c: {effect} }}\nchecks:\n  c: {check}\n")
    };
    let value = "{ value_file: /run/x }";
    for (effect, check) in [
        ("{ multiply: -254 }", value),
        ("fault", value),
        ("{ fault: true, reverse: true }", value),
        ("{ weight: 20, reverse: true }", "{ file: /x }"),
        ("{ weight: -20 }", "{ interface: eth1, up_delay: 2s, down_delay: 100ms }"),
    ] {
        assert_eq!(said(&tracking(effect, check)), [""; 0], "{effect}");
    }
    told(&[
        (
            tracking("-20", value),
            &[
                "6:14: instances.web.track.c: a 'value_file' has a value and not two states; write '{ multiply: 1 }' to add it, or '{ multiply: -20 }' if it is 0 or 1",
            ],
        ),
        (
            tracking("{ multiply: 2 }", "{ file: /x }"),
            &[
                "6:14: instances.web.track.c: only a 'value_file' has a value to multiply; write a weight or fault",
            ],
        ),
        (
            tracking("{ multiply: 0 }", value),
            &["6:29: instances.web.track.c.multiply: '0' multiplies nothing; write -254 to -1, or 1 to 254"],
        ),
        (
            tracking("{ multiply: 1, reverse: true }", value),
            &["6:41: instances.web.track.c.reverse: is for weights and faults; write 'multiply: -1'"],
        ),
        (
            tracking("{ weight: 20, fault: true }", "{ file: /x }"),
            &[
                "6:38: instances.web.track.c.fault: a check does one thing; write one of weight, fault, multiply",
            ],
        ),
        (
            tracking("{ reverse: true }", "{ file: /x }"),
            &["6:17: instances.web.track.c: says nothing that it does; write one of weight, fault, multiply"],
        ),
        (
            checking("{ value_file: /x, rise: 2, up_delay: 1s }"),
            &[
                "8:24: checks.c.rise: unknown key; a value counts as soon as it is read; known here: value_file, interval, timeout",
                "8:33: checks.c.up_delay: unknown key; a value counts as soon as it is read; known here: value_file, interval, timeout",
            ],
        ),
    ]);
}

#[test]
fn a_process_a_host_and_a_route_are_told_from_what_is_none() {
    told(&[
        (
            checking("{ process: x, count: 3, maximum: 2 }"),
            &["8:39: checks.c.maximum: 2 is less than the count of 3; write at least 3"],
        ),
        (
            checking("{ process: x, match: partial }"),
            &["8:27: checks.c.match: there is nothing to compare; write 'arguments', [] for none"],
        ),
        (
            checking("{ process: x, arguments: [-v], match: begins }"),
            &[
                "8:44: checks.c.match: 'begins' is no way to compare arguments; write exact, partial or prefix",
            ],
        ),
        (
            checking("{ ping: gateway }"),
            &["8:14: checks.c.ping: 'gateway' is no host's address; write one, for example 192.0.2.1"],
        ),
        (
            checking("{ ping: 'fe80::1' }"),
            &["8:14: checks.c.ping: fe80::1 is on every link; write 'interface' as well"],
        ),
        (
            checking("{ ping: 192.0.2.1, source: '2001:db8::1' }"),
            &["8:33: checks.c.source: 2001:db8::1 cannot ask 192.0.2.1; write an IPv4 address"],
        ),
        (
            checking("{ route: 10.0.0.1/8 }"),
            &[
                "8:15: checks.c.route: '10.0.0.1/8' is no network; write default or one without host bits, for example 10.0.0.0/8",
            ],
        ),
        (
            checking("{ route: '2001:db8::/32', via: 192.0.2.1 }"),
            &["8:37: checks.c.via: 192.0.2.1 is no gateway for 2001:db8::/32; write an IPv6 address"],
        ),
        (
            checking("{ route: default, table: mane }"),
            &[
                "8:31: checks.c.table: there is no table 'mane' in /etc/iproute2/rt_tables; write its number, or give that number the name there",
            ],
        ),
    ]);
    for check in [
        "{ process: x, maximum: 0, arguments: [] }",
        "{ ping: 'fe80::1', interface: eth0 }",
        "{ route: default, via: 'fe80::1', interface: eth0, table: 100 }",
    ] {
        assert_eq!(said(&checking(check)), [""; 0], "{check}");
    }
}
