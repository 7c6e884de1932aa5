//! The binary: arguments, logger, signals; nothing else. SIGHUP has the file read again, unless
//! there is a terminal: then that has gone, and vitald stops. SIGUSR1 has the log told what is held.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use log::LevelFilter;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};
use vitald::app::protocol::{DEFAULT_SUBSCRIPTION, Metrics};
use vitald::app::unix_ms;
use vitald::cli::{self, Command};
use vitald::config::{Config, read_file};
use vitald::engine::clock::{Clock, Monotonic};
use vitald::metrics::MetricsService;
use vitald::metrics::selection::Selection;
use vitald::service::notify::Notifier;
use vitald::service::sockets;
use vitald::{Error, Server, watch};

/// Exit status when what was asked for cannot be run.
const COULD_NOT_RUN: u8 = 1;

/// Exit status for wrong arguments or configuration.
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let command = match parse() {
        Ok(command) => command,
        Err(sentence) => return fail(&sentence, WRONG_USE),
    };
    let result = match command {
        Command::Help => print(cli::HELP),
        Command::Version => print(concat!("vitald ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Once { config, pretty } => once(&config, pretty),
        Command::Check(config) => {
            Server::check_config(&config).and_then(|()| print(&config.to_toml()))
        }
        Command::Watch(options) => {
            return match watch::run(&options) {
                Ok(()) => ExitCode::SUCCESS,
                Err(watch::Error::Use(sentence)) => fail(&sentence, WRONG_USE),
                Err(watch::Error::Failed(sentence)) => fail(&sentence, COULD_NOT_RUN),
            };
        }
        Command::Serve(config) => serve(config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Config(sentence)) => fail(&sentence, WRONG_USE),
        Err(error) => fail(&error.to_string(), COULD_NOT_RUN),
    }
}

/// What the arguments, the environment and the file say now.
fn parse() -> Result<Command, String> {
    cli::parse(env::args_os(), |name| env::var_os(name), read_file)
}

fn fail(sentence: &str, status: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "vitald: {sentence}");
    ExitCode::from(status)
}

/// Prints to standard output. A reader that is gone (`vitald --help | head -1`) is no failure.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    Ok(())
}

/// Two samples one interval apart, so that there are rates; the second is printed.
fn once(config: &Config, pretty: bool) -> Result<(), Error> {
    let clock = Monotonic::new();
    let mut metrics = MetricsService::for_this_host(config.interval);
    metrics.tick(clock.now().since_origin(), unix_ms(clock.wall()), 0, |_| {});
    thread::sleep(config.interval);
    metrics.tick(clock.now().since_origin(), unix_ms(clock.wall()), 1, |_| {});
    let message = Metrics {
        snapshot: metrics.latest(),
        sequence: 1,
        sub: DEFAULT_SUBSCRIPTION,
        selection: &Selection::standard(),
    };
    let text = if pretty {
        serde_json::to_string_pretty(&message)
    } else {
        serde_json::to_string(&message)
    };
    print(&(text.expect("our own messages can be written as JSON") + "\n"))
}

fn serve(mut config: Config) -> Result<(), Error> {
    let sockets = sockets::take().map_err(Error::Config)?;
    // The libraries' own lines name no connection; ours say the same with one.
    let logger = simple_logger::SimpleLogger::new()
        .with_level(LevelFilter::Trace)
        .with_module_level("mio", LevelFilter::Warn)
        .with_module_level("tungstenite", LevelFilter::Warn);
    logger.init().expect("nobody else has set a logger");
    // The logger's own level cannot be changed later; this one can.
    log::set_max_level(config.log_level);
    let mut server = Server::bind_or_adopt(&config, sockets)?;
    let signals = watch_signals(&mut server)?;
    let addresses: Vec<String> = server.addresses().collect();
    let lines = addresses.iter().map(|address| format!("vitald listening on {address}\n"));
    print(&lines.collect::<String>())?;
    let mut notifier = Notifier::from_environment();
    notifier.ready(&format!("listening on {}", addresses.join(", ")));
    loop {
        let turn = server.turn(notifier.wait_max())?;
        notifier.feed();
        if turn.woken {
            heed(&signals, &mut server, &mut config, &mut notifier);
        }
        if turn.finished {
            log::info!("stopped");
            return Ok(());
        }
    }
}

