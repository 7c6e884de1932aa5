//! The schema of the messages as a judge. It is served open, for a client is to ignore what it does
//! not know; here it is closed, so that what it does not have is a mistake.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

const PLACE: &str = "urn:vitald:closed";

/// A schema with what it takes to judge by it.
pub struct Schema {
    /// As it was read, but closed.
    pub document: Value,
    /// Every definition by its place.
    definitions: BTreeMap<String, SchemaIndex>,
    compiled: Schemas,
}

impl Schema {
    /// That of the library these tests are linked with, which the binary is made of too.
    pub fn ours() -> &'static Schema {
        static OURS: OnceLock<Schema> = OnceLock::new();
        OURS.get_or_init(|| {
            let mut text = Vec::new();
            vitald::app::schema::write(&mut text);
            Schema::closed(&text)
        })
    }

    /// One that is served.
    pub fn closed(text: &[u8]) -> Schema {
        let mut document: Value = serde_json::from_slice(text).expect("a schema is JSON");
        let definitions = document["$defs"].as_object_mut().expect("it has definitions");
        definitions.values_mut().for_each(close);
        let (mut compiler, mut compiled) = (Compiler::new(), Schemas::new());
        compiler.add_resource(PLACE, document.clone()).expect("the name is a URL");
        let places = document["$defs"].as_object().into_iter().flat_map(|names| names.keys());
        let definitions = places.map(|name| format!("#/$defs/{name}")).map(|place| {
            let index = compiler.compile(&format!("{PLACE}{place}"), &mut compiled);
            let index = index.unwrap_or_else(|error| panic!("{place} is no schema: {error:#}"));
            (place, index)
        });
        let definitions = definitions.collect();
        Schema { document, definitions, compiled }
    }

    /// Panics unless `message` is one that the server may send.
    pub fn check_server_message(&self, message: &Value) {
        self.check("server_message", message);
    }

    /// Panics unless `message` is one that a client may send.
    pub fn check_client_message(&self, message: &Value) {
        self.check("client_message", message);
    }

    fn check(&self, union: &str, message: &Value) {
        let kind = message["type"].as_str().unwrap_or_default();
        let place = format!("#/$defs/{kind}");
        let members = self.document["$defs"][union]["oneOf"].as_array().expect("a union");
        let is_member = members.iter().any(|member| member["$ref"] == *place);
        assert!(is_member, "{union} has no {kind:?}: {message}");
        // By its own definition, so that the complaint is about this type alone.
        if let Err(complaint) = self.judge(&place, message) {
            panic!("the schema of {kind} does not have this: {complaint}\n{message}");
        }
    }

    /// Whether `value` is as the definition at `place` has it, or what is wrong.
    pub fn judge(&self, place: &str, value: &Value) -> Result<(), String> {
        let index = *self.definitions.get(place).unwrap_or_else(|| panic!("there is no {place}"));
        self.compiled.validate(value, index).map_err(|complaint| complaint.to_string())
    }

    /// Every property of every definition, and every value of a choice, by its place.
    pub fn places(&self) -> BTreeSet<String> {
        let mut places = BTreeSet::new();
        for (name, definition) in self.document["$defs"].as_object().expect("definitions") {
            collect(definition, &format!("#/$defs/{name}"), &mut places);
        }
        places
    }

    /// Adds to `seen` the places that `value`, which is as the definition at `place` has it, has.
    pub fn see(&self, place: &str, value: &Value, seen: &mut BTreeSet<String>) {
        let pointer = place.strip_prefix('#').expect("a place in this document");
        let schema = self.document.pointer(pointer).unwrap_or_else(|| panic!("no {place}"));
        if let Some(other) = schema["$ref"].as_str() {
            self.see(other, value, seen);
        }
        if schema["enum"].is_array() {
            seen.insert(format!("{place}={}", value.as_str().expect("a choice is a text")));
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            if schema["properties"][name].is_object() {
                let place = format!("{place}/properties/{name}");
                self.see(&place, value, seen);
                seen.insert(place);
            } else if schema["additionalProperties"].is_object() {
                self.see(&format!("{place}/additionalProperties"), value, seen);
            }
        }
        if schema["items"].is_object() {
            for item in value.as_array().into_iter().flatten() {
                self.see(&format!("{place}/items"), item, seen);
            }
        }
    }
}

/// A message of the server that is read as text, judged by the schema.
pub fn read_message(text: &str) -> Value {
    let message = serde_json::from_str(text).expect("a message is JSON");
    Schema::ours().check_server_message(&message);
    message
}

/// Forbids what is not named.
fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if schema.contains_key("properties") {
        schema.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    for key in ["items", "additionalProperties"] {
        schema.get_mut(key).into_iter().for_each(close);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(|properties| properties.values_mut()).for_each(close);
}

fn collect(schema: &Value, place: &str, places: &mut BTreeSet<String>) {
    for choice in schema["enum"].as_array().into_iter().flatten() {
        places.insert(format!("{place}={}", choice.as_str().expect("a choice is a text")));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}/properties/{name}");
        collect(property, &place, places);
        places.insert(place);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{place}/items"), places);
    }
}
