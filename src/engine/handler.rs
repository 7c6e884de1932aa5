//! What a program on the engine is: a [`Handler`], called from the loop.
//!
//! The engine knows connections, requests and messages; what they mean is the handler's. A call
//! must not block: the loop stands still meanwhile. What the handler wants done it asks of the
//! [`Context`], which queues bytes in outboxes and notes closes; nothing is written to a socket and
//! nothing is released before the call has returned, so handles stay valid throughout it.

mod context;

pub use self::context::Context;
use super::connection::CloseReason;
use super::connection::head::Request;
use super::connection::response::Response;
use super::handle::Handle;
use super::limits::Limits;
use super::tasks::{Run, TaskId};

/// What to do with a request.
#[derive(Debug)]
pub enum Answer {
    /// Send this.
    Respond(Response),
    /// The answer comes in a later turn, by [`Context::respond`]. Until then nothing is read from
    /// the connection: further requests on it wait. After [`Limits::answer_timeout`] the engine
    /// answers 503 itself, and so it does when a drain begins, after [`Handler::drain`], or has
    /// begun; that answer is the last on its connection. Who asked may be gone before
    /// ([`Context::awaits`]): nobody is told, for a connection awaits one answer at most, so a
    /// handler that remembers them by [`Handle::slot`] remembers no more than the table has places.
    Later,
    /// Make the connection a WebSocket, if the request is a correct handshake (else the engine
    /// refuses it with 400 or 426). `protocol` is the subprotocol to agree on: one of those that
    /// the request offers.
    Upgrade {
        /// The subprotocol, if one is agreed on.
        protocol: Option<&'static str>,
    },
    /// Make the connection an event stream (HTML, section 9.2): send this head, which should say
    /// `text/event-stream`, and then whatever is queued for it, as frames of
    /// [`Kind::Event`](super::connection::frame::Kind::Event), until the connection ends. A body of
    /// the answer's own is left out; HEAD gets the head alone and is no stream. What the peer sends
    /// is thrown away; beyond [`Limits::linger_bytes_max`] bytes it is closed as
    /// [`CloseReason::Policy`]. A stream on which nothing has been sent for
    /// [`Limits::heartbeat_after`] is sent a comment.
    Stream(Response),
}

/// A whole message from a WebSocket client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, which is UTF-8.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What a handler says of a task that is being cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It is over.
    Done,
    /// It winds down and will be reported by [`Context::end`]; after
    /// [`CANCEL_TIMEOUT`](super::tasks::CANCEL_TIMEOUT) it is ended by force, with a warning.
    Wait,
}

/// A program on the engine.
pub trait Handler {
    /// Bytes of memory that the handler takes at most because of what peers do, under `limits`; for
    /// [`Engine::memory_ceiling`](super::Engine::memory_ceiling).
    fn memory_ceiling(&self, limits: &Limits) -> usize {
        let _ = limits;
        0
    }

    /// Called once before the first turn does anything.
    fn start(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Answers a request. The connection named by `handle` is no subscriber, and may never be.
    fn request(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Answer;

    /// A connection has become a subscriber, by `request`: an open WebSocket or an event stream, as
    /// [`Context::envelope`] tells. What is sent from here comes first.
    fn open(&mut self, context: &mut Context<'_>, handle: Handle, request: &Request<'_>) {
        let _ = (context, handle, request);
    }

    /// A message has come from an open WebSocket.
    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>);

    /// A subscriber is one no more: called exactly once for each [`Handler::open`], before anything
    /// of it is released. Nothing can be sent to it now.
    fn closed(&mut self, context: &mut Context<'_>, handle: Handle, reason: CloseReason) {
        let _ = (context, handle, reason);
    }

    /// A task that the handler spawned is due.
    fn task(&mut self, context: &mut Context<'_>, run: Run) {
        let _ = (context, run);
    }

    /// The turn comes that the handler has asked for by [`Context::resume`].
    fn resume(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// A task of the handler's, or of a connection, is being cancelled: it will run no more. Called
    /// once, in the turn of the cancelling, after whoever asked for it has returned.
    fn cancel(&mut self, context: &mut Context<'_>, task: TaskId) -> Cancel {
        let _ = (context, task);
        Cancel::Done
    }

    /// A task that was to wind down has not done so in time, and is over now.
    fn forced(&mut self, context: &mut Context<'_>, task: TaskId) {
        let _ = (context, task);
    }

    /// A drain has begun: the engine closes the connections and cancels every task. Answers that
    /// are awaited can be given here, and no later.
    fn drain(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }
}
