//! What `vitald watch` is asked: its options, checked.
//!
//! Plain data. May import: `config`.

use std::time::Duration;

use super::{Flags, Word};
use crate::config::{INTERVAL_MAX, INTERVAL_MIN, Listen, TokenFrom, duration_text};

/// A running vitald to watch, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which one.
    pub place: Place,
    /// The paths that are shown; none for those that are shown by default.
    pub topics: Vec<String>,
    /// Whether messages are printed as they come.
    pub json: bool,
    /// From one line to the next, 100 ms to 1 h; without one, the server's own interval.
    pub interval: Option<Duration>,
    /// Lines after which it ends, at least 1.
    pub count: Option<u64>,
    /// Where the token is.
    pub token: Option<TokenFrom>,
    /// Where that was said: the option, the variable, or the key of the configuration.
    pub token_said: &'static str,
}

/// Where the vitald to watch is.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address as it was written.
    Named(String),
    /// Where this host's own listens.
    Configured(Listen),
}

/// The options of `watch`.
#[derive(Default)]
pub(super) struct WatchFlags {
    pub(super) url: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) json: bool,
    pub(super) count: Option<u64>,
}

impl WatchFlags {
    /// Adds the paths of one `--topics`.
    pub(super) fn add_topics(&mut self, list: &str) -> Result<(), String> {
        for path in list.split(',').map(str::trim) {
            if path.is_empty() {
                return Err(format!("--topics: \"{list}\" has an empty path: write cpu,load.one"));
            }
            self.topics.push(path.to_owned());
        }
        Ok(())
    }

    /// Sets the number of lines.
    pub(super) fn set_count(&mut self, text: &str) -> Result<(), String> {
        let count = text.parse().ok().filter(|&count| count > 0);
        let error = || format!("--count: \"{text}\" is not a number of lines: write 1 or more");
        self.count = Some(count.ok_or_else(error)?);
        Ok(())
    }

    /// The first of these options that was given.
    fn first(&self) -> Option<&'static str> {
        let given = [
            ("--topics", !self.topics.is_empty()),
            ("--json", self.json),
            ("--count", self.count.is_some()),
        ];
        given.iter().find(|(_, is_given)| *is_given).map(|(name, _)| *name)
    }
}

/// Whether the options that were given go with the word, or a sentence about one that does not.
pub(super) fn check_options(flags: &Flags) -> Result<(), String> {
    if flags.word != Word::Watch {
        return match flags.watch.first() {
            Some(option) => Err(format!("{option} goes with watch")),
            None => Ok(()),
        };
    }
    let serving = [
        ("--listen", !flags.listen.is_empty()),
        ("--no-auth", flags.no_auth),
        ("--allow-host", !flags.allow_hosts.is_empty()),
        ("--allow-origin", !flags.allow_origins.is_empty()),
        ("--max-connections", flags.connections_max.is_some()),
        ("--log-level", flags.log_level.is_some()),
    ];
    if let Some((option, _)) = serving.iter().find(|(_, is_given)| *is_given) {
        return Err(format!("{option} does not go with watch: see vitald --help"));
    }
    if flags.config.is_some() && flags.watch.url.is_some() {
        return Err("--config goes with watch only where no address is written".to_owned());
    }
    match flags.interval {
        Some(interval) if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) => {
            let [it, first, last] = [interval, INTERVAL_MIN, INTERVAL_MAX].map(duration_text);
            Err(format!("--interval: {it} is out of range: write {first} to {last}"))
        }
        _ => Ok(()),
    }
}

