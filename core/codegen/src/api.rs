//! The public API as plain data: classes, methods and models, with their kinds of values told apart.
//!
//! It is read from the core's own description (JSON Schema) and from the doc comments of the Rust methods, and every
//! generator works from it alone. As JSON it is `api.json`, which the parity tests read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::docs::Docs;

/// The whole public API.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Api {
    /// The version of the core.
    pub(crate) version: String,
    /// Every class, in the order of the table.
    pub(crate) classes: Vec<Class>,
    /// Every model, by name.
    pub(crate) models: BTreeMap<String, Model>,
    /// Every kind of error.
    pub(crate) errors: Vec<ErrorKind>,
}

/// A kind of error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ErrorKind {
    /// Such as `not_found`.
    pub(crate) name: String,
    /// One sentence.
    pub(crate) doc: String,
}

/// An object that other languages hold.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Class {
    /// Such as `Engine`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) doc: String,
    /// What can be read without a call.
    pub(crate) properties: Vec<Field>,
    /// How it is made at once, where it can be.
    pub(crate) constructor: Option<Method>,
    /// Its methods and static functions.
    pub(crate) methods: Vec<Method>,
    /// Methods behind a name, such as `containers`.
    pub(crate) groups: Vec<Group>,
}

/// Methods of a class behind one name: `engine.containers`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Group {
    /// Such as `containers`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) doc: String,
    /// Its methods.
    pub(crate) methods: Vec<Method>,
}

/// One call.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Method {
    /// Its own name, such as `list`.
    pub(crate) name: String,
    /// Its name on the wire, such as `containers.list`.
    pub(crate) wire: String,
    /// What it does.
    pub(crate) doc: String,
    /// Whether it belongs to the class and not to an object.
    #[serde(rename = "static")]
    pub(crate) is_static: bool,
    /// Positional arguments.
    pub(crate) params: Vec<Field>,
    /// The name of the options' model, where there are options.
    pub(crate) options_model: Option<String>,
    /// Named options. Some may be required.
    pub(crate) options: Vec<Field>,
    /// What it gives.
    pub(crate) result: Type,
}

/// An argument, an option, a property or a field of a model.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Field {
    /// In `snake_case`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) doc: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub(crate) kind: Type,
    /// Whether its texts are paths of files or folders.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) path: bool,
    /// Whether it must be given; a field of a result that is not required may be absent.
    pub(crate) required: bool,
    /// What it is when it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default: Option<Value>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub(crate) enum Type {
    /// No value.
    Nothing,
    /// Any JSON.
    Any,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A text.
    Text,
    /// A text that is not shown when its holder is printed.
    Token,
    /// A length of time: seconds on the wire; an argument may be a text such as `1m30s`.
    Duration,
    /// A moment in a result.
    Time,
    /// A moment in an option.
    When,
    /// A number of bytes; an argument may be a text such as `512m`.
    Size,
    /// Raw bytes: an attachment.
    Bytes,
    /// An object of this class.
    Handle(String),
    /// A stream of these.
    Stream(Box<Type>),
    /// A model by name.
    Model(String),
    /// A list of these.
    List(Box<Type>),
    /// A user's map from text to these: its keys are never renamed.
    Map(Box<Type>),
    /// This or nothing.
    Optional(Box<Type>),
    /// One of these.
    OneOf(Vec<Type>),
    /// One of these texts.
    Literal(Vec<String>),
}

/// A model of data.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Model {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) doc: String,
    /// Its form.
    #[serde(flatten)]
    pub(crate) form: Form,
    /// Whether it may be part of an argument or is a call's options.
    pub(crate) input: bool,
    /// Whether it may be part of a result, a property, an event or an error.
    pub(crate) output: bool,
    /// Whether it is the options of calls and nothing else: then its fields are those calls' named options.
    pub(crate) only_options: bool,
}

