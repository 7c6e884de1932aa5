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
    /// The system refused to open it.
    Failed(PathBuf, io::Error),
    /// It could be opened, but not be begun or read.
    Unready(PathBuf, io::Error),
    /// What is at its path cannot be set aside.
    InTheWay(PathBuf, io::Error),
}

impl Error {
    /// Whether it is a mistake in the configuration: not a disk that is full, busy or broken today,
    /// nor rights that somebody has changed. A host that nobody looks at is to go on without.
    pub(in crate::metrics::history) fn is_final(&self) -> bool {
        match self {
            Error::Failed(_, error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidFilename
            ),
            Error::Unready(..) | Error::InTheWay(..) => false,
            Error::Series(_) | Error::WriteEvery(_) | Error::Locked(_) | Error::NotAFile(_) => true,
        }
    }
}

/// What can be done about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; its folder must exist",
        io::ErrorKind::NotADirectory => "; what should be its folder is none",
        io::ErrorKind::PermissionDenied => "; it and its folder must be writable for this user",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on the disk",
        io::ErrorKind::FileTooLarge => "; raise the limit on the size of files",
        io::ErrorKind::ReadOnlyFilesystem => "; its file system must be writable",
        io::ErrorKind::AlreadyExists => "",
        _ => "; check the disk that it is on",
    }
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
                "the history file {} cannot be opened: {error}{}",
                path.display(),
                remedy(error)
            ),
            Error::Unready(path, error) => write!(
                formatter,
                "the history file {} cannot be used: {error}{}",
                path.display(),
                remedy(error)
            ),
            Error::InTheWay(path, error) => write!(
                formatter,
                "the file {} cannot keep history and cannot be set aside: {error}{}",
                path.display(),
                remedy(error)
            ),
        }
    }
}

impl std::error::Error for Error {}
