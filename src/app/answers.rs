//! What each HTTP request is answered with.
//!
//! These are the methods of [`App`] that answer. The name that a request calls us by is checked
//! first; then the route says what is wanted; and a WebSocket or an event stream is refused to a
//! page from elsewhere.
//! An answer is whole when it is given, which for the process table is in a later turn. The newest
//! sample is encoded once between two ticks, however many ask for it. Owns no state; imports the
//! engine's requests and responses.

use super::App;
use super::assets::PAGE;
use super::getting::HistoryQuery;
use super::history::{self, Form};
use super::protocol::{self, Refusal, write_json};
use super::routes::{self, Route};
use super::terms::Terms;
use super::{connections, event_stream, json, kept, schema};
use crate::config::CommandLines;
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::head::Request;
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::{Answer, Context};
use crate::engine::net::Peer;
use crate::metrics::processes::Question;

impl App {
    /// Answers a request, or lets it become a WebSocket or an event stream.
    pub(super) fn answer(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        peer: Peer,
        request: &Request<'_>,
    ) -> Answer {
        let host = request.header("host").unwrap_or_default();
        // A Unix socket's client has passed the file's permissions, whatever it calls us; HTTP/1.0
        // may come without a Host.
        let is_named = peer != Peer::Unix && (!host.is_empty() || request.has("host"));
        if is_named && !self.access.allows_host(host) {
            return Answer::Respond(Response::text(
                421,
                "this server does not go by that name; see --allow-host",
            ));
        }
        match routes::route(request) {
            Ok(Route::WebSocket) => self.upgrade(request, host),
            Ok(Route::Events) => self.stream(request, host),
            Ok(Route::Page) => Answer::Respond(page(request)),
            Ok(Route::Health) => Answer::Respond(health(context.is_draining())),
            Ok(Route::Snapshot) => Answer::Respond(self.snapshot(context)),
            Ok(Route::History(query, form)) => Answer::Respond(self.history(&query, form, context)),
            Ok(Route::Server { audit }) => Answer::Respond(self.server(context, audit)),
            Ok(Route::Alerts) => Answer::Respond(self.alarm.answer(context)),
            Ok(Route::Connections) => Answer::Respond(connections::answer(context)),
            Ok(Route::Processes(question)) => {
                let with_commands = may_see_commands(self.commands);
                self.processes.answer(context, handle, Question { with_commands, ..question })
            }
            Ok(Route::Schema) => Answer::Respond(schema::answer(request)),
            Ok(Route::Exposition) => Answer::Respond(self.exposition(context, request)),
            Err(refusal) => Answer::Respond(refusal),
        }
    }

    fn upgrade(&self, request: &Request<'_>, host: &str) -> Answer {
        if let Some(refusal) = self.refuse_origin(request, host) {
            return Answer::Respond(refusal);
        }
        let offered = request.has_token("sec-websocket-protocol", protocol::SUBPROTOCOL);
        Answer::Upgrade { protocol: offered.then_some(protocol::SUBPROTOCOL) }
    }

    fn stream(&self, request: &Request<'_>, host: &str) -> Answer {
        if let Some(refusal) = self.refuse_origin(request, host) {
            return Answer::Respond(refusal);
        }
        match self.stream_terms(request.query()) {
            Ok(_) => Answer::Stream(event_stream::head()),
            Err(refusal) => Answer::Respond(Response::text(400, &refusal.message)),
        }
    }

    /// What the query of an event stream asks for.
    pub(super) fn stream_terms(&self, query: &str) -> Result<Terms, Refusal> {
        protocol::parse_query(query, self.interval_ms())
    }

    /// The refusal of a page from elsewhere that would connect.
    fn refuse_origin(&self, request: &Request<'_>, host: &str) -> Option<Response> {
        let origin = request.header("origin")?;
        let is_allowed = self.access.allows_origin(origin, host);
        (!is_allowed).then(|| {
            Response::text(403, "pages of that origin may not connect; see --allow-origin")
        })
    }

    fn snapshot(&mut self, context: &Context<'_>) -> Response {
        self.refresh(context);
        let frame = self.cache.snapshot.take();
        let frame =
            frame.unwrap_or_else(|| Frame::new(Kind::Plain, |out| write_json(&self.newest(), out)));
        self.cache.snapshot = kept(&frame, context.limits());
        json(frame)
    }

    fn server(&mut self, context: &mut Context<'_>, with_audit: bool) -> Response {
        let inside = self.inside(context.instant().since_origin());
        self.own.answer(context, inside, with_audit)
    }

    fn history(&self, query: &HistoryQuery, form: Form, context: &Context<'_>) -> Response {
        match history::body(self.metrics.history(), query, form, context.limits()) {
            Ok(body) if form == Form::Csv => Response::new(200)
                .with("Cache-Control", "no-store")
                .with("Content-Disposition", "attachment; filename=\"vitald-history.csv\"")
                .with_body("text/csv; charset=utf-8; header=present", body),
            Ok(body) => json(body),
            Err(missing) => missing.response(),
        }
    }
}

/// Whether a viewer may see command lines, which can hold secrets. Nobody can show a token yet. A
/// Unix socket does not say who is there: it is where reverse proxies come from, for anybody.
pub(super) fn may_see_commands(commands: CommandLines) -> bool {
    match commands {
        CommandLines::Always => true,
        CommandLines::Authenticated | CommandLines::Never => false,
    }
}

fn health(is_draining: bool) -> Response {
    let (status, text) = if is_draining { (503, "draining") } else { (200, "ok") };
    let body = Frame::new(Kind::Plain, |out| out.extend_from_slice(text.as_bytes()));
    Response::new(status)
        .with("Cache-Control", "no-store")
        .with_body("text/plain; charset=utf-8", body)
}

fn page(request: &Request<'_>) -> Response {
    let gzip = request.accepts_gzip();
    let (bytes, etag) = if gzip { (PAGE.gzip, PAGE.etag_gzip) } else { (PAGE.identity, PAGE.etag) };
    let is_known = request.has_token("if-none-match", etag)
        || request.has_token("if-none-match", &format!("W/{etag}"));
    let response = Response::new(if is_known { 304 } else { 200 })
        .with("ETag", etag)
        .with("Cache-Control", "no-cache")
        .with("Vary", "Accept-Encoding")
        .with("Content-Security-Policy", PAGE.content_security_policy);
    if is_known {
        return response;
    }
    let response = if gzip { response.with("Content-Encoding", "gzip") } else { response };
    let body = Frame::new(Kind::Plain, |out| out.extend_from_slice(bytes));
    response.with_body("text/html; charset=utf-8", body)
}
