//! The configuration file: its keys, and how it is found, read and refused.
//!
//! Promises: a file of any size and any bytes gives values or one sentence with its name, the line
//! and the key; keys that do not exist are refused, so that a slip is never silent.
//! May import: nothing beyond `config`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::alerts;
use super::draft::Draft;
use super::section::{Item, KEY_BYTES_MAX, Section, Source};
use super::{
    CommandLines, Listen, Origin, TlsFiles, TokenFrom, named_file, parse_group, parse_host,
    parse_level, parse_mode,
};

/// The file that is read when none is named, if it is there.
pub const PATH_DEFAULT: &str = "/etc/vitald/vitald.toml";

/// Bytes of a file, at most: a thousand alert rules. Reading takes up to 80 times as much memory
/// for a moment, 20 MiB; twice would be felt on a host of 64 MiB.
pub const FILE_BYTES_MAX: usize = 256 * 1024;

/// Reads the bytes of a file, at most one more than [`FILE_BYTES_MAX`]: enough to see it too large.
///
/// # Errors
/// Those of opening and reading it.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of a file, or a sentence of why there are none. `Ok(None)`: the file is not there and
/// need not be, for nobody has named it.
pub(crate) fn bytes_of(
    path: &Path,
    is_named: bool,
    bytes: io::Result<Vec<u8>>,
) -> Result<Option<Vec<u8>>, String> {
    let shown = path.display();
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
        Err(error) => {
            return Err(match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("{shown}: there is no such file: name one that is there")
                }
                io::ErrorKind::IsADirectory => {
                    format!("{shown}: this is a directory: name the file in it")
                }
                io::ErrorKind::PermissionDenied => format!(
                    "{shown}: this user may not read it: change its mode, or name another file \
                     with --config"
                ),
                _ => format!("{shown}: it cannot be read: {error}: name another with --config"),
            });
        }
    };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("{shown}: it is larger than 256 KiB: name a configuration file"));
    }
    Ok(Some(bytes))
}

/// The text that the bytes of a file are.
pub(crate) fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let place = Source::new(path, &good).place(good.len());
        format!("{place}: this is not UTF-8: save the file as UTF-8")
    })
}

/// Puts into `draft` what the `text` of the file at `path` says.
pub(crate) fn read_into(draft: &mut Draft, path: &Path, text: &str) -> Result<(), String> {
    let source = Source::new(path, text);
    let table = DeTable::parse(text).map_err(|error| malformed(source, text, &error))?;
    let mut top = Section::top(source, table.get_ref());
    draft.take(&mut top, "listen", addresses, |config| &mut config.listen)?;
    draft.take(&mut top, "unix_mode", mode, |config| &mut config.unix.mode)?;
    draft.take(&mut top, "unix_group", group, |config| &mut config.unix.group)?;
    draft.take(&mut top, "interval", Item::duration, |config| &mut config.interval)?;
    draft.take(&mut top, "sample_when_idle", optional_duration, |c| &mut c.sample_when_idle)?;
    draft.take(&mut top, "max_connections", Item::count, |config| &mut config.connections_max)?;
    draft.take(&mut top, "log_level", level, |config| &mut config.log_level)?;
    draft.take(&mut top, "no_auth", Item::flag, |config| &mut config.no_auth)?;
    if let Some(item) = top.take("token_file") {
        draft.token = Some(TokenFrom::File(item.read(|path| named_file(path))?));
        draft.note(item.name(), item.place());
    }
    draft.take(&mut top, "allow_host", hosts, |config| &mut config.allow_hosts)?;
    draft.take(&mut top, "allow_origin", origins, |config| &mut config.allow_origins)?;
    if let Some(tls) = top.take_section("tls", "[tls]")? {
        draft.tls = TlsFiles::take(tls)?;
    }
    if let Some(mut history) = top.take_section("history", "[history]")? {
        draft.take(&mut history, "series", Item::count, |config| &mut config.history.series_max)?;
        draft.take(&mut history, "path", optional_path, |config| &mut config.history.path)?;
        draft.take(&mut history, "write_every", Item::duration, |c| &mut c.history.write_every)?;
        history.finish()?;
    }
    if let Some(mut processes) = top.take_section("processes", "[processes]")? {
        draft.take(&mut processes, "commands", commands, |c| &mut c.processes.commands)?;
        processes.finish()?;
    }
    if let Some(mut dashboard) = top.take_section("dashboard", "[dashboard]")? {
        draft.take(&mut dashboard, "hosts", origins, |c| &mut c.dashboard.hosts)?;
        draft.take(&mut dashboard, "frame_ancestors", origins, |c| {
            &mut c.dashboard.frame_ancestors
        })?;
        dashboard.finish()?;
    }
    draft.take(&mut top, "alert", alerts::read, |config| &mut config.alerts)?;
    top.finish()
}

