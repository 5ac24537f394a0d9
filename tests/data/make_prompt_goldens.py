"""Golden encodings of weighted prompts, from the text encoder of Python transformers.

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 transformers==5.24.0 safetensors
    .venv/bin/python tests/data/make_prompt_goldens.py

Writes tests/data/goldens/prompts.json (prompts, and how many text layers are left out) and prompts.safetensors (for
each prompt the ids `[C, L]` and the weights `[C, L]` of its chunks, and their features one after the other, `[C L, D]`,
in f32). Run it again when the embedded model changes.

The rules are those that AUTOMATIC1111's web UI documents for its prompts. They are written down here a second time, in
another way than the service has them: a prompt is first a list of characters, each with the brackets around it.

The mean is given back to a chunk where there is one (`emphasised`). That of the embedded model's features is some
thousandths of their magnitude, so `lifted` prompts have 0.1 added to all features first.
"""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/emoji64"
OUT = ROOT / "tests/data/goldens"
BACK, HEAVIEST, LIFT = 20, 10.0, 0.1

LONG = "a red heart with a blue arrow and a green leaf on a white table under a yellow sun beside an old wooden house"
LISTED = "red heart, blue arrow, green leaf, white table, yellow sun, old wooden house, black cat, twemoji style"
PROMPTS = [
    {"prompt": "a (red:1.3) heart, twemoji style"},
    {"prompt": "a ((red)) [heart], (twemoji [style]:0.5)"},
    {"prompt": "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky)))."},
    {"prompt": "a red heart BREAK (blue:1.2) arrow (on BREAK a) table"},
    {"prompt": LONG},
    {"prompt": LISTED},
    {"prompt": f"({LISTED}:1.2), ({LONG})"},
    {"prompt": "a (red:1.4) heart, twemoji style", "skip": 1},
    {"prompt": r"heart \(red\), \[blue\] (un)important \\ a:1.3) b] (c"},
    {"prompt": "(red) (heart) (:1.5) (a:) (b: 1.2 ) (c:1.2.3) (d:-0.5) (e:0) (f:99)"},
    {"prompt": "", "lifted": True},
    {"prompt": "a (red:1.3) heart, [twemoji] style", "lifted": True},
    {"prompt": f"{LISTED} BREAK (sun:0.6)", "skip": 2, "lifted": True},
]


def brackets(prompt):
    """(kind, start, end, factor) of each pair, with the ends of what it holds; and the characters that are no text."""
    pairs, gone, stacks, at = [], set(), {"(": [], "[": []}, 0

    def close(kind, end, factor):
        start = stacks[kind].pop()
        pairs.append((start + 1, end, factor))
        gone.add(start)

    while at < len(prompt):
        number = re.compile(r":\s*([+-]?[.0-9]+)\s*\)").match(prompt, at)
        value = None
        if number:
            try:
                value = float(number[1])
            except ValueError:
                number = None
        if prompt[at] == "\\":
            gone.add(at)
            at += 2 if prompt[at + 1 : at + 2] in tuple("()[]\\") else 1
        elif prompt[at] in stacks:
            stacks[prompt[at]].append(at)
            at += 1
        elif number and stacks["("]:
            close("(", at, value)
            gone.update(range(at, number.end()))
            at = number.end()
        elif number:
            at = number.end()
        elif prompt[at] in ")]" and stacks["(" if prompt[at] == ")" else "["]:
            close("(" if prompt[at] == ")" else "[", at, 1.1 if prompt[at] == ")" else 1 / 1.1)
            gone.add(at)
            at += 1
        else:
            at += 1
    for kind, factor in (("(", 1.1), ("[", 1 / 1.1)):
        while stacks[kind]:
            close(kind, len(prompt), factor)
    return pairs, gone


def runs(prompt):
    """The text in runs of one weight; None is a break."""
    pairs, gone = brackets(prompt)
    weights = [1.0] * len(prompt)
    for start, end, factor in pairs:
        for at in range(start, end):
            weights[at] *= factor
    breaks = {match.start() for match in re.finditer(r"(?<!\w)BREAK(?!\w)", prompt)}
    found, at = [], 0
    while at < len(prompt):
        if at in breaks:
            found.append(None)
            at += len("BREAK")
            continue
        if at not in gone:
            weight = max(-HEAVIEST, min(HEAVIEST, weights[at]))
            # Products of the same factors in another order differ in their last digits.
            if found and found[-1] and abs(found[-1][1] - weight) < 1e-9:
                found[-1][0] += prompt[at]
            else:
                found.append([prompt[at], weight])
        at += 1
    return found


def chunks(tokenizer, prompt):
    """Lists of (id, weight), each of as many as fit."""
    room, comma = tokenizer.model_max_length - 2, tokenizer.get_vocab()[",</w>"]
    sections = [[]]
    for run in runs(prompt):
        if run is None:
            sections.append([])
        else:
            sections[-1] += [(token, run[1]) for token in tokenizer(run[0], add_special_tokens=False).input_ids]
    done = []
    for number, section in enumerate(sections):
        while len(section) > room:
            commas = [at for at in range(room - BACK, room) if section[at][0] == comma]
            cut = room if section[room][0] == comma or not commas else commas[-1] + 1
            done.append(section[:cut])
            section = section[cut:]
        # A break at the very end starts no chunk of its own.
        if section or number + 1 < len(sections) or not done:
            done.append(section)
    return done


def emphasised(features, weights):
    """Times the weights, and the mean given back where neither it nor the new one has cancelled."""
    out = []
    for chunk, own in zip(features, weights):
        new = chunk * own[:, None]
        real = all(x.mean().abs() > 0.01 * x.abs().mean() for x in (chunk, new))
        out.append(new * (chunk.mean() / new.mean()) if real else new)
    return torch.stack(out)


@torch.no_grad()
def encoded(tokenizer, text, prompt, skip=0, lifted=False):
    read, length = chunks(tokenizer, prompt), tokenizer.model_max_length
    pad = lambda own, filled, rest: own + [filled] + [rest] * (length - len(own) - 1)
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids = torch.tensor([pad([begin] + [token for token, _ in chunk], end, tokenizer.pad_token_id) for chunk in read])
    weights = torch.tensor([pad([1.0] + [weight for _, weight in chunk], 1.0, 1.0) for chunk in read])
    norm = text.final_layer_norm if hasattr(text, "final_layer_norm") else text.text_model.final_layer_norm
    features = norm(text(ids, output_hidden_states=True).hidden_states[-1 - skip])
    features = emphasised(features + LIFT if lifted else features, weights)
    return ids, weights, features.flatten(0, 1)


def main():
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    text = CLIPTextModel.from_pretrained(MODEL / "text_encoder", dtype=torch.float32).eval()
    table, tensors = [], {}
    for number, case in enumerate(PROMPTS):
        ids, weights, features = encoded(tokenizer, text, **case)
        table.append({"skip": 0, "lifted": False, **case})
        tensors |= {f"{number}.ids": ids, f"{number}.weights": weights, f"{number}.features": features}
    (OUT / "prompts.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUT / "prompts.safetensors")


if __name__ == "__main__":
    main()
