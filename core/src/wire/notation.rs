//! The notation of messages. One file per API under [`message`](super::message) holds what Kafka keeps in two files of
//! JSON, and reads as that API's documentation:
//!
//! ```
//! klamm_core::wire::notation::message! {
//!     ExampleRequest: request 999, versions 0-4, flexible 2+;
//!
//!     /// Asks for nothing in particular.
//!     ExampleRequest {
//!         /// Every version has it.
//!         count: int32 0+;
//!         /// From version 1 on; null from version 3 on, and null by default.
//!         name: string 1+, nullable 3+, default None;
//!         /// In two versions only; left out of others whatever its value.
//!         timeout_ms: int32 1-2, default 60_000, ignorable;
//!         /// A tagged field.
//!         places: [Place] 2+, tag 0;
//!     }
//!
//!     Place {
//!         id: uuid 2+;
//!         numbers: [int64] 2+;
//!     }
//! }
//! # use klamm_core::wire::Message;
//! # let request = ExampleRequest { count: 3, ..ExampleRequest::default() };
//! # assert_eq!(request.encoded_size(0), Ok(4));
//! ```
//!
//! - The first line names the message: `request KEY`, `response KEY`, `header`, `coordinator_key TYPE`,
//!   `coordinator_value TYPE` or `data`; its versions; `latest unstable` where the last of them is still being worked
//!   on; and `flexible`, the versions with compact lengths and tagged fields, or `flexible none`.
//! - Then come its structures, the message's own among them. A version range is `3+` (to the last), `8-10`, or `0-0` for
//!   a single one.
//! - Types: `bool`, `int8`, `int16`, `uint16`, `int32`, `uint32`, `int64`, `float64`, `uuid`, `string`, `bytes`, a
//!   structure's name, an array of any of these in brackets; `records` in requests and `record_parts` in responses.
//!   `classic_string` has its two-byte length in every version. `[each Structure]` is an array of a response whose
//!   elements can be encoded as they are made (`wire::List`).
//! - A field's attributes come in this order: `nullable VERSIONS` (its Rust type is an `Option`), `tag NUMBER`
//!   (tagged in all versions that have it), `default VALUE` where Kafka's default is not the type's own, `ignorable`.

