//! Event streams: replay, live events, and exactly one end.

use std::time::Duration;

use bytes::Bytes;
use darkroom::{
    engine::events::{Event, EventId, Events, Frame, Next, Preview, Subscription},
    job::{Job, Progress, Status},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::support::jobs::{generation, new_job};

const ROOMY: usize = 1 << 20;

fn job() -> Job {
    new_job(generation("a", 1)).job
}

fn ended(job: &Job, status: Status) -> Event {
    Event::Ended(Box::new(Job { status, ..job.clone() }))
}

fn progress(evaluations: u64) -> Event {
    Event::Progress(Progress { evaluations, of: Some(evaluations) })
}

fn now(stream: &mut Subscription) -> Option<Option<Next>> {
    futures_util::FutureExt::now_or_never(stream.next())
}

/// What a stream has to say without waiting, as `name id`, and whether it came to its end.
fn read(stream: &mut Subscription) -> (Vec<String>, bool) {
    let mut said = Vec::new();
    loop {
        match now(stream) {
            None => return (said, false),
            Some(None) => return (said, true),
            Some(Some(Next::Snapshot)) => said.push("snapshot".into()),
            Some(Some(Next::Event(frame))) => said.push(label(&frame)),
        }
    }
}

fn label(frame: &Frame) -> String {
    format!("{} {}", frame.name, frame.id)
}

#[test]
fn the_same_progress_is_told_once() {
    let (events, job) = (Events::new(ROOMY), job());
    events.publish(job.id, 0, Event::Queued(Box::new(job.clone())));
    let mut stream = events.subscribe(job.id, None);
    (0..2).for_each(|_| events.publish(job.id, 1, progress(9)));
    assert_eq!(read(&mut stream).0, ["queued 0-1", "progress 1-2"]);
}

#[test]
fn a_stream_hears_everything_once_and_ends() {
    let (events, job) = (Events::new(ROOMY), job());
    events.publish(job.id, 0, Event::Queued(Box::new(job.clone())));
    let mut stream = events.subscribe(job.id, None);
    assert_eq!(read(&mut stream), (vec!["queued 0-1".into()], false));
    events.publish(job.id, 1, Event::Started(Box::new(job.clone())));
    events.publish(job.id, 1, progress(1));
    events.preview(job.id, 1, Preview { index: 0, evaluations: 1, bytes: Bytes::from_static(b"webp") });
    assert_eq!(events.latest_preview(job.id, 0).unwrap(), "webp");
    events.publish(job.id, 1, Event::Image(job.images[0].clone()));
    assert_eq!(read(&mut stream).0, ["started 1-2", "progress 1-3", "preview 1-4", "image 1-5"]);
    events.publish(job.id, 1, ended(&job, Status::Succeeded));
    events.publish(job.id, 1, ended(&job, Status::Canceled));
    events.publish(job.id, 1, progress(9));
    assert_eq!(read(&mut stream), (vec!["succeeded 1-6".into()], true));
    assert!(events.latest_preview(job.id, 0).is_none());
    // Long done: the job as it is, and its end.
    assert_eq!(read(&mut events.subscribe(job.id, None)), (vec!["snapshot".into(), "succeeded 1-6".into()], true));
    let unknown = "9-99".parse().unwrap();
    assert_eq!(read(&mut events.subscribe(job.id, Some(unknown))).0, ["snapshot", "succeeded 1-6"]);
}

#[test]
fn frames_carry_the_wire_form() {
    let (events, job) = (Events::new(ROOMY), job());
    let mut stream = events.subscribe(job.id, None);
    events.publish(job.id, 1, progress(3));
    events.preview(job.id, 1, Preview { index: 2, evaluations: 3, bytes: Bytes::new() });
    let mut data = Vec::new();
    while let Some(Some(next)) = now(&mut stream) {
        if let Next::Event(frame) = next {
            data.push(frame.data.to_string());
        }
    }
    let url = format!("/v1/jobs/{}/previews/2", job.id);
    assert_eq!(
        data,
        [r#"{"evaluations":3,"of":3}"#.to_owned(), format!(r#"{{"index":2,"evaluations":3,"url":"{url}"}}"#),]
    );
    assert_eq!("3-17".parse::<EventId>().unwrap().to_string(), "3-17");
    assert!(["", "3", "3-", "-1", "a-b", "3-1-2"].iter().all(|text| text.parse::<EventId>().is_err()));
}

#[test]
fn an_unknown_or_future_id_is_never_answered_with_silence() {
    let (events, job) = (Events::new(ROOMY), job());
    events.publish(job.id, 0, Event::Queued(Box::new(job.clone())));
    events.publish(job.id, 1, progress(1));
    for unknown in ["1-99", "7-1", "1-1"] {
        let said = read(&mut events.subscribe(job.id, Some(unknown.parse().unwrap()))).0;
        assert_eq!(said, ["snapshot", "queued 0-1", "progress 1-2"], "{unknown}");
    }
    // Nothing is known of a job that was queued before a restart, until it goes on.
    let restarted = Events::new(ROOMY);
    let mut stream = restarted.subscribe(job.id, Some("1-2".parse().unwrap()));
    assert_eq!(read(&mut stream), (vec!["snapshot".into()], false));
    restarted.publish(job.id, 2, progress(1));
    assert_eq!(read(&mut stream).0, ["progress 2-1"]);
}

#[test]
fn progress_is_thinned_but_its_last_word_is_kept() {
    let (events, job) = (Events::new(ROOMY), job());
    let mut stream = events.subscribe(job.id, None);
    for evaluations in 1..=100 {
        events.publish(job.id, 1, Event::Progress(Progress { evaluations, of: Some(100) }));
    }
    let mut told = Vec::new();
    while let Some(Some(next)) = now(&mut stream) {
        if let Next::Event(frame) = next {
            told.push(serde_json::from_str::<Progress>(&frame.data).unwrap().evaluations);
        }
    }
    assert!(told.len() < 20 && told[0] == 1 && told.last() == Some(&100), "{told:?}");
    // Without a known end, whatever comes next brings the newest along.
    for evaluations in 101..=105 {
        events.publish(job.id, 1, Event::Progress(Progress { evaluations, of: None }));
    }
    events.publish(job.id, 1, ended(&job, Status::Failed));
    let (said, over) = read(&mut stream);
    assert!(over && said.len() == 2 && said[0].starts_with("progress") && said[1].starts_with("failed"), "{said:?}");
}

#[test]
fn the_ring_is_bounded_and_says_what_it_forgot() {
    let (events, job) = (Events::new(2000), job());
    events.publish(job.id, 1, Event::Started(Box::new(job.clone())));
    let mut slow = events.subscribe(job.id, None);
    for evaluations in 1..=1000 {
        events.publish(job.id, 1, progress(evaluations));
    }
    let said = read(&mut slow).0;
    assert!(said.len() < 30, "{} events of 24 bytes in 2000", said.len());
    assert_eq!((said[0].as_str(), said.last().unwrap().as_str()), ("snapshot", "progress 1-1001"));
    // The event just before the oldest one held is still a known place; the one before that is not.
    let oldest: EventId = said[1].split(' ').nth(1).unwrap().parse().unwrap();
    let before = |n| Some(EventId { attempt: 1, n: oldest.n - n });
    assert_eq!(read(&mut events.subscribe(job.id, before(1))).0, said[1..]);
    assert_eq!(read(&mut events.subscribe(job.id, before(2))).0, said);
}

#[test]
fn late_news_of_an_erased_job_begin_nothing() {
    let (events, job) = (Events::new(ROOMY), job());
    events.publish(job.id, 1, Event::Started(Box::new(job.clone())));
    let mut stream = events.subscribe(job.id, None);
    events.publish(job.id, 1, ended(&job, Status::Canceled));
    events.forget(job.id);
    events.publish(job.id, 1, progress(5));
    events.preview(job.id, 1, Preview { index: 0, evaluations: 5, bytes: Bytes::new() });
    assert!(events.latest_preview(job.id, 0).is_none());
    assert_eq!(read(&mut stream), (vec!["started 1-1".into(), "canceled 1-2".into()], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_ends_whenever_it_was_opened() {
    let events = Events::new(ROOMY);
    for round in 0..500_u64 {
        let done = Job { status: Status::Succeeded, attempt: 1, ..job() };
        let (engine, finished) = (events.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            engine.publish(finished.id, 1, Event::Started(Box::new(finished.clone())));
            engine.publish(finished.id, 1, progress(1));
            std::thread::sleep(Duration::from_micros(round % 7 * 20));
            engine.publish(finished.id, 1, ended(&finished, Status::Succeeded));
        });
        tokio::time::sleep(Duration::from_micros(round % 11 * 15)).await;
        let mut stream = events.subscribe(done.id, None);
        if round % 3 == 0 {
            events.settle(&done); // the store said so before the engine did
        }
        let mut finals = 0;
        while let Some(next) = tokio::time::timeout(Duration::from_secs(2), stream.next()).await.unwrap() {
            finals += u32::from(matches!(next, Next::Event(frame) if frame.name == "succeeded"));
        }
        assert_eq!(finals, 1);
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_job_that_ended_before_a_restart_has_an_end_too() {
    let (events, mut job) = (Events::new(ROOMY), job());
    (job.status, job.attempt) = (Status::Failed, 3);
    for last in [None, Some("3-8".parse().unwrap())] {
        let mut stream = events.subscribe(job.id, last);
        events.settle(&job);
        assert_eq!(read(&mut stream), (vec!["snapshot".into(), "failed 3-1".into()], true));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Cut anywhere, any number of times, each time going on from the last id seen: the union is the full list, each once.
    #[test]
    fn cuts_lose_nothing_and_double_nothing(
        kinds in prop::collection::vec(0..4_u8, 1..40),
        cuts in prop::collection::vec((0..3_usize, 0..6_usize), 0..60),
    ) {
        let (events, id, template) = (Events::new(ROOMY), Uuid::now_v7(), job());
        events.publish(id, 0, Event::Queued(Box::new(template.clone())));
        let mut whole = events.subscribe(id, None);
        let mut kinds = kinds.into_iter();
        let mut publish = |count: usize| for kind in kinds.by_ref().take(count) {
            match kind {
                0 => events.publish(id, 1, progress(1)),
                1 => events.publish(id, 1, Event::Image(template.images[0].clone())),
                2 => events.preview(id, 1, Preview { index: 0, evaluations: 1, bytes: Bytes::new() }),
                _ => events.publish(id, 1, Event::Started(Box::new(template.clone()))),
            }
        };
        let (mut seen, mut last): (Vec<String>, Option<EventId>) = (Vec::new(), None);
        for (published, taken) in cuts {
            let mut stream = events.subscribe(id, last);
            publish(published);
            for _ in 0..taken {
                let Some(Some(Next::Event(frame))) = now(&mut stream) else { break };
                prop_assert!(last < Some(frame.id), "ids rise");
                last = Some(frame.id);
                seen.push(label(&frame));
            }
        }
        publish(usize::MAX);
        let mut stream = events.subscribe(id, last);
        events.publish(id, 1, ended(&template, Status::Succeeded));
        let (rest, over) = read(&mut stream);
        seen.extend(rest);
        let (full, _) = read(&mut whole);
        prop_assert!(over && full.last().unwrap().starts_with("succeeded"));
        prop_assert_eq!(seen, full);
    }
}
