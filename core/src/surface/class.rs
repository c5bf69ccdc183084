//! Classes of the surface: their methods, found by name and called with JSON.

use std::collections::HashMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{AnyHandle, Reply, Request, argument_error, attach};
use crate::{
    call::{BoxFuture, Call, Context},
    error::{Error, Result},
};

/// An object that other languages hold: a class name, and what can be read from it at once.
pub trait Handle: Clone + Send + Sync + 'static {
    /// The name of its class in every language.
    const CLASS: &'static str;
    /// What can be read from it without a call.
    type Properties: Serialize + schemars::JsonSchema;

    /// Its properties now.
    fn properties(&self) -> Self::Properties;

    /// Lets go of what it holds for later calls.
    fn close(&self) {}
}

/// Makes a type that is a [`Handle`] travel in arguments and results.
macro_rules! handle {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::surface::attach::serialize_handle(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::surface::attach::deserialize_handle(deserializer)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <Self as $crate::surface::Handle>::CLASS.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"x-dockerkit": "handle", "title": <Self as $crate::surface::Handle>::CLASS})
            }
        }
    };
}
pub(crate) use handle;

/// Values that a positional argument or a result may have.
pub trait Value_: DeserializeOwned + schemars::JsonSchema + Send + 'static {}
impl<T: DeserializeOwned + schemars::JsonSchema + Send + 'static> Value_ for T {}

/// Results that a method may have.
pub trait Result_: Serialize + schemars::JsonSchema + Send + 'static {}
impl<T: Serialize + schemars::JsonSchema + Send + 'static> Result_ for T {}

type Start<S> = Box<dyn Fn(Option<&S>, Args) -> Result<BoxFuture<Result<Reply>>> + Send + Sync>;
type Construct = Box<dyn Fn(Args) -> Result<Reply> + Send + Sync>;

/// The arguments of one call.
pub(crate) struct Args {
    map: Map<String, Value>,
    data: Vec<bytes::Bytes>,
    handles: Vec<AnyHandle>,
    context: Context,
}

impl Args {
    fn parse(request: Request) -> Result<Self> {
        let map =
            if request.args.is_empty() { Map::new() } else { serde_json::from_str(&request.args).map_err(|e| Error::internal(format!("arguments: {e}")))? };
        Ok(Self { map, data: request.data, handles: request.handles, context: request.context })
    }

    fn positional<P: Value_>(&mut self, name: &'static str) -> Result<P> {
        let value = self.map.remove(name).unwrap_or(Value::Null);
        let missing = value.is_null();
        attach::with_attachments(self.data.clone(), self.handles.clone(), || P::deserialize(&value)).map_err(|e| {
            if missing {
                Error::invalid(format!("`{}` is missing", super::option_name(name)))
            } else {
                let reason = argument_error(&e, &[]);
                Error::invalid(format!("`{}`: {}", super::option_name(name), reason.message()))
            }
        })
    }

