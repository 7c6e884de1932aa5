//! A configuration in the making.
//!
//! Owns the values so far, and where each was said, so that what is found wrong in the end names
//! the file's line or the option that the operator has to change.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use super::section::{Item, Section};
use super::{Config, Listen, TlsFiles, TokenFrom};

/// Values and their places.
#[derive(Default)]
pub(crate) struct Draft {
    /// The values.
    pub(crate) config: Config,
    /// Where the token is that everybody has to show.
    pub(crate) token: Option<TokenFrom>,
    /// Where the certificate is that is shown, and its key.
    pub(crate) tls: Option<TlsFiles>,
    /// A key as messages name it, and where it was said; the last one counts.
    said: Vec<(String, String)>,
}

impl Draft {
    /// Notes that `key` has been set at `place`: an option, a variable, or a line of the file.
    pub(crate) fn note(&mut self, key: impl Into<String>, place: impl Into<String>) {
        self.said.push((key.into(), place.into()));
    }

    /// Sets the `slot` to what `read` makes of `key`, if the file has it.
    pub(crate) fn take<'f, T>(
        &mut self,
        section: &mut Section<'f>,
        key: &'static str,
        read: fn(&Item<'f>) -> Result<T, String>,
        slot: fn(&mut Config) -> &mut T,
    ) -> Result<(), String> {
        if let Some(item) = section.take(key) {
            *slot(&mut self.config) = read(&item)?;
            self.note(item.name(), item.place());
        }
        Ok(())
    }

    /// Reads the token, if there is to be one; `files` gives the bytes of a file.
    pub(crate) fn read_token(
        &mut self,
        files: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(), String> {
        let token = self.token.as_ref().map(|from| from.read(files)).transpose();
        self.config.token =
            token.map_err(|wrong| format!("{}: {wrong}", self.place_of("token_file")))?;
        Ok(())
    }

    /// Reads the certificate and its key, if TLS is to be spoken; `files` gives the bytes of a
    /// file.
    pub(crate) fn read_tls(
        &mut self,
        files: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(), String> {
        let tls = self.tls.as_ref().map(|from| from.read(files)).transpose()?;
        self.config.tls = tls.map(Box::new);
        Ok(())
    }

    /// Whether there is the group that is named, if one is; `files` gives the bytes of a file.
    pub(crate) fn check_group(
        &self,
        files: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<(), String> {
        let rights = self.config.unix.rights(files);
        rights.map(drop).map_err(|wrong| format!("{}: {wrong}", self.place_of("unix_group")))
    }

    /// The values, if they can be served.
    pub(crate) fn finish(self) -> Result<Config, String> {
        match self.config.check_values() {
            Ok(()) => Ok(self.config),
            Err(fault) => Err(format!("{}: {}", self.place_of(fault.key), fault.sentence)),
        }
    }

    /// Whether the addresses that need no resolver may be served; `Server::bind` checks the rest.
    pub(crate) fn check_access(&self) -> Result<(), String> {
        for listen in &self.config.listen {
            if let Listen::Tcp(text) = listen
                && let Ok(address) = text.parse::<SocketAddr>()
            {
                let allowed = self.config.check_access(&address);
                allowed.map_err(|sentence| format!("{}: {sentence}", self.place_of("listen")))?;
            }
        }
        Ok(())
    }

    fn place_of<'s>(&'s self, key: &'s str) -> &'s str {
        let said = self.said.iter().rev().find(|said| said.0 == key);
        said.map_or(key, |said| &said.1)
    }
}
