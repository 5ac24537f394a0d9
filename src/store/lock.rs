//! One process for each database: an exclusive lock on a file beside it, which the system frees when the process dies.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use super::{Result, StoreError};

/// A held lock; dropping it (or the death of the process, however violent) frees it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `{database}.lock`, making the file when it is missing.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process (or another store of this one) holds it.
    pub fn take(database: &Path) -> Result<Self> {
        let mut name = database.as_os_str().to_owned();
        name.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(database.display().to_string())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}
