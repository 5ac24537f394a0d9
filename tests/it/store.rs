//! The queue's promises, on a database in memory and on one in a file.

use std::path::Path;

use darkroom::{
    error::Code,
    job::{Format, Generation, ImageState, JobError, Kind, Output, Progress, Request, Status, Usage},
    store::{
        Allowance, Claim, Filter, Found, NewJob, Outcome, Room, Store, StoreError, Stored, fair::Shares,
        sqlite::SqliteStore,
    },
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::jobs::{generation, new_job};

const WIDE: Room = Room { rows: 1000, cap: 1000, at_least: 0, idle: true };

pub async fn memory() -> SqliteStore {
    SqliteStore::open("sqlite::memory:").await.unwrap()
}

fn url(dir: &Path) -> String {
    format!("sqlite://{}/deep/er/darkroom.db", dir.display())
}

fn job(prompt: &str) -> NewJob {
    new_job(generation(prompt, 1))
}

/// A job whose claim order is as if it had been created `ago` seconds earlier.
fn aged(prompt: &str, priority: i32, ago: i64) -> NewJob {
    let mut new = new_job(Generation { priority, ..generation(prompt, 1) });
    new.job.created_at = Timestamp::now() - SignedDuration::from_secs(ago);
    new
}

pub async fn put(store: &SqliteStore, new: &NewJob) -> Uuid {
    store.insert(new, Allowance::of(1000)).await.unwrap().id
}

async fn claimed(store: &SqliteStore, room: Room) -> Vec<Claim> {
    store.claim(room, &Shares::default()).await.unwrap()
}

async fn here(store: &SqliteStore, id: Uuid) -> darkroom::job::Job {
    match store.job(id).await.unwrap() {
        Found::Here(job) => job,
        other => panic!("{other:?}"),
    }
}

fn prompt(job: &darkroom::job::Job) -> &str {
    match &job.request {
        Request::Pictures(generation) => &generation.prompt,
        other => panic!("{other:?}"),
    }
}

fn prompts(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| prompt(&claim.job)).collect()
}

fn outcome(status: Status) -> Outcome {
    let usage = Usage { evaluations: 4, rows: 8, queue_ms: 1, run_ms: 2 };
    Outcome { status, error: None, usage, progress: Progress { evaluations: 4, of: Some(4) } }
}

async fn depth(store: &SqliteStore) -> u64 {
    store.depth().await.unwrap().iter().map(|(_, queued)| queued).sum()
}

/// The process dies and comes back.
async fn crash(store: &SqliteStore) -> (u64, u64) {
    store.recover().await.unwrap()
}

#[tokio::test]
async fn a_job_reads_back_as_it_was_stored() {
    let dir = TempDir::new().unwrap();
    for store in [memory().await, SqliteStore::open(&url(dir.path())).await.unwrap()] {
        let metadata = [("owner".to_owned(), "me".to_owned())].into();
        let new = new_job(Generation { metadata, ..generation("a \"red\" heart\n赤", 3) });
        let answered = store.insert(&new, Allowance::of(10)).await.unwrap();
        assert_eq!(answered, here(&store, new.job.id).await);
        let micros = |time: Timestamp| time.as_microsecond();
        assert_eq!(micros(answered.created_at), micros(new.job.created_at));
        let expected =
            darkroom::job::Job { created_at: answered.created_at, queue_position: Some(0), ..new.job.clone() };
        assert_eq!(answered, expected);
    }
}

#[tokio::test]
async fn the_queue_is_full_at_its_depth_and_room_comes_back() {
    let store = memory().await;
    let first = store.insert(&job("a"), Allowance::of(2)).await.unwrap();
    store.insert(&job("b"), Allowance::of(2)).await.unwrap();
    assert!(matches!(store.insert(&job("c"), Allowance::of(2)).await, Err(StoreError::Full)));
    assert_eq!(depth(&store).await, 2);
    store.cancel(first.id, None, None).await.unwrap();
    assert_eq!(depth(&store).await, 1);
    store.insert(&job("d"), Allowance::of(2)).await.unwrap();
}

