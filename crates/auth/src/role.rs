//! The roles of users (AUT-1).

use std::fmt;
use std::str::FromStr;

use domain::Invalid;

/// A user's role. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May read public data.
    Public,
    /// May submit depositions.
    Depositor,
    /// May curate depositions.
    Curator,
    /// May do everything except manage roles.
    Admin,
    /// May manage roles.
    Superadmin,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Self; 5] = [
        Self::Public,
        Self::Depositor,
        Self::Curator,
        Self::Admin,
        Self::Superadmin,
    ];

    /// Returns the name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Depositor => "depositor",
            Self::Curator => "curator",
            Self::Admin => "admin",
            Self::Superadmin => "superadmin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == lower)
            .ok_or_else(|| Invalid::value("must be public, depositor, curator, admin or superadmin"))
    }
}
