//! Who may do what: scopes, API keys with their secrets, JSON web tokens, and signed addresses.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub mod jwt;
pub mod key;
pub mod links;
pub mod secret;

pub use key::{Key, Quota};
pub use links::Links;
pub use secret::{Sealed, Secret};

/// Something that a key may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Ask for new pictures, cancel and erase.
    Generate,
    /// Ask for edits, inversions and features, cancel and erase.
    Edit,
    /// Look at jobs, pictures, models and registries.
    Read,
    /// All of that, for everybody's jobs.
    Admin,
}

/// What a key is allowed.
pub type Scopes = BTreeSet<Scope>;

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Generate, Self::Edit, Self::Read, Self::Admin];

    /// The name in configurations, tokens and the API's description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Edit => "edit",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == name);
        found.ok_or_else(|| format!("`{name}` is none of {}", Self::ALL.map(Self::name).join(", ")))
    }
}
