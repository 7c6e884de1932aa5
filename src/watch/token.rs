//! The bearer token that is shown to the server that is watched.
//!
//! May import: the configuration's tokens.

use crate::config::{Secret, TokenFrom, read_file};

/// Reads a token that was `said` to be there; what should be known of its file is given to `warn`.
///
/// # Errors
/// A sentence that names where it was said, and the file.
pub fn read(from: &TokenFrom, said: &str, warn: impl FnOnce(&str)) -> Result<Secret, String> {
    let token = from.read(read_file).map_err(|wrong| format!("{said}: {wrong}"))?;
    if let Some(path) = token.open_file() {
        let shown = path.display();
        warn(&format!("{shown} can be read by every user of this host: chmod 600 {shown}"));
    }
    Ok(token.secret().clone())
}
