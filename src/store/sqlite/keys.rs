use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::{
    super::{Result, keys::Keys},
    SqliteStore,
    rows::{key as id_text, now, time, word},
};
use crate::access::{Key, Sealed};

#[derive(FromRow)]
struct KeyRow {
    id: String,
    name: String,
    scopes: String,
    quota: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

#[derive(FromRow)]
struct SecretRow {
    id: String,
    key: String,
    sha256: Vec<u8>,
    created_at: i64,
    expires_at: Option<i64>,
}

impl KeyRow {
    fn key(self) -> Result<Key> {
        Ok(Key {
            id: word(&self.id)?,
            name: self.name,
            scopes: serde_json::from_str(&self.scopes)?,
            quota: serde_json::from_str(&self.quota)?,
            created_at: time(self.created_at)?,
            revoked_at: self.revoked_at.map(time).transpose()?,
        })
    }
}

impl SecretRow {
    fn sealed(self) -> Result<Sealed> {
        Ok(Sealed {
            id: word(&self.id)?,
            // A hash of another length is none that any secret has.
            sha256: self.sha256.try_into().unwrap_or([0; 32]),
            created_at: time(self.created_at)?,
            expires_at: self.expires_at.map(time).transpose()?,
        })
    }
}

#[async_trait]
impl Keys for SqliteStore {
    async fn add_key(&self, key: &Key, secret: &Sealed) -> Result<bool> {
        let mut tx = self.begin().await?;
        let sql =
            "INSERT INTO keys (id, name, scopes, quota, created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
        let added = sqlx::query(sql)
            .bind(id_text(key.id))
            .bind(&key.name)
            .bind(serde_json::to_string(&key.scopes)?)
            .bind(serde_json::to_string(&key.quota)?)
            .bind(key.created_at.as_microsecond())
            .execute(&mut *tx)
            .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        insert_secret(&mut tx, &id_text(key.id), secret).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn find_key(&self, secret: Uuid) -> Result<Option<(Key, Sealed)>> {
        let mut db = self.read.acquire().await?;
        let found = sqlx::query_as("SELECT * FROM secrets WHERE id = ?");
        let Some(secret): Option<SecretRow> = found.bind(id_text(secret)).fetch_optional(&mut *db).await? else {
            return Ok(None);
        };
        let key: KeyRow =
            sqlx::query_as("SELECT * FROM keys WHERE id = ?").bind(&secret.key).fetch_one(&mut *db).await?;
        Ok(Some((key.key()?, secret.sealed()?)))
    }

    async fn keys(&self) -> Result<Vec<(Key, Vec<Sealed>)>> {
        let mut db = self.read.acquire().await?;
        let keys: Vec<KeyRow> = sqlx::query_as("SELECT * FROM keys ORDER BY id").fetch_all(&mut *db).await?;
        let mut all = Vec::new();
        for key in keys {
            let sql = "SELECT * FROM secrets WHERE key = ? ORDER BY id";
            let secrets: Vec<SecretRow> = sqlx::query_as(sql).bind(&key.id).fetch_all(&mut *db).await?;
            all.push((key.key()?, secrets.into_iter().map(SecretRow::sealed).collect::<Result<_>>()?));
        }
        Ok(all)
    }

    async fn rotate_key(&self, name: &str, secret: &Sealed, until: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let sql = "SELECT id FROM keys WHERE name = ? AND revoked_at IS NULL";
        let Some(id): Option<String> = sqlx::query_scalar(sql).bind(name).fetch_optional(&mut *tx).await? else {
            return Ok(false);
        };
        let sql = "UPDATE secrets SET expires_at = min(coalesce(expires_at, ?1), ?1) WHERE key = ?2";
        sqlx::query(sql).bind(until.as_microsecond()).bind(&id).execute(&mut *tx).await?;
        insert_secret(&mut tx, &id, secret).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn revoke_key(&self, name: &str) -> Result<bool> {
        let sql = "UPDATE keys SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL";
        let done = sqlx::query(sql).bind(now()).bind(name).execute(&self.write).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn keep(&self, name: &str, drawn: &[u8]) -> Result<Vec<u8>> {
        let sql = "INSERT INTO kept (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING";
        sqlx::query(sql).bind(name).bind(drawn).execute(&self.write).await?;
        Ok(sqlx::query_scalar("SELECT value FROM kept WHERE name = ?").bind(name).fetch_one(&self.write).await?)
    }
}

async fn insert_secret(tx: &mut SqliteConnection, key: &str, secret: &Sealed) -> Result<()> {
    sqlx::query("INSERT INTO secrets (id, key, sha256, created_at, expires_at) VALUES (?, ?, ?, ?, ?)")
        .bind(id_text(secret.id))
        .bind(key)
        .bind(secret.sha256.as_slice())
        .bind(secret.created_at.as_microsecond())
        .bind(secret.expires_at.map(Timestamp::as_microsecond))
        .execute(tx)
        .await?;
    Ok(())
}
