//! The agent from start to end: what is opened before the threads exist, which threads there are, in which order they
//! end.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sys::signal::SigSet;

use super::announce::Announcer;
use super::archive::Archive;
use super::drains::Drains;
use super::ending::Ending;
use super::heartbeat::Heartbeats;
use super::inherit::Found;
use super::log::{self, Format};
use super::mail::{AnswerSender, Mailbox};
use super::protocol::Remains;
use super::realtime::Realtime;
use super::runtime_dir::{self, RuntimeDir};
use super::service::{self, Parts};
use super::sole::Sole;
use super::upgrade::{Program, Successor};
use super::{announce, gate, mail, post, protocol, route, sequences, signals};
use crate::config;
use crate::engine::Engine;
use crate::engine::action::RouterId;
use crate::engine::inheritance::Inheritance;
use crate::engine::settings::Settings;
use crate::engine::signing::Signed;
use crate::sys::vrrp_socket::VrrpSocket;
use crate::sys::{capabilities, clock, handed};

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// The configuration.
    pub config: PathBuf,
    /// Where the control sockets are.
    pub runtime_dir: PathBuf,
    /// Where history and drains are kept.
    pub state_dir: PathBuf,
    /// How log lines look.
    pub log_format: Format,
    /// The socket of the runner of scripts, if this process is not to run them itself.
    pub scripts_socket: Option<PathBuf>,
}