#[tokio::test]
async fn depth_follows_every_way_in_and_out() {
    let store = memory().await;
    let ids = [put(&store, &job("a")).await, put(&store, &job("b")).await, put(&store, &job("c")).await];
    assert_eq!(depth(&store).await, 3);
    let claims = claimed(&store, Room { rows: 1, ..WIDE }).await;
    assert_eq!(depth(&store).await, 2);
    store.give_back(claims[0].job.id, 1).await.unwrap();
    assert_eq!(depth(&store).await, 3);
    claimed(&store, WIDE).await;
    assert_eq!(depth(&store).await, 0);
    assert_eq!(crash(&store).await, (3, 0));
    assert_eq!(depth(&store).await, 3);
    store.erase(ids[0]).await.unwrap();
    store.cancel(ids[1], None, None).await.unwrap();
    assert_eq!(store.depth().await.unwrap(), [("gaussian".to_owned(), 1)]);
}

#[tokio::test]
async fn claims_go_by_priority_that_ages_with_waiting() {
    let store = memory().await;
    for new in [aged("new", 0, 0), aged("urgent", 1, 0), aged("old", 0, 31), aged("lazy", -1, 29), aged("older", 0, 45)]
    {
        put(&store, &new).await;
    }
    let claims = claimed(&store, WIDE).await;
    assert_eq!(prompts(&claims), ["older", "old", "urgent", "new", "lazy"]);
    assert!(claims.iter().all(|claim| claim.job.status == Status::Running && claim.job.attempt == 1 && !claim.alone));
    assert!(claimed(&store, WIDE).await.is_empty());
}

#[tokio::test]
async fn claims_fit_the_room() {
    let store = memory().await;
    for (prompt, count) in [("a", 4), ("b", 16), ("c", 1), ("d", 1)] {
        put(&store, &new_job(generation(prompt, count))).await;
    }
    // b does not fit and is waited for: c must not pass it.
    let claims = claimed(&store, Room { rows: 8, cap: 8, at_least: 0, idle: true }).await;
    assert_eq!(prompts(&claims), ["a"]);
    assert!(claimed(&store, Room { rows: 4, cap: 8, at_least: 0, idle: false }).await.is_empty());
    // Two at least, whatever their rows; b counts as the cap.
    let claims = claimed(&store, Room { rows: 4, cap: 8, at_least: 2, idle: false }).await;
    assert_eq!(prompts(&claims), ["b", "c"]);
    let claims = claimed(&store, Room { rows: 0, cap: 8, at_least: 0, idle: false }).await;
    assert!(claims.is_empty());
}

