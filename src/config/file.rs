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

use super::draft::Draft;
use super::section::{Item, KEY_BYTES_MAX, Section, Source};
use super::{CommandLines, Listen, parse_level};

/// The file that is read when none is named, if it is there.
pub const PATH_DEFAULT: &str = "/etc/vitald/vitald.toml";

/// Bytes of a file, at most: some thousand alert rules. Without a bound a device or a wrong name
/// would fill the memory.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Reads the bytes of a file, at most one more than [`FILE_BYTES_MAX`]: enough to see it too large.
///
/// # Errors
/// Those of opening and reading it.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a text of what `bytes` says, or a sentence of why there is none. `Ok(None)`: the file is
/// not there and need not be, for nobody has named it.
pub(crate) fn text_of(
    path: &Path,
    is_named: bool,
    bytes: io::Result<Vec<u8>>,
) -> Result<Option<String>, String> {
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
        return Err(format!("{shown}: it is larger than 1 MiB: name a configuration file"));
    }
    let utf8 = String::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        let place = Source::new(path, &good).place(good.len());
        format!("{place}: this is not UTF-8: save the file as UTF-8")
    });
    utf8.map(Some)
}

/// Puts into `draft` what the `text` of the file at `path` says.
pub(crate) fn read_into(draft: &mut Draft, path: &Path, text: &str) -> Result<(), String> {
    let source = Source::new(path, text);
    let table = DeTable::parse(text).map_err(|error| malformed(source, text, &error))?;
    let mut top = Section::top(source, table.get_ref());
    draft.take(&mut top, "listen", addresses, |config| &mut config.listen)?;
    draft.take(&mut top, "interval", Item::duration, |config| &mut config.interval)?;
    draft.take(&mut top, "sample_when_idle", optional_duration, |c| &mut c.sample_when_idle)?;
    draft.take(&mut top, "max_connections", Item::count, |config| &mut config.connections_max)?;
    draft.take(&mut top, "log_level", level, |config| &mut config.log_level)?;
    draft.take(&mut top, "no_auth", Item::flag, |config| &mut config.no_auth)?;
    draft.take(&mut top, "allow_host", Item::texts, |config| &mut config.allow_hosts)?;
    draft.take(&mut top, "allow_origin", Item::texts, |config| &mut config.allow_origins)?;
    if let Some(mut history) = top.take_section("history", "[history]")? {
        draft.take(&mut history, "series", Item::count, |config| &mut config.history.series)?;
        draft.take(&mut history, "path", optional_path, |config| &mut config.history.path)?;
        draft.take(&mut history, "write_every", Item::duration, |c| &mut c.history.write_every)?;
        history.finish()?;
    }
    if let Some(mut processes) = top.take_section("processes", "[processes]")? {
        draft.take(&mut processes, "commands", commands, |c| &mut c.processes.commands)?;
        processes.finish()?;
    }
    top.finish()
}

fn addresses(item: &Item<'_>) -> Result<Vec<Listen>, String> {
    item.one_or_more()?.iter().map(|item| item.read(Listen::parse)).collect()
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
