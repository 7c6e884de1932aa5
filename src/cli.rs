//! The command line, the environment and the file: words in, a checked command out.
//!
//! Flags beat the environment, which beats the file, which beats the defaults; what is a list is
//! replaced whole. Every mistake is one plain sentence that names the option, or the file, the line
//! and the key; the caller prints it and exits with 2.

mod watch;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::prelude::*;

use crate::config::{
    Config, Draft, Listen, Origin, PATH_DEFAULT, Secret, TokenFrom, bytes_of, named_file,
    parse_duration, parse_host, parse_level, read_into, text_of,
};
use watch::WatchFlags;
pub use watch::{Place, Watch};

/// What `--help` prints.
pub const HELP: &str = "\
vitald - a live view of this host's vital signs

Usage: vitald [OPTIONS]          serve the dashboard (the default)
       vitald once [--pretty]    print one snapshot as JSON and exit
       vitald watch [URL]        print a line a sample of a running vitald, this host's by default
       vitald check              check the configuration, print it complete as TOML and exit

Options:
  -c, --config FILE        the configuration; what is set there, options and variables override
                           [env VITALD_CONFIG] [default /etc/vitald/vitald.toml if it is there]
  -l, --listen ADDR        host:port, [v6]:port or unix:/path; may be given several times
                           [env VITALD_LISTEN, separated by commas] [default 127.0.0.1:8485]
  -i, --interval DURATION  sampling interval, 100ms to 1h [env VITALD_INTERVAL] [default 1s]
      --token-file FILE    ask every request for the bearer token, the first line of FILE
                           [env VITALD_TOKEN, the token itself] [default nobody is asked]
      --no-auth            serve an address beyond loopback, knowingly open to everyone there
      --allow-host NAME    accept requests that address this server by NAME; repeatable
      --allow-origin URL   let pages of this origin connect and read; repeatable
      --max-connections N  connections of every kind at a time [default 256]
      --log-level LEVEL    error, warn, info, debug or trace [env VITALD_LOG] [default info]
  -V, --version            print the version
  -h, --help               print this

