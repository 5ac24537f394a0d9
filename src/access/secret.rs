//! The secret of an API key: shown once, kept as a hash, compared in constant time.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// What begins every key, so that scanners of source code find those that leaked.
const PREFIX: &str = "dk_";

/// What a client presents: `dk_{id}_{43 letters}`. The id finds the row, the rest is compared.
#[derive(Clone)]
pub struct Secret {
    /// Names the row; no secret.
    pub id: Uuid,
    bytes: [u8; 32],
}

/// A secret as it is stored.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Names the row.
    pub id: Uuid,
    /// Of the 32 bytes.
    pub sha256: [u8; 32],
    /// When it was drawn.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

impl Secret {
    /// A new secret from the system's randomness.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self { id: Uuid::now_v7(), bytes })
    }

    /// The text that a client presents.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id.simple(), BASE64_URL_SAFE_NO_PAD.encode(self.bytes))
    }

    /// The secret as it is stored.
    pub fn seal(&self, created_at: Timestamp, expires_at: Option<Timestamp>) -> Sealed {
        Sealed { id: self.id, sha256: Sha256::digest(self.bytes).into(), created_at, expires_at }
    }

    /// Whether this is the stored secret and still works. With none stored it takes the same time and says no.
    pub fn opens(&self, sealed: Option<&Sealed>, now: Timestamp) -> bool {
        let hash: [u8; 32] = Sha256::digest(self.bytes).into();
        let same = bool::from(hash.ct_eq(&sealed.map_or([0; 32], |sealed| sealed.sha256)));
        same && sealed.is_some_and(|sealed| sealed.expires_at.is_none_or(|end| now < end))
    }
}

impl FromStr for Secret {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, rest) = text.strip_prefix(PREFIX).and_then(|text| text.split_once('_')).ok_or(())?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(rest).map_err(drop)?;
        Ok(Self { id: Uuid::try_parse(id).map_err(drop)?, bytes: bytes.try_into().map_err(drop)? })
    }
}
