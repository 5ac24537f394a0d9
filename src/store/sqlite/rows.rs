//! How rows become jobs, pictures and files.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned, de::Error as _};
use serde_json::{Value, from_str};
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::super::{Claim, Result};
use crate::job::{File, Image, Job, Progress, Request};

/// A row of `placed_jobs`.
#[derive(FromRow)]
pub struct JobRow {
    pub id: String,
    owner: Option<String>,
    kind: String,
    status: String,
    rows: i64,
    work: i64,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    deadline: Option<i64>,
    attempt: i64,
    alone: bool,
    evaluations: i64,
    evaluations_of: Option<i64>,
    request: String,
    metadata: String,
    warnings: String,
    engine: Option<String>,
    error: Option<String>,
    usage: Option<String>,
    queue_position: Option<i64>,
}

/// A row of `images` or `files`; each leaves out what the other has.
#[derive(FromRow)]
pub struct ResultRow {
    id: String,
    job: String,
    position: i64,
    seed: i64,
    #[sqlx(default)]
    kind: String,
    state: String,
    #[sqlx(default)]
    width: i64,
    #[sqlx(default)]
    height: i64,
    content_type: String,
    size_bytes: Option<i64>,
    sha256: Option<String>,
}

impl JobRow {
    /// The job with its pictures and files.
    pub fn job(self, images: Vec<Image>, files: Vec<File>) -> Result<Job> {
        let kind = word(&self.kind)?;
        Ok(Job {
            id: word(&self.id)?,
            owner: self.owner.map(Into::into),
            kind,
            status: word(&self.status)?,
            created_at: time(self.created_at)?,
            started_at: self.started_at.map(time).transpose()?,
            finished_at: self.finished_at.map(time).transpose()?,
            queue_position: self.queue_position.map(i64::unsigned_abs),
            estimated_wait_ms: None,
            attempt: small(self.attempt),
            progress: Progress {
                evaluations: self.evaluations.unsigned_abs(),
                of: self.evaluations_of.map(i64::unsigned_abs),
            },
            request: Request::read(kind, &self.request)?,
            images,
            files,
            engine: text(self.engine.as_deref())?,
            warnings: from_str(&self.warnings)?,
            error: text(self.error.as_deref())?,
            usage: text(self.usage.as_deref())?,
            metadata: from_str(&self.metadata)?,
        })
    }

    /// The job as claimed.
    pub fn claim(self, images: Vec<Image>, files: Vec<File>) -> Result<Claim> {
        let (rows, work, alone) = (small(self.rows), self.work.unsigned_abs(), self.alone);
        let deadline = self.deadline.map(time).transpose()?;
        Ok(Claim { job: self.job(images, files)?, deadline, rows, work, alone })
    }
}

impl ResultRow {
    /// The picture.
    pub fn image(self) -> Result<Image> {
        Ok(Image {
            url: format!("/v1/images/{}", self.id),
            id: word(&self.id)?,
            index: small(self.position),
            seed: self.seed.unsigned_abs(),
            state: word(&self.state)?,
            width: small(self.width),
            height: small(self.height),
            content_type: self.content_type,
            size_bytes: self.size_bytes.map(i64::unsigned_abs),
            sha256: self.sha256,
        })
    }

    /// The file.
    pub fn file(self) -> Result<File> {
        Ok(File {
            url: format!("/v1/files/{}", self.id),
            id: word(&self.id)?,
            index: small(self.position),
            seed: self.seed.unsigned_abs(),
            kind: self.kind,
            state: word(&self.state)?,
            content_type: self.content_type,
            size_bytes: self.size_bytes.map(i64::unsigned_abs),
            sha256: self.sha256,
        })
    }
}

/// What belongs to each of some jobs, in the order of its index.
pub struct Results {
    images: HashMap<String, Vec<Image>>,
    files: HashMap<String, Vec<File>>,
}

impl Results {
    /// Reads them for jobs of these ids.
    pub async fn of(db: &mut SqliteConnection, ids: &[String]) -> Result<Self> {
        let ids = serde_json::to_string(ids)?;
        let images = "SELECT * FROM images WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, position";
        let files = "SELECT * FROM files WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, position";
        let images: Vec<ResultRow> = sqlx::query_as(images).bind(&ids).fetch_all(&mut *db).await?;
        let files: Vec<ResultRow> = sqlx::query_as(files).bind(&ids).fetch_all(&mut *db).await?;
        Ok(Self { images: by_job(images, ResultRow::image)?, files: by_job(files, ResultRow::file)? })
    }

    /// Takes those of one job.
    pub fn take(&mut self, job: &str) -> (Vec<Image>, Vec<File>) {
        (self.images.remove(job).unwrap_or_default(), self.files.remove(job).unwrap_or_default())
    }
}

fn by_job<T>(rows: Vec<ResultRow>, read: fn(ResultRow) -> Result<T>) -> Result<HashMap<String, Vec<T>>> {
    let mut found: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        found.entry(row.job.clone()).or_default().push(read(row)?);
    }
    Ok(found)
}

/// The job of that row, with what belongs to it.
pub async fn whole(db: &mut SqliteConnection, row: JobRow) -> Result<Job> {
    let (images, files) = Results::of(db, std::slice::from_ref(&row.id)).await?.take(&row.id);
    row.job(images, files)
}

/// The job of that id.
pub async fn find(db: &mut SqliteConnection, id: Uuid) -> Result<Option<Job>> {
    let row = sqlx::query_as("SELECT * FROM placed_jobs WHERE id = ?").bind(key(id)).fetch_optional(&mut *db).await?;
    match row {
        Some(row) => Ok(Some(whole(db, row).await?)),
        None => Ok(None),
    }
}

/// The name of a kind, a status or the like.
pub fn name(value: &impl Serialize) -> Result<String> {
    match serde_json::to_value(value)? {
        Value::String(name) => Ok(name),
        other => Ok(other.to_string()),
    }
}

/// The reverse of [`name`].
pub fn word<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(serde_json::from_value(Value::from(name))?)
}

fn text<T: DeserializeOwned>(json: Option<&str>) -> Result<Option<T>> {
    Ok(json.map(from_str).transpose()?)
}

/// Reads a time.
pub fn time(micros: i64) -> Result<Timestamp> {
    Ok(Timestamp::from_microsecond(micros).map_err(serde_json::Error::custom)?)
}

/// Now, as it is stored.
pub fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// A count as SQLite stores it.
pub fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn small(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}

/// An id as it is stored.
pub fn key(id: Uuid) -> String {
    id.hyphenated().to_string()
}
