//! Why history cannot be opened, each in a sentence for the operator. May import: `history`.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use crate::metrics::history::SERIES_LIMIT;

/// Why history cannot be opened.
#[derive(Debug)]
pub enum Error {
    /// The number of series is out of range.
    Series(usize),
    /// The time between writes is out of range.
    WriteEvery(Duration),
    /// Another process has the file.
    Locked(PathBuf),
    /// The path is a folder, a device or the like.
    NotAFile(PathBuf),
    /// The system refused.
    Failed(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Series(series) => {
                write!(
                    formatter,
                    "history cannot keep {series} series: ask for 1 to {SERIES_LIMIT}"
                )
            }
            Error::WriteEvery(duration) => {
                write!(formatter, "history cannot be written every {duration:?}: choose 1m to 1h")
            }
            Error::Locked(path) => write!(
                formatter,
                "the history file {} is in use by another process: stop that one or choose \
                 another path",
                path.display()
            ),
            Error::NotAFile(path) => write!(
                formatter,
                "{} is not a regular file and cannot keep history: choose another path",
                path.display()
            ),
            Error::Failed(path, error) => write!(
                formatter,
                "the history file {} cannot be opened: {error}; its folder must exist and be \
                 writable",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Error {}