/// What a model looks like.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub(crate) enum Form {
    /// Fields with names.
    Struct {
        /// Its fields.
        fields: Vec<Field>,
    },
    /// One of a few texts.
    Choice {
        /// Texts and what they mean.
        values: Vec<Choice>,
        /// Whether there may be others.
        open: bool,
    },
    /// One of a few structs, told apart by a text field.
    Union {
        /// The name of that field.
        tag: String,
        /// The structs.
        variants: Vec<Variant>,
    },
    /// Another type by name.
    Alias {
        /// That type.
        of: Type,
    },
}

/// A text of a choice.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Choice {
    /// The text.
    pub(crate) value: String,
    /// What it means.
    pub(crate) doc: String,
}

/// A struct of a union.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Variant {
    /// The text in the tag field, such as `ssh`.
    pub(crate) value: String,
    /// The name of its class, such as `SshDriver`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) doc: String,
    /// Its fields without the tag; those that must be given come first.
    pub(crate) fields: Vec<Field>,
}

impl Api {
    /// Reads the core's description.
    pub(crate) fn read(described: &Value, docs: &Docs) -> Result<Self, String> {
        let mut models = BTreeMap::new();
        let definitions = described.get("models").and_then(Value::as_object).ok_or("no models")?;
        for (name, schema) in definitions {
            models.insert(name.clone(), read_model(name, schema, definitions, docs)?);
        }
        let mut classes = Vec::new();
        for class in list(described, "classes") {
            classes.push(read_class(class, &models, docs)?);
        }
        let errors = list(described, "errors").iter().map(|e| ErrorKind { name: text(e, "name"), doc: text(e, "doc") }).collect();
        let mut api = Self { version: text(described, "version"), classes, models, errors };
        api.mark_use();
        Ok(api)
    }

    /// Every method with its class, those of groups too, constructors not.
    pub(crate) fn methods(&self) -> impl Iterator<Item = (&Class, &Method)> {
        self.classes.iter().flat_map(|c| c.methods.iter().chain(c.groups.iter().flat_map(|g| &g.methods)).map(move |m| (c, m)))
    }

    /// The type that stands behind names of other types.
    pub(crate) fn behind<'a>(&'a self, kind: &'a Type) -> &'a Type {
        match kind {
            Type::Model(name) => match self.models.get(name).map(|m| &m.form) {
                Some(Form::Alias { of }) => self.behind(of),
                _ => kind,
            },
            Type::Optional(of) => self.behind(of),
            _ => kind,
        }
    }

    fn mark_use(&mut self) {
        let (mut input, mut output, mut options, mut nested) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for class in &self.classes {
            for field in &class.properties {
                self.reach(&field.kind, &mut output);
            }
            for method in class.constructor.iter() {
                for field in method.params.iter().chain(&method.options) {
                    self.reach(&field.kind, &mut input);
                    self.reach(&field.kind, &mut nested);
                }
                options.extend(method.options_model.clone());
            }
        }
        for (_, method) in self.methods() {
            for field in method.params.iter().chain(&method.options) {
                self.reach(&field.kind, &mut input);
                self.reach(&field.kind, &mut nested);
            }
            options.extend(method.options_model.clone());
            self.reach(&method.result, &mut output);
        }
        for name in ["Event", "ErrorData"] {
            self.reach(&Type::Model(name.to_owned()), &mut output);
        }
        for (name, model) in &mut self.models {
            model.input = input.contains(name) || options.contains(name);
            model.output = output.contains(name);
            model.only_options = options.contains(name) && !nested.contains(name) && !model.output;
        }
    }

