//! Structs that are read from JSON objects: unknown keys are skipped, and the last of a repeated key counts.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A key of an object, borrowed where it is written without escapes.
#[derive(Debug)]
pub struct Key<'a>(Cow<'a, str>);

impl AsRef<str> for Key<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(v)))
            }

            fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(v.to_owned())))
            }
        }

        from.deserialize_str(KeyVisitor)
    }
}

/// Defines a struct that is read from a JSON object: unknown keys are skipped unread, absent ones leave the default, and
/// of repeated ones the last counts, where serde's own derive refuses the object.
///
/// `"key" => field: Type as Other` is read as `Other` and turned into `Type`.
macro_rules! object {
    (@value $map:ident) => {
        $map.next_value()?
    };
    (@value $map:ident $via:ty) => {
        $map.next_value::<$via>()?.into()
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident<$life:lifetime> {
            $($(#[$doc:meta])* $key:literal => $field_vis:vis $field:ident: $type:ty $(as $via:ty)?,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        $vis struct $name<$life> {
            $($(#[$doc])* $field_vis $field: $type,)+
        }

        impl<'de: $life, $life> ::serde::Deserialize<'de> for $name<$life> {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct ObjectFields<$life>(::std::marker::PhantomData<&$life ()>);

                impl<'de: $life, $life> ::serde::de::Visitor<'de> for ObjectFields<$life> {
                    type Value = $name<$life>;

                    fn expecting(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: ::serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<$crate::json::object::Key<'de>>()? {
                            match key.as_ref() {
                                $($key => object.$field = object!(@value map $($via)?),)+
                                _ => {
                                    map.next_value::<::serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }

                from.deserialize_map(ObjectFields(::std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use object;
