//! Floor 6: the threads, and what passes between them.
//!
//! | module | what it is |
//! |---|---|
//! | [`run`] | the agent from start to end: which threads there are and in which order they end |
//! | [`protocol`] | the thread that owns the engine and never waits |
//! | [`mail`] | the bounded ways between the protocol thread and its workers |
//! | [`route`] | the thread that installs addresses and opens sockets |
//! | [`announce`] | the thread that announces addresses |
//! | [`gate`] | the thread that settles what addresses may answer, and for how long |
//! | [`realtime`] | threads that go before others, if asked for |
//! | [`post`] | the bounded ways between the protocol thread and the service thread |
//! | [`heartbeat`] | whether every thread still turns |
//! | [`service`] | the thread for everything that may wait; below is what it does |
//! | [`checks`] | runs the checks and judges their results |
//! | [`notifications`], [`told`] | what others are told, and what an earlier agent told them |
//! | [`reload`] | reads the configuration again, all or nothing |
//! | [`statuses`] | asks the engine how things stand, not too often |
//! | [`explain`], [`plan`] | why things are as they are, and what would become of them |
//! | [`report`], [`view`] | the report that everybody reads, and how it is made |
//! | [`history`], [`record`] | what happened, and how it reads |
//! | [`archive`], [`changes`] | the same on disk, and what changed of states |
//! | [`drains`] | which instances are kept away from this node, and until when |
//! | [`api`], [`connection`], [`runtime_dir`] | the control API, its clients, its sockets |
//! | [`capture`] | what is made of each packet, for whoever looks on |
//! | [`metrics`], [`listening`] | the report as metrics, and the TCP port where they are served, too |
//! | [`page`] | the same for people with a browser |
//! | [`sole`] | one agent in a network namespace |
//! | [`state`], [`inherit`], [`bequeath`] | what one agent leaves to the next: the file, how it is read, how it is kept |
//! | [`sequences`] | where signatures have got to |
//! | [`ending`] | how far the end has come |
//! | [`upgrade`] | another program in this one's place |
//! | [`flush`] | taking away what a dead agent left |
//! | [`signals`] | what signals ask for |
//! | [`systemd`], [`log`], [`stamp`] | what systemd, the log and the calendar are told |

pub mod announce;
pub mod api;
pub mod archive;
pub mod bequeath;
pub mod capture;
pub mod changes;
pub mod checks;
pub mod connection;
pub mod drains;
pub mod ending;
pub mod explain;
pub mod flush;
pub mod gate;
pub mod heartbeat;
pub mod history;
pub mod inherit;
mod lateness;
pub mod listening;
pub mod log;
pub mod mail;
pub mod metrics;
pub mod notifications;
pub mod page;
mod perform;
pub mod plan;
pub mod post;
mod priorities;
pub mod protocol;
pub mod realtime;
pub mod record;
pub mod reload;
pub mod report;
pub mod route;
pub mod run;
pub mod runtime_dir;
pub mod sequences;
pub mod service;
pub mod signals;
pub mod sole;
pub mod stamp;
pub mod state;
pub mod statuses;
pub mod systemd;
pub mod told;
pub mod upgrade;
pub mod view;
