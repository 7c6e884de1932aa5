//! vitald on the production network and clock, ready to run or to be driven.
//!
//! [`Server::bind`] makes everything that can fail; after it the loop runs by [`Server::turn`] or
//! [`Server::run`]. It installs no signal handler, no logger and no panic hook: those are the
//! program's.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::App;
use super::access::Access;
use super::hub::CLASSES_MAX;
use crate::config::{Config, Listen, is_readable_by_all, read_file};
use crate::engine::clock::Monotonic;
use crate::engine::connection::frame::NoFrame;
use crate::engine::descriptors::reserve_descriptors;
use crate::engine::ledger::Ledger;
use crate::engine::limits::Limits;
use crate::engine::measures::Measured;
#[cfg(feature = "tls")]
use crate::engine::net::Identity;
use crate::engine::net::{ListenAddress, MioNet};
use crate::engine::stats::Stats;
use crate::engine::tasks::TaskCounts;
use crate::engine::view::{ConnectionView, Pools};
use crate::engine::{Engine, Turn};
use crate::metrics::MetricsService;
use crate::metrics::source::processes;
use crate::service::sockets::PassedSocket;

/// Descriptors beside those of connections: standard streams, poll, signals, listeners and the
/// files that the sources hold open are about 25, and 10 more that scrapes hold; the rest is room
/// for what an embedding program opens.
const DESCRIPTORS_BESIDE: usize = 64;

/// Why a server could not be made or could not go on. Each displays as one sentence.
#[derive(Debug)]
pub enum Error {
    /// The configuration cannot be served.
    Config(String),
    /// An address cannot be listened on.
    Listen {
        /// The address, as configured.
        address: String,
        /// What the system said.
        cause: String,
    },
    /// The file that keeps history cannot be had.
    History(String),
    /// The process may not have as many descriptors as the limits need.
    Descriptors(String),
    /// The system's poll has failed.
    Poll(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config(sentence) | Error::History(sentence) | Error::Descriptors(sentence) => {
                formatter.write_str(sentence)
            }
            Error::Listen { address, cause } => {
                write!(formatter, "cannot listen on {address}: {cause}")
            }
            Error::Poll(error) => write!(formatter, "cannot wait for events: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// A vitald that listens.
pub struct Server {
    engine: Engine<App, MioNet, Monotonic>,
    addresses: Vec<ListenAddress>,
    /// What TCP addresses are reached by: http or https.
    scheme: &'static str,
}

impl Server {
    /// Whether `config` could be served, as far as that can be known without an address.
    ///
    /// # Errors
    /// When a value cannot be served, or the certificate or its key cannot be shown.
    pub fn check_config(config: &Config) -> Result<(), Error> {
        config.check().map_err(Error::Config)?;
        #[cfg(feature = "tls")]
        identity(config)?;
        Ok(())
    }

    /// Opens the sources and binds the addresses of `config`.
    ///
    /// # Errors
    /// When a value of the configuration cannot be served, an address not be bound, or the system
    /// gives no poll descriptor.
    pub fn bind(config: &Config) -> Result<Server, Error> {
        Server::bind_or_adopt(config, Vec::new())
    }

    /// The same with `sockets` that listen already in the place of the addresses, if there are any:
    /// those of [`service::sockets`](crate::service::sockets).
    ///
    /// # Errors
    /// Those of [`Server::bind`], and when a socket is not fit to be listened on.
    pub fn bind_or_adopt(config: &Config, sockets: Vec<PassedSocket>) -> Result<Server, Error> {
        config.check().map_err(Error::Config)?;
        let connections_max = config.connections_max;
        let limits = Limits {
            connections_max,
            // One for each: input that waits is never in want of room.
            inputs_max: connections_max,
            classes_max: CLASSES_MAX,
            ..Limits::default()
        };
        let needed = limits.descriptors(DESCRIPTORS_BESIDE + sockets.len());
        reserve_descriptors(needed).map_err(Error::Descriptors)?;
        let mut net = MioNet::new().map_err(Error::Poll)?;
        identify(&mut net, config)?;
        let addresses = match sockets.is_empty() {
            true => listen(&mut net, config)?,
            false => adopt(&mut net, config, sockets)?,
        };
        let slots = limits.slots();
        let mut metrics = MetricsService::for_this_host(config.interval);
        metrics.sample_when_idle(config.sample_when_idle);
        metrics.set_history(&config.history).map_err(|error| Error::History(error.to_string()))?;
        let machine = metrics.facts().name.clone();
        let access = Access::new(&config.allow_hosts, &config.allow_origins, machine.as_deref())
            .with_token(config.token.as_ref());
        warn_of_secrets(config);
        super::alerts::warn_of_programs(&config.alerts);
        let app = App::new(metrics, access, slots)
            .with_alerts(config.alerts.clone())
            .with_processes(processes::for_this_host(), config.processes.commands)
            .with_dashboard(&config.dashboard);
        let engine = Engine::with_parts(limits, net, Monotonic::new(), app);
        let engine = engine.map_err(Error::Config)?;
        log::info!(
            "limits connections_max={} memory_ceiling_bytes={}",
            config.connections_max,
            engine.memory_ceiling(),
        );
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        Ok(Server { engine, addresses, scheme })
    }

    /// The addresses as they were bound: with the port that was free where port 0 was asked for.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().map(|address| match address {
            ListenAddress::Tcp(address) => format!("{}://{address}/", self.scheme),
            ListenAddress::Unix(_) => address.to_string(),
        })
    }

