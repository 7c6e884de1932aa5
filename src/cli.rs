//! The command line and the environment: words in, a checked command out.
//!
//! Flags beat the environment, which beats the defaults. Every mistake is one plain sentence that
//! names the option; the caller prints it and exits with 2.

use std::ffi::OsString;

use lexopt::prelude::*;

use crate::config::{Config, Listen, parse_duration};

/// What `--help` prints.
pub const HELP: &str = "\
vitald - a live view of this host's vital signs

Usage: vitald [OPTIONS]          serve the dashboard (the default)
       vitald once [--pretty]    print one snapshot as JSON and exit

Options:
  -l, --listen ADDR        host:port, [v6]:port or unix:/path; may be given several times
                           [env VITALD_LISTEN, separated by commas] [default 127.0.0.1:8485]
  -i, --interval DURATION  sampling interval, 100ms to 1h [env VITALD_INTERVAL] [default 1s]
      --no-auth            serve an address beyond loopback, knowingly open to everyone there
      --allow-host NAME    accept requests that address this server by NAME; repeatable
      --allow-origin URL   accept WebSockets from pages of this origin; repeatable
      --max-connections N  connections of every kind at a time [default 256]
      --log-level LEVEL    error, warn, info, debug or trace [env VITALD_LOG] [default info]
  -V, --version            print the version
  -h, --help               print this
";

/// What the operator wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Serve(Config),
    /// One snapshot to standard output.
    Once {
        /// How it is sampled.
        config: Config,
        /// Whether it is indented.
        pretty: bool,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments (the first is the program's name) with `environment` behind them.
///
/// # Errors
/// One sentence that names the option or the variable.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    // A sentence quotes what was said; a line end or an escape sequence in that stays out of the
    // terminal and of the log.
    command(arguments, environment).map_err(|sentence| visible(&sentence))
}

fn command(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    let mut config = from_environment(environment)?;
    let mut parser = lexopt::Parser::from_iter(arguments);
    let (mut listen, mut once, mut pretty) = (Vec::new(), false, false);
    while let Some(argument) = parser.next().map_err(sentence)? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Short('l') | Long("listen") => {
                listen.push(named("--listen", Listen::parse(&text(&mut parser)?))?);
            }
            Short('i') | Long("interval") => {
                config.interval = named("--interval", parse_duration(&text(&mut parser)?))?;
            }
            Long("no-auth") => config.no_auth = true,
            Long("allow-host") => config.allow_hosts.push(text(&mut parser)?),
            Long("allow-origin") => config.allow_origins.push(text(&mut parser)?),
            Long("max-connections") => {
                let count = text(&mut parser)?;
                let error = format!("\"{count}\" is not a number");
                config.connections_max = named("--max-connections", count.parse().or(Err(error)))?;
            }
            Long("log-level") => {
                config.log_level = named("--log-level", parse_level(&text(&mut parser)?))?;
            }
            Long("pretty") => pretty = true,
            Value(word) if word == "once" && !once => once = true,
            argument => return Err(sentence(argument.unexpected())),
        }
    }
    if pretty && !once {
        return Err("--pretty goes with once".to_owned());
    }
    if !listen.is_empty() {
        config.listen = listen;
    }
    config.check()?;
    Ok(if once { Command::Once { config, pretty } } else { Command::Serve(config) })
}

fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Config, String> {
    let value = |name: &str| -> Result<Option<String>, String> {
        let value = variable(name).filter(|value| !value.is_empty()).map(OsString::into_string);
        value.transpose().map_err(|_| format!("{name}: the value is not UTF-8"))
    };
    let mut config = Config::default();
    if let Some(addresses) = value("VITALD_LISTEN")? {
        let addresses = addresses.split(',').map(|address| Listen::parse(address.trim()));
        config.listen = named("VITALD_LISTEN", addresses.collect())?;
    }
    if let Some(interval) = value("VITALD_INTERVAL")? {
        config.interval = named("VITALD_INTERVAL", parse_duration(&interval))?;
    }
    if let Some(level) = value("VITALD_LOG")? {
        config.log_level = named("VITALD_LOG", parse_level(&level))?;
    }
    Ok(config)
}

