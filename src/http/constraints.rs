//! What the derives cannot say of a request, for the description of the API: what each text must be, and which fields go together.
//!
//! It stands in `constraints.json`: texts by name, the parameters and fields that are such texts, and rules of whole bodies. The checks
//! themselves are those of `domain` and `extract`; that both say the same is what schemathesis tries (tests/schemathesis). JSON Schema counts
//! characters where user ids are counted in bytes.

use serde::Deserialize;
use serde_json::{Map, Value};

const CONSTRAINTS: &str = include_str!("constraints.json");

type Object = Map<String, Value>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Constraints {
    texts: Map<String, Value>,
    /// Text by the parameter's name.
    parameters: Map<String, Value>,
    /// Text by schema and field.
    fields: Map<String, Value>,
    /// What stands beside the fields, by schema.
    rules: Map<String, Value>,
}

impl Constraints {
    fn text(&self, name: &Value) -> Option<&Object> {
        self.texts.get(name.as_str()?)?.as_object()
    }
}

/// Adds all of it to a document.
pub fn add(document: &mut Value) {
    let constraints: Constraints = serde_json::from_str(CONSTRAINTS).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    for (schema, fields) in &constraints.fields {
        for (field, name) in fields.as_object().into_iter().flatten() {
            let field = &mut schemas[schema]["properties"][field];
            // Of a list, what each in it must be.
            let text = if field.get("items").is_some() { &mut field["items"] } else { field };
            merge(text, constraints.text(name));
        }
    }
    for (schema, rules) in &constraints.rules {
        merge(&mut schemas[schema], rules.as_object());
    }
    let schemas = schemas.clone();
    let items = document["paths"].as_object_mut().into_iter().flatten();
    for operation in
        items.flat_map(|(_, item)| item.as_object_mut().into_iter().flatten()).map(|(_, operation)| operation)
    {
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let text = parameter["name"].as_str().and_then(|name| constraints.text(constraints.parameters.get(name)?));
            merge(&mut parameter["schema"], text);
        }
        // A body whose fields may all be left out may be left out itself.
        if let Some(body) = operation.get_mut("requestBody") {
            let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap_or_default();
            let schema = reference.rsplit('/').next().and_then(|name| schemas.get(name));
            body["required"] = schema.is_none_or(|schema| schema.get("required").is_some()).into();
        }
    }
}

fn merge(schema: &mut Value, more: Option<&Object>) {
    if let (Some(schema), Some(more)) = (schema.as_object_mut(), more) {
        schema.extend(more.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_constraint_is_of_something_that_is_there_and_each_name_is_a_text() {
        let constraints: Constraints = serde_json::from_str(CONSTRAINTS).expect("constraints");
        let document: Value = serde_json::from_str(&crate::http::openapi_json()).expect("a document");
        let schemas = &document["components"]["schemas"];
        for (schema, fields) in &constraints.fields {
            for (field, name) in fields.as_object().expect("fields") {
                let text = constraints.text(name).expect("a text");
                let described = &schemas[schema]["properties"][field];
                let described = described.get("items").unwrap_or(described).as_object();
                let described = described.unwrap_or_else(|| panic!("{schema} has no {field}"));
                assert!(text.iter().all(|(key, value)| described.get(key) == Some(value)), "{schema}.{field}");
            }
        }
        for schema in constraints.rules.keys() {
            assert_eq!(schemas[schema]["type"], "object", "{schema}");
        }
        let text = document.to_string();
        for (name, kind) in &constraints.parameters {
            assert!(constraints.text(kind).is_some(), "{name}");
            assert!(text.contains(&format!("\"name\":\"{name}\"")), "no parameter {name}");
        }
    }
}
