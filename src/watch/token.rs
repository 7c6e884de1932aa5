//! The bearer token: where it is read from, and what it may be.
//!
//! Promises: it is never part of a sentence. May import: the command line's own words for it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::{Secret, TokenFrom};

/// Bytes of a token; a request head has 8 KiB in all.
const TOKEN_BYTES_MAX: usize = 4096;

/// Reads a token; what should be known of its file is given to `warn`.
///
/// # Errors
/// A sentence that names the option or the variable, and the file.
pub fn read(from: &TokenFrom, warn: impl FnOnce(&str)) -> Result<Secret, String> {
    match from {
        TokenFrom::Variable(token) => {
            checked(token.reveal()).map_err(|wrong| format!("VITALD_TOKEN: {wrong}"))
        }
        TokenFrom::File(path) => {
            let shown = path.display();
            let (text, is_open) = read_file(path)
                .map_err(|error| format!("--token-file: {shown}: it cannot be read: {error}"))?;
            let token = String::from_utf8(text).map_err(|_| "it is not text".to_owned());
            let token = token.and_then(|text| checked(&text));
            let token = token.map_err(|wrong| format!("--token-file: {shown}: {wrong}"))?;
            if is_open {
                warn(&format!("{shown} can be read by every user of this host: chmod 600 {shown}"));
            }
            Ok(token)
        }
    }
}

/// What a file holds, and whether everybody can read it.
fn read_file(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let is_open = metadata.is_file() && metadata.permissions().mode() & 0o004 != 0;
    let mut text = Vec::new();
    // A line end, and a byte that shows it too long.
    file.take(TOKEN_BYTES_MAX as u64 + 3).read_to_end(&mut text)?;
    Ok((text, is_open))
}

fn checked(text: &str) -> Result<Secret, String> {
    let token = text.strip_suffix('\n').unwrap_or(text);
    let token = token.strip_suffix('\r').unwrap_or(token);
    if token.is_empty() {
        return Err("there is no token in it".to_owned());
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!("the token is longer than {TOKEN_BYTES_MAX} bytes"));
    }
    // RFC 6750, section 2.1, allows fewer; others are in use.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token may have letters, digits and signs of ASCII, and no spaces or \
                    control characters"
            .to_owned());
    }
    Ok(Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_a_line_end_is_no_part_of_it() {
        for text in ["abc+/=~.", "abc+/=~.\n", "abc+/=~.\r\n"] {
            assert_eq!(checked(text).unwrap().reveal(), "abc+/=~.");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_quoted() {
        let long = "hush".repeat(TOKEN_BYTES_MAX);
        for text in ["", "\n", "hush hush", "hush\r\nX-Evil: 1", "hush\u{1}", "hush\u{e9}", &long] {
            let wrong = checked(text).unwrap_err();
            assert!(!wrong.contains("hush"), "{wrong}");
        }
    }
}