fn parse_level(text: &str) -> Result<log::LevelFilter, String> {
    match text {
        "error" | "warn" | "info" | "debug" | "trace" => {
            text.parse().map_err(|_| "not a level".to_owned())
        }
        _ => Err(format!("\"{text}\" is not a level: write error, warn, info, debug or trace")),
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, String> {
    parser.value().and_then(|value| value.string()).map_err(sentence)
}

fn named<T>(option: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|error| format!("{option}: {error}"))
}

fn visible(sentence: &str) -> String {
    let shown = |letter: char| match letter.is_control() {
        true => letter.escape_default().collect(),
        false => String::from(letter),
    };
    sentence.chars().map(shown).collect()
}

fn sentence(error: lexopt::Error) -> String {
    format!("{error}; see vitald --help")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse_words(words: &[&str]) -> Result<Command, String> {
        let words = ["vitald"].iter().chain(words).map(OsString::from);
        parse(words, |_| None)
    }

    fn served(command: Result<Command, String>) -> Config {
        match command {
            Ok(Command::Serve(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(served(parse_words(&[])), Config::default());
    }

    #[test]
    fn flags_are_read_in_each_spelling() {
        let config = served(parse_words(&["-l", "[::1]:1", "--listen=unix:/x", "-i100ms"]));
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.interval, Duration::from_millis(100));
    }

    #[test]
    fn flags_beat_the_environment() {
        let environment = |name: &str| {
            Some(OsString::from(match name {
                "VITALD_LISTEN" => "127.0.0.1:1, 127.0.0.1:2",
                "VITALD_INTERVAL" => "5s",
                _ => return None,
            }))
        };
        let config = served(parse(["vitald".into()], environment));
        assert_eq!((config.listen.len(), config.interval), (2, Duration::from_secs(5)));
        let words = ["vitald", "-l", "127.0.0.1:3", "-i", "2s"].map(OsString::from);
        let config = served(parse(words, environment));
        assert_eq!((config.listen.len(), config.interval), (1, Duration::from_secs(2)));
    }

    #[test]
    fn each_mistake_is_one_sentence_that_names_the_option() {
        for (words, part) in [
            (&["--nonsense"][..], "--nonsense"),
            (&["-l", "nowhere"], "--listen: \"nowhere\" is not an address"),
            (&["-l"], "'-l'"),
            (&["-i", "soon"], "--interval: \"soon\" is not a duration"),
            (&["-i", "1ms"], "interval is 1ms"),
            (&["--log-level", "loud"], "--log-level: \"loud\" is not a level"),
            (&["--max-connections", "many"], "--max-connections: \"many\" is not a number"),
            (&["serve"], "serve"),
            (&["--pretty"], "--pretty goes with once"),
            (&["--no-auth=yes"], "no-auth"),
        ] {
            let error = parse_words(words).unwrap_err();
            assert!(error.contains(part), "{words:?} gave: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_a_mistake_quotes_stays_on_its_line_and_off_the_terminal() {
        for words in [&["-l", "a\nb"][..], &["-i", "\u{1b}[2J"], &["--no\rsense"], &["\u{9b}2J"]] {
            let error = parse_words(words).unwrap_err();
            assert!(!error.contains(char::is_control), "{error:?}");
        }
        assert!(parse_words(&["-l", "a\nb"]).unwrap_err().contains(r"a\nb"));
    }

    #[test]
    fn help_and_version_come_before_anything_else_is_wrong() {
        assert_eq!(parse_words(&["-h", "--nonsense"]), Ok(Command::Help));
        assert_eq!(parse_words(&["--version"]), Ok(Command::Version));
    }

    #[test]
    fn the_help_names_every_option_within_100_columns() {
        for option in ["--listen", "--interval", "--no-auth", "--allow-host", "--log-level", "once"]
        {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }
}
