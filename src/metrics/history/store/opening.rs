//! How a history file is had: opened, begun, or another one set aside for it.
//!
//! Owns what happens to a file that stands at the path and cannot be used. Promises: it is renamed
//! to `<path>.broken`, or `.broken.1` to `.broken.9` if that is taken, and never overwrites one of
//! those; when all are taken it stays where it is, and history in memory. A file without a byte
//! counts as none. May import: its siblings.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::format::{Layout, PAGE_BYTES};
use super::medium::{Medium, Refusal, open_locked};

/// Files set aside at most: each may have 62 MB, and an operator who has not looked at ten of them
/// will not look at more.
const ASIDE_MAX: u32 = 10;

/// Opens the file at `path`, one that has what is held, or a new one.
pub(super) fn open(path: &Path, layout: Layout) -> Result<File, Error> {
    let mut file = locked(path)?;
    let unready = |error| Error::Unready(path.to_owned(), error);
    if let Some(reason) = refuse(&mut file, layout).map_err(unready)? {
        file = replace(path, file, &reason)?;
    }
    begin(&mut file, layout).map_err(unready)?;
    Ok(file)
}

/// Opens a new file at `path`; whatever is there is set aside.
pub(super) fn begin_anew(path: &Path, layout: Layout) -> Result<File, Error> {
    let mut file = locked(path)?;
    let unready = |error| Error::Unready(path.to_owned(), error);
    if file.metadata().map_err(unready)?.len() > 0 {
        file = replace(path, file, "what it holds is not what memory does")?;
    }
    begin(&mut file, layout).map_err(unready)?;
    Ok(file)
}

fn locked(path: &Path) -> Result<File, Error> {
    open_locked(path).map_err(|refusal| match refusal {
        Refusal::Locked => Error::Locked(path.to_owned()),
        Refusal::NotAFile => Error::NotAFile(path.to_owned()),
        Refusal::Failed(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Error::NotAFile(path.to_owned())
        }
        Refusal::Failed(error) => Error::Failed(path.to_owned(), error),
    })
}

/// Sets the file aside and gives a new one.
fn replace(path: &Path, file: File, reason: &str) -> Result<File, Error> {
    let in_the_way = |error| Error::InTheWay(path.to_owned(), error);
    let aside = free_name(path).map_err(in_the_way)?;
    // Held open until it is away: nobody else takes it for a good one.
    std::fs::rename(path, &aside).map_err(in_the_way)?;
    drop(file);
    log::warn!(
        "history path={} set_aside={}: {reason}; beginning a new file",
        path.display(),
        aside.display()
    );
    locked(path)
}

fn free_name(path: &Path) -> io::Result<PathBuf> {
    for number in 0..ASIDE_MAX {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".broken");
        if number > 0 {
            aside.push(format!(".{number}"));
        }
        match std::fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(aside.into()),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    let reason = format!("there are {ASIDE_MAX} beside it already; remove those named .broken");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
}

/// Why the file is not one that can be used; an empty one can.
fn refuse(file: &mut File, layout: Layout) -> io::Result<Option<String>> {
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    let mut page = [0; PAGE_BYTES];
    file.read_at(&mut page, 0)?;
    Ok(layout.refuse(&page))
}

/// Gives a file without a byte its header, and any its size: what is not written yet takes no room
/// on the disk. One that was cut is mended.
fn begin(file: &mut File, layout: Layout) -> io::Result<()> {
    let is_new = file.metadata()?.len() == 0;
    let begun = match is_new {
        true => file.write_at(&layout.header(), 0),
        false => Ok(()),
    };
    let begun = begun.and_then(|()| file.set_len(layout.file_bytes()));
    if begun.is_err() && is_new {
        // Half a header would be in the way the next time; without it this is no file at all.
        let _ = file.set_len(0);
    }
    begun
}
