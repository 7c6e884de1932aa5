//! The table of metrics as JSON Schema (draft 2020-12), for whoever writes a client.
//!
//! Owns how a column is told: its unit is a definition that it refers to, its meaning the
//! description; a group of columns is an object, a topic with a key a list of rows. Promises: each
//! topic, column and unit of the table is there, and nothing but the key of a row is required, for
//! a selection may leave out everything else. May import: `definition`.

use super::definition::{Field, Kind, Server, TOPICS, Topic, Unit};

/// Appends the definitions: each unit by its name, each topic as `topic_` and its name, and
/// `topics`, an object of all of them.
pub fn write_definitions(out: &mut Vec<u8>) {
    for unit in units() {
        write_text(out, unit.name());
        push(out, ":{\"description\":");
        write_text(out, meaning(unit));
        push(out, ",\"type\":[\"number\",\"null\"]},");
    }
    for topic in TOPICS {
        push(out, "\"topic_");
        push(out, topic.name);
        push(out, "\":");
        write_topic(out, topic);
        push(out, ",");
    }
    push(out, "\"topics\":{\"description\":\"Figures of every topic\",\"type\":\"object\",");
    push(out, "\"properties\":{");
    write_topics(out);
    push(out, "}}");
}

/// Appends a property for each topic, which refers to its definition.
pub fn write_topics(out: &mut Vec<u8>) {
    list(out, TOPICS, |out, topic| {
        write_text(out, topic.name);
        push(out, ":{\"$ref\":\"#/$defs/topic_");
        push(out, topic.name);
        push(out, "\"}");
    });
}

/// Appends a property for each group of what vitald measures of itself, which refers to the topic.
pub fn write_server(out: &mut Vec<u8>) {
    let groups = Server::FIELDS.chunk_by(|one, next| one.word(0) == next.word(0));
    list(out, groups, |out, group| {
        let name = group[0].word(0);
        write_text(out, name);
        push(out, ":{\"$ref\":\"#/$defs/topic_server/properties/");
        push(out, name);
        push(out, "\"}");
    });
}

/// Appends the list of units by name.
pub fn write_units(out: &mut Vec<u8>) {
    push(out, "[");
    list(out, units(), |out, unit| write_text(out, unit.name()));
    push(out, "]");
}

/// The units that figures have, each once, in the order of the table.
fn units() -> Vec<Unit> {
    let mut units = Vec::new();
    for field in TOPICS.iter().flat_map(|topic| topic.fields) {
        if field.unit != Unit::Nothing && !units.contains(&field.unit) {
            units.push(field.unit);
        }
    }
    units
}

fn meaning(unit: Unit) -> &'static str {
    match unit {
        Unit::Percent => "Percent: 100 is all; null where it is not known, as in each unit",
        Unit::Bytes => "Bytes",
        Unit::BytesPerSecond => "Bytes a second",
        Unit::PerSecond => "Events a second",
        Unit::PerMinute => "Events a minute",
        Unit::Count => "How many",
        Unit::Seconds => "Seconds",
        Unit::Milliseconds => "Milliseconds",
        Unit::Megahertz => "Megahertz",
        Unit::Celsius => "Degrees Celsius",
        Unit::Number | Unit::Nothing => "A number without a unit",
    }
}

fn write_topic(out: &mut Vec<u8>, topic: &Topic) {
    push(out, "{\"description\":");
    write_text(out, topic.help);
    match topic.key {
        None => {
            push(out, ",\"type\":\"object\",\"properties\":{");
            write_group(out, topic.fields, 0);
            push(out, "}}");
        }
        Some(key) => {
            push(out, ",\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[");
            write_text(out, key);
            push(out, "],\"properties\":{");
            write_group(out, topic.fields, 0);
            push(out, "}}}");
        }
    }
}

/// The columns of `fields`, whose names begin alike for the first `depth` bytes.
fn write_group(out: &mut Vec<u8>, fields: &[Field], depth: usize) {
    let groups = fields.chunk_by(|one, next| one.word(depth) == next.word(depth));
    list(out, groups, |out, group| {
        let field = &group[0];
        let word = field.word(depth);
        write_text(out, word);
        let end = depth + word.len();
        if field.name.len() == end {
            push(out, ":");
            write_field(out, field);
        } else {
            push(out, ":{\"type\":\"object\",\"properties\":{");
            write_group(out, group, end + ".".len());
            push(out, "}}");
        }
    });
}

impl Field {
    /// The part of the name that begins at `start` and ends before the next dot.
    fn word(&self, start: usize) -> &'static str {
        self.name[start..].split('.').next().unwrap_or_default()
    }
}

fn write_field(out: &mut Vec<u8>, field: &Field) {
    push(out, "{\"description\":");
    write_text(out, field.help);
    match field.kind {
        Kind::Figure => {
            push(out, ",");
            write_unit(out, field.unit);
        }
        Kind::List => {
            push(out, ",\"type\":\"array\",\"items\":{");
            write_unit(out, field.unit);
            push(out, "}");
        }
        Kind::Flag => push(out, ",\"type\":[\"boolean\",\"null\"]"),
        Kind::Text => push(out, ",\"type\":\"string\""),
    }
    push(out, "}");
}

fn write_unit(out: &mut Vec<u8>, unit: Unit) {
    push(out, "\"$ref\":\"#/$defs/");
    push(out, unit.name());
    push(out, "\"");
}

/// Writes each item, with commas between them.
fn list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            push(out, ",");
        }
        write(out, item);
    }
}

fn push(out: &mut Vec<u8>, json: &str) {
    out.extend_from_slice(json.as_bytes());
}

/// Appends a text with its quotes.
fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn definitions() -> Value {
        let mut out = b"{".to_vec();
        write_definitions(&mut out);
        out.push(b'}');
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn every_column_is_there_with_its_meaning_and_its_unit() {
        let definitions = definitions();
        for topic in TOPICS {
            let told = &definitions[format!("topic_{}", topic.name)];
            assert_eq!(told["description"], topic.help);
            let record = if topic.key.is_some() { &told["items"] } else { told };
            for field in topic.fields {
                let mut words = field.name.split('.');
                let found = words.try_fold(record, |group, word| group["properties"].get(word));
                let told = found.unwrap_or_else(|| panic!("{}.{}", topic.name, field.name));
                assert_eq!(told["description"], field.help);
                let figure = if field.kind == Kind::List { &told["items"] } else { told };
                let unit = figure["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
                assert_eq!(unit.unwrap_or_default(), field.unit.name(), "{}", field.name);
            }
        }
    }

    #[test]
    fn a_topic_has_no_more_properties_than_columns_and_groups() {
        fn count(schema: &Value) -> usize {
            let properties = schema["properties"].as_object();
            properties.map_or(1, |properties| properties.values().map(count).sum())
        }
        for topic in TOPICS {
            let told = &definitions()[format!("topic_{}", topic.name)];
            let record = if topic.key.is_some() { &told["items"] } else { told };
            assert_eq!(count(record), topic.fields.len(), "{}", topic.name);
        }
    }

    #[test]
    fn only_the_key_of_a_row_is_required() {
        let definitions = definitions();
        let disks = &definitions["topic_disks"]["items"];
        assert_eq!(disks["required"], serde_json::json!(["name"]));
        let text = definitions.to_string();
        let lists = TOPICS.iter().filter(|topic| topic.key.is_some()).count();
        assert_eq!(text.matches("\"required\"").count(), lists);
    }
}
