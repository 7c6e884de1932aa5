//! The certificate that is shown to those who come by TCP, and its key: `[tls]`.
//!
//! Owns what the two files had in them when they were read. Promises: the key is never part of a
//! sentence, nor of what is printed of a configuration. What they mean is the engine's to say.
//! Imports nothing beyond `config`.

use std::io;
use std::path::{Path, PathBuf};

use super::Secret;
use super::section::Section;

/// Where the certificate and the key are to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// What the section says, which must have both or none.
    pub(crate) fn take(section: &mut Section<'_>) -> Result<Option<TlsFiles>, String> {
        let mut path = |key| -> Result<Option<PathBuf>, String> {
            section.take(key).map(|item| item.text().map(PathBuf::from)).transpose()
        };
        let (certificate, key) = (path("certificate")?, path("key")?);
        if certificate.is_none() && key.is_none() {
            return Ok(None);
        }
        if !cfg!(feature = "tls") {
            return Err(section.wrong(
                "this vitald is built without TLS: install vitald-tls, build with --features tls, \
                 or put a proxy before it",
            ));
        }
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, _) => Err(section.wrong("there is no certificate: name its file, in PEM")),
            (_, None) => Err(section.wrong("there is no key: name its file, in PEM")),
        }
    }

    /// Reads both; `files` gives the bytes of a file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn read(
        &self,
        files: impl Fn(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<TlsSettings, String> {
        let read = |path: &Path| {
            let bytes = files(path);
            bytes.map_err(|error| format!("{}: {}", path.display(), cause(&error)))
        };
        let chain = read(&self.certificate)?;
        // What is not UTF-8 is no PEM either, and is refused for it.
        let secret = String::from_utf8_lossy(&read(&self.key)?).into_owned();
        Ok(TlsSettings { files: self.clone(), chain, secret: Secret::new(secret) })
    }
}

fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file: name one that is there".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory: name the file in it".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not read it: change its owner or its mode".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
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
