//! Those who wait for the process table, and what each is given.
//!
//! Owns what is remembered of one who waits: a request, which the engine watches over, or a message,
//! whose sender is closed at its own time. Pure but for the sending; imports how answers are made.

use crate::app::access::Grant;
use crate::app::parts::{Around, Bounds, Cut, Head, TooLong, write_entries};
use crate::app::protocol::{ErrorCode, ErrorMessage, ID_BYTES_MAX, Id, Refusal, write_json};
use crate::app::{json, reply};
use crate::engine::clock::Tick;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::Context;
use crate::engine::limits::Limits;
use crate::metrics::processes::{Question, View};

const TOO_LONG: &str = "too much at a time: ask for fewer rows";

/// One who waits for a scan.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) handle: Handle,
    pub(super) question: Question,
    pub(super) asker: Asker,
    /// The answers before it have not been taken: the next scan's table is its answer.
    pub(super) is_put_off: bool,
}

/// On which road the question came.
#[derive(Debug)]
pub(super) enum Asker {
    /// A request, which the engine awaits the answer to.
    Request(Reader),
    /// A message with this name of the client's, at this time.
    Message { id: Option<Id>, asked: Tick },
}

/// Who asks by a request.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Whether it takes gzip.
    pub takes_gzip: bool,
    /// Which page may read the answer.
    pub grant: Grant,
}

impl Waiting {
    /// One who begins to wait.
    pub(super) fn new(handle: Handle, question: Question, asker: Asker) -> Waiting {
        Waiting { handle, question, asker, is_put_off: false }
    }

    /// Bytes that one takes in a list that grows by doubling.
    pub(super) const BYTES_MAX: usize = 2 * size_of::<Waiting>() + ID_BYTES_MAX;

    /// Whether there is still somebody to be answered.
    pub(super) fn is_there(&self, context: &Context<'_>) -> bool {
        match self.asker {
            Asker::Request(_) => context.awaits(self.handle),
            Asker::Message { .. } => true,
        }
    }

    /// Whether a message has waited for as long as the engine lets a request wait. One who does not
    /// take what is sent could otherwise have the processes read for as long as it likes.
    pub(super) fn is_late(&self, context: &Context<'_>) -> bool {
        match self.asker {
            Asker::Request(_) => false,
            Asker::Message { asked, .. } => {
                context.now() - asked >= context.limits().answer_timeout
            }
        }
    }

    /// Tells why there is no table, for now.
    pub(super) fn refuse(&self, context: &mut Context<'_>, reason: &str) {
        match &self.asker {
            Asker::Request(reader) => {
                context.respond(self.handle, reader.grant.apply(busy(reason)));
            }
            Asker::Message { .. } => self.tell(context, &Refusal::new(ErrorCode::Limit, reason)),
        }
    }

    /// Tells the sender of a message why it is not carried out.
    pub(super) fn tell(&self, context: &mut Context<'_>, refusal: &Refusal) {
        if let Asker::Message { id, .. } = &self.asker {
            reply(context, self.handle, &ErrorMessage::new(refusal, id.as_ref()));
        }
    }
}

/// The answer to a request.
pub(super) fn response(view: &View<'_>, limits: &Limits) -> Response {
    let frame = Frame::new(Kind::Plain, |out| write_json(view, out));
    if frame.len() > limits.reply_bytes_max {
        return Response::text(400, TOO_LONG);
    }
    json(frame)
}

pub(super) fn busy(reason: &str) -> Response {
    Response::text(503, reason).with("Retry-After", "1")
}

/// The answer to a message, in as many as it takes.
pub(super) fn messages(
    view: &View<'_>,
    limits: &Limits,
    id: Option<&Id>,
) -> Result<Vec<Frame>, TooLong> {
    let head = Head { kind: "processes", id };
    let mut opening = Vec::new();
    write_entries(&view.head(), &mut opening);
    opening.extend_from_slice(b",\"rows\":[");
    let around = Around { opening: &opening, closing: b"]}", group_closing: b"", between: b"," };
    let mut cut = Cut::new(Bounds::of_messages(limits, head), around);
    cut.group(|_| {})?;
    for row in view.rows() {
        cut.row(|out| write_json(&row, out))?;
    }
    Ok(head.messages(&cut.finish()))
}

pub(super) fn too_long(_: TooLong) -> Refusal {
    Refusal::new(ErrorCode::Limit, TOO_LONG)
}
