//! What can be asked of vitald once: by the query of a request, or by the fields of a `get`.
//!
//! Both are read into the same [`Fields`], which are all optional, and go through the same checks:
//! what may be asked has the same bounds and is refused in the same words on either road. Unknown
//! parameters and fields are ignored. Pure; imports the terms of the process table.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::protocol::{ErrorCode, Refusal};
use crate::metrics::processes::{Order, Question, ROWS_MAX};

/// Metrics that can be named at a time: with more, each would have few points. A whole series of
/// percents is some 56 KB as JSON, one of bytes more than twice that: where all together do not fit
/// an answer, they come with fewer points.
pub const METRICS_MAX: usize = 8;

/// Rows of the process table unless another number is asked for: a screen of them.
const ROWS_DEFAULT: u64 = 20;

/// What a `get` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The past of some metrics.
    History(HistoryQuery),
    /// The process table.
    Processes(Question),
    /// What vitald measures of itself.
    Server,
}

/// Which part of the past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Scalar paths, as asked for.
    pub metrics: Vec<String>,
    /// Unix milliseconds, inclusive.
    pub since_ms: Option<u64>,
    /// Unix milliseconds, inclusive.
    pub until_ms: Option<u64>,
    /// At most so many points for each metric.
    pub points: Option<usize>,
}

/// What somebody has asked, as it came.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Fields {
    what: Given,
    metric: Given,
    since: Given,
    until: Given,
    points: Given,
    sort: Given,
    limit: Given,
}

/// A value as it came.
#[derive(Debug, Default, PartialEq)]
enum Given {
    #[default]
    Nothing,
    Number(u64),
    Text(String),
    /// Of more than [`METRICS_MAX`] the first ones and one more.
    Texts(Vec<String>),
    /// What nothing here takes.
    Other,
}

/// Reads a `get` message, which is JSON, and whose `type` is known.
///
/// # Errors
/// A refusal that names the field that makes no sense.
pub fn parse(text: &str) -> Result<Wanted, Refusal> {
    let fields: Fields =
        serde_json::from_str(text).map_err(|error| Refusal::new(ErrorCode::BadRequest, error))?;
    let wanted = match &fields.what {
        Given::Text(what) if what == "history" => fields.history().map(|mut query| {
            // A reader puts parts together by the name.
            keep_first(&mut query.metrics);
            Wanted::History(query)
        }),
        Given::Text(what) if what == "processes" => fields.processes().map(Wanted::Processes),
        Given::Text(what) if what == "server" => Ok(Wanted::Server),
        _ => Err("what must be history, processes or server".to_owned()),
    };
    wanted.map_err(|sentence| Refusal::new(ErrorCode::BadRequest, sentence))
}

fn keep_first(names: &mut Vec<String>) {
    let mut index = 0;
    while index < names.len() {
        if names[..index].contains(&names[index]) {
            names.remove(index);
        } else {
            index += 1;
        }
    }
}

impl Fields {
    /// Reads a query, as a form has it.
    pub fn from_query(query: &str) -> Fields {
        let mut fields = Fields::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "metric" => fields.metric.add(value.into_owned()),
                "since" => fields.since = Given::number(&value),
                "until" => fields.until = Given::number(&value),
                "points" => fields.points = Given::number(&value),
                "sort" => fields.sort = Given::Text(value.into_owned()),
                "limit" => fields.limit = Given::number(&value),
                _ => {}
            }
        }
        fields
    }

    /// What is asked of the past.
    ///
    /// # Errors
    /// A sentence that names the field that makes no sense.
    pub fn history(self) -> Result<HistoryQuery, String> {
        let metrics = match self.metric {
            Given::Nothing => Vec::new(),
            Given::Text(metric) => vec![metric],
            Given::Texts(metrics) => metrics,
            Given::Number(_) | Given::Other => {
                return Err("metric must be a text or a list of texts".to_owned());
            }
        };
        let since_ms = self.since.whole("since")?;
        let until_ms = self.until.whole("until")?;
        let points = self.points.whole("points")?;
        if points == Some(0) {
            return Err("points must be at least 1".to_owned());
        }
        let points = points.map(|points| usize::try_from(points).unwrap_or(usize::MAX));
        match metrics.len() {
            0 => Err("name at least one metric, such as cpu.usage".to_owned()),
            1..=METRICS_MAX => Ok(HistoryQuery { metrics, since_ms, until_ms, points }),
            _ => Err(format!("at most {METRICS_MAX} metrics at a time")),
        }
    }

    /// What is asked of the process table; who asks is shown no command lines.
    ///
    /// # Errors
    /// A sentence that names the field that makes no sense.
    pub fn processes(self) -> Result<Question, String> {
        let order = match &self.sort {
            Given::Nothing => Some(Order::Cpu),
            Given::Text(sort) => Order::parse(sort),
            _ => None,
        };
        let order = order.ok_or("sort must be cpu, memory or io")?;
        let limit = match self.limit {
            Given::Nothing => Some(ROWS_DEFAULT),
            Given::Number(limit) => Some(limit),
            _ => None,
        };
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| (1..=ROWS_MAX).contains(limit));
        let limit = limit.ok_or_else(|| format!("limit must be from 1 to {ROWS_MAX}"))?;
        Ok(Question { order, limit, with_commands: false })
    }
}

impl Given {
    fn number(text: &str) -> Given {
        text.parse().map_or(Given::Other, Given::Number)
    }