    /// Lets bytes that arrive on `stream` wake the loop; the turn that notes them says so. They are
    /// thrown away. For signals: write a byte from the signal's handler.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn wake_on(&mut self, stream: UnixStream) -> Result<(), Error> {
        self.engine.net_mut().wake_on(stream).map_err(Error::Poll)
    }

    /// One pass of the loop; waits at most `timeout` for something to do.
    ///
    /// # Errors
    /// When the poll fails; the server cannot go on.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<Turn, Error> {
        self.engine.turn(timeout).map_err(Error::Poll)
    }

    /// Runs until a [`Server::shutdown`] is complete.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn run(&mut self) -> Result<(), Error> {
        while !self.turn(None)?.finished {}
        Ok(())
    }

    /// When the next turn is due without an event; now if work is left over.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline().map(|tick| self.engine.clock().instant(tick))
    }

    /// Sends a message, which is JSON and one object, to every open WebSocket and event stream as an
    /// event. It leaves with the next turn, which is then due at once. Of those that wait for a slow
    /// reader the oldest go, and a `gap` message says how many. Gives how many it goes to.
    ///
    /// # Errors
    /// When the message is longer than a shared one may be (64 KiB with what it is wrapped in) and
    /// somebody would get it, or too many are held. Nobody gets it then.
    pub fn broadcast_event(&mut self, message: &str) -> Result<usize, NoFrame> {
        self.engine.act(|_, context| super::broadcast(context, message))
    }

    /// Takes over what may change while it runs: the alerts and the token. An alert that is as it
    /// was keeps its state; what fires by one that is gone or changed has resolved. With another
    /// token every WebSocket and event stream ends, and sessions do. For the rest see
    /// [`Config::needing_restart`].
    ///
    /// # Errors
    /// When it would have an address beyond loopback served to everybody: nothing is taken over
    /// then.
    pub fn reload(&mut self, config: &Config) -> Result<(), Error> {
        for address in &self.addresses {
            if let ListenAddress::Tcp(address) = address {
                config.check_access(address).map_err(Error::Config)?;
            }
        }
        // Whether TLS is spoken at all is decided at a start.
        if config.tls.is_some() && self.scheme == "https" {
            identify(self.engine.net_mut(), config)?;
        }
        super::alerts::warn_of_programs(&config.alerts);
        warn_of_secrets(config);
        self.engine.act(|app, context| {
            app.set_alerts(context, config.alerts.clone());
            app.set_token(context, config.token.as_ref());
        });
        Ok(())
    }

    /// Begins to stop in order: listeners close, WebSockets get close code 1001 and event
    /// streams their end; complete after at most 5 s, when a turn says `finished`.
    pub fn shutdown(&mut self) {
        self.engine.shutdown();
    }

    /// Whether a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.engine.is_draining()
    }

    /// Writes what is held at this moment to the log: the ledger, connections by state, tasks, pools
    /// and subscriptions, at the level `info`. Walks every connection.
    pub fn report(&self) {
        super::report::write(&self.engine);
    }

    /// What the engine has counted.
    pub fn stats(&self) -> &Stats {
        self.engine.stats()
    }

    /// What the engine has measured.
    pub fn measured(&self) -> Measured<'_> {
        self.engine.measured()
    }

    /// What was taken and given back.
    pub fn ledger(&self) -> &Ledger {
        self.engine.ledger()
    }

    /// What the pools hold.
    pub fn pools(&mut self) -> Pools {
        self.engine.pools()
    }

    /// Tasks by state.
    pub fn task_counts(&self) -> TaskCounts {
        self.engine.task_counts()
    }

    /// Every connection.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionView> {
        self.engine.connections()
    }

    /// Compares the ledger with what is really held. Walks every connection.
    ///
    /// # Errors
    /// The first disagreement, as a sentence: something leaked or was released twice.
    pub fn check(&self) -> Result<(), String> {
        self.engine.check()
    }
}

