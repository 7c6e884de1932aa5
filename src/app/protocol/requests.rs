//! A client's messages, read.
//!
//! What a client sends becomes a [`Request`], or a [`Refusal`] that says what is wrong with it; its
//! `id` is given back either way. Unknown fields are ignored. Pure: nothing is carried out here.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ErrorCode, ID_BYTES_MAX, Id, NAME_BYTES_MAX, Refusal};
use crate::app::getting::{self, Wanted};
use crate::app::terms::{self, Asked, Terms};

/// What a client asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// To be sent samples on these terms.
    Subscribe(Terms),
    /// To be sent a subscription no more.
    Unsubscribe {
        /// Its name.
        sub: String,
    },
    /// To be told something once.
    Get(Wanted),
    /// A sign of life.
    Ping,
}

/// The fields of a client's message, all optional; unknown ones are ignored.
#[derive(Deserialize)]
struct Fields {
    r#type: String,
    sub: Option<String>,
    topics: Option<Vec<String>>,
    interval_ms: Option<u64>,
    mode: Option<String>,
    batch: Option<u64>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: Option<Id>,
}

/// Reads a client's message: its `id`, as far as it can be made out, and what it asks for.
pub fn parse(text: &str, base_interval_ms: u64) -> (Option<Id>, Result<Request, Refusal>) {
    // The structs would also be read from an array, by position.
    if !text.trim_ascii_start().starts_with('{') {
        return (None, Err(bad(text, "a message is an object")));
    }
    let only = serde_json::from_str::<OnlyId>(text);
    let fields = serde_json::from_str::<Fields>(text).map_err(|error| bad(text, error));
    let request = fields.and_then(|fields| request(fields, text, base_interval_ms));
    // Who waits for an answer with a name that cannot be given back would wait for ever.
    let Ok(OnlyId { id }) = only else {
        let message = "id must be a text or a whole number of 64 bits with its sign";
        return (None, request.and_then(|_| Err(bad(text, message))));
    };
    let id = id.filter(|id| !matches!(id, Id::Text(text) if text.len() > ID_BYTES_MAX));
    (id, request)
}

/// The refusal of a text that is no message, with these words if at least it is JSON. Who reads a
/// value of a wrong type stops there, and has not seen the rest.
fn bad(text: &str, message: impl fmt::Display) -> Refusal {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Refusal::new(ErrorCode::BadRequest, message),
        Err(error) => Refusal::new(ErrorCode::BadJson, error),
    }
}

fn request(fields: Fields, text: &str, base_interval_ms: u64) -> Result<Request, Refusal> {
    match fields.r#type.as_str() {
        "subscribe" => {
            let Fields { sub, topics, interval_ms, mode, batch, .. } = fields;
            let asked = Asked { sub, topics, interval_ms, mode, batch };
            asked.terms(base_interval_ms).map(Request::Subscribe)
        }
        "unsubscribe" => Ok(Request::Unsubscribe { sub: terms::name(fields.sub)? }),
        "get" => getting::parse(text).map(Request::Get),
        "ping" => Ok(Request::Ping),
        other => {
            let shown: String = other.chars().take(NAME_BYTES_MAX).collect();
            Err(Refusal::new(ErrorCode::UnknownType, format_args!("unknown type {shown:?}")))
        }
    }
}

