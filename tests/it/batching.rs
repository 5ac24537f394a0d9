//! Which asks share a forward, what a forward costs, and what becomes of one that fails.

use std::time::Duration;

use darkroom::{
    engine::{
        batch::{Candidate, Shares, Take, fill, score},
        cost::Curve,
        failure::{Piece, attempt, caught},
    },
    error::Failure,
};
use proptest::prelude::*;

fn candidate() -> impl Strategy<Value = (usize, bool, u32)> {
    (1usize..40, any::<bool>(), 0u32..5)
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_and_nobody_starves(runs in prop::collection::vec(candidate(), 1..30), cap in 1usize..70) {
        let mut left: Vec<usize> = runs.iter().map(|(rows, ..)| *rows).collect();
        let mut served = vec![0u64; runs.len()];
        let total: usize = left.iter().sum();
        let mut forwards = 0;
        while left.iter().any(|rows| *rows > 0) {
            let candidates: Vec<Candidate> = (0..runs.len())
                .filter(|id| left[*id] > 0)
                .map(|id| Candidate {
                    id,
                    rows: left[id],
                    together: runs[id].1,
                    score: score(served[id], 0.0, 0),
                    order: u64::from(runs[id].2),
                })
                .collect();
            let takes = fill(candidates, cap);
            let rows: usize = takes.iter().map(|take| take.rows).sum();
            prop_assert!(rows > 0);
            prop_assert!(rows <= cap || takes.len() == 1 && runs[takes[0].id].1);
            for Take { id, rows } in takes {
                prop_assert!(rows <= left[id]);
                prop_assert!(!runs[id].1 || rows == left[id]);
                left[id] -= rows;
                served[id] += rows as u64;
            }
            forwards += 1;
            prop_assert!(forwards <= total);
        }
        // Every row was served exactly once.
        prop_assert!(runs.iter().zip(&served).all(|((rows, ..), served)| *rows as u64 == *served));
    }

    #[test]
    fn whoever_waits_long_enough_goes_first(served in 1u64..1_000_000, priority in -10i32..=10) {
        let waited = f64::from(20 - priority) + (served as f64).log2();
        prop_assert!(score(served, waited, priority) < score(1, 0.0, 10));
    }

    #[test]
    fn buckets_share_time_not_turns(costs in prop::collection::vec(0.01f64..1.0, 2..5)) {
        let keys: Vec<usize> = (0..costs.len()).collect();
        let mut shares = Shares::default();
        let mut spent = vec![0.0; costs.len()];
        for _ in 0..1000 {
            let key = shares.next(&keys, |_| false).unwrap();
            shares.spend(&key, costs[key]);
            spent[key] += costs[key];
        }
        let (least, most) = spent.iter().fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(*x), high.max(*x)));
        prop_assert!(most - least <= 1.0 + 1e-9, "{spent:?}");
    }
}

#[test]
fn a_bucket_that_rested_cannot_claim_the_past() {
    let mut shares = Shares::default();
    for _ in 0..10 {
        assert_eq!(shares.next(&["a"], |_| false), Some("a"));
        shares.spend(&"a", 1.0);
    }
    let turns: Vec<_> = (0..4)
        .map(|_| {
            let key = shares.next(&["a", "b"], |_| false).unwrap();
            shares.spend(&key, 1.0);
            key
        })
        .collect();
    assert_eq!(turns.iter().filter(|key| **key == "b").count(), 2, "{turns:?}");
}

#[test]
fn the_run_served_least_goes_first() {
    let waits =
        |id, rows, served| Candidate { id, rows, together: false, score: score(served, 0.0, 0), order: id as u64 };
    let takes = fill(vec![waits(0, 32, 320), waits(1, 2, 40)], 16);
    assert_eq!(takes, [Take { id: 1, rows: 2 }, Take { id: 0, rows: 14 }]);
}

#[test]
fn the_cap_fits_the_tick_and_stays_before_the_knee() {
    let mut curve = Curve::default();
    for (rows, ms) in [(1, 14), (2, 18), (4, 36), (8, 60), (16, 104), (32, 285), (64, 600)] {
        for _ in 0..3 {
            curve.note(rows, Duration::from_millis(ms));
        }
    }
    // A single slow forward rules nothing out.
    curve.note(12, Duration::from_secs(4));
    assert_eq!(curve.cap(64, Duration::from_millis(300)), 18);
    assert_eq!(curve.cap(64, Duration::from_millis(61)), 8);
    assert_eq!(curve.cap(64, Duration::from_millis(1)), 1);
    let mut unknown = Curve::default();
    (0..3).for_each(|_| unknown.note(4, Duration::from_millis(40)));
    assert_eq!(unknown.cap(64, Duration::from_millis(300)), 30);
    // Of forwards below a few milliseconds the noise is larger than the difference: the more rows the better.
    let mut short = Curve::default();
    for (rows, micros) in [(1, 50), (16, 4800)] {
        (0..3).for_each(|_| short.note(rows, Duration::from_micros(micros)));
    }
    assert_eq!(short.cap(64, Duration::from_millis(300)), 64);
}

fn piece(id: usize, rows: usize) -> Piece {
    Piece { id, from: 0, rows, together: false }
}

#[test]
fn what_fails_alone_fails_alone() {
    let mut forwards = 0;
    let answers = attempt(&[piece(0, 2), piece(1, 2), piece(2, 2)], &mut |pieces| {
        forwards += 1;
        caught(|| {
            assert!(!pieces.iter().any(|piece| piece.id == 1), "bad rows");
            Ok(pieces.iter().map(|piece| piece.id).collect())
        })
    });
    let good: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).collect();
    assert_eq!(good, [&0, &2]);
    assert_eq!(answers[1].1, Err(Failure::Internal("bad rows".into())));
    assert_eq!(forwards, 4);
}

#[test]
fn out_of_memory_halves_the_rows_down_to_one() {
    let mut sizes = Vec::new();
    let answers = attempt(&[piece(0, 5), piece(1, 4)], &mut |pieces| {
        let rows: usize = pieces.iter().map(|piece| piece.rows).sum();
        sizes.push(rows);
        if rows > 2 || pieces.iter().any(|piece| piece.id == 1 && piece.from + piece.rows == 4) {
            return caught(|| panic!("CUDA out of memory. Tried to allocate 2 GiB"));
        }
        Ok(pieces.iter().map(|piece| piece.rows).collect())
    });
    let served: usize = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(piece, _)| piece.rows).sum();
    assert_eq!(served, 8, "{answers:?}");
    let (lost, failure) = answers.iter().find(|(_, answer)| answer.is_err()).unwrap();
    assert_eq!((lost.id, lost.from, lost.rows), (1, 3, 1));
    assert!(matches!(failure, Err(Failure::OutOfMemory(_))));
    assert_eq!(sizes[0], 9);
}
