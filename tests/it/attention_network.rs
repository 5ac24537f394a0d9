//! Attention control inside the embedded model.

use std::rc::Rc;

use darkroom::{
    ask::{Stage, Tap},
    edit::attention::{CrossControl, Layout, PromptToPrompt, Unified, UnifiedControl},
    model::{Batch, Model, Tapped},
};
use tch::{Device, Kind, Tensor};

use crate::{
    attention_words::prompt,
    support::{
        exact::apart,
        networks::{ask, context, emoji64},
    },
};

const PROMPTS: [&str; 2] = ["red heart, twemoji style", "blue heart, twemoji style"];

/// What the model says to one row for each prompt, all of the same noise at the same time.
fn said(model: &dyn Model, prompts: &[&str], tap: Option<Rc<dyn Tap>>) -> Vec<Tensor> {
    let ask = ask(model, &context(model, prompts), 5);
    let rows = ask.x.size()[0];
    let taps = tap.map(|tap| Tapped { rows: 0..rows, tap }).into_iter().collect();
    let x = ask.x.narrow(0, 0, 1).repeat([rows, 1, 1, 1]);
    let batch = Batch { t: vec![500.0; prompts.len()], cond: ask.cond, taps, ..Batch::of(x) };
    model.forward(Stage::Predict, &batch).unwrap().output.unbind(0)
}

fn prompt_to_prompt(control: CrossControl, prompts: [&str; 2]) -> Rc<PromptToPrompt> {
    let plan = control.plan([&prompt(prompts[0]), &prompt(prompts[1])], &prompt).unwrap();
    let tap = PromptToPrompt::new(control, plan, Layout::new(1, &[0, 1]), [16, 16], Device::Cpu);
    tap.at(0, 10);
    Rc::new(tap)
}

#[test]
fn the_target_takes_the_place_of_the_source() {
    let model = emoji64(Kind::Float);
    let run = |prompts: [&str; 2], tap| said(model.as_ref(), &prompts, tap);
    let plain = run(PROMPTS, None);
    let control = CrossControl { blend_words: vec!["heart".into()], blend_threshold: 0.9, ..CrossControl::default() };
    let tap = prompt_to_prompt(control.clone(), PROMPTS);
    let edited = run(PROMPTS, Some(tap.clone()));
    assert!(apart(&edited[0], &plain[0]) < 1e-5, "the source is as ever");
    let mean = |a: &Tensor, b: &Tensor| f64::try_from((a - b).abs().mean(Kind::Double)).unwrap();
    let nearer = mean(&edited[1], &edited[0]) / mean(&plain[1], &plain[0]);
    assert!(nearer < 0.97, "the target is nearer to it: {nearer}");
    assert!(apart(&edited[1], &edited[0]) > 0.01, "and not the same");
    tap.settle();
    let seen = f64::try_from(tap.mask().unwrap().to_kind(Kind::Double).mean(Kind::Double)).unwrap();
    assert!((0.05..0.99).contains(&seen), "the heart is somewhere: {seen}");
    let late = prompt_to_prompt(control, PROMPTS);
    late.at(9, 10);
    assert_eq!(run(PROMPTS, Some(late)), plain, "the last step is the network's own");
    let same = run([PROMPTS[0]; 2], Some(prompt_to_prompt(CrossControl::default(), [PROMPTS[0]; 2])));
    assert!(apart(&same[0], &same[1]) < 1e-5);
}

#[test]
fn three_lanes_share_what_the_source_sees() {
    let model = emoji64(Kind::Float);
    let prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0]];
    let features = context(model.as_ref(), &PROMPTS);
    let control =
        UnifiedControl { target_words: vec!["blue".into()], threshold_target: 0.9, ..UnifiedControl::default() };
    let plan = control.plan([&prompt(PROMPTS[0]), &prompt(PROMPTS[1])], &prompt).unwrap();
    let features = [0, 1].map(|row| features.narrow(0, row, 1));
    let tap = Rc::new(Unified::new(control, plan, Layout::new(1, &[0, 1, 2]), [16, 16], features.each_ref()));
    let run = |tap| said(model.as_ref(), &prompts, tap);
    let plain = run(None);
    tap.at(0, 10);
    let early = run(Some(tap.clone()));
    tap.settle();
    assert!(apart(&early[0], &plain[0]) < 1e-5);
    assert!(apart(&early[2], &early[0]) < 1e-5, "the same prompt and noise");
    assert!(apart(&early[1], &plain[1]) > 0.01);
    tap.at(9, 10);
    let late = run(Some(tap.clone()));
    tap.settle();
    assert!(apart(&late[1], &plain[1]) < 1e-5, "at the end the target is free");
    assert!(apart(&late[2], &plain[2]) > 0.01, "and the layout lane follows it");
    let x = [1.0, 2.0, 3.0].map(|value| Tensor::full([1, 4, 16, 16], value, (Kind::Float, Device::Cpu)));
    let blended = tap.blend(x.each_ref(), 0.9);
    let own = f64::try_from(blended.eq(2.0).to_kind(Kind::Double).mean(Kind::Double)).unwrap();
    assert!((0.01..0.9).contains(&own), "blue is somewhere: {own}");
}