/// Defines a message from its notation; see [`wire::notation`](crate::wire::notation).
#[macro_export]
macro_rules! message {
    (
        $message:ident : $role:ident $($key:literal)?, versions $first:literal $(- $last:literal)? $(+)?
        $(, latest $latest:ident)?, flexible $($flexible:literal +)? $(none)?;
        $( $(#[$doc:meta])* $name:ident $fields:tt )+
    ) => {
        impl $crate::wire::Message for $message {
            const SCHEMA: &'static $crate::wire::Schema = &$crate::wire::Schema {
                role: $crate::wire::notation::notation!(@role $role $($key)?),
                versions: $crate::wire::notation::notation!(@versions $first $($last)?),
                latest: $crate::wire::notation::notation!(@latest $($latest)?),
                flexible: $crate::wire::notation::notation!(@from $($flexible)?),
                body: <$message as $crate::wire::kind::Structure>::STRUCT,
            };
        }

        $( $crate::wire::notation::notation! { @struct $(#[$doc])* $name $fields } )+
    };
}

/// The parts of [`message!`](crate::wire::notation::message).
#[doc(hidden)]
#[macro_export]
macro_rules! notation {
    (@role request $key:literal) => { $crate::wire::Role::Request($key) };
    (@role response $key:literal) => { $crate::wire::Role::Response($key) };
    (@role coordinator_key $key:literal) => { $crate::wire::Role::CoordinatorKey($key) };
    (@role coordinator_value $key:literal) => { $crate::wire::Role::CoordinatorValue($key) };
    (@role header) => { $crate::wire::Role::Header };
    (@role data) => { $crate::wire::Role::Data };

    (@latest) => { $crate::wire::Latest::Stable };
    (@latest unstable) => { $crate::wire::Latest::Unstable };

    // A range whose end is not given reaches to the last version: `3+`.
    (@versions $first:literal) => { $crate::wire::Versions { first: $first, last: i16::MAX } };
    (@versions $first:literal $last:literal) => { $crate::wire::Versions { first: $first, last: $last } };

    (@from) => { $crate::wire::Versions::NONE };
    (@from $($versions:literal)+) => { $crate::wire::notation::notation!(@versions $($versions)+) };

    (@kind records $($nullable:literal)?) => { $crate::wire::kind::RecordBytes };
    (@kind record_parts $($nullable:literal)?) => { $crate::wire::kind::RecordParts };
    (@kind $ty:tt $nullable:literal) => { $crate::wire::kind::Nullable<$crate::wire::notation::notation!(@kind $ty)> };
    (@kind bool) => { $crate::wire::kind::Bool };
    (@kind int8) => { $crate::wire::kind::Int8 };
    (@kind int16) => { $crate::wire::kind::Int16 };
    (@kind uint16) => { $crate::wire::kind::Uint16 };
    (@kind int32) => { $crate::wire::kind::Int32 };
    (@kind uint32) => { $crate::wire::kind::Uint32 };
    (@kind int64) => { $crate::wire::kind::Int64 };
    (@kind float64) => { $crate::wire::kind::Float64 };
    (@kind uuid) => { $crate::wire::kind::Id };
    (@kind string) => { $crate::wire::kind::Str };
    (@kind classic_string) => { $crate::wire::kind::ClassicStr };
    (@kind bytes) => { $crate::wire::kind::Blob };
    (@kind [each $name:ident]) => { $crate::wire::Listed<$name> };
    (@kind [$ty:tt]) => { $crate::wire::kind::Array<$crate::wire::notation::notation!(@kind $ty)> };
    (@kind $name:ident) => { $crate::wire::kind::Nested<$name> };

    (@default $kind:ty,) => { <$kind as $crate::wire::kind::Kind>::initial() };
    (@default $kind:ty, $default:expr) => { $default };

    (@text) => { ::core::option::Option::None };
    (@text $default:expr) => { ::core::option::Option::Some(::core::stringify!($default)) };

    (@tag) => { ::core::option::Option::None };
    (@tag $tag:literal) => { ::core::option::Option::Some($tag) };

    (@otherwise) => { $crate::wire::Otherwise::Refused };
    (@otherwise ignorable) => { $crate::wire::Otherwise::Ignored };

    // Takes a structure apart: each field becomes its documentation, name, type, versions, versions with null, tag,
    // default and what happens to it elsewhere.
    (@struct $(#[$doc:meta])* $name:ident { $(
        $(#[$field_doc:meta])*
        $field:ident : $ty:tt $first:literal $(- $last:literal)? $(+)?
        $(, nullable $null_first:literal $(- $null_last:literal)? $(+)?)?
        $(, tag $tag:literal)?
        $(, default $default:expr)?
        $(, ignorable $(@ $never:tt)?)?
        ;
    )* }) => {
        $crate::wire::notation::notation! { @define [$(#[$doc])*] $name $({
            [$(#[$field_doc])*] $field [$ty $($null_first)?] [$first $($last)?]
            [$($null_first $($null_last)?)?] [$($tag)?] [$($default)?] [$(ignorable $(@ $never)?)?]
        })* }
    };

    (@nullable) => { $crate::wire::Versions::NONE };
    (@nullable $($versions:literal)+) => { $crate::wire::notation::notation!(@versions $($versions)+) };

    (@define [$($doc:tt)*] $name:ident $({
        [$($field_doc:tt)*] $field:ident [$($ty:tt)+] [$($versions:tt)+]
        [$($nullable:tt)*] [$($tag:tt)?] [$($default:expr)?] [$($otherwise:tt)?]
    })*) => {
        $($doc)*
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs, reason = "Kafka's names say what most fields are; where they do not, a comment does")]
        pub struct $name { $(
            $($field_doc)*
            pub $field: <$crate::wire::notation::notation!(@kind $($ty)+) as $crate::wire::kind::Kind>::Value,
        )* }

        const _: () = {
            struct Slots { $( $field: $crate::wire::field::Slot<$crate::wire::notation::notation!(@kind $($ty)+)>, )* }

            const SLOTS: Slots = Slots { $( $field: $crate::wire::field::Slot {
                field: $crate::wire::Field {
                    path: ::core::concat!(::core::stringify!($name), ".", ::core::stringify!($field)),
                    kind: <$crate::wire::notation::notation!(@kind $($ty)+) as $crate::wire::kind::Kind>::TYPE,
                    versions: $crate::wire::notation::notation!(@versions $($versions)+),
                    nullable: $crate::wire::notation::notation!(@nullable $($nullable)*),
                    tag: $crate::wire::notation::notation!(@tag $($tag)?),
                    default: $crate::wire::notation::notation!(@text $($default)?),
                    otherwise: $crate::wire::notation::notation!(@otherwise $($otherwise)?),
                },
                default: || $crate::wire::notation::notation!(@default $crate::wire::notation::notation!(@kind $($ty)+), $($default)?),
            }, )* };

            impl ::core::default::Default for $name {
                fn default() -> Self {
                    Self { $( $field: (SLOTS.$field.default)(), )* }
                }
            }

            impl $crate::wire::kind::Structure for $name {
                const STRUCT: &'static $crate::wire::Struct = &$crate::wire::Struct {
                    name: ::core::stringify!($name),
                    fields: &[$( SLOTS.$field.field, )*],
                };

                fn least(form: $crate::wire::Form) -> usize {
                    usize::from(form.flexible) $( + SLOTS.$field.least(form) )*
                }

                fn measure(
                    &self,
                    form: $crate::wire::Form,
                    size: &mut $crate::wire::Size,
                ) -> ::core::result::Result<(), $crate::wire::EncodeError> {
                    let mut tags = 0;
                    $( SLOTS.$field.measure(&self.$field, form, size, &mut tags)?; )*
                    if form.flexible {
                        size.add_varint(tags);
                    }
                    ::core::result::Result::Ok(())
                }

                fn write(&self, form: $crate::wire::Form, writer: &mut $crate::wire::Writer) {
                    let mut tags = 0;
                    $( SLOTS.$field.write(&self.$field, form, writer, &mut tags); )*
                    if form.flexible {
                        writer.put_varint(tags);
                        $( SLOTS.$field.write_tagged(&self.$field, form, writer); )*
                    }
                }

                fn read(
                    reader: &mut $crate::wire::Reader,
                    form: $crate::wire::Form,
                ) -> ::core::result::Result<Self, $crate::wire::DecodeError> {
                    let mut this = Self { $( $field: SLOTS.$field.read(reader, form)?, )* };
                    if form.flexible {
                        $crate::wire::field::read_tags(reader, |reader, tag| {
                            ::core::result::Result::Ok(
                                false $( || SLOTS.$field.read_tagged(reader, tag, form, &mut this.$field)? )*
                            )
                        })?;
                    }
                    ::core::result::Result::Ok(this)
                }
            }

            $crate::wire::notation::notation_reflect! { $name SLOTS $($field)* }
        };
    };
}

/// What lets tests list the fields of a structure; nothing without the feature `reflect`.
#[cfg(any(test, feature = "reflect"))]
#[doc(hidden)]
#[macro_export]
macro_rules! notation_reflect {
    ($name:ident $slots:ident $($field:ident)*) => {
        impl $crate::wire::reflect::ReflectStructure for $name {
            fn to_fields(&self) -> $crate::wire::reflect::Fields {
                $crate::wire::reflect::Fields::from([$( $slots.$field.to_field(&self.$field), )*])
            }

            fn from_fields(fields: &[(&'static str, $crate::wire::reflect::Value)]) -> Self {
                Self { $( $field: $slots.$field.from_fields(fields), )* }
            }
        }
    };
}

/// What lets tests list the fields of a structure; nothing without the feature `reflect`.
#[cfg(not(any(test, feature = "reflect")))]
#[doc(hidden)]
#[macro_export]
macro_rules! notation_reflect {
    ($($any:tt)*) => {};
}

#[doc(inline)]
pub use message;
#[doc(hidden)]
pub use {notation, notation_reflect};
