//! The certificate that is shown to those who come by TCP, and its key: `[tls]`.
//!
//! Owns what the two files had in them when they were read. Promises: the key is never part of a
//! sentence, nor of what is printed of a configuration. What they mean is the engine's to say.
//! Imports nothing beyond `config`.

use std::io;
use std::path::{Path, PathBuf};

use super::section::Section;
use super::token::unreadable;
use super::{Secret, named_file};

/// Where the certificate and the key are to be had.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// `FILE:LINE: [tls]`.
    place: String,
    certificate: PathBuf,
    key: PathBuf,
}

/// The same files are the same, wherever in the configuration they are named.
impl PartialEq for TlsFiles {
    fn eq(&self, other: &TlsFiles) -> bool {
        (&self.certificate, &self.key) == (&other.certificate, &other.key)
    }
}

impl Eq for TlsFiles {}

impl TlsFiles {
    /// What the section says, which must have both or none.
    pub(crate) fn take(mut section: Section<'_>) -> Result<Option<TlsFiles>, String> {
        let place = section.place();
        let wrong = |sentence: &str| Err(format!("{place}: {sentence}"));
        let mut path = |key| -> Result<Option<PathBuf>, String> {
            section.take(key).map(|item| item.read(|path| named_file(path))).transpose()
        };
        let (certificate, key) = (path("certificate")?, path("key")?);
        // First of all: a key may be missing because of a slip in it.
        section.finish()?;
        if certificate.is_none() && key.is_none() {
            return Ok(None);
        }
        if !cfg!(feature = "tls") {
            return wrong(
                "this vitald is built without TLS: install vitald-tls, build with --features tls, \
                 or put a proxy before it",
            );
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { place, certificate, key })),
            (None, _) => wrong("there is no certificate: name its file, in PEM"),
            (_, None) => wrong("there is no key: name its file, in PEM"),
        }
    }

    /// Reads both; `files` gives the bytes of a file.
    ///
    /// # Errors
    /// A sentence that names the section and the file.
    pub(crate) fn read(
        &self,
        files: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<TlsSettings, String> {
        let read = |path: &Path| {
            let bytes = files(path);
            bytes.map_err(|error| {
                let cause = unreadable(&error, "name one that is there");
                format!("{}: {}: {cause}", self.place, path.display())
            })
        };
        let chain = read(&self.certificate)?;
        // What is not UTF-8 is no PEM either, and is refused for it.
        let secret = String::from_utf8_lossy(&read(&self.key)?).into_owned();
        Ok(TlsSettings { files: self.clone(), chain, secret: Secret::new(secret) })
    }
}

/// A certificate and its key, as they were read. Printed, they say only which files they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    files: TlsFiles,
    chain: Vec<u8>,
    secret: Secret,
}

impl TlsSettings {
    /// Where the section is that names the files: `/etc/vitald/vitald.toml:3: [tls]`.
    pub fn place(&self) -> &str {
        &self.files.place
    }

    /// The file of the certificate, with those that vouch for it.
    pub fn certificate(&self) -> &Path {
        &self.files.certificate
    }

    /// The file of the key.
    pub fn key(&self) -> &Path {
        &self.files.key
    }

    /// What was in the certificate's file.
    pub fn chain(&self) -> &[u8] {
        &self.chain
    }

    /// What was in the key's file.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_at(place: &str) -> TlsFiles {
        let [certificate, key] = ["/c", "/k"].map(PathBuf::from);
        TlsFiles { place: place.to_owned(), certificate, key }
    }

    #[test]
    fn settings_say_where_they_were_written_and_are_the_same_at_another_place() {
        let read = |place| named_at(place).read(|path| Ok(path.display().to_string().into_bytes()));
        let settings = read("/f:3: [tls]").unwrap();
        assert_eq!(settings.place(), "/f:3: [tls]");
        assert_eq!(settings, read("/f:4: [tls]").unwrap());
        let others = named_at("/f:3: [tls]").read(|_| Ok(Vec::new())).unwrap();
        assert_ne!(settings, others);
    }

    #[test]
    fn a_file_that_cannot_be_had_is_named_with_the_section() {
        let refused = |absent: &'static str, kind: io::ErrorKind| {
            let files = |path: &Path| match path == Path::new(absent) {
                true => Err(kind.into()),
                false => Ok(Vec::new()),
            };
            named_at("/f:3: [tls]").read(files).unwrap_err()
        };
        for (absent, kind, sentence) in [
            ("/c", io::ErrorKind::NotFound, "/c: there is no such file: name one that is there"),
            ("/k", io::ErrorKind::IsADirectory, "/k: this is a directory: name the file in it"),
            (
                "/k",
                io::ErrorKind::PermissionDenied,
                "/k: this user may not read it: change its owner or its mode",
            ),
            ("/c", io::ErrorKind::TimedOut, "/c: it cannot be read: timed out"),
        ] {
            assert_eq!(refused(absent, kind), format!("/f:3: [tls]: {sentence}"));
        }
    }
}
