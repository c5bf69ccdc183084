//! The surface as data, for the generator.

use serde_json::{Value, json};

/// Every class with its methods, and every model, as JSON Schema.
#[must_use]
pub fn describe() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let classes: Vec<Value> = super::table::classes()
        .iter()
        .map(|class| {
            let methods: Vec<Value> = class
                .schemas()
                .iter()
                .map(|m| {
                    let params: Vec<Value> = m.params.iter().map(|(name, schema)| json!({"name": name, "schema": schema(&mut generator)})).collect();
                    json!({
                        "name": m.name,
                        "static": m.is_static,
                        "constructor": m.is_constructor,
                        "params": params,
                        "options": (m.options)(&mut generator),
                        "result": (m.result)(&mut generator),
                    })
                })
                .collect();
            json!({"name": class.name(), "properties": class.properties(&mut generator), "methods": methods})
        })
        .collect();
    for model in [generator.subschema_for::<crate::progress::Event>(), generator.subschema_for::<crate::error::ErrorData>()] {
        drop(model);
    }
    let kinds: Vec<Value> = crate::error::ErrorKind::ALL.iter().map(|k| json!({"name": k.as_str(), "doc": k.describe().trim()})).collect();
    json!({"version": env!("CARGO_PKG_VERSION"), "classes": classes, "models": generator.take_definitions(true), "errors": kinds})
}