fn addresses(item: &Item<'_>) -> Result<Vec<Listen>, String> {
    item.one_or_more().iter().map(|item| item.read(Listen::parse)).collect()
}

fn mode(item: &Item<'_>) -> Result<Option<u32>, String> {
    item.read(parse_mode).map(Some)
}

fn group(item: &Item<'_>) -> Result<Option<String>, String> {
    item.read(parse_group).map(Some)
}

fn hosts(item: &Item<'_>) -> Result<Vec<String>, String> {
    item.one_or_more().iter().map(|item| item.read(parse_host)).collect()
}

fn origins(item: &Item<'_>) -> Result<Vec<Origin>, String> {
    item.one_or_more().iter().map(|item| item.read(Origin::parse)).collect()
}

fn optional_duration(item: &Item<'_>) -> Result<Option<Duration>, String> {
    item.duration().map(Some)
}

fn optional_path(item: &Item<'_>) -> Result<Option<PathBuf>, String> {
    item.text().map(|text| Some(PathBuf::from(text)))
}

fn level(item: &Item<'_>) -> Result<log::LevelFilter, String> {
    item.read(parse_level)
}

fn commands(item: &Item<'_>) -> Result<CommandLines, String> {
    item.read(CommandLines::parse)
}

/// What a file that is not TOML is told: the place, and the key where the line has got one.
fn malformed(source: Source<'_>, text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(text.len(), |span| span.start);
    let before = &text.as_bytes()[..at.min(text.len())];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let key = line.split_once('=').map_or("", |(key, _)| key.trim());
    let message = error.message();
    let place = source.place(at);
    match !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(is_bare) {
        true => format!("{place}: {key}: this is not TOML: {message}"),
        false => format!("{place}: this is not TOML: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::TEXT_BYTES_MAX;
    use crate::config::{Config, DASHBOARD_ORIGINS_MAX, DashboardSettings, UnixSettings};

    fn read(text: &str) -> Result<Config, String> {
        let mut draft = Draft::default();
        read_into(&mut draft, Path::new("/f"), text)?;
        draft.finish()
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_refused_where_it_is_not_built_in() {
        let text = "interval = \"1s\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n";
        let told = "/f:2: [tls]: this vitald is built without TLS: install vitald-tls, build with \
                    --features tls, or put a proxy before it";
        assert_eq!(read_into(&mut Draft::default(), Path::new("/f"), text), Err(told.to_owned()));
    }

    #[test]
    fn every_key_sets_its_value() {
        let text = r#"
            listen = ["127.0.0.1:1", "unix:/run/v"]
            unix_mode = "0660"
            unix_group = "adm"
            interval = "500ms"
            sample_when_idle = "10s"
            max_connections = 1_000
            log_level = "debug"
            no_auth = true
            token_file = "/etc/vitald/token"
            allow_host = "box.example"
            allow_origin = ["https://a.example", "https://b.example"]
            [history]
            series = 0x10
            path = "/var/lib/h"
            write_every = "5m"
            [processes]
            commands = "never"
            [dashboard]
            hosts = ["http://pi:8485", "HTTPS://Box.example"]
            frame_ancestors = "https://home.example"
        "#;
        let config = read(text).unwrap();
        let listen = ["127.0.0.1:1", "unix:/run/v"].map(|text| Listen::parse(text).unwrap());
        assert_eq!(config.listen, listen);
        let unix = UnixSettings { mode: Some(0o660), group: Some("adm".to_owned()) };
        assert_eq!(config.unix, unix);
        assert_eq!(config.interval, Duration::from_millis(500));
        assert_eq!(config.sample_when_idle, Some(Duration::from_secs(10)));
        assert_eq!(config.connections_max, 1000);
        assert_eq!(config.log_level, log::LevelFilter::Debug);
        assert!(config.no_auth);
        assert_eq!(config.allow_hosts, ["box.example"]);
        let origins = ["https://a.example", "https://b.example"];
        assert_eq!(config.allow_origins.iter().map(Origin::as_str).collect::<Vec<_>>(), origins);
        assert_eq!(config.history.series_max, 16);
        assert_eq!(config.history.path, Some(PathBuf::from("/var/lib/h")));
        assert_eq!(config.history.write_every, Duration::from_secs(300));
        assert_eq!(config.processes.commands, CommandLines::Never);
        let DashboardSettings { hosts, frame_ancestors } = &config.dashboard;
        let texts = |list: &[Origin]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(hosts), ["http://pi:8485", "https://box.example"]);
        assert_eq!(texts(frame_ancestors), ["https://home.example"]);
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        for text in ["", "\n# nothing\n", "[history]\n[processes]\n", "\u{feff}"] {
            assert_eq!(read(text), Ok(Config::default()), "{text:?}");
        }
    }

    #[test]
    fn what_goes_into_the_pages_policy_is_bounded() {
        let list = |count: usize, name: &str| {
            let hosts: Vec<String> = (0..count).map(|n| format!("\"http://{name}{n}\"")).collect();
            format!("[dashboard]\nhosts = [{}]", hosts.join(", "))
        };
        let (most, long) = (DASHBOARD_ORIGINS_MAX, "x".repeat(30));
        assert!(read(&list(most, "h")).is_ok());
        for (text, sentence) in [
            (list(most + 1, "h"), "/f:2: [dashboard] hosts: there are 33: write 32 at most"),
            (
                list(most, &long),
                "/f:2: [dashboard] hosts: they have 1238 bytes together: write 1024 at most",
            ),
            (
                "[dashboard]\n\nframe_ancestors = \"http://[::1]\"".to_owned(),
                "/f:3: [dashboard] frame_ancestors: \"http://[::1]\" is a v6 address, which \
                 browsers take in no policy: give it a name",
            ),
            (
                "[dashboard]\nhosts = \"http://pi/x;\"".to_owned(),
                "/f:2: [dashboard] hosts: \"http://pi/x;\" is not an origin: write http:// or \
                 https://, a host and a port, as in http://pi:8485, and nothing behind them",
            ),
        ] {
            assert_eq!(read(&text), Err(sentence.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_not_toml_is_refused_at_its_line() {
        for (text, beginning) in [
            ("\nlisten: 5", "/f:2: this is not TOML: "),
            ("interval = 1s", "/f:1: interval: this is not TOML: "),
            ("\ninterval = \"1s", "/f:2: interval: this is not TOML: "),
            ("no_auth = true\nno_auth = true", "/f:2: no_auth: this is not TOML: duplicate key"),
            ("a = {", "/f:1: a: this is not TOML: "),
        ] {
            let sentence = read(text).unwrap_err();
            assert!(sentence.starts_with(beginning), "{text:?} gave {sentence}");
        }
        let deep = format!("a = {}", "[".repeat(100_000));
        assert!(read(&deep).unwrap_err().starts_with("/f:1: a: this is not TOML: "));
    }

    #[test]
    fn sentences_stay_short_whatever_they_quote() {
        let long = "x".repeat(100_000);
        for text in [
            format!("{long} = 1"),
            format!("listen = \"{long}\""),
            format!("max_connections = {}", "9".repeat(100_000)),
            format!("[history]\n\"{}\" = 1", "é".repeat(30_000)),
        ] {
            let sentence = read(&text).unwrap_err();
            assert!(sentence.len() < 300, "{} bytes", sentence.len());
        }
        let token = |bytes| format!("token_file = \"{}\"", "x".repeat(bytes));
        assert!(read(&token(TEXT_BYTES_MAX)).is_ok());
        let sentence = "/f:1: token_file: the text has 4097 bytes: write 4096 at most";
        assert_eq!(read(&token(TEXT_BYTES_MAX + 1)), Err(sentence.to_owned()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_apart() {
        let refused = |bytes| bytes_of(Path::new("/f"), true, bytes).unwrap_err();
        let kind = |kind: io::ErrorKind| refused(Err(kind.into()));
        assert!(kind(io::ErrorKind::NotFound).starts_with("/f: there is no such file"));
        assert!(kind(io::ErrorKind::IsADirectory).starts_with("/f: this is a directory"));
        assert!(kind(io::ErrorKind::PermissionDenied).starts_with("/f: this user may not read it"));
        assert!(kind(io::ErrorKind::TimedOut).starts_with("/f: it cannot be read: timed out"));
        let latin = text_of(Path::new("/f"), b"# ok\n# \xff".to_vec()).unwrap_err();
        assert!(latin.starts_with("/f:2: this is not UTF-8"));
        let huge = refused(Ok(vec![b'#'; FILE_BYTES_MAX + 1]));
        assert!(huge.starts_with("/f: it is larger than 256 KiB"), "{huge}");
        assert!(bytes_of(Path::new("/f"), true, Ok(vec![b'#'; FILE_BYTES_MAX])).is_ok());
    }

    #[test]
    fn only_a_file_that_nobody_has_named_may_be_absent() {
        let absent = || Err(io::ErrorKind::NotFound.into());
        assert_eq!(bytes_of(Path::new("/f"), false, absent()), Ok(None));
        assert!(bytes_of(Path::new("/f"), true, absent()).is_err());
        let denied = Err(io::ErrorKind::PermissionDenied.into());
        assert!(bytes_of(Path::new("/f"), false, denied).is_err());
    }
}
