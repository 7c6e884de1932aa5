//! Answers in gzip, for those who take it and where it pays.
//!
//! Owns how much a turn of the loop compresses, and bodies that are kept in both forms. Promises: a
//! turn compresses for less than 5 ms, [`BYTES_PER_TURN_MAX`], whoever asks for what; beyond that
//! an answer goes as it is, and so does every one in a program that cannot compress. Imports the
//! engine's compressor and answers.

use crate::engine::compressor::Compressor;
use crate::engine::connection::frame::{Frame, Kind, OVERHEAD_BYTES};
use crate::engine::connection::response::Response;
use crate::engine::handler::Context;
use crate::engine::limits::Limits;

/// Bytes from which on it pays: of 1 KiB about half is left. What is shorter fits the first packet
/// with its head either way.
const WORTH_BYTES_MIN: usize = 1024;

/// Long bytes that a turn compresses: at 5 to 7 us a KiB that is less than 5 ms, and enough for an
/// answer of 560 KB to a Prometheus server. The double would make ticks late by ten.
const BYTES_PER_TURN_MAX: usize = 640 * 1024;

/// How many times as long a byte takes of what is not long ([`Compressor::LONG_BYTES`]).
const SHORT_FACTOR: usize = 3;

/// The coding's name (RFC 9110, section 8.4.1.3).
const GZIP: &str = "gzip";

/// Compresses for the loop, so much in a turn.
#[derive(Debug, Default)]
pub struct Gzip {
    /// The turn that compresses, by its number, and long bytes that it had time for.
    turn: u64,
    bytes: usize,
}

impl Gzip {
    /// The answer in gzip if the peer takes that, it pays and the turn has time for it; and with a
    /// word to caches that it hangs on what the peer takes.
    pub fn code(
        &mut self,
        context: &mut Context<'_>,
        is_taken: bool,
        response: Response,
    ) -> Response {
        match response.status() {
            200 => {}
            // What is known to the peer may hang on what it takes all the same.
            304 => return with_vary(response),
            _ => return response,
        }
        let body = response.body().filter(|_| is_taken);
        let gzip = body.and_then(|body| self.compress(context, body));
        let response = with_vary(response);
        match gzip {
            Some(gzip) => response.coded(GZIP, gzip),
            None => response,
        }
    }

    /// The bytes of `plain` in gzip, unless that does not pay or takes too long now.
    fn compress(&mut self, context: &mut Context<'_>, plain: &Frame) -> Option<Frame> {
        let is_worth = Compressor::IS_ABLE && plain.len() >= WORTH_BYTES_MIN;
        if !is_worth || !self.has_time(context.stats().turns, plain.len()) {
            return None;
        }
        let mut is_done = false;
        let gzip = Frame::new(Kind::Plain, |out| is_done = context.gzip(plain.as_slice(), out));
        let bytes_max = plain.len().min(context.limits().reply_bytes_max);
        (is_done && gzip.len() <= bytes_max).then_some(gzip)
    }

    /// Whether a turn has time for so many bytes more; if so they are counted.
    fn has_time(&mut self, turn: u64, bytes: usize) -> bool {
        if self.turn != turn {
            (self.turn, self.bytes) = (turn, 0);
        }
        let factor = if bytes > Compressor::LONG_BYTES { 1 } else { SHORT_FACTOR };
        let has_time = self.bytes + factor * bytes <= BYTES_PER_TURN_MAX;
        self.bytes += if has_time { factor * bytes } else { 0 };
        has_time
    }
}

/// Says to caches that an answer hangs on what the peer takes (RFC 9110, section 12.5.5).
pub fn with_vary(response: Response) -> Response {
    match Compressor::IS_ABLE {
        true => response.with("Vary", "Accept-Encoding"),
        false => response,
    }
}

/// A body that is kept for the next reader, and in gzip from the first on who takes that.
#[derive(Debug)]
pub struct Kept {
    plain: Frame,
    gzip: Option<Frame>,
}

impl Kept {
    /// Bytes of memory that the form in gzip takes.
    pub fn memory_ceiling(limits: &Limits) -> usize {
        if Compressor::IS_ABLE { limits.reply_bytes_max + OVERHEAD_BYTES } else { 0 }
    }

    /// A body as it is.
    pub fn new(plain: Frame) -> Kept {
        Kept { plain, gzip: None }
    }

    /// The body as it is.
    pub fn plain(&self) -> &Frame {
        &self.plain
    }

    /// The body in the form that the peer takes.
    pub fn form(&mut self, gzip: &mut Gzip, context: &mut Context<'_>, is_taken: bool) -> Form {
        if is_taken && self.gzip.is_none() {
            self.gzip = gzip.compress(context, &self.plain);
        }
        match self.gzip.clone().filter(|_| is_taken) {
            Some(body) => Form { body, is_gzip: true },
            None => Form { body: self.plain.clone(), is_gzip: false },
        }
    }
}

/// A body as it is, or in gzip.
#[derive(Debug)]
pub struct Form {
    body: Frame,
    /// Which of the two.
    pub is_gzip: bool,
}

impl Form {
    /// Gives an answer this body.
    pub fn in_answer(self, response: Response, content_type: &str) -> Response {
        let response = response.with_body(content_type, self.body);
        if self.is_gzip { response.with("Content-Encoding", GZIP) } else { response }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_compresses_so_much_and_the_next_one_again() {
        let mut gzip = Gzip::default();
        assert!(gzip.has_time(7, BYTES_PER_TURN_MAX - 10));
        assert!(!gzip.has_time(7, 4));
        assert!(gzip.has_time(7, 3));
        assert!(!gzip.has_time(7, 1));
        assert!(gzip.has_time(8, BYTES_PER_TURN_MAX));
    }
}