/// Reads what the query of an event stream asks for. `topics` are separated by commas, and may come
/// several times; of any other the last counts. There is no name to give: a stream has one
/// subscription.
///
/// # Errors
/// Those that a `subscribe` message with the same fields is answered with.
pub fn parse_query(query: &str, base_interval_ms: u64) -> Result<Terms, Refusal> {
    let number = |key: &str, value: &str| {
        let message = format_args!("{key} must be a whole number");
        value.parse().map_err(|_| Refusal::new(ErrorCode::BadRequest, message))
    };
    let mut asked = Asked::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "topics" => {
                let topics = asked.topics.get_or_insert_default();
                let named = value.split(',').filter(|_| !value.is_empty());
                topics.extend(named.map(str::to_owned));
            }
            "interval_ms" => asked.interval_ms = Some(number(&key, &value)?),
            "mode" => asked.mode = Some(value.into_owned()),
            "batch" => asked.batch = Some(number(&key, &value)?),
            // An unknown parameter is ignored, as unknown fields of messages are.
            _ => {}
        }
    }
    asked.terms(base_interval_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::{Deserializer, Visitor};

    fn refused(text: &str) -> ErrorCode {
        parse(text, 1000).1.unwrap_err().code
    }

    #[test]
    fn a_subscription_is_read_with_its_defaults() {
        let (id, request) = parse(r#"{"type":"subscribe"}"#, 1000);
        assert_eq!(id, None);
        assert_eq!(request, Ok(Request::Subscribe(Terms::standard())));
        assert_eq!(parse_query("", 1000), Ok(Terms::standard()));
        assert_eq!(parse_query("history=0&colour=red&mode=last", 1000), Ok(Terms::standard()));
    }

    #[test]
    fn a_query_asks_for_what_a_message_with_the_same_fields_asks_for() {
        for (query, message) in [
            ("topics=cpu", r#""topics":["cpu"]"#),
            ("topics=cpu,memory.usage", r#""topics":["cpu","memory.usage"]"#),
            ("topics=cpu%2Cload&topics=memory.usage", r#""topics":["cpu","load","memory.usage"]"#),
            ("topics=filesystems.%2F.usage", r#""topics":["filesystems./.usage"]"#),
            ("interval_ms=1500", r#""interval_ms":1500"#),
            (
                "interval_ms=1&interval_ms=5000&topics=load",
                r#""topics":["load"],"interval_ms":5000"#,
            ),
            ("topics=", r#""topics":[]"#),
            ("topics=cpu,", r#""topics":["cpu",""]"#),
            ("topics=cup", r#""topics":["cup"]"#),
            ("mode=loud", r#""mode":"loud""#),
            ("mode=mean", r#""mode":"mean""#),
            ("mode=batch&batch=5", r#""mode":"batch","batch":5"#),
            ("mode=batch&batch=61", r#""mode":"batch","batch":61"#),
        ] {
            let message = format!(r#"{{"type":"subscribe",{message}}}"#);
            let asked = parse_query(query, 1000).map(Request::Subscribe);
            assert_eq!(asked, parse(&message, 1000).1, "{query}");
        }
        for query in
            ["batch=few", "interval_ms=", "interval_ms=-1", "interval_ms=1.5", "interval_ms=soon"]
        {
            assert_eq!(
                parse_query(query, 1000).unwrap_err().code,
                ErrorCode::BadRequest,
                "{query}"
            );
        }
    }

    #[test]
    fn each_mistake_has_its_code_and_keeps_its_id() {
        assert_eq!(refused("{"), ErrorCode::BadJson);
        assert_eq!(refused(""), ErrorCode::BadJson);
        assert_eq!(refused("[]"), ErrorCode::BadRequest);
        assert_eq!(refused("{}"), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"dance"}"#), ErrorCode::UnknownType);
        assert_eq!(refused(r#"{"type":"subscribe","topics":"cpu"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","topics":[]}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","topics":["cup"]}"#), ErrorCode::UnknownTopic);
        assert_eq!(refused(r#"{"type":"subscribe","interval_ms":-1}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","mode":"loud"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","mode":"batch"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","batch":"5"}"#), ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"type":"subscribe","sub":""}"#), ErrorCode::BadRequest);
        let (id, request) = parse(r#"{"type":"subscribe","topics":5,"id":"x"}"#, 1000);
        assert_eq!(id, Some(Id::Text("x".to_owned())));
        assert!(request.is_err());
    }

    #[test]
    fn an_id_of_a_wrong_type_is_refused_and_one_that_is_too_long_is_not_given_back() {
        for id in ["1.5", "true", "[]", "{}", "18446744073709551615", "1,\"id\":2"] {
            for kind in ["ping", "subscribe"] {
                let text = format!(r#"{{"type":"{kind}","id":{id}}}"#);
                let (given_back, request) = parse(&text, 1000);
                assert_eq!(given_back, None, "{id}");
                assert_eq!(request.unwrap_err().code, ErrorCode::BadRequest, "{id}");
            }
        }
        // What else is wrong is told first.
        assert_eq!(refused(r#"{"type":"dance","id":[]}"#), ErrorCode::UnknownType);
        for id in ["null".to_owned(), format!("{:?}", "x".repeat(ID_BYTES_MAX + 1))] {
            let text = format!(r#"{{"type":"ping","id":{id}}}"#);
            assert_eq!(parse(&text, 1000), (None, Ok(Request::Ping)), "{id}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_so_though_a_value_before_has_a_wrong_type() {
        for text in [r#"{"type":5,"#, r#"{"type":5}}"#, r#"{"type":"ping","batch":"x""#] {
            assert_eq!(refused(text), ErrorCode::BadJson, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let text = format!(r#"{{"type":"get","what":"history","metric":{deep}}}"#);
        assert_eq!(refused(&text), ErrorCode::BadRequest);
    }

    #[test]
    fn a_message_is_an_object_and_not_its_values_in_a_row() {
        for text in [r#"["ping",null,null,null,null]"#, "[7]", " 7", r#""ping""#, "null"] {
            let (id, request) = parse(text, 1000);
            assert_eq!((id, request.unwrap_err().code), (None, ErrorCode::BadRequest), "{text}");
        }
        assert_eq!(refused("[7"), ErrorCode::BadJson);
        assert_eq!(parse(" \n{\"type\":\"ping\"}", 1000).1, Ok(Request::Ping));
    }

    #[test]
    fn an_unknown_field_is_ignored() {
        assert_eq!(parse(r#"{"type":"ping","colour":"red"}"#, 1000).1, Ok(Request::Ping));
    }

    /// What a struct asks for by name when it is read.
    fn fields_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
        struct Asked<'a>(&'a mut &'static [&'static str]);

        impl<'de> Deserializer<'de> for Asked<'_> {
            type Error = serde::de::value::Error;

            fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
                Err(serde::de::Error::custom("there is nothing to read"))
            }

            fn deserialize_struct<V: Visitor<'de>>(
                self,
                _: &'static str,
                fields: &'static [&'static str],
                visitor: V,
            ) -> Result<V::Value, Self::Error> {
                *self.0 = fields;
                self.deserialize_any(visitor)
            }

            serde::forward_to_deserialize_any! {
                bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option
                unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
                ignored_any
            }
        }

        let mut fields: &[&str] = &[];
        assert!(T::deserialize(Asked(&mut fields)).is_err());
        fields
    }

    #[test]
    fn every_field_that_is_read_is_in_the_schema() {
        let mut text = Vec::new();
        crate::app::schema::write(&mut text);
        let schema: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let messages = ["subscribe", "unsubscribe", "get_history", "get_processes", "ping"];
        for field in [fields_of::<Fields>(), fields_of::<OnlyId>()].concat() {
            let is_told = |name: &&str| schema["$defs"][*name]["properties"][field].is_object();
            assert!(messages.iter().any(is_told), "{field}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = parse(&text, 1000);
        }
    }
}
