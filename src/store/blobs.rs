//! Blobs: pictures and files under their ids, inputs under `sha256/...`.
//!
//! What [`Blobs::put`] has answered survives the loss of power, and nobody ever reads half a blob: a local write goes to a
//! staging file, which is synced, renamed, and its folder synced.

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use object_store::{Error, ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path as Key};
use sha2::{Digest, Sha256};
use tokio::sync::RwLock;
use uuid::Uuid;

use super::{Result, Store};

/// Where the bytes are.
#[derive(Clone, Debug)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
    // Writers share it; the sweeper holds it alone, so that nothing it looks at is written again before it deletes.
    sweeping: Arc<RwLock<()>>,
}

impl Blobs {
    /// Opens `file://path` (relative to the working directory unless it begins with `/`; made when missing) or `memory:`.
    ///
    /// # Errors
    /// An address of another form; the file system.
    pub fn open(url: &str) -> Result<Self> {
        let objects: Arc<dyn ObjectStore> = match url.strip_prefix("file://") {
            Some(path) if !path.is_empty() => Arc::new(folder(Path::new(path))?),
            _ if url == "memory:" => Arc::new(InMemory::new()),
            _ => {
                let message = format!("store.blob_url `{url}`: expected file://path or memory:");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
            }
        };
        Ok(Self { objects, sweeping: Arc::default() })
    }

    /// Stores a blob durably, over what was there.
    ///
    /// # Errors
    /// The file system.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let _sweeper_waits = self.sweeping.read().await;
        self.objects.put(&Key::from(key), bytes.into()).await?;
        Ok(())
    }

    /// Stores what came in with a request under its SHA-256, and answers its name, `sha256:...`.
    ///
    /// Storing it again makes it young again, so that it outlives the next sweep until a job names it.
    ///
    /// # Errors
    /// As [`Blobs::put`].
    pub async fn put_input(&self, bytes: Bytes) -> Result<String> {
        let digest = sha256(&bytes);
        self.put(&format!("sha256/{digest}"), bytes).await?;
        Ok(format!("sha256:{digest}"))
    }

    /// The blob, if it is there.
    ///
    /// # Errors
    /// The file system.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        match self.objects.get(&Key::from(key)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The blob that a request names `sha256:...`, if it is there.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub async fn get_input(&self, name: &str) -> Result<Option<Bytes>> {
        match name.strip_prefix("sha256:").filter(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(digest) => self.get(&format!("sha256/{digest}")).await,
            None => Ok(None),
        }
    }

    /// Deletes a blob; one that is not there is no error.
    ///
    /// # Errors
    /// The file system.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.objects.delete(&Key::from(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes those of a job's results that are no longer named by a row; what fails is left to the sweeper.
    pub async fn delete_all(&self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            if let Err(error) = self.delete(&id.to_string()).await {
                tracing::warn!(%id, %error, "a blob could not be deleted; the sweeper will try again");
            }
        }
    }

    /// Keys of the blobs last written longer ago than `age`.
    ///
    /// # Errors
    /// The file system.
    pub async fn older_than(&self, age: Duration) -> Result<Vec<String>> {
        let before = before(age);
        let old = self.objects.list(None).try_filter_map(async |found| {
            let old = found.last_modified.timestamp_millis() < before;
            Ok(old.then(|| found.location.to_string()))
        });
        Ok(old.try_collect().await?)
    }

    /// Deletes a blob unless a row names it or it was written again since; true when it did.
    ///
    /// # Errors
    /// The file system, the database.
    pub async fn delete_if_nameless(&self, key: &str, age: Duration, store: &dyn Store) -> Result<bool> {
        let _alone = self.sweeping.write().await;
        let location = Key::from(key);
        let old = match self.objects.head(&location).await {
            Ok(found) => found.last_modified.timestamp_millis() < before(age),
            Err(Error::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if !old || store.names_blob(key).await? {
            return Ok(false);
        }
        self.delete(key).await?;
        Ok(true)
    }
}

fn before(age: Duration) -> i64 {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp::now().as_millisecond().saturating_sub(age)
}

fn folder(path: &Path) -> Result<LocalFileSystem> {
    std::fs::create_dir_all(path)?;
    clear_staging(path)?;
    Ok(LocalFileSystem::new_with_prefix(path)?.with_fsync(true))
}

/// Removes what writes left behind that were cut off; such names (`key#1`) are never listed as blobs.
fn clear_staging(path: &Path) -> Result<()> {
    for place in [path.to_owned(), path.join("sha256")].iter().filter(|place| place.is_dir()) {
        for entry in std::fs::read_dir(place)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains('#') && entry.file_type()?.is_file() {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
