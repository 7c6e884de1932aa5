//! What each HTTP request is answered with.
//!
//! These are the methods of [`App`] that answer. The name that a request calls us by is checked
//! first; then the route says what is wanted; a WebSocket or an event stream is refused to a page
//! from elsewhere; and who has to show a token and has not is refused.
//! An answer is whole when it is given, which for the process table is in a later turn. The newest
//! sample is encoded once between two ticks, however many ask for it. Owns no state; imports the
//! engine's requests and responses.
//!
//! What caches are told (RFC 9111), and why:
//!
//! | path | Cache-Control | ETag | gzip | because |
//! |---|---|---|---|---|
//! | `/` | no-cache | of its bytes | made at build time | it changes with the program alone: who has it asks again and gets 304 |
//! | `/api/v1/snapshot` | no-cache | of its time and number | kept with it | it stays for an interval: who asks more often gets 304 |
//! | `/metrics` | no-store | | kept with it | counters of now; what keeps it for others would make two hosts of one |
//! | `/api/v1/schema` | no-cache | of its text, weak | yes | it changes with the program alone, as the page does |
//! | `/events` | no-store | | no | it does not end |
//! | `/api/v1/history` | no-store | | yes | its end moves with every sample |
//! | `/api/v1/alerts`, `/server`, `/connections`, `/processes` | no-store | | yes | true of the moment, and of who may see it |
//! | `/healthz` | no-store | | no | an old answer to it is worse than none |
//! | `/dashboard.json` | no-store | | yes | it changes with the configuration |
//! | `/api/v1/session` | no-store | | no | its answer is a cookie |
//! | refusals | no-store | | no | what is refused now may be granted next |
//!
//! Where there may be gzip, Vary says so: 200 and 304 alike. A tag of a form in gzip is another one
//! than that of the form without (RFC 9110, section 8.8.3.3).

