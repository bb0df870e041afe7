//! The pages of what does not go together, is probably not meant, or endangers the pair: `V03xx` to `V06xx`. Each example
//! is a whole file that makes the mistake, but for changes, of which there is no such file.

use super::{Code, Page};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::WrittenTwice,
        meaning: "An address, a peer, a source or a member is written twice, or a second one stands where one is all there can \
                  be.",
        importance: "One of the two was most likely meant to be another.",
        remedy: "Remove one, or correct it.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51,\n         \
                  addresses: [192.0.2.10/24, 192.0.2.10/32] }",
    },
    Page {
        code: Code::OneOf,
        meaning: "Exactly one of several keys says what is meant, and none of them is written, or more than one.",
        importance: "Without it there is nothing to do, and with two it cannot be known which one counts.",
        remedy: "Write one of those that the message lists.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  track: { nginx: -60 } }\nchecks:\n  nginx: { interval: 1s }",
    },
    Page {
        code: Code::Contradiction,
        meaning: "Two keys of one place say things that cannot both be so.",
        importance: "One of the two would silently have no effect.",
        remedy: "Remove the one that is not meant.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  preempt: false, preempt_delay: 30s }",
    },
    Page {
        code: Code::NothingToDo,
        meaning: "The key works on something that is not there: a certificate authority for http, a time for a program that is \
                  not run.",
        importance: "It has no effect, and whoever wrote it expects one.",
        remedy: "Remove it, or write what it belongs to.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  track: { nginx: -60 } }\nchecks:\n  nginx: { http: \"http://127.0.0.1/\", tls_verify: false }",
    },
    Page {
        code: Code::OtherFamily,
        meaning: "An IPv6 address or option stands with IPv4 ones, or the other way round, or one family has no peer.",
        importance: "IPv4 and IPv6 are two virtual routers that move together; each has its own sources, peers and routes.",
        remedy: "Write one of the family that is named, or remove it.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  unicast: { peers: [192.0.2.2, \"2001:db8::2\"] } }",
    },
    Page {
        code: Code::OtherVersion,
        meaning: "Version 2 of VRRP has no IPv6 and one form of checksum; version 3 has no passwords.",
        importance: "What an advert cannot carry, the peer cannot check.",
        remedy: "Remove it, or write the other 'version', on all nodes.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [\"fd00::10\"],\n         \
                  version: 2 }",
    },
    Page {
        code: Code::Owner,
        meaning: "An owner has the addresses as its own, all the time, and a priority of 255 that nothing changes.",
        importance: "What would move its priority, or put its addresses elsewhere, is no owner's.",
        remedy: "Write a priority from 1 to 254 if the address is to move, or remove the other key.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  priority: 255, last_resort: true }",
    },
    Page {
        code: Code::VirtualSource,
        meaning: "Adverts would come from, or go to, an address that moves with the instance, or a peer is this host itself.",
        importance: "The nodes would not hear each other, and both be master.",
        remedy: "Write the addresses that always stay on the hosts: this host's as 'source', the others' as 'peers'.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  unicast: { source: 192.0.2.10, peers: [192.0.2.2] } }",
    },
    Page {
        code: Code::Interval,
        meaning: "Version 2 carries whole seconds, from 1 to 255; version 3 carries multiples of 10 ms, up to 40.95 s.",
        importance: "Peers would expect other intervals than they get.",
        remedy: "Write an interval that the version has, the same on all nodes.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  advert_interval: 15ms }",
    },
    Page {
        code: Code::NobodyNamed,
        meaning: "A track, a group or another key names something that is not in this file.",
        importance: "A track of a check that is not there would never bring anything down.",
        remedy: "Write a name that there is; the nearest one is suggested. Or add what is named.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  track: { ngnix: -60 } }\nchecks:\n  nginx: { tcp: \"127.0.0.1:80\" }",
    },
    Page {
        code: Code::NameTaken,
        meaning: "An instance, a group or a link has this name already.",
        importance: "Orders such as 'vipctl step-down NAME', and the kernel, could not tell one from the other.",
        remedy: "Write another name.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10] }\n\
                  groups:\n  web: { members: [web] }",
    },
    Page {
        code: Code::SameRouter,
        meaning: "Two instances have the same interface, family and virtual_router_id.",
        importance: "On the wire they would be one virtual router with two addresses and two priorities.",
        remedy: "Write another virtual_router_id for one of them, on all nodes. One instance can have many addresses.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10] }\n  \
                  db: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.11/24] }",
    },
    Page {
        code: Code::SameAddress,
        meaning: "An address belongs to two instances, or to one and to 'static'.",
        importance: "It would be removed here when one of them loses it while the other still serves it.",
        remedy: "Keep it in one of them.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10] }\n  \
                  db: { interface: eth0, virtual_router_id: 52, addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::SamePath,
        meaning: "Two instances, or one and 'static', have what is one route or one rule to the kernel.",
        importance: "It would go with the first that goes.",
        remedy: "Write another metric or table for one of them, or keep it in one.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  routes: [{ to: 10.0.0.0/8, via: 192.0.2.1 }] }\n  \
                  db: { interface: eth0, virtual_router_id: 52, addresses: [192.0.2.11/24],\n        \
                  routes: [{ to: 10.0.0.0/8, via: 192.0.2.1 }] }",
    },
    Page {
        code: Code::SharedFifo,
        meaning: "The same FIFO is written in two places, with another reader, or with one in one place only.",
        importance: "A line that one reader has taken is no other's any more.",
        remedy: "Write the same 'fifo_reader' in both places, or two FIFOs.",
        example: "notify: { fifo: /run/a, fifo_reader: [/bin/cat] }\ninstances:\n  \
                  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  notify: { fifo: /run/a } }",
    },
    Page {
        code: Code::SecretExposed,
        meaning: "A password or a key is written in a configuration file that its group or everybody may read.",
        importance: "Whoever has it can send adverts that count, and take the addresses away.",
        remedy: "Put it into a file of its own, 'password_file' or '{ file: PATH }', or 'chmod 600' the configuration.",
        example: "$ vipctl check\n/etc/vipd/vipd.yaml:7:40: instances.web.authentication.password:\n\
                  warning: this password stands in a file that is open to group or others ..",
    },
    Page {
        code: Code::InClear,
        meaning: "A password, a token or the state of the instances can be read by whoever listens on the network.",
        importance: "The password of version 2 keeps a router out that is misconfigured, and no attacker.",
        remedy: "Use version 3 with 'authentication: { type: hmac, .. }', https, or an address of this host alone.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  version: 2, authentication: { type: simple, password: secret } }",
    },
    Page {
        code: Code::NoEffect,
        meaning: "This is allowed, and changes nothing: a check that nobody tracks, a weight that moves no one.",
        importance: "Whoever wrote it counts on it.",
        remedy: "Remove it, or write what makes it count; the message says what.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10] }\n\
                  checks:\n  nginx: { tcp: \"127.0.0.1:80\" }",
    },
    Page {
        code: Code::Clamped,
        meaning: "A priority ends at 1 and at 254. With the weights of its tracks this one would go beyond.",
        importance: "Two nodes that were meant to differ become equal, and the address with the higher number wins.",
        remedy: "Choose priorities and weights that leave room, for example 150 and 100 with weights of -60.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         \
                  priority: 50, track: { nginx: -60 } }\nchecks:\n  nginx: { tcp: \"127.0.0.1:80\" }",
    },
    Page {
        code: Code::UnsignedAccepted,
        meaning: "Signatures are configured, and adverts without one count all the same.",
        importance: "That is for the day on which nodes get their keys. Until it ends, signatures protect from nothing.",
        remedy: "Write 'mode: enforce' once all nodes sign.",
        example: "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n    addresses: [192.0.2.10/24]\n    \
                  authentication:\n      type: hmac\n      mode: permissive\n      \
                  keys: { 1: every-node-has-the-same-32-letters }",
    },
    Page {
        code: Code::UnequalGroup,
        meaning: "The members of a sync group go together, and have different priorities, or preempt differently.",
        importance: "With different priorities each of two nodes could win one member and lose another, and both give \
                     everything up. None takes over before all would: one with 'preempt: false' holds the others back.",
        remedy: "Write the same 'priority', 'preempt' and 'preempt_delay' for all members.",
        example: "instances:\n  \
                  in: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10],\n        priority: 150 }\n  \
                  out: { interface: eth1, virtual_router_id: 52, addresses: [10.0.0.1/24] }\n\
                  groups:\n  site: { members: [in, out] }",
    },
    Page {
        code: Code::UnseenProgram,
        meaning: "The user who checks this file may not look into the directory of a program that it names.",
        importance: "Whether it is there, and nobody else can change it, is judged by the agent again.",
        remedy: "Nothing, or run the check as root.",
        example: "$ vipctl check\n/etc/vipd/vipd.yaml:9:14: notify.script[0]: warning: ..",
    },
    Page {
        code: Code::PeersDeaf,
        meaning: "With this change a node sends adverts that nodes without it discard or do not hear.",
        importance: "Until all nodes have it there are two masters, and the addresses answer from both.",
        remedy: "Reload both nodes one right after the other with 'vipctl reload --force', or stop one of them, change both, \
                 and start it again.",
        example: "$ vipctl reload\n\
                  instance 'web': version changes from 2 to 3; peers discard adverts of the\n\
                  other version [V0601]\n\
                  until the other node has the same changes there will be two masters; ..",
    },
];
