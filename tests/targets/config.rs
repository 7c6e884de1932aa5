//! The command line and the environment: words separated by NUL, as in `/proc/self/cmdline`; one
//! that begins with `VITALD_` and has a `=` is a variable. Behind them stands the file of the last
//! word that begins with `#`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use vitald::Config;
use vitald::cli::{self, Command};
use vitald::config::{Listen, Token};
use vitald::engine::limits::Limits;

pub fn run(data: &[u8]) {
    let (mut words, mut variables) = (vec![OsString::from("vitald")], Vec::new());
    let mut file = None;
    for word in data.split(|&byte| byte == 0).filter(|word| !word.is_empty()) {
        if word.starts_with(b"#") {
            file = Some(word);
            continue;
        }
        let equals = word.iter().position(|&byte| byte == b'=');
        match equals.filter(|_| word.starts_with(b"VITALD_")) {
            Some(at) => variables.push((OsStr::from_bytes(&word[..at]), &word[at + 1..])),
            None => words.push(OsStr::from_bytes(word).to_owned()),
        }
    }
    let environment = |name: &str| {
        let variable = variables.iter().find(|variable| variable.0 == name);
        variable.map(|variable| OsStr::from_bytes(variable.1).to_owned())
    };
    let files = |_: &Path| file.map(<[u8]>::to_vec).ok_or(io::ErrorKind::NotFound.into());
    check(cli::parse(words, environment, files));
}

/// What is said is accepted or refused, and either as promised.
pub fn check(result: Result<Command, String>) {
    match result {
        Ok(Command::Serve(config) | Command::Once { config, .. } | Command::Check(config)) => {
            check_accepted(&config);
        }
        Ok(Command::Help | Command::Version | Command::Watch(_)) => {}
        Err(sentence) => {
            assert!(!sentence.is_empty(), "an error says something");
            assert!(!sentence.contains(char::is_control), "not one line: {sentence:?}");
        }
    }
}

/// What is accepted can be served, and written back as a file or as arguments it is the same again.
fn check_accepted(config: &Config) {
    assert_eq!(config.check(), Ok(()));
    // Written down is the token's file alone, and one snapshot asks for no token.
    let text = config.to_toml();
    let file = config.token.as_ref().and_then(Token::file);
    assert_eq!(text.contains("\ntoken_file = "), file.is_some(), "{text}");
    let config = &Config { token: None, ..config.clone() };
    let limits = Limits { connections_max: config.connections_max, ..Limits::default() };
    assert_eq!(limits.check(), Ok(()));
    assert!(limits.memory_ceiling() > config.connections_max);
    // What is only asked for once need not be allowed to be served.
    let text = config.to_toml();
    let written = |_: &Path| Ok(text.clone().into_bytes());
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    assert_eq!(
        cli::parse(words(&["vitald", "once", "-cf"]), |_| None, written),
        Ok(Command::Once { config: config.clone(), pretty: false }),
        "{text}"
    );
    let defaults = Config::default();
    let by_options = Config {
        unix: defaults.unix,
        sample_when_idle: defaults.sample_when_idle,
        history: defaults.history,
        processes: defaults.processes,
        dashboard: defaults.dashboard,
        alerts: defaults.alerts,
        ..config.clone()
    };
    assert_eq!(
        cli::parse(arguments(&by_options), |_| None, |_| Err(io::ErrorKind::NotFound.into())),
        Ok(Command::Once { config: by_options.clone(), pretty: false }),
        "{by_options:?}"
    );
}

/// The arguments that say the same, as far as there are options for it.
fn arguments(config: &Config) -> Vec<OsString> {
    let mut words = vec![OsString::from("vitald"), OsString::from("once")];
    let mut option = |name: &str, value: &str| words.push(format!("--{name}={value}").into());
    for listen in &config.listen {
        option("listen", &listen.to_string());
        if let Listen::Tcp(text) = listen
            && let Ok(address) = text.parse()
        {
            let allowed = config.check_access(&address);
            assert!(allowed.is_ok() || !config.no_auth, "{allowed:?}");
        }
    }
    option("interval", &format!("{:.6}s", config.interval.as_secs_f64()));
    option("max-connections", &config.connections_max.to_string());
    option("log-level", &config.log_level.to_string().to_lowercase());
    config.allow_hosts.iter().for_each(|host| option("allow-host", host));
    config.allow_origins.iter().for_each(|origin| option("allow-origin", origin.as_str()));
    if config.no_auth {
        words.push("--no-auth".into());
    }
    words
}
