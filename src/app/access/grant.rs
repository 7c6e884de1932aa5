//! What a page from elsewhere may read of an answer.
//!
//! Browsers show a page what another server answers only where that server says so (Fetch, section
//! 3.3, "CORS"). Owns the fields that say it. Never says that cookies may be sent along: a page
//! from elsewhere shows its token in Authorization. Pure; imports the engine's answers.

use std::sync::Arc;

use crate::engine::connection::response::Response;

/// How long a browser may keep what it is told of a request that it asks about beforehand: ten
/// minutes, after which a changed configuration is in force.
const MAX_AGE_S: &str = "600";

/// Which page may read an answer.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Whether other origins might be told otherwise.
    pub(super) is_varying: bool,
    /// The origin of the request, if it is allowed.
    pub(super) origin: Option<Arc<str>>,
}

impl Grant {
    /// Whether the request came from a page that may read the answer.
    pub fn is_given(&self) -> bool {
        self.origin.is_some()
    }

    /// The answer, with a word to the browser about who may read it, and one to caches.
    pub fn apply(&self, response: Response) -> Response {
        let response = match &self.origin {
            Some(origin) => response.with("Access-Control-Allow-Origin", origin),
            None => response,
        };
        if self.is_varying { response.with("Vary", "Origin") } else { response }
    }

    /// The answer to a browser that asks beforehand whether a page may send a request.
    pub fn preflight() -> Response {
        Response::new(204)
            .with("Access-Control-Allow-Methods", "GET, HEAD")
            .with("Access-Control-Allow-Headers", "Authorization")
            .with("Access-Control-Max-Age", MAX_AGE_S)
    }
}
