//! Addresses of pictures and files. Where keys are needed they are signed and expire, so that an `<img>` can show them.

use std::{fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::job::{Image, Job};

/// Signs and checks addresses; clones do the same.
#[derive(Clone)]
pub struct Links(Option<Arc<Signing>>);

struct Signing {
    key: Vec<u8>,
    /// Seconds that an address works at least.
    life_s: i64,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Links::signed" } else { "Links::plain" })
    }
}

impl Links {
    /// Addresses as they are, for a service without keys.
    pub fn plain() -> Self {
        Self(None)
    }

    /// Addresses that work for `life_s` seconds at least, and up to twice as long.
    pub fn signed(key: &[u8], life_s: u32) -> Self {
        Self(Some(Arc::new(Signing { key: key.to_vec(), life_s: i64::from(life_s.max(1)) })))
    }

    /// The address of a path. Equal within the same `life_s`, so that a browser's cache works.
    pub fn to(&self, path: &str, now: Timestamp) -> String {
        match &self.0 {
            None => path.to_owned(),
            Some(signing) => {
                let expires = (now.as_second().div_euclid(signing.life_s) + 2) * signing.life_s;
                let signature = BASE64_URL_SAFE_NO_PAD.encode(signing.mac(path, expires).finalize().into_bytes());
                format!("{path}?expires={expires}&signature={signature}")
            }
        }
    }

    /// Whether this signature opens that path until then, and then is not yet.
    pub fn open(&self, path: &str, (expires, signature): (i64, &str), now: Timestamp) -> bool {
        let Some(signing) = &self.0 else { return false };
        let Ok(given) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
        // Compared in constant time.
        signing.mac(path, expires).verify_slice(&given).is_ok() && now.as_second() < expires
    }

    /// The job with addresses that its owner can give to a browser.
    pub fn sign(&self, mut job: Job) -> Job {
        job.images = job.images.into_iter().map(|image| self.sign_image(image)).collect();
        for file in &mut job.files {
            file.url = self.anew(&file.url);
        }
        job
    }

    /// The picture with such an address.
    pub fn sign_image(&self, mut image: Image) -> Image {
        image.url = self.anew(&image.url);
        image
    }

    fn anew(&self, url: &str) -> String {
        self.to(url.split('?').next().unwrap_or_default(), Timestamp::now())
    }
}

impl Signing {
    fn mac(&self, path: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(format!("{expires}\n{path}").as_bytes());
        mac
    }
}
