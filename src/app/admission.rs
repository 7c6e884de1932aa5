//! Who is let in: by a token, a session, or because nobody is asked.
//!
//! These are the methods of [`App`] that judge what a request shows, sign in and sign out, and see
//! to it that a new token ends what the one before it had opened. The page itself holds no figures
//! and is there for everybody, so that it can ask for the token; everything else but `/healthz` is
//! for those who show it. Owns no state; imports the engine's requests and answers.

use super::App;
use super::access::attempts::{PERIOD, Verdict, WRONG_MAX};
use super::access::{Shown, bearer, clearing, cookie};
use super::routes::Route;
use crate::config::{CommandLines, TOKEN_BYTES_SAFE, Token};
use crate::engine::connection::CloseReason;
use crate::engine::connection::head::Request;
use crate::engine::connection::response::Response;
use crate::engine::handle::Handle;
use crate::engine::handler::Context;
use crate::engine::net::Peer;

/// The close code of a connection whose token is no longer the one (RFC 6455, section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

/// Whether everybody may have what is asked for. Signing out only has the browser forget.
pub(super) fn is_public(route: &Route) -> bool {
    matches!(route, Route::Page | Route::Health | Route::SignIn | Route::SignOut)
}

impl App {
    /// The refusal of one who has not shown what is to be shown. Notes who has.
    pub(super) fn refuse_stranger(
        &mut self,
        context: &Context<'_>,
        handle: Handle,
        request: &Request<'_>,
        takes_query: bool,
    ) -> Option<Response> {
        let shown = self.access.shown(request, takes_query);
        self.has_shown[handle.slot()] = shown == Some(Shown::Right);
        match shown {
            None | Some(Shown::Right) => None,
            Some(Shown::Nothing) => Some(unauthorized("Bearer")),
            Some(Shown::Wrong { by_cookie }) => {
                let refusal = self.refuse_wrong(context, handle);
                // It would be shown again and again, and count each time.
                Some(if by_cookie {
                    refusal.with("Set-Cookie", &clearing(request))
                } else {
                    refusal
                })
            }
        }
    }

    /// The answer to a wrong token, which is counted.
    fn refuse_wrong(&mut self, context: &Context<'_>, handle: Handle) -> Response {
        let peer = context.peer(handle).unwrap_or(Peer::Unix);
        let verdict = self.guesses.note(&peer, context.now());
        match verdict {
            Verdict::Wait(rest) => {
                let seconds = rest.as_millis().div_ceil(1000).to_string();
                return Response::text(429, "too many wrong tokens from your address")
                    .with("Retry-After", &seconds);
            }
            Verdict::Last => log::warn!(
                "limit=wrong_tokens peer={peer} count={WRONG_MAX} action=refuse status=429 \
                 period_s={}",
                PERIOD.as_secs(),
            ),
            Verdict::Counted => {}
        }
        unauthorized("Bearer error=\"invalid_token\"")
    }

    /// Begins a session for one who shows the token in Authorization. A page from elsewhere may
    /// not, not even an allowed one: its cookies would not be sent.
    pub(super) fn sign_in(
        &mut self,
        context: &Context<'_>,
        handle: Handle,
        request: &Request<'_>,
    ) -> Response {
        if let Some(refusal) = self.refuse_foreign_session(request) {
            return refusal;
        }
        let Some(credentials) = self.access.credentials() else { return done() };
        match bearer(request) {
            None => unauthorized("Bearer"),
            Some(token) if credentials.is_token(token) => {
                done().with("Set-Cookie", &cookie(request, credentials.session()))
            }
            Some(_) => self.refuse_wrong(context, handle),
        }
    }

    /// Has the browser forget its session.
    pub(super) fn sign_out(&self, request: &Request<'_>) -> Response {
        let refusal = self.refuse_foreign_session(request);
        refusal.unwrap_or_else(|| done().with("Set-Cookie", &clearing(request)))
    }

    fn refuse_foreign_session(&self, request: &Request<'_>) -> Option<Response> {
        let origin = request.header("origin")?;
        let is_own = self.access.is_own_origin(origin, request.host());
        (!is_own).then(|| Response::text(403, "sessions are for this server's own page"))
    }

    /// Whether one may see command lines, which can hold secrets. A Unix socket does not say who is
    /// there: it is where reverse proxies come from, for anybody.
    pub(super) fn may_see_commands(&self, handle: Handle) -> bool {
        match self.commands {
            CommandLines::Always => true,
            CommandLines::Authenticated => self.has_shown[handle.slot()],
            CommandLines::Never => false,
        }
    }

    /// Asks for another token from now on, or for none. With another one every WebSocket and event
    /// stream ends, for nobody on them has shown it; without one all stay.
    pub fn set_token(&mut self, context: &mut Context<'_>, token: Option<&Token>) {
        if !self.access.set_token(token) {
            return;
        }
        self.has_shown.fill(false);
        if token.is_none() {
            return;
        }
        let handles: Vec<Handle> = context.connections().map(|view| view.handle).collect();
        for handle in handles {
            context.close(handle, POLICY_VIOLATION, "the token has changed", CloseReason::Policy);
        }
    }
}

/// RFC 9110, section 15.5.2, and RFC 6750, section 3.
fn unauthorized(challenge: &str) -> Response {
    Response::text(401, "show the token: Authorization: Bearer, or sign in on the page")
        .with("WWW-Authenticate", challenge)
}

fn done() -> Response {
    Response::new(204).with("Cache-Control", "no-store")
}

/// Says in the log what makes a token less safe than it could be.
pub(super) fn warn_of_token(token: Option<&Token>) {
    let Some(token) = token else { return };
    if let Some(path) = token.open_file() {
        log::warn!(
            "token_file={:?} readable_by=everybody action=\"chmod 600\"",
            path.display().to_string(),
        );
    }
    if token.is_short() {
        log::warn!("token=short bytes_safe={TOKEN_BYTES_SAFE} action=\"choose a longer one\"");
    }
}
