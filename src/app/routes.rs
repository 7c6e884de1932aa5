//! From a request to what it asks for. Pure: touches nothing, answers nothing but refusals.

use super::getting::{Fields, HistoryQuery};
use super::history::Form;
use crate::engine::connection::head::Request;
use crate::engine::connection::response::Response;
use crate::metrics::processes::Question;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    /// The dashboard.
    Page,
    /// The WebSocket.
    WebSocket,
    /// The event stream.
    Events,
    /// The newest sample.
    Snapshot,
    /// The past of some metrics.
    History(HistoryQuery, Form),
    /// What vitald measures of itself.
    Server {
        /// With its books compared with what it holds.
        audit: bool,
    },
    /// Every rule with its state, and the last transitions.
    Alerts,
    /// Every connection.
    Connections,
    /// The process table.
    Processes(Question),
    /// What the page is told by the configuration.
    Dashboard,
    /// What the messages look like.
    Schema,
    /// All figures as a Prometheus server reads them.
    Exposition,
    /// Whether we are well.
    Health,
    /// The beginning of a session.
    SignIn,
    /// The end of a session.
    SignOut,
}

/// Methods that exist (RFC 9110, section 9; RFC 5789), so that a refusal can tell "not here" from
/// "never heard of".
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Where something is.
const PATHS: [&str; 14] = [
    "/",
    "/ws",
    "/events",
    "/healthz",
    "/metrics",
    "/dashboard.json",
    "/api/v1/snapshot",
    "/api/v1/history",
    "/api/v1/alerts",
    "/api/v1/server",
    "/api/v1/connections",
    "/api/v1/processes",
    "/api/v1/schema",
    SESSION,
];

/// The one place where something can be done beside reading.
const SESSION: &str = "/api/v1/session";

/// Finds what `request` asks for.
///
/// # Errors
/// The refusal: 501 for a method nobody knows, 404, 405, 400 for a query that makes no sense.
pub fn route(request: &Request<'_>) -> Result<Route, Response> {
    let method = request.method();
    if !METHODS.contains(&method) {
        return Err(Response::text(501, "unknown method"));
    }
    let path = request.path();
    if !PATHS.contains(&path) {
        return Err(Response::text(404, "there is nothing at this path"));
    }
    if path == SESSION {
        return match method {
            "POST" => Ok(Route::SignIn),
            "DELETE" => Ok(Route::SignOut),
            _ => Err(Response::text(405, "only POST and DELETE").with("Allow", "POST, DELETE")),
        };
    }
    if !matches!(method, "GET" | "HEAD") {
        return Err(Response::text(405, "only GET and HEAD").with("Allow", "GET, HEAD"));
    }
    match path {
        "/" => Ok(Route::Page),
        "/ws" => Ok(Route::WebSocket),
        "/events" => Ok(Route::Events),
        "/healthz" => Ok(Route::Health),
        "/metrics" => Ok(Route::Exposition),
        "/dashboard.json" => Ok(Route::Dashboard),
        "/api/v1/snapshot" => Ok(Route::Snapshot),
        "/api/v1/alerts" => Ok(Route::Alerts),
        "/api/v1/connections" => Ok(Route::Connections),
        "/api/v1/schema" => Ok(Route::Schema),
        "/api/v1/server" => server_query(request.query()),
        "/api/v1/processes" => {
            Fields::from_query(request.query()).processes().map(Route::Processes)
        }
        _ => history_query(request.query()),
    }
    .map_err(|reason| Response::text(400, &reason))
}

/// Whether a subscriber's query asks that hello come without history.
pub fn wants_history(query: &str) -> bool {
    !form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == "history" && value == "0")
}

fn server_query(query: &str) -> Result<Route, String> {
    let mut audit = false;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "audit" {
            audit = match &*value {
                "1" => true,
                "0" => false,
                _ => return Err("audit must be 1 or 0".to_owned()),
            };
        }
    }
    Ok(Route::Server { audit })
}