/// Why the agent did not start, or ended other than asked.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used\n{0}")]
    Configuration(config::Problems),
    /// Neither root nor the unit's rights.
    #[error("needs {}; run it as root, or with 'systemctl start vipd'", .0.join(" and "))]
    Rights(Vec<&'static str>),
    /// The runtime directory is not ours.
    #[error(transparent)]
    Directory(#[from] runtime_dir::Trouble),
    /// The system refused something.
    #[error("cannot {what}: {why}")]
    System {
        /// What was being done.
        what: &'static str,
        /// What came of it.
        why: io::Error,
    },
    /// The protocol thread ended by itself.
    #[error("the protocol thread ended by itself")]
    Ended,
    /// The protocol thread did not end when asked.
    #[error("the protocol thread does not end; addresses may be left behind")]
    Stuck,
}

/// Runs the agent until it is asked to end. The calling thread becomes the service thread. Returns the program that
/// this process is to become, if that was asked for.
pub fn run(options: Options) -> Result<Option<Successor>, Trouble> {
    let Options { config: path, runtime_dir, state_dir, log_format, scripts_socket } = options;
    // Before any thread: all are to inherit it.
    signals::signals(SigSet::thread_block);
    // Before any thread: the set belongs to the thread, and scripts shall have none of it.
    capabilities::keep_from_children().map_err(refused("keep the capabilities from scripts"))?;
    let config = config::load(&path).map_err(Trouble::Configuration)?;
    has_rights()?;
    // Before any thread: it changes the umask for a moment, and nobody shall see two agents at work.
    let mut directory = RuntimeDir::take(&runtime_dir)?;
    let log = log::start(log_format);
    let program = Program::own(&path, &runtime_dir).ok();
    let mut handed = handed::unpack();
    let sole = Sole::take(&mut handed);
    let sockets = handed.into_iter().filter_map(|fd| VrrpSocket::from_fd(fd).ok()).collect();
    // What is there belongs to another agent, if one runs.
    let found = if sole.obstacle().is_none() { Found::look(directory.path()) } else { Found::default() };
    let verdicts = found.inheritance.checks.clone();
    let node = nix::unistd::gethostname().map_err(refused("read the host's name"))?;
    let mut heartbeats = Heartbeats::new();
    let pulse = heartbeats.register("protocol");
    let (post, inbox) = post::requests().map_err(refused("open the way to the protocol thread"))?;
    let (notices, reader) = post::notices();
    let drains = Drains::begin(&state_dir, &post, &config);

    let (answering, answers) = mail::answers().map_err(refused("open the way to the protocol thread"))?;
    let gate_trouble = gate::Trouble::default();
    let terms = found.terms;
    let workers = Workers::start(&answering, &mut heartbeats, &gate_trouble, terms, sockets, sole.clone())?;
    // The workers have the others: once they have ended, nobody answers any more.
    drop(answering);
    let parts = protocol::Parts {
        engine: engine(config.settings.clone(), found.inheritance, directory.path(), &sole),
        inbox,
        notices,
        route: workers.mailbox.clone(),
        announcer: workers.announcer.clone(),
        gate: workers.orders.clone(),
        answers,
        heartbeat: pulse.clone(),
    };
    let protocol = protocol::spawn(parts).map_err(refused("start the protocol thread"))?;
    let realtime = Realtime::begin(config.realtime, &protocol, &workers.threads());

    let lines_dropped = Some(log.lines_dropped());
    let parts = Parts {
        node: node.to_string_lossy().into_owned(),
        path,
        config,
        post,
        notices: reader,
        heartbeats,
        protocol: pulse,
        gate: gate_trouble,
        unguarded: sole.warning(),
        realtime,
        verdicts,
        runner: scripts_socket.map(Arc::new),
        program: program.clone(),
        archive: Archive::begin(&state_dir),
        drains,
        lines_dropped,
    };
    let ending = service::run(parts, &mut directory).map_err(refused("run the service thread"))?;
    if ending == Ending::Stuck {
        return Err(Trouble::Stuck);
    }
    let remains = protocol.join();
    // What stands in the kernel may be for the program that follows, or another agent's.
    let leaving = matches!(ending, Ending::HandedOn | Ending::Upgrade) || sole.obstacle().is_some();
    let whole = workers.end(leaving);
    match remains {
        Ok(Remains { sockets, signed }) if whole && ending != Ending::Unasked => {
            leave_sequences(&signed, directory.path(), &sole);
            let program = program.filter(|_| ending == Ending::Upgrade);
            Ok(program.map(|program| program.with(sockets, sole)))
        }
        Ok(_) | Err(_) => Err(Trouble::Ended),
    }
}

fn has_rights() -> Result<(), Trouble> {
    let missing = capabilities::missing().map_err(refused("read the capabilities"))?;
    if missing.is_empty() { Ok(()) } else { Err(Trouble::Rights(missing)) }
}

/// The engine, with what was left to it. What is there belongs to another agent, if one runs.
fn engine(settings: Settings, inheritance: Inheritance, directory: &Path, sole: &Sole) -> Engine {
    let now = clock::now();
    let mut engine = Engine::inheriting(now, settings, inheritance);
    if sole.obstacle().is_none() {
        engine.remember(now, sequences::read(directory, now));
    }
    engine
}

fn leave_sequences(signed: &[Signed], directory: &Path, sole: &Sole) {
    if sole.obstacle().is_none()
        && let Err(error) = sequences::write(directory, signed)
    {
        tracing::warn!(%error, "cannot write {}", sequences::NAME);
    }
}

/// The threads that may wait for the kernel, and the ways to them.
struct Workers {
    mailbox: Arc<Mailbox>,
    route: JoinHandle<()>,
    announcer: Announcer,
    announce: JoinHandle<()>,
    orders: Arc<Mailbox>,
    gate: JoinHandle<()>,
}

impl Workers {
    /// Starts them; leases of these terms may live, and these sockets are there already.
    fn start(
        answering: &AnswerSender,
        heartbeats: &mut Heartbeats,
        trouble: &gate::Trouble,
        terms: BTreeMap<RouterId, u64>,
        sockets: Vec<VrrpSocket>,
        sole: Sole,
    ) -> Result<Self, Trouble> {
        let announcer = Announcer::default();
        let announce = announce::spawn(announcer.clone(), heartbeats.register("announce"));
        let announce = announce.map_err(refused("start the announce thread"))?;
        let mailbox = Mailbox::new();
        let pulse = heartbeats.register("route").count();
        let (to, announces) = (answering.clone(), announcer.clone());
        let route = route::spawn(mailbox.clone(), to, announces, pulse, sockets, sole);
        let route = route.map_err(refused("start the route thread"))?;
        let orders = Mailbox::new();
        let pulse = heartbeats.register("gate");
        let (to, announces) = (answering.clone(), announcer.clone());
        let gate = gate::spawn(orders.clone(), to, announces, pulse, trouble.clone(), terms);
        let gate = gate.map_err(refused("start the gate thread"))?;
        Ok(Self { mailbox, route, announcer, announce, orders, gate })
    }

    /// All of them.
    const fn threads(&self) -> [&JoinHandle<()>; 3] {
        [&self.route, &self.announce, &self.gate]
    }

    /// Ends them in order, when the protocol thread has ended. Says whether all was well.
    fn end(self, leaving: bool) -> bool {
        self.mailbox.stop();
        let whole = self.route.join().is_ok();
        self.announcer.stop();
        let whole = self.announce.join().is_ok() && whole;
        if leaving {
            self.orders.leave();
        } else {
            // What was shut until the addresses were gone is not in anybody's way any more.
            self.orders.stop();
        }
        self.gate.join().is_ok() && whole
    }
}

fn refused<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Trouble {
    move |why| Trouble::System { what, why: why.into() }
}