/// Does what the signals have said since the last time.
fn heed(signals: &Signals, server: &mut Server, config: &mut Config, notifier: &mut Notifier) {
    if signals.report.swap(false, Ordering::Relaxed) {
        server.report();
    }
    if signals.stop.load(Ordering::Relaxed) {
        server.shutdown();
    }
    if signals.hangup.swap(false, Ordering::Relaxed) && !server.is_stopping() {
        hang_up(signals, server, config, notifier);
    }
    if server.is_stopping() {
        notifier.stopping(server.connections().count());
    }
}

/// What the signals have said, and where they come from.
struct Signals {
    stop: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
    /// Whether standard input and standard error were a terminal: of one that has gone nobody can
    /// tell any more.
    terminals: [bool; 2],
}

/// SIGHUP: stops if there was a terminal, which has gone; reads the file again if there was none.
fn hang_up(signals: &Signals, server: &mut Server, config: &mut Config, notifier: &mut Notifier) {
    let [is_input, is_error] = signals.terminals;
    if is_error {
        // A line to a terminal that has gone cannot be written, and would end the process.
        log::set_max_level(LevelFilter::Off);
    }
    if is_input || is_error {
        return server.shutdown();
    }
    notifier.reloading();
    let reloaded = match parse() {
        Ok(Command::Serve(new)) => reload(server, config, new),
        Ok(_) => unreachable!("the arguments are those that it was started with"),
        Err(sentence) => Err(sentence),
    };
    if let Err(sentence) = &reloaded {
        log::warn!("reload refused=true action=\"keep what was\": {sentence}");
    }
    notifier.reloaded(reloaded.is_ok());
}

/// Takes over what can change in a run, and says what cannot.
fn reload(server: &mut Server, config: &mut Config, new: Config) -> Result<(), String> {
    server.reload(&new).map_err(|error| error.to_string())?;
    log::set_max_level(new.log_level);
    let (alerts, level) = (new.alerts.iter().count(), new.log_level);
    let token = match (&config.token, &new.token) {
        (old, new) if old == new => "same",
        (_, Some(_)) => "changed",
        (_, None) => "none",
    };
    let tls = if config.tls == new.tls { "same" } else { "changed" };
    log::info!("reload alerts={alerts} log_level={level} token={token} tls={tls}");
    let keys = config.needing_restart(&new).join(",");
    if !keys.is_empty() {
        log::info!("reload keys={keys} action=\"restart vitald to change them\"");
    }
    (config.alerts, config.log_level, config.token) = (new.alerts, new.log_level, new.token);
    if config.tls.is_some() == new.tls.is_some() {
        config.tls = new.tls;
    }
    Ok(())
}

/// Makes SIGTERM and SIGINT wake the loop and set a flag, a second one end the process at once, and
/// SIGHUP and SIGUSR1 wake the loop and set flags of their own: a terminal that goes may send two.
fn watch_signals(server: &mut Server) -> Result<Signals, Error> {
    let stop = Arc::new(AtomicBool::new(false));
    let hangup = Arc::new(AtomicBool::new(false));
    let report = Arc::new(AtomicBool::new(false));
    let (receiver, sender) = UnixStream::pair().map_err(Error::Poll)?;
    for signal in [SIGTERM, SIGINT] {
        // In the order they run: exit if the flag is set already, set it, then wake the loop.
        flag::register_conditional_shutdown(signal, COULD_NOT_RUN.into(), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .and_then(|_| pipe::register(signal, sender.try_clone()?))
            .map_err(Error::Poll)?;
    }
    for (signal, flag) in [(SIGHUP, &hangup), (SIGUSR1, &report)] {
        flag::register(signal, Arc::clone(flag))
            .and_then(|_| pipe::register(signal, sender.try_clone()?))
            .map_err(Error::Poll)?;
    }
    server.wake_on(receiver)?;
    let terminals = [io::stdin().is_terminal(), io::stderr().is_terminal()];
    Ok(Signals { stop, hangup, report, terminals })
}
