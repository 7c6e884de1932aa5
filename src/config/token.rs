//! The bearer token: what it may be, and where it is read from.
//!
//! Promises: it is never part of a sentence, nor of what is printed of a configuration. Imports
//! nothing beyond `config`.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of a token, at most; a request head has 8 KiB in all.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Bytes from which on a token cannot be guessed: 16 of base64 are 96 bits. A shorter one is
/// served, with a warning.
pub const TOKEN_BYTES_SAFE: usize = 16;

/// A text that is not for printing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text, for whom it is meant.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Where a token is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFrom {
    /// In a file: its first line.
    File(PathBuf),
    /// In `VITALD_TOKEN`: here.
    Variable(Secret),
}

impl TokenFrom {
    /// Reads the token; `files` gives the bytes of a file.
    ///
    /// # Errors
    /// A sentence that names the file and does not quote what is in it.
    pub fn read(&self, files: impl FnOnce(&Path) -> io::Result<Vec<u8>>) -> Result<Token, String> {
        match self {
            TokenFrom::Variable(secret) => Token::new(secret.reveal().trim()),
            TokenFrom::File(path) => {
                let shown = path.display();
                let bytes = files(path).map_err(|error| {
                    format!("{shown}: {}", unreadable(&error, "put the token into it"))
                })?;
                let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
                // What is not UTF-8 is not ASCII either, and is refused for it.
                let token = Token::new(String::from_utf8_lossy(line).trim());
                let token = token.map_err(|wrong| format!("{shown}: {wrong}"))?;
                Ok(Token { file: Some(path.clone()), ..token })
            }
        }
    }
}

/// Why a file that the configuration names cannot be read; `remedy` is for one that is not there.
pub(super) fn unreadable(error: &io::Error, remedy: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no such file: {remedy}"),
        io::ErrorKind::IsADirectory => "this is a directory: name the file in it".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "this user may not read it: change its owner or its mode".to_owned()
        }
        _ => format!("it cannot be read: {error}"),
    }
}

/// What every request has to show. Printed, it says only which file it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    secret: Secret,
    file: Option<PathBuf>,
}

impl Token {
    /// The token that `text` is: 1 to [`TOKEN_BYTES_MAX`] bytes of visible ASCII.
    ///
    /// # Errors
    /// A sentence that says what a token may be.
    pub fn new(text: &str) -> Result<Token, String> {
        if text.is_empty() {
            return Err("there is no token in it: write one, of 16 random letters or more".into());
        }
        if text.len() > TOKEN_BYTES_MAX {
            return Err(format!(
                "the token has {} bytes: write {TOKEN_BYTES_MAX} at most",
                text.len()
            ));
        }
        // RFC 6750, section 2.1, allows fewer; others are in use.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token may have letters, digits and signs of ASCII, and no spaces or \
                        control characters"
                .to_owned());
        }
        Ok(Token { secret: Secret::new(text.to_owned()), file: None })
    }

    /// The token, for whom it is meant.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The file that it was read from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether it is too short to be safe from guessing.
    pub fn is_short(&self) -> bool {
        self.secret.0.len() < TOKEN_BYTES_SAFE
    }

    /// The file that it was read from, if every user of this host can read that.
    pub fn open_file(&self) -> Option<&Path> {
        self.file().filter(|path| is_readable_by_all(path))
    }
}

/// Whether every user of this host can read the file at `path`.
pub fn is_readable_by_all(path: &Path) -> bool {
    let is_open = |data: Metadata| data.is_file() && data.permissions().mode() & 0o004 != 0;
    path.metadata().is_ok_and(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(bytes: &[u8]) -> Result<Token, String> {
        TokenFrom::File(PathBuf::from("/t")).read(|_| Ok(bytes.to_vec()))
    }

    #[test]
    fn a_token_is_the_first_line_of_its_file_without_the_space_around_it() {
        for text in ["abc+/=~.", "abc+/=~.\n", " abc+/=~.\t\r\n", "abc+/=~.\nanother\n\u{1}"] {
            let token = in_file(text.as_bytes()).unwrap();
            assert_eq!(token.secret().reveal(), "abc+/=~.");
            assert_eq!(token.file(), Some(Path::new("/t")));
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_quoted() {
        let long = "hush".repeat(TOKEN_BYTES_MAX);
        for text in ["", "\n", "\nhush", "hush hush", "hush\u{1}", "hush\u{e9}", &long] {
            let wrong = in_file(text.as_bytes()).unwrap_err();
            assert!(!wrong.contains("hush") && wrong.starts_with("/t: "), "{wrong}");
        }
        assert!(in_file(b"hush\xff").unwrap_err().contains("of ASCII"));
        for text in ["hush\nX-Evil: 1", "hush\0", "hush hush"] {
            let variable = TokenFrom::Variable(Secret::new(text.to_owned()));
            let wrong = variable.read(|_| panic!("there is no file")).unwrap_err();
            assert!(!wrong.contains("hush"), "{wrong}");
        }
        assert!(Token::new(&"x".repeat(TOKEN_BYTES_MAX)).is_ok());
        assert!(Token::new(&"x".repeat(TOKEN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_had_is_named() {
        let from = TokenFrom::File(PathBuf::from("/t"));
        for (kind, part) in [
            (io::ErrorKind::NotFound, "/t: there is no such file"),
            (io::ErrorKind::IsADirectory, "/t: this is a directory"),
            (io::ErrorKind::PermissionDenied, "/t: this user may not read it"),
            (io::ErrorKind::TimedOut, "/t: it cannot be read: "),
        ] {
            let wrong = from.read(|_| Err(kind.into())).unwrap_err();
            assert!(wrong.starts_with(part), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_of_a_token_says_nothing_of_it() {
        let token = in_file(b"hush").unwrap();
        let from = TokenFrom::Variable(token.secret().clone());
        assert!(!format!("{token:?} {from:?}").contains("hush"));
    }
}