    fn options<O: DeserializeOwned>(self, names: &[&'static str]) -> Result<(O, Context)> {
        let Self { mut map, data, handles, context } = self;
        // An argument that was left out may arrive as null; every option has a default.
        map.retain(|_, v| !v.is_null());
        let all = Value::Object(map);
        let options = attach::with_attachments(data, handles, || {
            O::deserialize(&all).map_err(|e| {
                let error = argument_error(&e, names);
                match wrong_option::<O>(&all) {
                    Some(name) if !e.to_string().starts_with("unknown field") => Error::invalid(format!("`{name}`: {}", error.message())).with("option", name),
                    _ => error,
                }
            })
        });
        Ok((options?, context))
    }
}

/// The path of what cannot be read, as a caller writes it: that without which another thing is said, or nothing. It is looked
/// for only when something is wrong.
fn wrong_option<O: DeserializeOwned>(all: &Value) -> Option<String> {
    let said = |all: &Value| O::deserialize(all).err().map(|e| e.to_string());
    let before = said(all)?;
    let without = |path: &str, key: &str| {
        let mut all = all.clone();
        match all.pointer_mut(path) {
            Some(Value::Object(map)) => drop(map.remove(key)),
            Some(Value::Array(list)) => drop(list.remove(key.parse().unwrap_or_default())),
            _ => {}
        }
        said(&all)
    };
    let (mut path, mut shown) = (String::new(), String::new());
    loop {
        let keys: Vec<String> = match all.pointer(&path) {
            Some(Value::Object(map)) => map.keys().cloned().collect(),
            Some(Value::Array(list)) => (0..list.len()).map(|i| i.to_string()).collect(),
            _ => Vec::new(),
        };
        let Some(key) = keys.iter().find(|key| without(&path, key).as_ref() != Some(&before)) else { break };
        match all.pointer(&path) {
            Some(Value::Array(_)) => shown.push_str(&format!("[{key}]")),
            _ if shown.is_empty() => shown.push_str(&super::option_name(key)),
            _ => shown.push_str(&format!(".{}", super::option_name(key))),
        }
        path.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")));
    }
    (!shown.is_empty()).then_some(shown)
}

fn run<O: Value_, T: Result_>(call: Call<O, T>, args: Args, names: &[&'static str]) -> Result<BoxFuture<Result<Reply>>> {
    let (options, context) = args.options(names)?;
    let future = call.with_options(options).in_context(context).into_future();
    Ok(Box::pin(async move { attach::encode(&future.await?) }))
}

/// Makes the schema of a type.
#[cfg(feature = "describe")]
type SchemaOf = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

/// What the generator needs to know of one method.
#[cfg(feature = "describe")]
pub(crate) struct MethodSchema {
    pub(crate) name: &'static str,
    pub(crate) is_static: bool,
    pub(crate) is_constructor: bool,
    pub(crate) params: Vec<(&'static str, SchemaOf)>,
    pub(crate) options: SchemaOf,
    pub(crate) result: SchemaOf,
}

#[cfg(feature = "describe")]
fn schema_of<T: schemars::JsonSchema>(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<T>()
}

/// One class: its name and its methods.
pub struct Class<S> {
    methods: HashMap<&'static str, Start<S>>,
    construct: Option<Construct>,
    #[cfg(feature = "describe")]
    pub(crate) schemas: Vec<MethodSchema>,
}

impl<S> std::fmt::Debug for Class<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}

macro_rules! describe {
    ($self:ident, $name:expr, $static:expr, $ctor:expr, [$(($pname:expr, $p:ty)),*], $o:ty, $t:ty) => {
        #[cfg(feature = "describe")]
        $self.schemas.push(MethodSchema {
            name: $name,
            is_static: $static,
            is_constructor: $ctor,
            params: vec![$(($pname, schema_of::<$p> as SchemaOf)),*],
            options: schema_of::<$o>,
            result: schema_of::<$t>,
        });
    };
}

macro_rules! methods {
    ($($method:ident $static_method:ident ($($p:ident $P:ident $i:literal),*);)+) => {
        impl<S: Handle> Class<S> {
            $(
                /// Adds a method with these positional arguments.
                #[must_use]
                pub fn $method<$($P: Value_,)* O: Value_, T: Result_>(
                    mut self, name: &'static str, params: [&'static str; methods!(@count $($p)*)],
                    call: impl Fn(&S $(, $P)*) -> Call<O, T> + Send + Sync + 'static,
                ) -> Self {
                    #[allow(clippy::unused_unit, reason = "the first of the family has no arguments")]
                    let [$($p),*] = params;
                    describe!(self, name, false, false, [$(($p, $P)),*], O, T);
                    #[allow(unused_mut, reason = "the first of the family has no arguments")]
                    self.methods.insert(name, Box::new(move |target, mut args| {
                        let target = target.ok_or_else(|| Error::internal("a method was called without its object"))?;
                        $(let $p = args.positional::<$P>($p)?;)*
                        run(call(target $(, $p)*), args, &params)
                    }));
                    self
                }

                /// Adds a function of the class with these positional arguments.
                #[must_use]
                pub fn $static_method<$($P: Value_,)* O: Value_, T: Result_>(
                    mut self, name: &'static str, params: [&'static str; methods!(@count $($p)*)],
                    call: impl Fn($($P),*) -> Call<O, T> + Send + Sync + 'static,
                ) -> Self {
                    let [$($p),*] = params;
                    describe!(self, name, true, false, [$(($p, $P)),*], O, T);
                    #[allow(unused_mut, reason = "the first of the family has no arguments")]
                    self.methods.insert(name, Box::new(move |_, mut args| {
                        $(let $p = args.positional::<$P>($p)?;)*
                        run(call($($p),*), args, &params)
                    }));
                    self
                }
            )+
        }
    };
    (@count) => { 0 };
    (@count $first:ident $($rest:ident)*) => { 1 + methods!(@count $($rest)*) };
}