use super::access::Grant;
use super::admission::is_public;
use super::assets::PAGE;
use super::getting::HistoryQuery;
use super::gzip::{self, Kept};
use super::history::{self, Form};
use super::processes::Reader;
use super::protocol::{self, Refusal, write_json};
use super::routes::{self, Route};
use super::terms::Terms;
use super::{App, Cache, connections, event_stream, json, schema};
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
        if let Some(refusal) = self.refuse_name(peer, request) {
            return Answer::Respond(refusal);
        }
        let grant = self.access.grant(request.header("origin"));
        match self.answer_named(context, handle, request, &grant) {
            Answer::Respond(response) => Answer::Respond(grant.apply(response)),
            Answer::Stream(head) => Answer::Stream(grant.apply(head)),
            answer => answer,
        }
    }

    /// The refusal of one who calls this server by a name that is not its own.
    fn refuse_name(&self, peer: Peer, request: &Request<'_>) -> Option<Response> {
        let host = request.host();
        // A Unix socket's client has passed the file's permissions, whatever it calls us; HTTP/1.0
        // may come without a Host.
        let is_named = peer != Peer::Unix && (!host.is_empty() || request.has("host"));
        (is_named && !self.access.allows_host(host))
            .then(|| Response::text(421, "this server does not go by that name; see --allow-host"))
    }

    /// The refusal of one who may not have what it asks for.
    fn refuse(
        &mut self,
        context: &Context<'_>,
        handle: Handle,
        request: &Request<'_>,
        route: &Result<Route, Response>,
    ) -> Option<Response> {
        let is_stream = matches!(route, Ok(Route::WebSocket | Route::Events));
        // Before the token is looked at: a page from elsewhere is not to have its reader's address
        // counted among those that guess.
        if is_stream && let Some(refusal) = self.refuse_origin(request) {
            return Some(refusal);
        }
        match route {
            Ok(route) if is_public(route) => None,
            _ => self.refuse_stranger(context, handle, request, is_stream),
        }
    }

    fn answer_named(
        &mut self,
        context: &mut Context<'_>,
        handle: Handle,
        request: &Request<'_>,
        grant: &Grant,
    ) -> Answer {
        let asks_beforehand = request.has("access-control-request-method");
        if request.method() == "OPTIONS" && grant.is_given() && asks_beforehand {
            return Answer::Respond(Grant::preflight());
        }
        let route = routes::route(request);
        if let Some(refusal) = self.refuse(context, handle, request, &route) {
            return Answer::Respond(refusal);
        }
        let takes_gzip = request.accepts_gzip();
        let response = match route {
            Ok(Route::WebSocket) => return upgrade(request),
            Ok(Route::Events) => return self.stream(request),
            Ok(Route::Processes(question)) => {
                let with_commands = self.may_see_commands(handle);
                let question = Question { with_commands, ..question };
                let reader = Reader { takes_gzip, grant: grant.clone() };
                return self.processes.answer(context, &mut self.gzip, handle, question, reader);
            }
            Ok(Route::SignIn) => return Answer::Respond(self.sign_in(context, handle, request)),
            Ok(Route::SignOut) => return Answer::Respond(self.sign_out(request)),
            // These know how they are coded.
            Ok(Route::Page) => return Answer::Respond(self.page(request)),
            Ok(Route::Health) => return Answer::Respond(health(context.is_draining())),
            Ok(Route::Snapshot) => return Answer::Respond(self.snapshot(context, request)),
            Ok(Route::Exposition) => return Answer::Respond(self.exposition(context, request)),
            Err(refusal) => return Answer::Respond(refusal),
            Ok(Route::History(query, form)) => self.history(&query, form, context),
            Ok(Route::Server { audit }) => self.server(context, audit),
            Ok(Route::Alerts) => self.alarm.answer(context),
            Ok(Route::Connections) => connections::answer(context),
            Ok(Route::Schema) => schema::answer(request),
            Ok(Route::Dashboard) => self.policy.answer(),
        };
        Answer::Respond(self.gzip.code(context, takes_gzip, response))
    }

    fn stream(&self, request: &Request<'_>) -> Answer {
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
    fn refuse_origin(&self, request: &Request<'_>) -> Option<Response> {
        let origin = request.header("origin")?;
        let is_allowed = self.access.allows_origin(origin, request.host());
        (!is_allowed).then(|| {
            Response::text(403, "pages of that origin may not connect; see --allow-origin")
        })
    }

    fn snapshot(&mut self, context: &mut Context<'_>, request: &Request<'_>) -> Response {
        self.refresh(context);
        let mut kept = self.cache.snapshot.take().unwrap_or_else(|| {
            Kept::new(Frame::new(Kind::Plain, |out| {
                write_json(&self.newest(&self.everything), out)
            }))
        });
        let form = kept.form(&mut self.gzip, context, request.accepts_gzip());
        if kept.plain().len() <= context.limits().reply_bytes_max {
            self.cache.snapshot = Some(kept);
        }
        let Cache { time_ms, sequence, .. } = self.cache;
        let suffix = if form.is_gzip { "-gzip" } else { "" };
        let etag = format!("\"{time_ms:x}-{sequence:x}{suffix}\"");
        let is_known = request.knows(&etag);
        let response = Response::new(if is_known { 304 } else { 200 })
            .with("ETag", &etag)
            .with("Cache-Control", "no-cache");
        let response = gzip::with_vary(response);
        if is_known { response } else { form.in_answer(response, "application/json") }
    }

    fn page(&self, request: &Request<'_>) -> Response {
        let gzip = request.accepts_gzip();
        let (bytes, etag) =
            if gzip { (PAGE.gzip, PAGE.etag_gzip) } else { (PAGE.identity, PAGE.etag) };
        let is_known = request.knows(etag);
        let response = Response::new(if is_known { 304 } else { 200 })
            .with("ETag", etag)
            .with("Cache-Control", "no-cache")
            .with("Vary", "Accept-Encoding")
            .with("Content-Security-Policy", self.policy.text());
        if is_known {
            return response;
        }
        let response = if gzip { response.with("Content-Encoding", "gzip") } else { response };
        let body = Frame::new(Kind::Plain, |out| out.extend_from_slice(bytes));
        response.with_body("text/html; charset=utf-8", body)
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

fn upgrade(request: &Request<'_>) -> Answer {
    let offered = request.has_token("sec-websocket-protocol", protocol::SUBPROTOCOL);
    Answer::Upgrade { protocol: offered.then_some(protocol::SUBPROTOCOL) }
}

fn health(is_draining: bool) -> Response {
    let (status, text) = if is_draining { (503, "draining") } else { (200, "ok") };
    let body = Frame::new(Kind::Plain, |out| out.extend_from_slice(text.as_bytes()));
    Response::new(status)
        .with("Cache-Control", "no-store")
        .with_body("text/plain; charset=utf-8", body)
}
