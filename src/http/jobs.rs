//! Jobs: looking at them, ending them, erasing them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::StatusCode,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
    },
    job::{Job, Kind, Status},
    registry::unknown,
    store::Filter,
};

/// Jobs on a page, unless the client says otherwise.
const PAGE: u32 = 50;

/// Jobs on a page at most.
const LONGEST_PAGE: u32 = 200;

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobList {
    /// Always `list`.
    #[schema(value_type = String)]
    object: &'static str,
    /// The jobs.
    data: Vec<Job>,
    /// What to give as `cursor` to get the next page; null on the last one.
    next_cursor: Option<String>,
}

/// List jobs
///
/// Newest first. `metadata.{key}=value` keeps only jobs that carry this metadata.
#[utoipa::path(get, path = "/v1/jobs", security(("key" = ["read"])), tag = "jobs", responses((status = 200, body = JobList)), params(
    ("status" = Option<Status>, Query, description = "Only jobs that stand so"),
    ("kind" = Option<Kind>, Query, description = "Only jobs of this kind"),
    ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Jobs on a page, 50 when left out"),
    ("cursor" = Option<String>, Query, description = "The `next_cursor` of the page before"),
))]
pub async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<JobList>> {
    let mut filter = Filter { owner: caller.listed(), ..filter(query)? };
    let page = filter.limit as usize;
    filter.limit += 1; // one more, to see whether there is another page
    let mut data = app.store.list(&filter).await?;
    let more = data.len() > page;
    data.truncate(page);
    let next_cursor = data.last().filter(|_| more).map(|job| job.id.to_string());
    let data = data.into_iter().map(|job| app.shown(job)).collect();
    Ok(Json(JobList { object: "list", data, next_cursor }))
}

/// Look at a job
#[utoipa::path(get, path = "/v1/jobs/{id}", security(("key" = ["read"])), tag = "jobs", params(("id" = Uuid, Path, description = "The job")),
    responses((status = 200, body = Job)))]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Job>> {
    let job = Problem::unless_found(app.store.job(parse_id(&id, "job")?).await?, "job")?;
    Ok(Json(app.shown(job)))
}

/// Cancel a job
///
/// It is canceled from the moment of the answer; work stops at the latest after the evaluation in flight. A job that has
/// ended stays as it is.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", security(("key" = ["generate"]), ("key" = ["edit"])), tag = "jobs", params(("id" = Uuid, Path, description = "The job")),
    responses((status = 200, body = Job)))]
pub async fn cancel(State(app): State<Arc<App>>, Path(id): Path<String>, request: Request) -> Result<Json<Job>> {
    let job = app.cancel(parse_id(&id, "job")?).await?;
    // Nothing in the body matters, but a connection on which bytes are left is closed, and the client's next request fails.
    drop(body::bytes(request, &app).await);
    Ok(Json(app.shown(Problem::unless_found(job, "job")?)))
}

/// Erase a job
///
/// Cancels it and erases it together with its pictures and files.
#[utoipa::path(delete, path = "/v1/jobs/{id}", security(("key" = ["generate"]), ("key" = ["edit"])), tag = "jobs", params(("id" = Uuid, Path, description = "The job")),
    responses((status = 204, description = "Erased; asking for it is answered 410 from now on")))]
pub async fn erase(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<StatusCode> {
    let id = parse_id(&id, "job")?;
    Problem::unless_found(app.erase(id).await?, "job")?;
    Ok(StatusCode::NO_CONTENT)
}

/// An id in a path. What is no UUID names nothing.
///
/// # Errors
/// 404
pub fn parse_id(id: &str, what: &str) -> Result<Uuid> {
    Uuid::try_parse(id).map_err(|_| Problem::not_found(&format!("{what} of this id")))
}

fn filter(query: Vec<(String, String)>) -> Result<Filter> {
    let mut filter = Filter { limit: PAGE, ..Filter::default() };
    let faults: Vec<_> = query.into_iter().filter_map(|(key, value)| narrow(&mut filter, &key, value).err()).collect();
    if faults.is_empty() { Ok(filter) } else { Err(Problem::invalid(faults)) }
}

fn narrow(filter: &mut Filter, key: &str, value: String) -> Result<(), Fault> {
    let fault = |message: String| Fault::new(format!("/query/{key}"), message);
    match key {
        "status" => filter.status = Some(word(value).map_err(fault)?),
        "kind" => filter.kind = Some(word(value).map_err(fault)?),
        "limit" => {
            let limit = value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
            filter.limit = limit.ok_or_else(|| fault(format!("must be an integer, 1 to {LONGEST_PAGE}")))?;
        }
        "cursor" => {
            let after = Uuid::try_parse(&value).map_err(|_| fault("must be the `next_cursor` of a page".into()))?;
            filter.after = Some(after);
        }
        _ => match key.strip_prefix("metadata.") {
            Some(name) => filter.metadata.push((name.to_owned(), value)),
            None => {
                return Err(fault(unknown("parameter", key, &["status", "kind", "limit", "cursor", "metadata.{key}"])));
            }
        },
    }
    Ok(())
}

/// A word of a closed list, such as a status.
fn word<T: serde::de::DeserializeOwned>(value: String) -> Result<T, String> {
    serde_json::from_value(value.into()).map_err(|error| error.to_string())
}