    fn reach(&self, kind: &Type, found: &mut BTreeSet<String>) {
        match kind {
            Type::Model(name) => {
                if !found.insert(name.clone()) {
                    return;
                }
                match self.models.get(name).map(|m| &m.form) {
                    Some(Form::Struct { fields }) => fields.iter().for_each(|f| self.reach(&f.kind, found)),
                    Some(Form::Union { variants, .. }) => variants.iter().flat_map(|v| &v.fields).for_each(|f| self.reach(&f.kind, found)),
                    Some(Form::Alias { of }) => self.reach(of, found),
                    Some(Form::Choice { .. }) | None => {}
                }
            }
            Type::Stream(of) | Type::List(of) | Type::Map(of) | Type::Optional(of) => self.reach(of, found),
            Type::OneOf(all) => all.iter().for_each(|k| self.reach(k, found)),
            _ => {}
        }
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn doc_of(schema: &Value) -> String {
    crate::docs::plain(&text(schema, "description"))
}

fn read_class(class: &Value, models: &BTreeMap<String, Model>, docs: &Docs) -> Result<Class, String> {
    let name = text(class, "name");
    let properties = match class.get("properties").map(kind_of).transpose()? {
        Some(Type::Model(model)) => struct_fields(models, &model)?,
        _ => Vec::new(),
    };
    let mut out = Class { doc: docs.of_type(&name), name, properties, constructor: None, methods: Vec::new(), groups: Vec::new() };
    for method in list(class, "methods") {
        let wire = text(method, "name");
        let (group, own) = wire.split_once('.').map_or((None, wire.as_str()), |(g, m)| (Some(g), m));
        let is_constructor = method.get("constructor") == Some(&Value::Bool(true));
        let options_model = match method.get("options").map(kind_of).transpose()? {
            Some(Type::Model(model)) if model != "NoOptions" => Some(model),
            _ => None,
        };
        let mut options = options_model.as_ref().map_or(Ok(Vec::new()), |m| struct_fields(models, m))?;
        let type_name = group.map_or_else(|| out.name.clone(), pascal);
        let mut params = Vec::new();
        for param in list(method, "params") {
            let name = text(param, "name");
            // A constructor's positional arguments are the first fields of its options.
            if let Some(at) = options.iter().position(|o| o.name == name) {
                params.push(options.remove(at));
                continue;
            }
            let kind = kind_of(param.get("schema").unwrap_or(&Value::Null))?;
            let required = !matches!(kind, Type::Optional(_));
            let default = (!required).then_some(Value::Null);
            let path = docs.is_path_argument(&type_name, own, &name) || model_in(&kind).is_some_and(|model| docs.is_path(model, ""));
            params.push(Field { name, doc: String::new(), kind, path, required, default });
        }
        let read = Method {
            name: own.to_owned(),
            doc: docs.of_method(&type_name, own),
            is_static: method.get("static") == Some(&Value::Bool(true)),
            params,
            options_model,
            options,
            result: kind_of(method.get("result").unwrap_or(&Value::Null))?,
            wire: wire.clone(),
        };
        match group {
            _ if is_constructor => out.constructor = Some(read),
            None => out.methods.push(read),
            Some(group) => match out.groups.iter_mut().find(|g| g.name == group) {
                Some(there) => there.methods.push(read),
                None => out.groups.push(Group { name: group.to_owned(), doc: docs.of_type(&type_name), methods: vec![read] }),
            },
        }
    }
    Ok(out)
}

/// The model that a value is, or may be.
fn model_in(kind: &Type) -> Option<&str> {
    match kind {
        Type::Model(name) => Some(name),
        Type::Optional(of) => model_in(of),
        _ => None,
    }
}

fn struct_fields(models: &BTreeMap<String, Model>, name: &str) -> Result<Vec<Field>, String> {
    match models.get(name).map(|m| &m.form) {
        Some(Form::Struct { fields }) => Ok(fields.clone()),
        _ => Err(format!("{name} is used as options or properties and is no struct")),
    }
}

type Definitions = serde_json::Map<String, Value>;

fn read_model(name: &str, schema: &Value, definitions: &Definitions, docs: &Docs) -> Result<Model, String> {
    let form = if let Some(values) = choices(schema) {
        Form::Choice { values, open: schema.get("x-dockerkit-open").is_some() }
    } else if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        read_union(name, variants, definitions, docs)?
    } else if schema.get("properties").is_some() || (schema.get("type").and_then(Value::as_str) == Some("object") && map_values(schema).is_none()) {
        Form::Struct { fields: read_fields(name, schema, docs)? }
    } else {
        Form::Alias { of: kind_of(schema)? }
    };
    Ok(Model { name: name.to_owned(), doc: doc_of(schema), form, input: false, output: false, only_options: false })
}

fn choices(schema: &Value) -> Option<Vec<Choice>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|v| Some(Choice { value: v.as_str()?.to_owned(), doc: String::new() })).collect();
    }
    let all = schema.get("oneOf")?.as_array()?;
    let mut out = Vec::new();
    for one in all {
        match (one.get("const").and_then(Value::as_str), one.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => out.push(Choice { value: value.to_owned(), doc: doc_of(one) }),
            (None, Some(values)) => out.extend(values.iter().filter_map(Value::as_str).map(|v| Choice { value: v.to_owned(), doc: String::new() })),
            _ => return None,
        }
    }
    Some(out)
}