methods! {
    m0 s0 ();
    m1 s1 (a A 0);
    m2 s2 (a A 0, b B 1);
    m3 s3 (a A 0, b B 1, c C 2);
}

impl<S: Handle> Class<S> {
    /// A class with no methods yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            methods: HashMap::new(),
            construct: None,
            #[cfg(feature = "describe")]
            schemas: Vec::new(),
        }
    }

    /// Gives the class a constructor; the first fields of its options, those in `params`, are positional.
    #[must_use]
    pub fn constructor<O: Value_>(mut self, params: &'static [&'static str], make: impl Fn(O) -> Result<S> + Send + Sync + 'static) -> Self
    where
        S: Serialize + schemars::JsonSchema,
    {
        #[cfg(feature = "describe")]
        self.schemas.push(MethodSchema {
            name: "new",
            is_static: true,
            is_constructor: true,
            params: params.iter().map(|p| (*p, schema_of::<Value> as SchemaOf)).collect(),
            options: schema_of::<O>,
            result: schema_of::<S>,
        });
        self.construct = Some(Box::new(move |args| {
            let (options, _) = args.options(params)?;
            attach::encode(&make(options)?)
        }));
        self
    }

    pub(crate) fn boxed(self) -> Box<dyn ErasedClass> {
        Box::new(self)
    }
}

impl<S: Handle> Default for Class<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// A class of whatever type.
pub(crate) trait ErasedClass: Send + Sync {
    fn name(&self) -> &'static str;
    fn start(&self, request: Request) -> Result<BoxFuture<Result<Reply>>>;
    fn construct(&self, request: Request) -> Result<Reply>;
    fn close(&self, object: &AnyHandle);
    #[cfg(feature = "describe")]
    fn schemas(&self) -> &[MethodSchema];
    #[cfg(feature = "describe")]
    fn properties(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
}

impl<S: Handle> ErasedClass for Class<S> {
    fn name(&self) -> &'static str {
        S::CLASS
    }

    fn start(&self, mut request: Request) -> Result<BoxFuture<Result<Reply>>> {
        let method = self.methods.get(request.method.as_str()).ok_or_else(|| Error::internal(format!("no method {}.{}", S::CLASS, request.method)))?;
        let target = request.target.take();
        method(target.as_ref().and_then(|t| t.object.downcast_ref::<S>()), Args::parse(request)?)
    }

    fn construct(&self, request: Request) -> Result<Reply> {
        let make = self.construct.as_ref().ok_or_else(|| Error::internal(format!("{} has no constructor", S::CLASS)))?;
        make(Args::parse(request)?)
    }

    fn close(&self, object: &AnyHandle) {
        if let Some(object) = object.object.downcast_ref::<S>() {
            object.close();
        }
    }

    #[cfg(feature = "describe")]
    fn schemas(&self) -> &[MethodSchema] {
        &self.schemas
    }

    #[cfg(feature = "describe")]
    fn properties(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<S::Properties>()
    }
}
