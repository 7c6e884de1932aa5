//! One simulated connection: bytes on their way in both directions, and what each end has done.
//!
//! Keeps the rule of edges: a readiness is told when it comes about after an attempt has met
//! `WouldBlock`, once. Knows what a reset does: who closes with input unread, or is sent to after
//! closing, destroys what the other end has not yet read.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::mem;

use crate::engine::clock::Tick;
use crate::engine::handle::Slot;
use crate::engine::net::{Event, Peer};

#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) peer: Peer,
    pub(super) to_server: VecDeque<u8>,
    pub(super) to_client: VecDeque<u8>,
    /// Bytes that `to_client` holds before a write would block.
    window_bytes: usize,
    /// Shut until then, however much room there is; when that is past, when it was last shut.
    pub(super) shut_until: Option<Tick>,
    pub(super) accepted: Option<Tick>,
    /// Connections that were open when it was accepted: in all, and from its address.
    pub(super) crowd_at_accept: (usize, usize),
    /// Under which name it is registered, once it is.
    slot: Option<Slot>,
    is_read_armed: bool,
    is_write_armed: bool,
    /// The client has said that it will send no more.
    pub(super) client_ended: bool,
    /// Nobody reads at the client's end any more.
    pub(super) is_client_gone: bool,
    /// What the server finds when it next tries, and from then on.
    pub(super) failure: Option<io::ErrorKind>,
    is_failure_told: bool,
    /// The server has said that it will send no more.
    pub(super) server_ended: bool,
    /// The server has closed.
    pub(super) is_closed: bool,
    /// The client has found a reset.
    pub(super) is_client_reset: bool,
    /// A fault has ended it that neither end has caused.
    pub(super) is_spoilt: bool,
}

impl Pipe {
    pub(super) fn new(peer: Peer, window_bytes: usize) -> Pipe {
        Pipe {
            peer,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            window_bytes,
            shut_until: None,
            accepted: None,
            crowd_at_accept: (0, 0),
            slot: None,
            is_read_armed: false,
            is_write_armed: false,
            client_ended: false,
            is_client_gone: false,
            failure: None,
            is_failure_told: false,
            server_ended: false,
            is_closed: false,
            is_client_reset: false,
            is_spoilt: false,
        }
    }

    /// Registers the server's end: what is ready already is told at once.
    pub(super) fn open(&mut self, slot: Slot) {
        self.slot = Some(slot);
        self.is_read_armed = true;
        self.is_write_armed = true;
    }

    /// The name under which events can be told.
    pub(super) fn living_slot(&self) -> Option<Slot> {
        self.slot.filter(|_| !self.is_closed)
    }

    /// The event that is to be told now, if any; it is not told again before the next `WouldBlock`.
    pub(super) fn transition(&mut self, now: Tick) -> Option<Event> {
        let slot = self.living_slot()?;
        let is_broken = self.failure.is_some();
        let has_input = !self.to_server.is_empty() || self.client_ended || is_broken;
        // As in a kernel: an error is told, once, whether or not an attempt has blocked before.
        let is_news = is_broken && !self.is_failure_told;
        self.is_failure_told |= is_news;
        let readable = (self.is_read_armed && has_input) || is_news;
        let writable = (self.is_write_armed && (is_broken || self.room(now) > 0)) || is_news;
        self.is_read_armed &= !readable;
        self.is_write_armed &= !writable;
        (readable || writable).then_some(Event::Connection { slot, readable, writable })
    }

    /// Bytes that a write would take now.
    pub(super) fn room(&self, now: Tick) -> usize {
        match self.shut_until {
            Some(until) if until > now => 0,
            _ => self.window_bytes.saturating_sub(self.to_client.len()),
        }
    }

    /// Takes bytes out at the client's end.
    pub(super) fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.to_client.split_off(length.min(self.to_client.len()));
        mem::replace(&mut self.to_client, rest).into()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() && !self.client_ended {
            self.is_read_armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // A deque of bytes is a reader of itself.
        self.to_server.read(buffer)
    }

    pub(super) fn write(&mut self, slices: &[IoSlice<'_>], length: usize) -> io::Result<usize> {
        assert!(!self.server_ended, "a byte is written after the end");
        if self.is_client_gone {
            // The first write to somebody who is gone succeeds; the answer to it is a reset.
            self.failure = Some(io::ErrorKind::ConnectionReset);
            return Ok(slices.iter().map(|slice| slice.len()).sum());
        }
        if length == 0 {
            self.is_write_armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut left = length;
        for slice in slices {
            let taken = left.min(slice.len());
            self.to_client.extend(&slice[..taken]);
            left -= taken;
        }
        Ok(length)
    }

    /// The server closes: with input unread, the client is reset. Gives the name that is free
    /// again.
    pub(super) fn close(&mut self) -> Option<Slot> {
        assert!(!self.is_closed, "a connection is closed twice");
        self.is_closed = true;
        if !self.to_server.is_empty() {
            self.reset_client();
        }
        self.slot
    }

    /// Whether the server will send no more.
    pub(super) fn has_server_ended(&self) -> bool {
        self.server_ended || self.is_closed
    }

    /// The system ends a connection that the server never had.
    pub(super) fn abort(&mut self) {
        self.is_closed = true;
        self.is_spoilt = true;
        self.reset_client();
    }

    /// The client finds a reset, and no more of what it has not yet taken.
    pub(super) fn reset_client(&mut self) {
        self.is_client_reset = true;
        self.to_client.clear();
    }
}