fn history_query(query: &str) -> Result<Route, String> {
    let mut form = Form::Json;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == "format" {
            form = match &*value {
                "csv" => Form::Csv,
                "json" => Form::Json,
                _ => return Err("format must be json or csv".to_owned()),
            };
        }
    }
    Ok(Route::History(Fields::from_query(query).history()?, form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::connection::head::{self, Head, parse};

    fn routed(method: &str, target: &str) -> Result<Route, u16> {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        match parse(text.as_bytes(), &mut head::Fields::new(), 2048) {
            Ok(Head::Complete(request, _)) => route(&request).map_err(|refusal| refusal.status()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_path_leads_to_its_route() {
        assert_eq!(routed("GET", "/"), Ok(Route::Page));
        assert_eq!(routed("HEAD", "/?theme=dark"), Ok(Route::Page));
        assert_eq!(routed("GET", "/ws?history=0"), Ok(Route::WebSocket));
        assert_eq!(routed("GET", "/events?topics=cpu"), Ok(Route::Events));
        assert_eq!(routed("GET", "/healthz"), Ok(Route::Health));
        assert_eq!(routed("HEAD", "/metrics"), Ok(Route::Exposition));
        assert_eq!(routed("GET", "/dashboard.json"), Ok(Route::Dashboard));
        assert_eq!(routed("GET", "/api/v1/snapshot"), Ok(Route::Snapshot));
        assert_eq!(routed("GET", "/api/v1/alerts"), Ok(Route::Alerts));
        assert_eq!(routed("GET", "/api/v1/connections"), Ok(Route::Connections));
        assert_eq!(routed("GET", "/api/v1/schema"), Ok(Route::Schema));
        assert_eq!(routed("POST", "/api/v1/session"), Ok(Route::SignIn));
        assert_eq!(routed("DELETE", "/api/v1/session"), Ok(Route::SignOut));
        for (query, audit) in [("", false), ("?audit=0", false), ("?audit=1&a=b", true)] {
            let target = format!("/api/v1/server{query}");
            assert_eq!(routed("HEAD", &target), Ok(Route::Server { audit }));
        }
    }

    #[test]
    fn what_cannot_be_had_is_refused_with_its_status() {
        assert_eq!(routed("GET", "/nothing"), Err(404));
        assert_eq!(routed("GET", "//"), Err(404));
        assert_eq!(routed("POST", "/"), Err(405));
        assert_eq!(routed("POST", "/nothing"), Err(404));
        assert_eq!(routed("GET", "/api/v1/session"), Err(405));
        assert_eq!(routed("PUT", "/api/v1/session"), Err(405));
        assert_eq!(routed("POST", "/api/v1/server"), Err(405));
        assert_eq!(routed("DELETE", "/api/v1/connections"), Err(405));
        assert_eq!(routed("GET", "/api/v1/server?audit=yes"), Err(400));
        assert_eq!(routed("BREW", "/"), Err(501));
    }

    #[test]
    fn a_process_query_has_defaults_and_bounds() {
        use crate::metrics::processes::Order;
        let question =
            |order, limit| Ok(Route::Processes(Question { order, limit, with_commands: false }));
        for (query, expected) in [
            ("", question(Order::Cpu, 20)),
            ("?sort=memory&a=b", question(Order::Memory, 20)),
            ("?limit=100&sort=io", question(Order::Io, 100)),
            ("?limit=1", question(Order::Cpu, 1)),
            ("?limit=0", Err(400)),
            ("?limit=101", Err(400)),
            ("?limit=all", Err(400)),
            ("?sort=pid", Err(400)),
            ("?sort=", Err(400)),
        ] {
            assert_eq!(routed("GET", &format!("/api/v1/processes{query}")), expected, "{query}");
        }
    }

    #[test]
    fn a_history_query_is_decoded_and_checked() {
        let target =
            "/api/v1/history?metric=cpu.usage&metric=filesystems.%2F.usage&since=5&points=9";
        let Ok(Route::History(query, Form::Json)) = routed("GET", target) else { panic!() };
        assert_eq!(query.metrics, ["cpu.usage", "filesystems./.usage"]);
        assert_eq!((query.since_ms, query.until_ms, query.points), (Some(5), None, Some(9)));
        for query in [
            "",
            "metric=a&since=yesterday",
            "metric=a&points=0",
            "metric=a&points=-1",
            "metric=a&format=xml",
            "metric=a&metric=b&metric=c&metric=d&metric=e&metric=f&metric=g&metric=h&metric=i",
        ] {
            assert_eq!(routed("GET", &format!("/api/v1/history?{query}")), Err(400), "{query}");
        }
    }

    #[test]
    fn history_in_hello_can_be_declined() {
        assert!(wants_history(""));
        assert!(wants_history("history=1"));
        assert!(!wants_history("a=b&history=0"));
    }
}