#[tokio::test]
async fn an_end_is_one_compare_and_set() {
    let store = memory().await;
    let id = put(&store, &new_job(generation("a", 2))).await;
    assert!(store.finish(id, 0, &outcome(Status::Succeeded)).await.unwrap().is_none());
    let claim = claimed(&store, WIDE).await.remove(0);
    let stored = Stored { id: claim.job.images[1].id, size_bytes: 9, sha256: "ab".into() };
    assert!(store.image(id, 2, &stored).await.unwrap().is_none());
    let image = store.image(id, 1, &stored).await.unwrap().unwrap();
    assert_eq!((image.index, image.state, image.size_bytes), (1, ImageState::Ready, Some(9)));
    // A crash later, the second attempt finds the picture that the first one stored.
    crash(&store).await;
    let claim = claimed(&store, WIDE).await.remove(0);
    let states: Vec<_> = claim.job.images.iter().map(|image| image.state).collect();
    assert_eq!((claim.job.attempt, states), (2, vec![ImageState::Pending, ImageState::Ready]));
    assert!(store.finish(id, 1, &outcome(Status::Failed)).await.unwrap().is_none());
    let job = store.finish(id, 2, &outcome(Status::Succeeded)).await.unwrap().unwrap();
    assert_eq!(
        (job.status, job.usage, job.progress.evaluations),
        (Status::Succeeded, Some(outcome(Status::Succeeded).usage), 4)
    );
    assert!(job.created_at <= job.started_at.unwrap() && job.started_at <= job.finished_at);
    assert!(store.finish(id, 2, &outcome(Status::Failed)).await.unwrap().is_none());
    assert!(store.image(id, 2, &stored).await.unwrap().is_none());
    assert_eq!(here(&store, id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_cancel_is_at_once_and_for_ever() {
    let store = memory().await;
    let (queued, running) = (job("queued"), job("running"));
    let running = put(&store, &running).await;
    let claim = claimed(&store, WIDE).await.remove(0);
    let queued = put(&store, &queued).await;
    let error = JobError { code: Code::Deadline, title: "Deadline".into(), detail: "60 s are over".into() };
    for id in [queued, running] {
        let Found::Here((job, true)) = store.cancel(id, Some(error.clone()), None).await.unwrap() else { panic!() };
        assert_eq!((job.status, job.error.as_ref()), (Status::Canceled, Some(&error)));
        let Found::Here((again, false)) = store.cancel(id, None, None).await.unwrap() else { panic!() };
        assert_eq!(again, job);
    }
    assert!(store.finish(running, claim.job.attempt, &outcome(Status::Succeeded)).await.unwrap().is_none());
    store.give_back(running, claim.job.attempt).await.unwrap();
    assert_eq!(crash(&store).await, (0, 0));
    assert!(claimed(&store, WIDE).await.is_empty());
    assert!(matches!(store.cancel(Uuid::now_v7(), None, None).await.unwrap(), Found::Missing));
}

#[tokio::test]
async fn cancel_and_finish_race_to_one_end() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&url(dir.path())).await.unwrap();
    let mut won = [0, 0];
    for _ in 0..40 {
        let id = put(&store, &job("race")).await;
        claimed(&store, WIDE).await;
        let done = outcome(Status::Succeeded);
        let (finished, canceled) = tokio::join!(store.finish(id, 1, &done), store.cancel(id, None, None));
        let Found::Here((job, canceled)) = canceled.unwrap() else { panic!() };
        let finished = finished.unwrap().is_some();
        assert!(finished != canceled, "exactly one of them ends the job");
        assert_eq!(job.status, if canceled { Status::Canceled } else { Status::Succeeded });
        assert_eq!(here(&store, id).await.status, job.status);
        won[usize::from(canceled)] += 1;
    }
    assert_eq!(won[0] + won[1], 40);
}

#[tokio::test]
async fn erased_things_are_gone_until_they_are_forgotten() {
    let store = memory().await;
    let pictures = new_job(generation("a", 2));
    let mut latents = generation("b", 1);
    latents.output = Output { format: Format::Safetensors, quality: 90 };
    let latents = new_job(latents);
    put(&store, &pictures).await;
    put(&store, &latents).await;
    let (image, file) = (pictures.job.images[1].id, latents.job.files[0].id);
    assert!(matches!(store.find_image(image).await.unwrap(), Found::Here(_)));
    assert!(matches!(store.find_file(file).await.unwrap(), Found::Here(_)));
    for id in [pictures.job.id, latents.job.id] {
        assert!(matches!(store.erase(id).await.unwrap(), Found::Here(())));
        assert!(matches!(store.erase(id).await.unwrap(), Found::Gone));
        assert!(matches!(store.job(id).await.unwrap(), Found::Gone));
        assert!(matches!(store.cancel(id, None, None).await.unwrap(), Found::Gone));
    }
    assert!(matches!(store.find_image(image).await.unwrap(), Found::Gone));
    assert!(matches!(store.find_file(file).await.unwrap(), Found::Gone));
    assert!(matches!(store.find_image(file).await.unwrap(), Found::Gone));
    assert!(!store.names_blob(&image.to_string()).await.unwrap());
    assert_eq!(store.forget(Timestamp::now()).await.unwrap(), 5);
    assert!(matches!(store.job(pictures.job.id).await.unwrap(), Found::Missing));
    assert!(matches!(store.erase(pictures.job.id).await.unwrap(), Found::Missing));
}

#[tokio::test]
async fn a_drained_attempt_does_not_count() {
    let store = memory().await;
    let id = put(&store, &job("a")).await;
    for _ in 0..5 {
        let claim = claimed(&store, WIDE).await.remove(0);
        assert_eq!((claim.job.attempt, claim.alone), (1, false));
        store.give_back(id, 1).await.unwrap();
    }
    assert_eq!(here(&store, id).await.started_at, None);
}

#[tokio::test]
async fn a_job_that_kills_the_process_fails_and_its_neighbours_do_not() {
    let store = memory().await;
    for number in 0..40 {
        put(&store, &job(&format!("good {number}"))).await;
    }
    let poison = put(&store, &job("poison")).await;
    let mut deaths = 0;
    loop {
        let room = Room { rows: 64, cap: 32, at_least: 2, idle: true };
        let claims = claimed(&store, room).await;
        if claims.is_empty() {
            break;
        }
        assert!(claims.len() == 1 || claims.iter().all(|claim| !claim.alone));
        if claims.iter().any(|claim| claim.alone) {
            assert!(claimed(&store, Room { idle: false, ..room }).await.is_empty(), "a lone job has company");
        }
        if claims.iter().any(|claim| claim.job.id == poison) {
            deaths += 1;
            crash(&store).await;
            continue;
        }
        for claim in &claims {
            assert!(
                store.finish(claim.job.id, claim.job.attempt, &outcome(Status::Succeeded)).await.unwrap().is_some()
            );
        }
    }
    let failed = here(&store, poison).await;
    assert_eq!(deaths, 5, "two in company, three alone");
    assert_eq!((failed.status, failed.error.unwrap().code), (Status::Failed, Code::AttemptsExhausted));
    let all = Filter { status: Some(Status::Succeeded), limit: 200, ..Filter::default() };
    assert_eq!(store.list(&all).await.unwrap().len(), 40);
}

#[tokio::test]
async fn suspects_let_others_go_first_and_wait_for_an_idle_engine() {
    let store = memory().await;
    put(&store, &job("suspect")).await;
    for _ in 0..2 {
        claimed(&store, WIDE).await;
        crash(&store).await;
    }
    put(&store, &job("innocent")).await;
    let claims = claimed(&store, WIDE).await;
    assert_eq!(prompts(&claims), ["innocent"]);
    assert!(claimed(&store, Room { idle: false, ..WIDE }).await.is_empty(), "the engine is not idle");
    store.finish(claims[0].job.id, 1, &outcome(Status::Succeeded)).await.unwrap();
    let claims = claimed(&store, WIDE).await;
    assert_eq!((prompts(&claims), claims[0].alone, claims[0].job.attempt), (vec!["suspect"], true, 3));
}

#[tokio::test]
async fn suspects_with_fewer_lone_attempts_go_first() {
    let store = memory().await;
    put(&store, &job("first")).await;
    put(&store, &job("second")).await;
    for _ in 0..2 {
        claimed(&store, WIDE).await;
        crash(&store).await;
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        let claims = claimed(&store, WIDE).await;
        order.extend(claims.iter().map(|claim| prompt(&claim.job).to_owned()));
        crash(&store).await;
    }
    assert_eq!(order, ["first", "second", "first", "second", "first", "second"]);
    assert!(claimed(&store, WIDE).await.is_empty());
}

#[tokio::test]
async fn pages_follow_the_cursor_and_the_filters() {
    let store = memory().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let mut new = job("a");
        new.job.metadata =
            [("parity".to_owned(), (number % 2).to_string()), ("n\"o".to_owned(), number.to_string())].into();
        ids.push(put(&store, &new).await);
    }
    store.cancel(ids[5], None, None).await.unwrap();
    let page = |after, limit| Filter { after, limit, ..Filter::default() };
    let read =
        async |filter: Filter| -> Vec<Uuid> { store.list(&filter).await.unwrap().iter().map(|job| job.id).collect() };
    assert_eq!(read(page(None, 3)).await, [ids[6], ids[5], ids[4]]);
    assert_eq!(read(page(Some(ids[4]), 3)).await, [ids[3], ids[2], ids[1]]);
    assert_eq!(read(page(Some(ids[1]), 3)).await, [ids[0]]);
    assert_eq!(read(Filter { status: Some(Status::Canceled), ..page(None, 9) }).await, [ids[5]]);
    assert_eq!(read(Filter { kind: Some(Kind::Generation), ..page(None, 9) }).await.len(), 7);
    let odd = vec![("parity".to_owned(), "1".to_owned())];
    assert_eq!(read(Filter { metadata: odd.clone(), ..page(None, 9) }).await, [ids[5], ids[3], ids[1]]);
    let both = [odd, vec![("n\"o".to_owned(), "3".to_owned())]].concat();
    assert_eq!(read(Filter { metadata: both, ..page(None, 9) }).await, [ids[3]]);
    let positions: Vec<_> = store.list(&page(None, 9)).await.unwrap().iter().map(|job| job.queue_position).collect();
    assert_eq!(positions, [Some(5), None, Some(4), Some(3), Some(2), Some(1), Some(0)]);
}

