//! What the notation says, readable at run time: the structure test compares it with Kafka's own schemas.

/// A closed range of versions; empty when `first` is above `last`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The first version.
    pub first: i16,
    /// The last version; `i16::MAX` where the range is open.
    pub last: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self { first: 1, last: 0 };

    /// Whether `version` is in the range.
    #[inline]
    pub const fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    /// Whether no version is in the range.
    pub const fn is_empty(self) -> bool {
        self.first > self.last
    }
}

/// What a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A request of this API key.
    Request(i16),
    /// A response of this API key.
    Response(i16),
    /// What stands before a request or response.
    Header,
    /// The key of a coordinator's record of this type.
    CoordinatorKey(i16),
    /// The value of a coordinator's record of this type.
    CoordinatorValue(i16),
    /// What is kept or carried inside something else.
    Data,
}

/// Whether clients are offered the latest version (`latestVersionUnstable`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Latest {
    /// The latest version is final.
    Stable,
    /// The latest version is still being worked on.
    Unstable,
}

/// One message, as the notation describes it.
#[derive(Debug)]
pub struct Schema {
    /// What it is for.
    pub role: Role,
    /// The versions that exist.
    pub versions: Versions,
    /// Whether the last of them is final.
    pub latest: Latest,
    /// The versions with compact lengths and tagged fields (KIP-482).
    pub flexible: Versions,
    /// Its name and fields.
    pub body: &'static Struct,
}

impl Schema {
    /// Kafka's name of the message.
    pub const fn name(&self) -> &'static str {
        self.body.name
    }

    /// The form of `version`; `None` for a version that does not exist.
    #[inline]
    pub const fn form(&self, version: i16) -> Option<Form> {
        if self.versions.contains(version) {
            Some(Form {
                version,
                flexible: self.flexible.contains(version),
            })
        } else {
            None
        }
    }
}

/// A message or a structure inside one.
#[derive(Debug)]
pub struct Struct {
    /// Kafka's name.
    pub name: &'static str,
    /// The fields in wire order; tagged ones in the order of their tags.
    pub fields: &'static [Field],
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `Struct.field`, with Kafka's name in Rust case.
    pub path: &'static str,
    /// The type, apart from null.
    pub kind: Type,
    /// The versions that have the field.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// The tag, if it is a tagged field in all its versions.
    pub tag: Option<u32>,
    /// The default as the notation has it, where it is not the type's own.
    pub default: Option<&'static str>,
    /// What happens to a value in a version that does not carry it.
    pub otherwise: Otherwise,
}

impl Field {
    /// The field's own name.
    pub fn name(&self) -> &'static str {
        let name = self.path.rsplit('.').next().unwrap_or(self.path);
        name.trim_start_matches("r#")
    }
}

/// What happens to a value other than the default in a version that does not carry it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Otherwise {
    /// It is left out (`ignorable`).
    Ignored,
    /// The message is not encoded.
    Refused,
}

/// A type of the protocol.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    /// A string with a length of two bytes, also where the message is flexible.
    ClassicString,
    Bytes,
    Records,
    Array(&'static Type),
    Struct(&'static Struct),
}

/// How a message is laid out in one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Form {
    /// The version.
    pub version: i16,
    /// Whether it has compact lengths and tagged fields.
    pub flexible: bool,
}
