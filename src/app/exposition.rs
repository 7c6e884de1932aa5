//! The answer to a Prometheus server.
//!
//! The host is read when it is asked for, and the answer is kept for a moment, so that two servers
//! that scrape together, or one that asks again and again, do not have it read twice; how often
//! that happened is counted with the other reads. The format is the one that the request prefers.
//! An answer over the limit is refused as a whole: a part of it would be taken for all there is. One
//! of a large host is longer than what each connection may be owed by itself: its bytes are the
//! engine's to count, one for all who read it.

use std::time::Duration;

use super::gzip::{self, Kept};
use super::{App, unix_ms};
use crate::engine::connection::frame::{Frame, Kind, NoFrame, OVERHEAD_BYTES};
use crate::engine::connection::head::{self, Request};
use crate::engine::connection::response::Response;
use crate::engine::handler::Context;
use crate::engine::limits::Limits;
use crate::metrics::exposition::{Exposition, Format};
use crate::metrics::snapshot::Server;

/// How long an answer is good for, at most: the base interval may be an hour, and who scrapes each
/// ten seconds wants the counters of now. A shorter time would only spare less.
const KEPT_FOR_MAX: Duration = Duration::from_secs(1);

/// What an answer takes while it is made, in terms of its size and beside the bytes to send:
/// samples in buffers that grow by doubling, 2; what tells the families and the series apart, 2.
const BUILDING_FACTOR: usize = 4;

/// An answer that was given.
pub(super) struct Exposed {
    at: Duration,
    format: Format,
    body: Kept,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// It is longer than this.
    TooLong(usize),
    /// Slow readers hold as many long ones as there may be.
    Full,
}

/// Bytes of memory that the answer kept and one that is made take together. If they are long their
/// bytes to send are the engine's.
pub(super) fn memory_ceiling(limits: &Limits) -> usize {
    2 * (limits.reply_bytes_max + OVERHEAD_BYTES)
        + Kept::memory_ceiling(limits)
        + BUILDING_FACTOR * bytes_max(limits)
}

/// The most that an answer may have.
fn bytes_max(limits: &Limits) -> usize {
    limits.long_bytes_max.max(limits.reply_bytes_max)
}

impl App {
    /// Answers with every figure.
    pub(super) fn exposition(
        &mut self,
        context: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Response {
        let format = preferred(request.header("accept"));
        let now = context.instant().since_origin();
        let kept_for = self.metrics.interval().min(KEPT_FOR_MAX);
        let kept = self
            .exposed
            .take()
            .filter(|kept| kept.format == format && now.saturating_sub(kept.at) < kept_for);
        self.metrics.count_read(kept.is_some());
        let mut exposed = match kept {
            Some(kept) => kept,
            None => match self.expose(context, now, format) {
                Ok(body) => Exposed { at: now, format, body: Kept::new(body) },
                Err(cause) => return refusal(cause),
            },
        };
        let form = exposed.body.form(&mut self.gzip, context, request.accepts_gzip());
        self.exposed = Some(exposed);
        let response = Response::new(200).with("Cache-Control", "no-store").with("Vary", "Accept");
        form.in_answer(gzip::with_vary(response), content_type(format))
    }

    /// Reads everything and writes it.
    fn expose(
        &mut self,
        context: &mut Context<'_>,
        now: Duration,
        format: Format,
    ) -> Result<Frame, Refusal> {
        let bytes_max = bytes_max(context.limits());
        let inside = self.inside(now);
        let mut server = Server::default();
        self.own.fill(&mut server, context, inside);
        let clock = context.clock();
        let clock = || clock.now().since_origin();
        let mut exposition = Exposition::new(format, bytes_max, &clock);
        self.metrics.expose(now, unix_ms(context.wall()), &server, &mut exposition);
        if exposition.is_too_long() {
            return Err(Refusal::TooLong(bytes_max));
        }
        let write = |out: &mut Vec<u8>| exposition.write(out);
        if exposition.len_max() <= context.limits().reply_bytes_max {
            return Ok(Frame::new(Kind::Plain, write));
        }
        context.encode_long(write).map_err(|cause| match cause {
            NoFrame::Full => Refusal::Full,
            NoFrame::TooLong(_) => Refusal::TooLong(bytes_max),
        })
    }
}

fn refusal(cause: Refusal) -> Response {
    match cause {
        Refusal::TooLong(bytes_max) => {
            log::warn!("exposition too_long=true bytes_max={bytes_max}");
            let reason =
                format!("this host has more figures than the {bytes_max} bytes of an answer hold");
            Response::text(503, &reason)
        }
        Refusal::Full => {
            log::warn!("exposition slow_readers=true");
            let reason = "slow readers hold as many answers as there may be; try again";
            Response::text(503, reason).with("Retry-After", "1")
        }
    }
}

fn content_type(format: Format) -> &'static str {
    match format {
        Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
    }
}

/// The format that an Accept field (RFC 9110, section 12.5.1) prefers: text, unless OpenMetrics has
/// more weight. A field that allows neither gets text, as one that is missing does.
fn preferred(accept: Option<&str>) -> Format {
    let accept = accept.unwrap_or("*/*");
    let text = weight(accept, "text", "plain", "0.0.4");
    let openmetrics = weight(accept, "application", "openmetrics-text", "1.0.0");
    if openmetrics > text { Format::OpenMetrics } else { Format::Text }
}

/// The weight, in thousandths, of the most specific range that a media type of this version is in.
fn weight(accept: &str, kind: &str, subtype: &str, version: &str) -> u32 {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (kind_wanted, subtype_wanted) = parts.next()?.split_once('/')?;
        let mut specificity = match (kind_wanted, subtype_wanted) {
            ("*", "*") => 0,
            (k, "*") if k.eq_ignore_ascii_case(kind) => 1,
            (k, s) if k.eq_ignore_ascii_case(kind) && s.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        let mut weight = 1000;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => weight = head::weight(value.trim())?,
                name if name.eq_ignore_ascii_case("version") => {
                    if value.trim().trim_matches('"') != version {
                        return None;
                    }
                    specificity = 3;
                }
                _ => {}
            }
        }
        Some((specificity, weight))
    });
    ranges.max().map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_what_the_request_prefers() {
        let openmetrics = "application/openmetrics-text";
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Text),
            ("text/plain;version=0.0.4;q=0.5, */*;q=0.1", Format::Text),
            (openmetrics, Format::OpenMetrics),
            ("Application/OpenMetrics-Text ; Version=\"1.0.0\"", Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; q=0.4, text/plain; q=0.5", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=2, text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;version=0.0.1, text/plain;q=0.1", Format::Text),
            ("application/*", Format::OpenMetrics),
            ("application/*, application/openmetrics-text;q=0.1, text/plain;q=0.2", Format::Text),
            ("image/png", Format::Text),
            (";;,,/;q", Format::Text),
            // What Prometheus 2 and 3 send.
            (
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
                 text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics,
            ),
        ] {
            assert_eq!(preferred(Some(accept)), expected, "{accept}");
        }
        assert_eq!(preferred(None), Format::Text);
    }

    #[test]
    fn an_answer_over_the_limit_is_refused_with_a_sentence() {
        let answer = refusal(Refusal::TooLong(1000));
        assert_eq!(answer.status(), 503);
        assert!(answer.body_len() > 40);
    }
}