fn read_union(name: &str, variants: &[Value], definitions: &Definitions, docs: &Docs) -> Result<Form, String> {
    let tag_of = |variant: &Value| -> Option<(String, String)> {
        let properties = variant.get("properties")?.as_object()?;
        properties.iter().find_map(|(k, v)| Some((k.clone(), v.get("const")?.as_str()?.to_owned())))
    };
    let mut tag = None;
    let mut out = Vec::new();
    for variant in variants {
        let Some((key, value)) = tag_of(variant) else {
            return Err(format!("{name} is neither a choice of texts nor a union told apart by one field; public models are never untagged"));
        };
        let mut fields = Vec::new();
        let mut class = format!("{}{}", pascal(&value), name.strip_suffix("Spec").unwrap_or(name));
        let mut doc = doc_of(variant);
        if let Some(target) = reference(variant) {
            let inner = definitions.get(&target).ok_or_else(|| format!("{name}: no model {target}"))?;
            fields.extend(read_fields(&target, inner, docs)?);
            if doc.is_empty() {
                doc = doc_of(inner);
            }
            class = target;
        }
        fields.extend(read_fields(&class, variant, docs)?.into_iter().filter(|f| f.name != key));
        fields.sort_by_key(|f| !f.required);
        tag = Some(key);
        out.push(Variant { value, name: class, doc, fields });
    }
    Ok(Form::Union { tag: tag.ok_or_else(|| format!("{name} has no variants"))?, variants: out })
}

fn read_fields(owner: &str, schema: &Value, docs: &Docs) -> Result<Vec<Field>, String> {
    let required: BTreeSet<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(Vec::new()) };
    properties
        .iter()
        .map(|(name, schema)| {
            Ok(Field {
                name: name.clone(),
                doc: doc_of(schema),
                path: docs.is_path(owner, name),
                kind: kind_of(schema).map_err(|e| format!("{name}: {e}"))?,
                required: required.contains(name.as_str()),
                default: schema.get("default").cloned(),
            })
        })
        .collect()
}

fn reference(schema: &Value) -> Option<String> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/").map(str::to_owned)
}

fn map_values(schema: &Value) -> Option<&Value> {
    schema
        .get("additionalProperties")
        .filter(|v| !matches!(v, Value::Bool(false)))
        .or_else(|| schema.get("patternProperties").and_then(Value::as_object).and_then(|p| p.values().next()))
}

