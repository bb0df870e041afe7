//! The pages of what is wrong with a configuration's file, its keys and its values: `V01xx`, `V02xx`. Each example is a
//! whole file that makes the mistake.

use super::{Code, Page};

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::FileUnread,
        meaning: "There is no file of this name, it is a directory, or this user may not read it.",
        importance: "The agent does not start without a configuration; one that runs keeps the one in force.",
        remedy: "Write the path of the file, or become a user that may read it. The agent reads /etc/vipd/vipd.yaml unless \
                 '--config' says otherwise.",
        example: "$ vipctl check /etc/vipd/vipd.yml\n\
                  /etc/vipd/vipd.yml: cannot be read: No such file or directory (os error 2)\n\
                  [V0101]\n\
                  1 problem",
    },
    Page {
        code: Code::NotText,
        meaning: "A configuration is at most 1 MiB of UTF-8. This file is longer, or has bytes that are no UTF-8, most likely \
                  Latin-1 in a comment.",
        importance: "Nothing in it can be trusted to be what its author saw on the screen.",
        remedy: "Save it as UTF-8; 'iconv -f latin1 -t utf-8' converts it. If it is long, it is probably another file.",
        example: "$ vipctl check photo.jpg\nphoto.jpg: is not UTF-8 in line 1; save it as UTF-8 [V0102]\n1 problem",
    },
    Page {
        code: Code::Syntax,
        meaning: "Indentation, a quote, a bracket or a colon is not where YAML wants it, so that nothing after it can be \
                  understood.",
        importance: "Nothing of the file is used.",
        remedy: "Look at the line and the column that are named, and at the line before: keys of one level begin in one \
                 column, with spaces and no tabs, and a text with ': ' in it stands in quotes.",
        example: "instances:\n\tweb: { interface: eth0 }",
    },
    Page {
        code: Code::BeyondTrees,
        meaning: "Aliases, tags and a second document are YAML, and are refused here.",
        importance: "With them a line means something that stands elsewhere, which is seen too late in a file that decides who \
                     answers for an address.",
        remedy: "Write the value out where it belongs.",
        example: "instances:\n  web: &one { interface: eth0, virtual_router_id: 51,\n              addresses: [192.0.2.10/24] }\n  db: *one",
    },
    Page {
        code: Code::KeyTwice,
        meaning: "One set of keys has the same key twice.",
        importance: "Most readers of YAML take the last one without a word, and its author looks at the first.",
        remedy: "Keep the one that is meant.",
        example: "instances:\n  web: { interface: eth0, interface: eth1, virtual_router_id: 51,\n         addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::FileEmpty,
        meaning: "There is nothing in the file but comments and blank lines.",
        importance: "An agent without instances guards nothing; an empty file is most likely one that was not written to its \
                     end.",
        remedy: "Write at least one instance. vipd.yaml(5) begins with an example.",
        example: "# instances: {}",
    },
    Page {
        code: Code::Unexplained,
        meaning: "Something is wrong, and the program cannot say what: a mistake in vipd itself.",
        importance: "The file is not used.",
        remedy: "Report it, with the file.",
        example: "vipd.yaml: cannot be understood, and the reason is not known [V0107]",
    },
    Page {
        code: Code::UnknownKey,
        meaning: "No key of this name is known in this place. It may be misspelt, stand one level too deep, or belong to a \
                  newer version.",
        importance: "A key that were skipped would be a setting that everybody believes in and nobody has.",
        remedy: "Take one of the keys that are listed; the nearest one is suggested.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: [192.0.2.10/24],\n         prioriti: 150 }",
    },
    Page {
        code: Code::KeyMissing,
        meaning: "A key without which the rest means nothing is not there.",
        importance: "There is no value that were right for everybody, so none is assumed.",
        remedy: "Write the key; the message has an example of it.",
        example: "instances:\n  web: { interface: eth0, addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::NoValue,
        meaning: "A key has no value, or a list has no entries where one is needed.",
        importance: "It is seldom meant: what belongs there was forgotten, or is indented too little.",
        remedy: "Write the value, or remove the key to have the default.",
        example: "instances:\n  web: { interface: , virtual_router_id: 51, addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::WrongShape,
        meaning: "A value is a list, a plain text or a set of keys, and should be another of the three.",
        importance: "Guessing would turn one mistake into another.",
        remedy: "Write it as the message shows: [a, b] is a list, { key: value } a set of keys.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 51, addresses: 192.0.2.10/24 }",
    },
    Page {
        code: Code::BadValue,
        meaning: "The value is none that this key can have: no number, a number outside of what is possible, no address, no \
                  duration, or a word that is not among those known.",
        importance: "What cannot be carried in an advert, or be done by the kernel, would be something else on the wire.",
        remedy: "Write a value as the message says. Durations have a unit: 100ms, 1.5s, 2m, 1h.",
        example: "instances:\n  web: { interface: eth0, virtual_router_id: 300,\n         addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::BadName,
        meaning: "A name of an instance, a group, a check, a link, a header or a key has characters that it cannot have, or \
                  is too long.",
        importance: "Names stand in logs, paths and command lines, where others would be read as something else.",
        remedy: "Write 1 to 64 letters, digits, '_', '.' or '-'; the message says if it is less.",
        example: "instances:\n  web server: { interface: eth0, virtual_router_id: 51,\n                addresses: [192.0.2.10/24] }",
    },
    Page {
        code: Code::TooMany,
        meaning: "A list has more entries than one instance can serve.",
        importance: "Each peer costs a packet for each advert.",
        remedy: "Write fewer, or use multicast.",
        example: "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n    addresses: [192.0.2.10/24]\n    \
                  unicast: { peers: PEERS }",
    },
    Page {
        code: Code::NamedFile,
        meaning: "A password, a key, a program or a priority stands in a file of its own, which cannot be read or run, is \
                  open to others, or has something else in it.",
        importance: "Without its secret a node hears nobody and becomes a second master; a program that others can change \
                     would run with the agent's rights.",
        remedy: "See that the file exists, has what belongs there, and belongs to root: 'chmod 600' for secrets, 'chmod go-w' \
                 for programs and the directories above them. For 'priority_file' it is a warning, and the configured \
                 priority counts until then.",
        example: "instances:\n  web:\n    interface: eth0\n    virtual_router_id: 51\n    addresses: [192.0.2.10/24]\n    \
                  version: 2\n    authentication: { type: simple, password_file: /nowhere/password }",
    },
];