/// The command that the options of `watch` add up to; `token` is what the option or the variable
/// says of it. `configured` is where this host's own vitald listens, and where its token is, asked
/// for only where no address was written.
pub(super) fn command(
    flags: Flags,
    token: Option<TokenFrom>,
    configured: impl FnOnce() -> Result<(Listen, Option<TokenFrom>), String>,
) -> Result<Watch, String> {
    let mut token_said = match token {
        Some(TokenFrom::Variable(_)) => "VITALD_TOKEN",
        _ => "--token-file",
    };
    let WatchFlags { url, topics, json, count } = flags.watch;
    let (place, token) = match url {
        Some(url) => (Place::Named(url), token),
        None => {
            let (listen, own) = configured()?;
            if token.is_none() {
                token_said = "token_file";
            }
            (Place::Configured(listen), token.or(own))
        }
    };
    Ok(Watch { place, topics, json, interval: flags.interval, count, token, token_said })
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use super::*;
    use crate::config::Secret;
    use std::ffi::OsString;
    use std::io;
    use std::path::PathBuf;

    fn watched(words: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Watch, String> {
        let words = ["vitald", "watch"].iter().chain(words).map(OsString::from);
        let environment = |name: &str| {
            let variable = variables.iter().find(|variable| variable.0 == name);
            variable.map(|variable| OsString::from(variable.1))
        };
        let files = |_: &std::path::Path| match file {
            "" => Err(io::ErrorKind::NotFound.into()),
            text => Ok(text.as_bytes().to_vec()),
        };
        match parse(words, environment, files)? {
            Command::Watch(watch) => Ok(watch),
            other => panic!("{other:?}"),
        }
    }

    fn place(words: &[&str], variables: &[(&str, &str)], file: &str) -> Place {
        watched(words, variables, file).unwrap().place
    }

    #[test]
    fn an_address_is_taken_as_written_else_the_first_that_is_configured() {
        let named = |text: &str| Place::Named(text.to_owned());
        let configured = |text: &str| Place::Configured(Listen::parse(text).unwrap());
        let file = "listen = [\"0.0.0.0:1\", \"unix:/f\"]";
        let variables = [("VITALD_LISTEN", "unix:/e,127.0.0.1:2")];
        assert_eq!(place(&[], &[], ""), configured("127.0.0.1:8485"));
        assert_eq!(place(&[], &[], file), configured("0.0.0.0:1"));
        assert_eq!(place(&[], &variables, file), configured("unix:/e"));
        assert_eq!(place(&["once"], &variables, file), named("once"));
        assert_eq!(place(&["h"], &[], "nonsense"), named("h"), "the file is not asked");
        assert!(watched(&[], &[], "nonsense").is_err());
    }

    #[test]
    fn options_are_read_before_and_behind_the_address() {
        let words =
            ["--json", "--topics", "cpu, load", "h", "--topics=memory", "-i5s", "--count=3"];
        let watch = watched(&words, &[("VITALD_INTERVAL", "9s")], "").unwrap();
        assert_eq!(watch.topics, ["cpu", "load", "memory"]);
        assert_eq!((watch.json, watch.count), (true, Some(3)));
        assert_eq!(watch.interval, Some(Duration::from_secs(5)));
        assert_eq!(watched(&[], &[("VITALD_INTERVAL", "9s")], "").unwrap().interval, None);
    }

    #[test]
    fn a_token_is_kept_out_of_what_is_printed() {
        let watch = watched(&["h"], &[("VITALD_TOKEN", "hush")], "").unwrap();
        assert_eq!(watch.token, Some(TokenFrom::Variable(Secret::new("hush".to_owned()))));
        assert!(!format!("{watch:?}").contains("hush"));
    }

    #[test]
    fn a_token_is_that_of_the_option_else_of_the_variable_else_of_the_own_vitald() {
        let from = |words: &[&str], variables: &[(&str, &str)]| {
            watched(words, variables, "token_file = \"/c\"")
                .map(|watch| (watch.token, watch.token_said))
                .unwrap()
        };
        let file = |path: &str, said| (Some(TokenFrom::File(PathBuf::from(path))), said);
        let variable = [("VITALD_TOKEN", "hush")];
        assert_eq!(from(&["--token-file=/o"], &variable), file("/o", "--token-file"));
        let hush = Some(TokenFrom::Variable(Secret::new("hush".to_owned())));
        let hush = (hush, "VITALD_TOKEN");
        assert_eq!(from(&[], &variable), hush);
        assert_eq!(from(&[], &[]), file("/c", "token_file"));
        assert_eq!(from(&["h"], &variable), hush);
        assert_eq!(from(&["h"], &[]).0, None, "the own token is not for others");
    }

    #[test]
    fn options_of_watching_go_with_watch_alone() {
        for option in ["--topics=cpu", "--json", "--count=1"] {
            for word in ["once", "check"] {
                let words = ["vitald", word, option].map(OsString::from);
                let refused = parse(words, |_| None, |_| Err(io::ErrorKind::NotFound.into()));
                assert!(refused.unwrap_err().ends_with("goes with watch"), "{word} {option}");
            }
        }
    }
}