/// Tells what a schema stands for.
fn kind_of(schema: &Value) -> Result<Type, String> {
    if let Some(name) = reference(schema) {
        return Ok(Type::Model(name));
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(mark) = schema.get("x-dockerkit").and_then(Value::as_str) {
        let inner = match mark {
            "duration" => Type::Duration,
            "time" => Type::Time,
            "when" => Type::When,
            "size" => Type::Size,
            "bytes" => Type::Bytes,
            "token" => Type::Token,
            "handle" => Type::Handle(text(schema, "title")),
            "stream" => Type::Stream(Box::new(kind_of(schema.get("items").unwrap_or(&Value::Null))?)),
            other => return Err(format!("unknown mark {other}")),
        };
        return Ok(if types.contains(&"null") { Type::Optional(Box::new(inner)) } else { inner });
    }
    if let Some(all) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        if let Some(values) = choices(schema) {
            return Ok(Type::Literal(values.into_iter().map(|c| c.value).collect()));
        }
        let kinds = all.iter().map(kind_of).collect::<Result<Vec<_>, _>>()?;
        return Ok(union_of(kinds));
    }
    if let Some(value) = schema.get("const").and_then(Value::as_str) {
        return Ok(Type::Literal(vec![value.to_owned()]));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let texts: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let inner = Type::Literal(texts);
        return Ok(if values.contains(&Value::Null) { Type::Optional(Box::new(inner)) } else { inner });
    }
    if types.is_empty() {
        return Ok(Type::Any);
    }
    let kinds = types.iter().map(|t| plain_kind(t, schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(union_of(kinds))
}

fn plain_kind(name: &str, schema: &Value) -> Result<Type, String> {
    Ok(match name {
        "null" => Type::Nothing,
        "boolean" => Type::Bool,
        "integer" => Type::Int,
        "number" => Type::Float,
        "string" => Type::Text,
        "array" => Type::List(Box::new(match schema.get("items") {
            Some(items) => kind_of(items)?,
            None => union_of(list(schema, "prefixItems").iter().map(kind_of).collect::<Result<Vec<_>, _>>()?),
        })),
        "object" => Type::Map(Box::new(match map_values(schema) {
            Some(values) => kind_of(values)?,
            None => Type::Any,
        })),
        other => return Err(format!("unknown type {other}")),
    })
}

fn union_of(kinds: Vec<Type>) -> Type {
    let optional = kinds.contains(&Type::Nothing);
    let mut rest: Vec<Type> = Vec::new();
    for kind in kinds {
        if kind != Type::Nothing && !rest.contains(&kind) {
            rest.push(kind);
        }
    }
    let inner = match (rest.len(), rest.pop()) {
        (_, None) => return if optional { Type::Nothing } else { Type::Any },
        (1, Some(one)) => one,
        (_, Some(last)) => {
            rest.push(last);
            Type::OneOf(rest)
        }
    };
    if optional { Type::Optional(Box::new(inner)) } else { inner }
}

/// `rotate_token` as `RotateToken`.
pub(crate) fn pascal(snake: &str) -> String {
    snake
        .split(['_', '-'])
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>()).unwrap_or_default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let kind = |schema: Value| kind_of(&schema).unwrap();
        assert_eq!(kind(json!({"x-dockerkit": "duration", "type": ["number", "null"]})), Type::Optional(Box::new(Type::Duration)));
        assert_eq!(kind(json!({"anyOf": [{"$ref": "#/$defs/Ping"}, {"type": "null"}]})), Type::Optional(Box::new(Type::Model("Ping".into()))));
        assert_eq!(kind(json!({"type": "object", "additionalProperties": {"type": "string"}})), Type::Map(Box::new(Type::Text)));
        assert_eq!(kind(json!({"type": "null"})), Type::Nothing);
        assert_eq!(kind(json!(true)), Type::Any);
    }

    #[test]
    fn unions_name_their_classes() {
        let schema = json!({"oneOf": [
            {"type": "object", "properties": {"type": {"const": "existing"}, "url": {"type": "string"}}, "required": ["type", "url"]},
            {"type": "object", "properties": {"type": {"const": "ssh"}}, "$ref": "#/$defs/SshDriver", "required": ["type"]},
        ]});
        let mut definitions = Definitions::new();
        definitions.insert("SshDriver".into(), json!({"type": "object", "properties": {"host": {"type": "string"}}, "required": ["host"]}));
        let model = read_model("DriverSpec", &schema, &definitions, &Docs::default()).unwrap();
        let Form::Union { tag, variants } = model.form else { panic!("a union") };
        assert_eq!(tag, "type");
        let names: Vec<_> = variants.iter().map(|v| (v.name.as_str(), v.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>())).collect();
        assert_eq!(names, [("ExistingDriver", vec!["url"]), ("SshDriver", vec!["host"])]);
    }
}