    /// Adds one to a list of texts.
    fn add(&mut self, text: String) {
        match self {
            Given::Texts(texts) if texts.len() > METRICS_MAX => {}
            Given::Texts(texts) => texts.push(text),
            _ => *self = Given::Texts(vec![text]),
        }
    }

    fn whole(&self, name: &str) -> Result<Option<u64>, String> {
        match self {
            Given::Nothing => Ok(None),
            Given::Number(number) => Ok(Some(*number)),
            _ => Err(format!("{name} must be a whole number")),
        }
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
        deserializer.deserialize_any(GivenVisitor)
    }
}

/// Takes any value: what is wrong with it is said in words of ours.
struct GivenVisitor;

impl<'de> Visitor<'de> for GivenVisitor {
    type Value = Given;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Given, E> {
        Ok(Given::Nothing)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Given, E> {
        Ok(Given::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Given, E> {
        Ok(Given::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Given, E> {
        Ok(Given::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Given::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Given, A::Error> {
        let mut texts = Given::Texts(Vec::new());
        while let Some(element) = sequence.next_element::<Given>()? {
            match (&texts, element) {
                (Given::Texts(_), Given::Text(text)) => texts.add(text),
                _ => texts = Given::Other,
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        let refusal = parse(text).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadRequest, "{text}");
        refusal.message
    }

    #[test]
    fn a_message_asks_for_one_of_three_things() {
        let history = |metrics: &[&str], since_ms, points| {
            let metrics = metrics.iter().map(|&metric| metric.to_owned()).collect();
            Ok(Wanted::History(HistoryQuery { metrics, since_ms, until_ms: None, points }))
        };
        let processes =
            |order, limit| Ok(Wanted::Processes(Question { order, limit, with_commands: false }));
        for (text, expected) in [
            (r#"{"what":"server","limit":[]}"#, Ok(Wanted::Server)),
            (r#"{"what":"processes"}"#, processes(Order::Cpu, 20)),
            (r#"{"what":"processes","sort":"io","limit":100}"#, processes(Order::Io, 100)),
            (r#"{"what":"processes","sort":null,"limit":1}"#, processes(Order::Cpu, 1)),
            (r#"{"what":"history","metric":"a"}"#, history(&["a"], None, None)),
            (
                r#"{"what":"history","metric":["a","b","a"],"since":5,"points":9}"#,
                history(&["a", "b"], Some(5), Some(9)),
            ),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [r#"{"what":"weather"}"#, r#"{"what":5}"#, "{}"] {
            assert_eq!(refused(text), "what must be history, processes or server");
        }
    }

    #[test]
    fn a_query_and_a_message_are_refused_in_the_same_words() {
        let nine = ["\"a\""; 9].join(",");
        for (query, fields, expected) in [
            ("", "", "name at least one metric, such as cpu.usage"),
            ("metric=a&since=yesterday", r#""since":"yesterday""#, "since must be a whole number"),
            ("metric=a&since=-1", r#""since":-1"#, "since must be a whole number"),
            ("metric=a&until=1.5", r#""until":1.5"#, "until must be a whole number"),
            ("metric=a&until=1.5", r#""until":true"#, "until must be a whole number"),
            ("metric=a&points=[]", r#""points":[]"#, "points must be a whole number"),
            ("metric=a&points=1e99", r#""points":1e99"#, "points must be a whole number"),
            ("metric=a&points=0", r#""points":0"#, "points must be at least 1"),
            (&["metric=a"; 9].join("&"), "", "at most 8 metrics at a time"),
        ] {
            assert_eq!(Fields::from_query(query).history().unwrap_err(), expected);
            let metric = match query.split('&').count() {
                _ if query.is_empty() => "null".to_owned(),
                9 => format!("[{nine}]"),
                _ => r#""a""#.to_owned(),
            };
            let comma = if fields.is_empty() { "" } else { "," };
            let text = format!(r#"{{"what":"history","metric":{metric}{comma}{fields}}}"#);
            assert_eq!(refused(&text), expected);
        }
        for (query, fields, expected) in [
            ("limit=0", r#""limit":0"#, "limit must be from 1 to 100"),
            ("limit=101", r#""limit":101"#, "limit must be from 1 to 100"),
            ("limit=all", r#""limit":"all""#, "limit must be from 1 to 100"),
            ("sort=pid", r#""sort":"pid""#, "sort must be cpu, memory or io"),
            ("sort=", r#""sort":{"a":{}}"#, "sort must be cpu, memory or io"),
        ] {
            assert_eq!(Fields::from_query(query).processes().unwrap_err(), expected);
            assert_eq!(refused(&format!(r#"{{"what":"processes",{fields}}}"#)), expected);
        }
    }

    #[test]
    fn a_metric_that_is_no_text_is_refused() {
        for metric in ["5", "[5]", r#"["a",null]"#, r#"[["a"]]"#, "{}", "false"] {
            let text = format!(r#"{{"what":"history","metric":{metric}}}"#);
            assert_eq!(refused(&text), "metric must be a text or a list of texts");
        }
    }

    #[test]
    fn what_comes_twice_in_a_query_is_the_last() {
        let fields = Fields::from_query("limit=5&limit=7&a=b");
        assert_eq!(fields.processes().map(|question| question.limit), Ok(7));
    }

    proptest! {
        #[test]
        fn no_query_and_no_message_makes_the_reading_panic(text in ".{0,200}") {
            let _ = Fields::from_query(&text).history();
            let _ = Fields::from_query(&text).processes();
            let _ = parse(&text);
        }
    }
}