fn warn_of_secrets(config: &Config) {
    super::admission::warn_of_token(config.token.as_ref());
    if let Some(tls) = config.tls.as_ref().filter(|tls| is_readable_by_all(tls.key())) {
        let path = tls.key().display().to_string();
        log::warn!("[tls] key={path:?} readable_by=everybody action=\"chmod 600\"");
    }
}

/// Has TLS spoken with those who come by TCP from now on, if `config` has what to show them.
#[cfg(feature = "tls")]
fn identify(net: &mut MioNet, config: &Config) -> Result<(), Error> {
    net.identify(identity(config)?);
    Ok(())
}

/// A configuration with a certificate is refused before, where there is no TLS.
#[cfg(not(feature = "tls"))]
fn identify(_: &mut MioNet, _: &Config) -> Result<(), Error> {
    Ok(())
}

#[cfg(feature = "tls")]
fn identity(config: &Config) -> Result<Option<Identity>, Error> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let identity = Identity::from_pem(tls.chain(), tls.secret().reveal().as_bytes());
    let refuse = |wrong| Error::Config(format!("{}: {wrong}", tls.place()));
    identity.map(Some).map_err(refuse)
}

/// What the system said, with what can be done about it where that is known.
fn cause_of(error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "; stop what listens there or choose another with --listen",
        io::ErrorKind::NotFound => "; make its directory first",
        io::ErrorKind::AddrNotAvailable => "; this host does not have that address",
        io::ErrorKind::PermissionDenied => "; choose a port from 1024 up or a directory of yours",
        _ => "",
    };
    format!("{error}{remedy}")
}

/// Binds the addresses of the configuration.
fn listen(net: &mut MioNet, config: &Config) -> Result<Vec<ListenAddress>, Error> {
    let wanted = resolve(config)?;
    let rights = config.unix.rights(read_file);
    let rights = rights.map_err(|wrong| Error::Config(format!("unix_group: {wrong}")))?;
    net.set_file_rights(rights);
    let bound = wanted.iter().map(|(listen, address)| {
        net.listen(address)
            .map_err(|error| Error::Listen { address: listen.to_string(), cause: cause_of(&error) })
    });
    bound.collect()
}

/// Takes over sockets that listen already. Who could reach them matters as for any other.
fn adopt(
    net: &mut MioNet,
    config: &Config,
    sockets: Vec<PassedSocket>,
) -> Result<Vec<ListenAddress>, Error> {
    let adopted = sockets.into_iter().map(|socket| {
        let title = socket.title();
        let address = net.adopt(socket.descriptor);
        let address = address.map_err(|error| {
            Error::Config(format!("LISTEN_FDS: {title} cannot be used: {error}"))
        })?;
        if let ListenAddress::Tcp(address) = &address {
            let allowed = config.check_access(address);
            allowed.map_err(|wrong| Error::Config(format!("LISTEN_FDS: {title}: {wrong}")))?;
        }
        log::info!("listen passed={title:?} address={address}");
        Ok(address)
    });
    adopted.collect()
}

/// Every address that the configuration stands for, checked for who could reach it.
fn resolve(config: &Config) -> Result<Vec<(&Listen, ListenAddress)>, Error> {
    let mut wanted = Vec::new();
    for listen in &config.listen {
        let addresses = listen
            .resolve()
            .map_err(|cause| Error::Listen { address: listen.to_string(), cause })?;
        for address in addresses {
            if let ListenAddress::Tcp(address) = &address {
                config.check_access(address).map_err(Error::Config)?;
            }
            wanted.push((listen, address));
        }
    }
    Ok(wanted)
}
