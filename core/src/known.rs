//! Texts of an engine that have names where they are known: a newer engine's text is kept as it is, and fails no call.

/// Declares an enum of the texts that are known, each with its documentation, and of any other.
macro_rules! known {
    ($(#[doc = $doc:literal])+ pub enum $name:ident { $(#[doc = $vdoc:literal] $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $vdoc] $variant,)+
            /// A text that this version does not know.
            Other(String),
        }

        impl $name {
            /// The engine's own text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::Other(String::new())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                text.as_str().into()
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer).map(Into::into)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let doc = [$($doc),+].map(str::trim).join("\n");
                schemars::json_schema!({
                    "description": doc,
                    "x-dockerkit-open": true,
                    "oneOf": [$({"const": $text, "description": $vdoc.trim()}),+],
                })
            }
        }
    };
}
pub(crate) use known;

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "the macro declares what is public elsewhere")]

    known! {
        /// Colours.
        pub enum Colour {
            /// Like blood.
            Red = "red",
        }
    }

    #[test]
    fn unknown_texts_are_kept() {
        assert_eq!(Colour::from("red"), Colour::Red);
        assert_eq!(serde_json::from_str::<Colour>("\"blue\"").ok(), Some(Colour::Other("blue".into())));
        assert_eq!(serde_json::to_string(&Colour::from("blue")).ok().as_deref(), Some("\"blue\""));
        assert!(Colour::Red == "red" && Colour::Other("blue".into()) == "blue");
    }
}
