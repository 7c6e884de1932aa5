//! The server's side of the simulated network: what the engine calls, and the faults it meets
//! there.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use super::{ClientId, SimNet, SimStream, State};
use crate::engine::clock::Clock;
use crate::engine::handle::Slot;
use crate::engine::net::{Event, Net, Peer, Stream};

impl Net for SimNet {
    type Stream = SimStream;

    fn poll(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let interrupted = state.faults.interrupted;
        let is_interrupted = state.random.happens(interrupted);
        state.open_windows();
        if !is_interrupted && !state.has_due() {
            let now = state.clock.now();
            let until = timeout.map(|timeout| now + timeout);
            let next = [until, state.next_due()].into_iter().flatten().min();
            let next = next.expect("the world gives a time by which it does something itself");
            state.clock.advance(next - now);
            state.open_windows();
        }
        let now = state.clock.now();
        let first = events.len();
        state.events.retain(|(due, event)| {
            let is_due = *due <= now;
            if is_due {
                events.push(*event);
            }
            !is_due
        });
        state.add_spurious(events);
        if state.faults.is_shuffled {
            state.random.shuffle(&mut events[first..]);
        }
        state.record(b'p', events.len() - first, now.as_nanos() as usize);
        Ok(())
    }

    fn accept(&mut self) -> io::Result<(SimStream, Peer)> {
        let mut state = self.state.borrow_mut();
        let (interrupted, failing) = (state.faults.interrupted, state.faults.accept_error);
        if state.backlog.is_empty() {
            state.is_accept_armed = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.random.happens(interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if state.random.happens(failing) {
            return Err(state.accept_error());
        }
        let client = state.backlog.pop_front().expect("somebody waits");
        state.record(b'a', client, 0);
        let now = state.clock.now();
        state.pipes[client].accepted = Some(now);
        let address = state.pipes[client].peer.ip();
        let here = state.pipes.iter().filter(|pipe| pipe.accepted.is_some() && !pipe.is_closed);
        let crowd = here.fold((0, 0), |(all, same), pipe| {
            (all + 1, same + usize::from(pipe.peer.ip() == address))
        });
        state.pipes[client].crowd_at_accept = crowd;
        let peer = state.pipes[client].peer;
        Ok((SimStream { state: Rc::clone(&self.state), client }, peer))
    }

    fn open(&mut self, stream: &mut SimStream, slot: Slot) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let failing = state.faults.open_error;
        if state.random.happens(failing) {
            state.pipes[stream.client].is_spoilt = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        state.pipes[stream.client].open(slot);
        state.note(stream.client);
        Ok(())
    }

    fn close(&mut self, stream: SimStream) {
        let mut state = self.state.borrow_mut();
        state.record(b'c', stream.client, 0);
        let slot = state.pipes[stream.client].close();
        // As in a kernel: a descriptor that is closed gives no further events.
        state.events.retain(
            |(_, event)| !matches!(event, Event::Connection { slot: of, .. } if Some(*of) == slot),
        );
    }

    fn stop_listening(&mut self) {
        let mut state = self.state.borrow_mut();
        state.is_listening = false;
        // As in a kernel: who was not accepted is reset.
        while let Some(client) = state.backlog.pop_front() {
            state.pipes[client].abort();
        }
    }
}

impl State {
    /// One of the errors of accept(2). A peer that has gone again leaves the queue by it.
    fn accept_error(&mut self) -> io::Error {
        match self.random.below(3) {
            0 => io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()),
            1 => io::Error::from_raw_os_error(rustix::io::Errno::NFILE.raw_os_error()),
            _ => {
                let client = self.backlog.pop_front().expect("somebody waits");
                self.pipes[client].abort();
                io::ErrorKind::ConnectionAborted.into()
            }
        }
    }

    /// What may befall any attempt to read or write.
    fn attempt(&mut self, client: ClientId) -> io::Result<()> {
        assert!(!self.pipes[client].is_closed, "a connection is used after it was closed");
        if self.random.happens(self.faults.interrupted) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.random.happens(self.faults.reset) {
            let pipe = &mut self.pipes[client];
            pipe.failure = Some(io::ErrorKind::ConnectionReset);
            pipe.is_spoilt = true;
            pipe.reset_client();
        }
        match self.pipes[client].failure {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl Stream for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        state.attempt(self.client)?;
        let mut length = buffer.len().min(state.pipes[self.client].to_server.len());
        let short = state.faults.short_read;
        if length > 1 && state.random.happens(short) {
            length = 1 + state.random.below(length);
        }
        state.record(b'r', self.client, length);
        state.pipes[self.client].read(&mut buffer[..length])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        state.attempt(self.client)?;
        let zero_window = state.faults.zero_window;
        if state.random.happens(zero_window) {
            let until = state.clock.now() + state.delay();
            state.pipes[self.client].shut_until = Some(until);
            if !state.shut.contains(&self.client) {
                state.shut.push(self.client);
            }
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut length = offered.min(state.pipes[self.client].room(state.clock.now()));
        let short = state.faults.short_write;
        if length > 1 && state.random.happens(short) {
            length = 1 + state.random.below(length);
        }
        state.record(b'w', self.client, length);
        let written = state.pipes[self.client].write(slices, length);
        state.note(self.client);
        written
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.record(b's', self.client, 0);
        let pipe = &mut state.pipes[self.client];
        if pipe.failure.is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        pipe.server_ended = true;
        Ok(())
    }

    fn take_error(&mut self) -> Option<io::Error> {
        let state = self.state.borrow();
        let pipe = &state.pipes[self.client];
        assert!(!pipe.is_closed, "a connection is used after it was closed");
        pipe.failure.map(io::Error::from)
    }
}
