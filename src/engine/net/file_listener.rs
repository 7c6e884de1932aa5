//! A Unix listener with its file, which would outlive the process if it were not removed.
//!
//! Owns the file. Promises: one on which nobody answers is replaced, one on which somebody does is
//! left alone, and so is what is no socket; nobody can connect before the file has its mode and its
//! group; at the end it is removed if it is still ours, which that of an adopted socket never is.
//! Imports nothing of the engine.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::fs::{AtFlags, CWD, Gid, chownat};
use rustix::io::{Errno, FdFlags, fcntl_setfd, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};

/// Connections that wait in the kernel to be accepted; it takes fewer where `net.core.somaxconn`
/// says so. Half would turn peers away in a rush of a thousand; double is for a loop that stands
/// still.
const BACKLOG: i32 = 1024;

/// Who may connect to a Unix listener: connecting takes permission to write to its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileRights {
    /// The file's mode, up to 0o777; without one, as the umask has it.
    pub mode: Option<u32>,
    /// The number of the file's group, any but -1; without one, the process's.
    pub group: Option<u32>,
}

/// A Unix listener with its file.
pub(super) struct FileListener {
    pub(super) socket: UnixListener,
    path: PathBuf,
    /// Device and inode at the time of binding: whether the file is still ours. The inode is not
    /// used for another file while the socket is open.
    identity: Option<(u64, u64)>,
}

impl FileListener {
    /// Binds `path`, replacing the file of a process that is gone: one on which nobody answers.
    pub(super) fn bind(path: &Path, rights: FileRights) -> io::Result<FileListener> {
        let address = SocketAddrUnix::new(path)?;
        let socket = unix_socket()?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                make_room(path, &address)?;
                bind(&socket, &address)?;
            }
            result => result?,
        }
        let socket = UnixListener::from_std(StdUnixListener::from(socket));
        let listener = FileListener { socket, path: path.to_owned(), identity: identity(path) };
        // Until it listens, whoever tries to connect is refused.
        set_rights(path, rights)?;
        listen(&listener.socket, BACKLOG)?;
        Ok(listener)
    }

    /// One that somebody else has bound, whose file is theirs, and what it is bound to: a path, or
    /// an abstract name behind an `@`.
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<(FileListener, PathBuf)> {
        let socket = StdUnixListener::from(socket);
        let path = path_of(&socket.local_addr()?);
        let socket = UnixListener::from_std(socket);
        Ok((FileListener { socket, path: path.clone(), identity: None }, path))
    }
}

impl Drop for FileListener {
    fn drop(&mut self) {
        // A successor may have put its own file there.
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A stream socket that never blocks. Not every system makes one in a single step.
fn unix_socket() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Removes what a process that is gone has left at `path`.
fn make_room(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        let sentence =
            "there is a file already that is no socket; remove it or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, sentence));
    }
    // Not refused is also who has a full queue: somebody listens, if slowly.
    match connect(unix_socket()?, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        _ => Err(Errno::ADDRINUSE.into()),
    }
}

fn set_rights(path: &Path, rights: FileRights) -> io::Result<()> {
    if let Some(group) = rights.group {
        let owned = chownat(CWD, path, None, Some(Gid::from_raw(group)), AtFlags::SYMLINK_NOFOLLOW);
        owned.map_err(|error| {
            let cause = io::Error::from(error);
            io::Error::other(format!(
                "the file cannot be given to group {group}: {cause}; name a group that vitald's \
                 user is in"
            ))
        })?;
    }
    match rights.mode {
        Some(mode) => fs::set_permissions(path, Permissions::from_mode(mode)),
        None => Ok(()),
    }
}

fn path_of(address: &SocketAddr) -> PathBuf {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return PathBuf::from(format!("@{}", name.escape_ascii()));
    }
    address.as_pathname().map(Path::to_owned).unwrap_or_default()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
