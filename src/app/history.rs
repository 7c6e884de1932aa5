//! Answers about the past: the same series as JSON, as CSV, and as messages.
//!
//! Who does not say how many points gets as many as fit an answer; who asks for more than that is
//! told. Of an answer that is too long no more is made than it takes to know. Owns no state; reads
//! the history, and imports how rows are cut.

use super::getting::HistoryQuery;
use super::parts::{Around, Bounds, Cut, Head, TooLong};
use super::protocol::{ErrorCode, Refusal, write_json};
use crate::engine::connection::frame::{Frame, Kind};
use crate::engine::connection::response::Response;
use crate::engine::limits::Limits;
use crate::metrics::history::{CSV_HEADER, History, Series};

/// Points of each series where all would be too long an answer: a day of minutes. Then half of that,
/// and so on.
const POINTS_MAX: usize = 1440;

/// How an HTTP answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An array of series.
    Json,
    /// A record for each point (RFC 4180).
    Csv,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no history of this metric.
    Unknown(String),
    /// It would be too long.
    TooLong,
}

const TOO_LONG: &str = "too much at a time: ask for fewer metrics or points";

impl Missing {
    fn unknown_sentence(metric: &str) -> String {
        let shown: String = metric.escape_debug().take(100).collect();
        format!("there is no history of \"{shown}\"")
    }

    /// The refusal of a request.
    pub fn response(&self) -> Response {
        match self {
            Missing::Unknown(metric) => Response::text(404, &Missing::unknown_sentence(metric)),
            Missing::TooLong => Response::text(400, TOO_LONG),
        }
    }

    /// The refusal of a message.
    pub fn refusal(&self) -> Refusal {
        match self {
            Missing::Unknown(metric) => {
                Refusal::new(ErrorCode::UnknownTopic, Missing::unknown_sentence(metric))
            }
            Missing::TooLong => Refusal::new(ErrorCode::Limit, TOO_LONG),
        }
    }
}

/// The body of an HTTP answer.
///
/// # Errors
/// When a metric is not known, or what is asked for is too long.
pub fn body(
    history: &History,
    query: &HistoryQuery,
    form: Form,
    limits: &Limits,
) -> Result<Frame, Missing> {
    let bounds = Bounds::of_answer(limits);
    let bodies = fitting(history, query, |series| match form {
        Form::Json => as_json(series, bounds, b"[", b"]"),
        Form::Csv => as_csv(series, bounds),
    })?;
    Ok(Frame::new(Kind::Plain, |out| bodies.iter().for_each(|body| out.extend_from_slice(body))))
}

/// The answer to a message, in as many as it takes.
///
/// # Errors
/// Those of [`body`].
pub fn messages(
    history: &History,
    query: &HistoryQuery,
    head: Head<'_>,
    limits: &Limits,
) -> Result<Vec<Frame>, Missing> {
    let bounds = Bounds::of_messages(limits, head);
    let bodies =
        fitting(history, query, |series| as_json(series, bounds, b",\"series\":[", b"]}"))?;
    Ok(head.messages(&bodies))
}

/// What `make` makes of the series that are asked for; unless it is said how many points there are
/// to be, with as many as it has room for.
fn fitting<T>(
    history: &History,
    query: &HistoryQuery,
    make: impl Fn(&[Series<'_>]) -> Result<T, TooLong>,
) -> Result<T, Missing> {
    if let Ok(made) = make(&find(history, query, query.points)?) {
        return Ok(made);
    }
    let mut points = if query.points.is_some() { 0 } else { POINTS_MAX };
    while points > 0 {
        if let Ok(made) = make(&find(history, query, Some(points))?) {
            return Ok(made);
        }
        points /= 2;
    }
    Err(Missing::TooLong)
}

/// The series that are asked for, of at most `points` points each.
fn find<'a>(
    history: &'a History,
    query: &HistoryQuery,
    points: Option<usize>,
) -> Result<Vec<Series<'a>>, Missing> {
    let series = query.metrics.iter().map(|metric| {
        let series = history.query(metric, query.since_ms, query.until_ms, points);
        series.ok_or_else(|| Missing::Unknown(metric.clone()))
    });
    series.collect()
}

fn as_json(
    series: &[Series<'_>],
    bounds: Bounds,
    opening: &[u8],
    closing: &[u8],
) -> Result<Vec<Vec<u8>>, TooLong> {
    let around = Around { opening, closing, group_closing: b"]}", between: b"," };
    let mut cut = Cut::new(bounds, around);
    for one in series {
        cut.group(|out| {
            write_json(&one.head(), out);
            // The object goes on.
            out.pop();
            out.extend_from_slice(b",\"points\":[");
        })?;
        for point in one.points() {
            cut.row(|out| write_json(&one.shown(point), out))?;
        }
    }
    Ok(cut.finish())
}

fn as_csv(series: &[Series<'_>], bounds: Bounds) -> Result<Vec<Vec<u8>>, TooLong> {
    let opening = CSV_HEADER.as_bytes();
    let mut cut =
        Cut::new(bounds, Around { opening, closing: b"", group_closing: b"", between: b"" });
    for one in series {
        cut.group(|_| {})?;
        for point in one.points() {
            cut.row(|out| one.write_csv(point, out))?;
        }
    }
    Ok(cut.finish())
}