Watching: URL is host, host:port, [v6]:port, http://host[:port][/prefix] or unix:/path.
  -i, --interval DURATION  from one line to the next [default the server's own interval]
      --topics PATHS       what to show, as in cpu,memory.usage,disks.vda; repeatable
      --json               each message of the server as it is, one a line
      --count N            end after N lines
      --token-file FILE    show the server the bearer token in FILE [env VITALD_TOKEN, the token]
                           [default of this host's: the configuration's]
";

/// What is said of a variable.
const NOT_UTF_8: &str = "the value is not UTF-8: write it as UTF-8";

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
    /// A line a sample from a running vitald to standard output.
    Watch(Watch),
    /// The configuration in force to standard output.
    Check(Config),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments (the first is the program's name) with `environment` behind them, and
/// behind that the configuration file, whose bytes `files` gives
/// ([`read_file`](crate::config::read_file) in the binary).
///
/// # Errors
/// One sentence that names the option, the variable, or the file with the line and the key.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
    files: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Command, String> {
    // A sentence quotes what was said; a line end or an escape sequence in that stays out of the
    // terminal and of the log.
    command(arguments, environment, files).map_err(|sentence| visible(&sentence))
}

fn command(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
    files: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Command, String> {
    let flags = match Flags::parse(arguments)? {
        Asked::Flags(flags) => flags,
        Asked::Other(command) => return Ok(command),
    };
    if flags.word == Word::Watch {
        let config = flags.config.clone();
        let mut draft = Draft::default();
        read_token_variable(&mut draft, &environment)?;
        let token = flags.token_file.clone().map(TokenFrom::File).or(draft.token);
        let own = || own_vitald(config.as_deref(), &environment, files);
        return watch::command(flags, token, own).map(Command::Watch);
    }
    let word = flags.word;
    let mut draft = Draft::default();
    read_configured(&mut draft, flags.config.as_deref(), &environment, &files)?;
    read_environment(&mut draft, environment)?;
    let pretty = flags.pretty;
    flags.put_into(&mut draft);
    // What is not served needs no permission to be, and shows its token to nobody.
    if word != Word::Once {
        draft.read_token(&files)?;
        draft.read_tls(&files)?;
        draft.check_group(files)?;
        draft.check_access()?;
    }
    let config = draft.finish()?;
    Ok(match word {
        Word::Serve => Command::Serve(config),
        Word::Once => Command::Once { config, pretty },
        Word::Check => Command::Check(config),
        Word::Watch => unreachable!("what is watched is not served"),
    })
}

/// Where this host's own vitald listens and its token is, as far as the file and the environment
/// say.
fn own_vitald(
    config: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
    files: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<(Listen, Option<TokenFrom>), String> {
    let mut draft = Draft::default();
    read_configured(&mut draft, config, &environment, files)?;
    read_environment(&mut draft, environment)?;
    let token = draft.token.take();
    let speaks_tls = draft.tls.is_some();
    let mut addresses = draft.finish()?.listen.into_iter();
    let listen = addresses.find(|listen| !speaks_tls || matches!(listen, Listen::Unix(_)));
    let listen = listen.ok_or(match speaks_tls {
        true => "this vitald speaks TLS, which watch does not: let it listen on unix:/path as well",
        false => "listen: there is no address: write one at least",
    })?;
    Ok((listen, token))
}

/// The word that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Serve,
    Once,
    Watch,
    Check,
}

/// What the arguments say.
struct Flags {
    word: Word,
    pretty: bool,
    config: Option<PathBuf>,
    listen: Vec<Listen>,
    interval: Option<Duration>,
    no_auth: bool,
    token_file: Option<PathBuf>,
    allow_hosts: Vec<String>,
    allow_origins: Vec<Origin>,
    connections_max: Option<usize>,
    log_level: Option<log::LevelFilter>,
    watch: WatchFlags,
}

/// What the arguments ask for.
enum Asked {
    Flags(Flags),
    /// What needs no configuration.
    Other(Command),
}

impl Flags {
    fn none() -> Flags {
        Flags {
            word: Word::Serve,
            pretty: false,
            config: None,
            listen: Vec::new(),
            interval: None,
            no_auth: false,
            token_file: None,
            allow_hosts: Vec::new(),
            allow_origins: Vec::new(),
            connections_max: None,
            log_level: None,
            watch: WatchFlags::default(),
        }
    }

    fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
        let mut flags = Flags::none();
        let mut parser = lexopt::Parser::from_iter(arguments);
        while let Some(argument) = parser.next().map_err(sentence)? {
            match argument {
                Short('h') | Long("help") => return Ok(Asked::Other(Command::Help)),
                Short('V') | Long("version") => return Ok(Asked::Other(Command::Version)),
                Short('c') | Long("config") => {
                    let path = named_file(parser.value().map_err(sentence)?);
                    flags.config = Some(named("--config", path)?);
                }
                Short('l') | Long("listen") => {
                    flags.listen.push(named("--listen", Listen::parse(&text(&mut parser)?))?);
                }
                Short('i') | Long("interval") => {
                    let interval = parse_duration(&text(&mut parser)?);
                    flags.interval = Some(named("--interval", interval)?);
                }
                Long("no-auth") => flags.no_auth = true,
                Long("allow-host") => {
                    let host = parse_host(&text(&mut parser)?);
                    flags.allow_hosts.push(named("--allow-host", host)?);
                }
                Long("allow-origin") => {
                    let origin = Origin::parse(&text(&mut parser)?);
                    flags.allow_origins.push(named("--allow-origin", origin)?);
                }
                Long("max-connections") => {
                    let count = text(&mut parser)?;
                    let error = format!("\"{count}\" is not a number: write 1 to 1000000");
                    let count = count.parse().or(Err(error));
                    flags.connections_max = Some(named("--max-connections", count)?);
                }
                Long("log-level") => {
                    let level = parse_level(&text(&mut parser)?);
                    flags.log_level = Some(named("--log-level", level)?);
                }
                Long("pretty") => flags.pretty = true,
                Long("topics") => flags.watch.add_topics(&text(&mut parser)?)?,
                Long("json") => flags.watch.json = true,
                Long("count") => flags.watch.set_count(&text(&mut parser)?)?,
                Long("token-file") => {
                    let path = named_file(parser.value().map_err(sentence)?);
                    flags.token_file = Some(named("--token-file", path)?);
                }
                Value(url) if flags.word == Word::Watch && flags.watch.url.is_none() => {
                    flags.watch.url = Some(url.string().map_err(sentence)?);
                }
                Value(word) if word == "watch" && flags.word == Word::Serve => {
                    flags.word = Word::Watch;
                }
                Value(word) if word == "once" && flags.word == Word::Serve => {
                    flags.word = Word::Once;
                }
                Value(word) if word == "check" && flags.word == Word::Serve => {
                    flags.word = Word::Check;
                }
                argument => return Err(sentence(argument.unexpected())),
            }
        }
        if flags.pretty && flags.word != Word::Once {
            return Err("--pretty goes with once".to_owned());
        }
        watch::check_options(&flags)?;
        Ok(Asked::Flags(flags))
    }

    fn put_into(self, draft: &mut Draft) {
        put_list(draft, "listen", "--listen", self.listen, |config| &mut config.listen);
        put(draft, "interval", "--interval", self.interval, |config| &mut config.interval);
        put_list(draft, "allow_host", "--allow-host", self.allow_hosts, |config| {
            &mut config.allow_hosts
        });
        put_list(draft, "allow_origin", "--allow-origin", self.allow_origins, |config| {
            &mut config.allow_origins
        });
        put(draft, "max_connections", "--max-connections", self.connections_max, |config| {
            &mut config.connections_max
        });
        put(draft, "log_level", "--log-level", self.log_level, |config| &mut config.log_level);
        put(draft, "no_auth", "--no-auth", self.no_auth.then_some(true), |config| {
            &mut config.no_auth
        });
        if let Some(path) = self.token_file {
            draft.token = Some(TokenFrom::File(path));
            draft.note("token_file", "--token-file");
        }
    }
}

fn put<T>(
    draft: &mut Draft,
    key: &str,
    place: &str,
    value: Option<T>,
    slot: fn(&mut Config) -> &mut T,
) {
    if let Some(value) = value {
        *slot(&mut draft.config) = value;
        draft.note(key, place);
    }
}

fn put_list<T>(
    draft: &mut Draft,
    key: &str,
    place: &str,
    list: Vec<T>,
    slot: fn(&mut Config) -> &mut Vec<T>,
) {
    put(draft, key, place, Some(list).filter(|list| !list.is_empty()), slot);
}

/// Reads the file that is named by the option, else by the variable, else by default.
fn read_configured(
    draft: &mut Draft,
    option: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    files: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<(), String> {
    let variable = variable("VITALD_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    let (path, place) = match (option, &variable) {
        (Some(path), _) => (path, "--config: "),
        (None, Some(path)) => (path.as_path(), "VITALD_CONFIG: "),
        (None, None) => (Path::new(PATH_DEFAULT), ""),
    };
    // Who has named it is to blame where it cannot be had; what is wrong in it has its own place.
    let bytes = bytes_of(path, !place.is_empty(), files(path));
    match bytes.map_err(|sentence| format!("{place}{sentence}"))? {
        Some(bytes) => read_into(draft, path, &text_of(path, bytes)?),
        None => Ok(()),
    }
}

fn read_environment(
    draft: &mut Draft,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), String> {
    let value = |name: &str| -> Result<Option<String>, String> {
        let value = variable(name).filter(|value| !value.is_empty()).map(OsString::into_string);
        value.transpose().map_err(|_| format!("{name}: {NOT_UTF_8}"))
    };
    if let Some(addresses) = value("VITALD_LISTEN")? {
        let addresses = addresses.split(',').map(|address| Listen::parse(address.trim()));
        draft.config.listen = named("VITALD_LISTEN", addresses.collect())?;
        draft.note("listen", "VITALD_LISTEN");
    }
    if let Some(interval) = value("VITALD_INTERVAL")? {
        draft.config.interval = named("VITALD_INTERVAL", parse_duration(&interval))?;
        draft.note("interval", "VITALD_INTERVAL");
    }
    if let Some(level) = value("VITALD_LOG")? {
        draft.config.log_level = named("VITALD_LOG", parse_level(&level))?;
        draft.note("log_level", "VITALD_LOG");
    }
    read_token_variable(draft, variable)
}

/// What VITALD_TOKEN says is the token itself, and is not quoted.
fn read_token_variable(
    draft: &mut Draft,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<(), String> {
    if let Some(token) = variable("VITALD_TOKEN").filter(|value| !value.is_empty()) {
        let token = token.into_string().map_err(|_| format!("VITALD_TOKEN: {NOT_UTF_8}"))?;
        draft.token = Some(TokenFrom::Variable(Secret::new(token)));
        draft.note("token_file", "VITALD_TOKEN");
    }
    Ok(())
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

    /// No file is there.
    fn absent(_: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn parse_words(words: &[&str]) -> Result<Command, String> {
        let words = ["vitald"].iter().chain(words).map(OsString::from);
        parse(words, |_| None, absent)
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

    /// What is in force when the file says one thing, the environment another, and flags a third.
    fn in_force(words: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Config, String> {
        let words = ["vitald"].iter().chain(words).map(OsString::from);
        let environment = |name: &str| {
            let variable = variables.iter().find(|variable| variable.0 == name);
            variable.map(|variable| OsString::from(variable.1))
        };
        let files = |path: &Path| match path == Path::new(PATH_DEFAULT) {
            true => Ok(file.as_bytes().to_vec()),
            false => absent(path),
        };
        match parse(words, environment, files)? {
            Command::Serve(config) | Command::Once { config, .. } | Command::Check(config) => {
                Ok(config)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
        let file = "interval = \"5s\"\nlog_level = \"error\"\nlisten = \"unix:/f\"";
        let variables =
            [("VITALD_INTERVAL", "6s"), ("VITALD_LOG", "warn"), ("VITALD_LISTEN", "unix:/e")];
        let flags = ["-i", "7s", "--log-level", "debug", "-l", "unix:/o"];
        let seen = |config: Config| {
            (config.interval.as_secs(), config.log_level, config.listen[0].to_string())
        };
        let address = "127.0.0.1:8485".to_owned();
        for word in [&[][..], &["once"], &["check"]] {
            let all = [word, &flags].concat();
            for (words, variables, file, values) in [
                (word, &[][..], "", (1, log::LevelFilter::Info, address.clone())),
                (word, &[], file, (5, log::LevelFilter::Error, "unix:/f".to_owned())),
                (word, &variables, file, (6, log::LevelFilter::Warn, "unix:/e".to_owned())),
                (&all, &variables, file, (7, log::LevelFilter::Debug, "unix:/o".to_owned())),
            ] {
                assert_eq!(in_force(words, variables, file).map(seen), Ok(values));
            }
        }
    }

    #[test]
    fn a_list_of_options_replaces_that_of_the_file() {
        let file = "allow_host = [\"a\", \"b\"]\nallow_origin = \"https://a\"";
        let config = in_force(&["--allow-host", "c"], &[], file).unwrap();
        assert_eq!(config.allow_hosts, ["c"]);
        assert_eq!(config.allow_origins, [Origin::parse("https://a").unwrap()]);
    }

    /// What is in force when this is the file at a path and every other is absent.
    fn with_file(words: &[&str], token: &str, name: &str, text: &str) -> Result<Config, String> {
        let words = ["vitald"].iter().chain(words).map(OsString::from);
        let environment = |name: &str| (name == "VITALD_TOKEN").then(|| token.into());
        let files = |path: &Path| match path {
            path if path == Path::new(PATH_DEFAULT) => Ok(b"token_file = \"/c\"".to_vec()),
            path if path == Path::new(name) => Ok(text.as_bytes().to_vec()),
            path => absent(path),
        };
        parse(words, environment, files).map(|command| match command {
            Command::Serve(config) | Command::Once { config, .. } | Command::Check(config) => {
                config
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_token_is_that_of_the_option_else_of_the_variable_else_of_the_file() {
        let token = |words: &[&str], token: &str, name: &str| {
            let config = with_file(words, token, name, "hush\n")?;
            let token = config.token.expect("a token is in force");
            Ok((token.secret().reveal().to_owned(), token.file().map(Path::to_owned)))
        };
        let of_file = |path: &str| Ok::<_, String>(("hush".to_owned(), Some(PathBuf::from(path))));
        assert_eq!(token(&["--token-file", "/o"], "loud", "/o"), of_file("/o"));
        assert_eq!(token(&[], "loud", "/o"), Ok(("loud".to_owned(), None)));
        assert_eq!(token(&["check"], "", "/c"), of_file("/c"));
        let error = |result: Result<_, String>| result.unwrap_err();
        let beginning = "--token-file: /o: there is no such file";
        assert!(error(token(&["--token-file=/o"], "", "/c")).starts_with(beginning));
        let beginning = "/etc/vitald/vitald.toml:1: token_file: /c: there is no such file";
        assert!(error(token(&[], "", "/o")).starts_with(beginning));
        let refused = error(token(&[], "lo ud", "/o"));
        assert!(
            refused.starts_with("VITALD_TOKEN: the token may have ") && !refused.contains("lo")
        );
    }

    #[test]
    fn a_group_that_is_not_there_is_a_mistake_at_its_line_for_who_serves() {
        let file = "\n\nunix_group = \"adm\"";
        let checked = |group: &'static str| {
            let files = |path: &Path| match path {
                path if path == Path::new(PATH_DEFAULT) => Ok(file.as_bytes().to_vec()),
                path if path == Path::new("/etc/group") => Ok(group.as_bytes().to_vec()),
                path => absent(path),
            };
            parse(["vitald", "check"].map(OsString::from), |_| None, files)
        };
        assert!(checked("adm:x:4:\n").is_ok());
        let sentence = "/etc/vitald/vitald.toml:3: unix_group: there is no group \"adm\" in \
                        /etc/group: write one that is there, or a number";
        assert_eq!(checked("root:x:0:\n"), Err(sentence.to_owned()));
        assert!(in_force(&["once"], &[], file).is_ok());
    }

    #[test]
    fn one_snapshot_asks_for_no_token_and_one_opens_addresses_beyond_loopback() {
        assert_eq!(with_file(&["once"], "", "/o", "").unwrap().token, None);
        assert!(with_file(&["-l", "0.0.0.0:1"], "loud", "/o", "").is_ok());
        assert!(with_file(&["-l", "0.0.0.0:1"], "", "/c", "hush").is_ok());
        assert!(with_file(&["-l", "0.0.0.0:1"], "", "/c", "\n").is_err());
    }

    #[test]
    fn a_file_is_named_by_the_option_else_by_the_variable_else_by_default() {
        let read = |words: &[&str], variable: &str| {
            let words = ["vitald"].iter().chain(words).map(OsString::from);
            let environment = |name: &str| (name == "VITALD_CONFIG").then(|| variable.into());
            let files = |path: &Path| Ok(format!("history.path = {path:?}").into_bytes());
            served(parse(words, environment, files)).history.path
        };
        let named = |path| Some(PathBuf::from(path));
        assert_eq!(read(&["-c", "/o"], "/v"), named("/o"));
        assert_eq!(read(&["--config=/o"], ""), named("/o"));
        assert_eq!(read(&[], "/v"), named("/v"));
        assert_eq!(read(&[], ""), named(PATH_DEFAULT));
    }

    #[test]
    fn a_named_file_that_is_not_there_is_a_mistake_of_who_named_it() {
        let error = in_force(&["-c", "/o"], &[], "").unwrap_err();
        assert!(error.starts_with("--config: /o: there is no such file: "), "{error}");
        let error = in_force(&[], &[("VITALD_CONFIG", "/v")], "").unwrap_err();
        assert!(error.starts_with("VITALD_CONFIG: /v: there is no such file: "), "{error}");
    }

    #[test]
    fn a_value_that_does_not_go_with_another_is_looked_for_where_it_was_said() {
        let file = "\nsample_when_idle = \"10s\"\ninterval = \"1s\"";
        for (words, variables, file, beginning) in [
            (&["-i", "1m"][..], &[][..], file, "/etc/vitald/vitald.toml:2: sample_when_idle: 10s"),
            (&["-i", "1ms"], &[], file, "--interval: 1ms"),
            (&["-i", "1ms"], &[("VITALD_INTERVAL", "2s")], "", "--interval: 1ms"),
            (&[], &[("VITALD_INTERVAL", "1ms")], file, "VITALD_INTERVAL: 1ms"),
            (
                &[],
                &[],
                "no_auth = false\nlisten = \"0.0.0.0:1\"",
                "/etc/vitald/vitald.toml:2: listen: 0.0.0.0:1 can be reached",
            ),
            (&["-l", "0.0.0.0:1"], &[], "", "--listen: 0.0.0.0:1 can be reached"),
            (&["check"], &[("VITALD_LISTEN", "[::]:1")], "", "VITALD_LISTEN: [::]:1 can be"),
        ] {
            let error = in_force(words, variables, file).unwrap_err();
            assert!(error.starts_with(beginning), "{error}");
        }
        assert!(in_force(&["once", "-l", "0.0.0.0:1"], &[], "").is_ok());
        assert!(in_force(&["-l", "0.0.0.0:1"], &[], "no_auth = true").is_ok());
    }

    #[test]
    fn a_variable_holds_several_addresses_and_options_replace_them_all() {
        let variables = [("VITALD_LISTEN", "127.0.0.1:1, 127.0.0.1:2")];
        assert_eq!(in_force(&[], &variables, "").unwrap().listen.len(), 2);
        assert_eq!(in_force(&["-l", "127.0.0.1:3"], &variables, "").unwrap().listen.len(), 1);
    }

    #[test]
    fn each_mistake_is_one_sentence_that_names_the_option() {
        for (words, part) in [
            (&["--nonsense"][..], "--nonsense"),
            (&["-l", "nowhere"], "--listen: \"nowhere\" is not an address"),
            (&["-l"], "'-l'"),
            (&["-i", "soon"], "--interval: \"soon\" is not a duration"),
            (&["-i", "1ms"], "--interval: 1ms is out of range"),
            (&["--log-level", "loud"], "--log-level: \"loud\" is not a level"),
            (&["--max-connections", "many"], "--max-connections: \"many\" is not a number"),
            (&["serve"], "serve"),
            (&["--allow-origin", "pi"], "--allow-origin: \"pi\" is not an origin"),
            (&["--pretty"], "--pretty goes with once"),
            (&["check", "--pretty"], "--pretty goes with once"),
            (&["once", "check"], "check"),
            (&["check", "once"], "once"),
            (&["-c"], "'-c'"),
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
        for option in [
            "--config",
            "--listen",
            "--interval",
            "--no-auth",
            "--allow-host",
            "--allow-origin",
            "--max-connections",
            "--log-level",
            "vitald once",
            "vitald watch",
            "vitald check",
            "--topics",
            "--json",
            "--count",
            "--token-file",
            "VITALD_TOKEN",
            PATH_DEFAULT,
        ] {
            assert!(HELP.contains(option), "{option}");
        }
        assert!(HELP.lines().all(|line| line.len() <= 100));
    }
}
