/// For each of `target`'s tokens the one of `source` that it is aligned to.
///
/// Global alignment (Needleman and Wunsch 1970) as in the released code of Hertz et al. 2022: gap 0, match +1, mismatch -1;
/// of equal ways the one with a gap in the source, then the one with a gap in the target. So only equal tokens are aligned.
pub fn align(source: &[i64], target: &[i64]) -> Vec<Option<usize>> {
    let steps = steps(source, target);
    let (mut i, mut j) = (source.len(), target.len());
    let mut aligned = vec![None; target.len()];
    while i > 0 && j > 0 {
        match steps[i][j] {
            Step::SourceGap => j -= 1,
            Step::TargetGap => i -= 1,
            Step::Both => {
                (i, j) = (i - 1, j - 1);
                aligned[j] = Some(i);
            }
        }
    }
    aligned
}

#[derive(Clone, Copy)]
enum Step {
    SourceGap,
    TargetGap,
    Both,
}

/// The last step of the best way to align the first i tokens of the source with the first j of the target.
fn steps(source: &[i64], target: &[i64]) -> Vec<Vec<Step>> {
    let mut above = vec![0i64; target.len() + 1];
    let mut steps = vec![vec![Step::SourceGap; target.len() + 1]];
    for x in source {
        let mut scores = vec![0; target.len() + 1];
        let mut row = vec![Step::TargetGap; target.len() + 1];
        for (j, y) in target.iter().enumerate() {
            let both = above[j] + if x == y { 1 } else { -1 };
            let best = scores[j].max(above[j + 1]).max(both);
            row[j + 1] = match best {
                best if best == scores[j] => Step::SourceGap,
                best if best == above[j + 1] => Step::TargetGap,
                _ => Step::Both,
            };
            scores[j + 1] = best;
        }
        above = scores;
        steps.push(row);
    }
    steps
}
