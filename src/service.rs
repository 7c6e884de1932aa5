//! The service manager that has started this process, where one has: systemd, or what speaks like
//! it.
//!
//! What it passes is in [`sockets`], what it is told in [`notify`]. Everything it says is in environment variables; they are read
//! once, at the start, and nothing of it concerns a process that was started by hand.

pub mod notify;
pub mod sockets;