#[tokio::test]
async fn deadlines_are_known_until_the_end() {
    let store = memory().await;
    let soon = Timestamp::from_microsecond(1_000_000).unwrap();
    let later = Timestamp::from_microsecond(9_000_000).unwrap();
    let ids = [
        put(&store, &NewJob { deadline: Some(later), ..job("b") }).await,
        put(&store, &NewJob { deadline: Some(soon), ..job("a") }).await,
    ];
    put(&store, &job("no deadline")).await;
    assert_eq!(store.next_deadline().await.unwrap(), Some(soon));
    assert_eq!(store.overdue(soon).await.unwrap(), [ids[1]]);
    assert_eq!(store.overdue(later).await.unwrap(), [ids[1], ids[0]]);
    store.cancel(ids[1], None, None).await.unwrap();
    assert_eq!(store.next_deadline().await.unwrap(), Some(later));
    let claim = claimed(&store, WIDE).await;
    assert_eq!(claim.iter().find(|claim| claim.job.id == ids[0]).unwrap().deadline, Some(later));
    store.finish(ids[0], 1, &outcome(Status::Succeeded)).await.unwrap();
    assert_eq!(store.next_deadline().await.unwrap(), None);
}

#[tokio::test]
async fn one_process_for_each_database_and_nothing_is_lost_on_reopening() {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&url(dir.path())).await.unwrap();
    store.ping().await.unwrap();
    let id = put(&store, &job("a")).await;
    let locked = SqliteStore::open(&url(dir.path())).await.err().unwrap();
    assert!(matches!(locked, StoreError::Locked(_)) && locked.to_string().contains("darkroom.db"), "{locked}");
    std::os::unix::fs::symlink(dir.path().join("deep"), dir.path().join("link")).unwrap();
    let link = format!("sqlite://{}/link/er/darkroom.db", dir.path().display());
    assert!(matches!(SqliteStore::open(&link).await, Err(StoreError::Locked(_))));
    claimed(&store, WIDE).await;
    drop(store);
    let store = SqliteStore::open(&link).await.unwrap();
    assert_eq!(crash(&store).await, (1, 0));
    assert_eq!(here(&store, id).await.status, Status::Queued);
    assert!(SqliteStore::open("mysql://x").await.is_err() && SqliteStore::open("sqlite://").await.is_err());
}
