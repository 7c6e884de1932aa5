//! The command line and the environment: words separated by NUL, as in `/proc/self/cmdline`; one
//! that begins with `VITALD_` and has a `=` is a variable.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use vitald::Config;
use vitald::cli::{self, Command};
use vitald::config::Listen;
use vitald::engine::limits::Limits;

pub fn run(data: &[u8]) {
    let (mut words, mut variables) = (vec![OsString::from("vitald")], Vec::new());
    for word in data.split(|&byte| byte == 0).filter(|word| !word.is_empty()) {
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
    match cli::parse(words, environment) {
        Ok(Command::Serve(config) | Command::Once { config, .. }) => check_accepted(&config),
        Ok(Command::Help | Command::Version) => {}
        Err(sentence) => {
            assert!(!sentence.is_empty(), "an error says something");
            assert!(!sentence.contains(char::is_control), "not one line: {sentence:?}");
        }
    }
}

/// What is accepted can be served, and written back as arguments it is the same again.
fn check_accepted(config: &Config) {
    assert_eq!(config.check(), Ok(()));
    let limits = Limits { connections_max: config.connections_max, ..Limits::default() };
    assert_eq!(limits.check(), Ok(()));
    assert!(limits.memory_ceiling() > config.connections_max);
    let mut words = vec![OsString::from("vitald")];
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
    config.allow_origins.iter().for_each(|origin| option("allow-origin", origin));
    if config.no_auth {
        words.push("--no-auth".into());
    }
    assert_eq!(
        cli::parse(words.clone(), |_| None),
        Ok(Command::Serve(config.clone())),
        "{words:?}"
    );
}
