//! The report as a table in Markdown that is also readable as it stands.

use super::{
    report::{Report, Run},
    style::{about, count, percent},
};

/// A row for each sampler and number of steps, and what it was measured against.
pub fn markdown(report: &Report) -> String {
    let mut rows = vec![
        ["sampler", "steps", "evaluations", "error", "least to greatest", "PSNR, dB"].map(str::to_owned),
        ["---", "--:", "--:", "--:", "--:", "--:"].map(str::to_owned),
    ];
    rows.extend(report.runs.iter().map(|run| row(run, report.seeds)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let table: String = rows.iter().map(line).collect();
    format!("{}\n\n{table}\n{}\n", about(report), measured(report))
}

fn row(run: &Run, seeds: u32) -> [String; 6] {
    let error = match (&run.error, &run.failure) {
        (_, Some(failure)) => format!("failed: {failure}"),
        (None, None) => "draws noise".into(),
        (Some(error), None) => percent(error.mean),
    };
    let spread = run.error.as_ref().filter(|_| seeds > 1);
    let psnr = match (&run.error, run.psnr_db) {
        (Some(_), None) => "equal".into(),
        (_, psnr) => psnr.map_or(String::new(), |psnr| format!("{psnr:.1}")),
    };
    [
        run.title.replace('|', "\\|"),
        run.steps.to_string(),
        count(run.evaluations),
        error,
        spread.map_or(String::new(), |it| format!("{} to {}", percent(it.least), percent(it.greatest))),
        psnr,
    ]
}

/// What the errors are, and how far down they can be trusted.
pub fn measured(report: &Report) -> String {
    let reference = &report.reference;
    format!(
        "The error is the RMS difference of the latents from the converged solution, over that one's RMS. Converged: {} in \
         {} evaluations over uniform lambda; from half its steps it moved by {}, so smaller differences mean nothing.",
        reference.title,
        count(reference.evaluations),
        percent(reference.moved),
    )
}
