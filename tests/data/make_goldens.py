"""Golden numbers of the networks, from the Python libraries that the checkpoints were made with.

    python -m venv .venv && .venv/bin/pip install torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 safetensors
    .venv/bin/python tests/data/make_goldens.py

Writes tests/data/goldens/: `emoji64.safetensors` (inputs and outputs of the embedded model's networks), `sd15/` and
`sd21/` (tiny random-weight models in the layouts of Stable Diffusion 1.5 and 2.1, with `golden.safetensors` inside) and
`tokens.json` (prompts and their ids). Run it again when the embedded model changes.
"""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/emoji64"
OUT = ROOT / "tests/data/goldens"

PROMPTS = [
    "", "a red heart", "a red heart, twemoji style", "A RED  Heart\n", "a\u00a0red\u2003heart", "pizza, fluent style",
    "smiling face with sunglasses", "It's we're I'll they've I'm he'd SHE'S don't", "12345 3.14 7up 1st", "snail" * 9,
    "cafe\u0301 Café naïve ÅNGSTRÖM Straße İstanbul ΣΊΣΥΦΟΣ", "赤いハート ❤️ é", "👩‍👩‍👧‍👦 🏳️‍🌈", "!!! ??? ... -- __ ~~",
    "((((a red heart))))", "(" * 100, "a <|endoftext|> b", "<|startoftext|>x<|endoftext|>", "<|ENDOFTEXT|> y", "ﬁ ﬂ ½ ² Ⅷ",
    "tab\tnew\nline\r\nend\u2028sep\u0085nel\u200bzero", " leading and trailing ", "\u0000 \u0001 control", "a'b''c '' 's",
    "مرحبا بالعالم שלום עולם हिन्दी ไทย", "x" * 300, "the quick brown fox jumps over the lazy dog " * 4, "emoji:) ;-) <3",
    "under_score kebab-case CamelCase", "１２３ ｆｕｌｌ", "\u1e9b\u0323 \u212b \u0344", "e\u0301\u0302\u0303",
]


def noise(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def picture(seed, n, height, width):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def text_goldens(text, ids, out):
    hidden = text(ids, output_hidden_states=True).hidden_states
    norm = text.final_layer_norm if hasattr(text, "final_layer_norm") else text.text_model.final_layer_norm
    out["text.ids"] = ids
    for skip in range(text.config.num_hidden_layers):
        out[f"text.skip{skip}"] = norm(hidden[-1 - skip])
    return out["text.skip0"]


def unet_goldens(unet, context, sizes, times, out):
    for case, ((n, h, w), t) in enumerate(zip(sizes, times)):
        x, t = noise(10 + case, n, unet.config.in_channels, h, w), torch.tensor(t)
        text = context[torch.arange(n) % len(context)]
        out[f"unet{case}.x"], out[f"unet{case}.t"], out[f"unet{case}.context"] = x, t, text.contiguous()
        out[f"unet{case}.out"] = unet(x, t, text).sample


def vae_goldens(vae, sizes, out):
    factor, scale = 2 ** (len(vae.config.block_out_channels) - 1), vae.config.scaling_factor
    for case, (n, h, w) in enumerate(sizes):
        z, x = noise(20 + case, n, vae.config.latent_channels, h, w), picture(30 + case, n, h * factor, w * factor)
        out[f"decode{case}.x"], out[f"decode{case}.out"] = z, vae.decode(z / scale).sample
        out[f"encode{case}.x"], out[f"encode{case}.out"] = x, vae.encode(x).latent_dist.mode() * scale


def save(out, path):
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, path)


def emoji64():
    load = dict(torch_dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    text = CLIPTextModel.from_pretrained(MODEL / "text_encoder", **load).eval()
    ids = tokenizer(PROMPTS[:8], padding="max_length", truncation=True, return_tensors="pt").input_ids
    out = {}
    context = text_goldens(text, ids, out)
    unet = UNet2DConditionModel.from_pretrained(MODEL / "unet", **load).eval()
    sizes = [(1, 16, 16), (2, 16, 16), (5, 16, 16), (2, 12, 20), (1, 4, 8)]
    times = [[999.0], [0.0, 500.0], [1.0, 250.0, 333.25, 750.5, 998.0], [123.0, 876.0], [40.0]]
    unet_goldens(unet, context, sizes, times, out)
    vae = AutoencoderKL.from_pretrained(MODEL / "vae", **load).eval()
    vae_goldens(vae, [(1, 16, 16), (2, 12, 20)], out)
    save(out, OUT / "emoji64.safetensors")


def tokens():
    cases = {"emoji64": MODEL / "tokenizer", "bang": OUT / "bang"}
    # The same vocabulary as Stable Diffusion 2.x uses it: padded with `!`, special tokens written as objects.
    shutil.copytree(MODEL / "tokenizer", cases["bang"], dirs_exist_ok=True)
    (cases["bang"] / "special_tokens_map.json").unlink()
    end = dict(__type="AddedToken", content="<|endoftext|>", lstrip=False, normalized=True, rstrip=False, single_word=False)
    config = json.loads((MODEL / "tokenizer/tokenizer_config.json").read_text())
    config |= {"pad_token": "!", "eos_token": end, "unk_token": end, "bos_token": end | {"content": "<|startoftext|>"}}
    (cases["bang"] / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    found = {}
    for name, folder in cases.items():
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        kept = tokenizer(PROMPTS, padding="max_length", truncation=True).input_ids
        whole = tokenizer(PROMPTS, truncation=False, verbose=False).input_ids
        room = tokenizer.model_max_length
        found[name] = [
            {"prompt": prompt, "ids": ids, "dropped": max(0, len(every) - room)}
            for prompt, ids, every in zip(PROMPTS, kept, whole)
        ]
    (OUT / "tokens.json").write_text(json.dumps(found, ensure_ascii=True, indent=0))
    for name in ["vocab.json", "merges.txt"]:
        (cases["bang"] / name).unlink()


def randomise(module, seed):
    """Weights of a size that keeps activations near 1, norms and biases away from their trivial values."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in module.named_parameters():
        random = torch.randn(weight.shape, generator=generator)
        if weight.ndim > 1:
            weight.data = random * (weight[0].numel() ** -0.5)
        else:
            weight.data = random * 0.1 + (1.0 if name.endswith("weight") else 0.0)
    return module.eval()


def tiny(name, unet, text, vae, scheduler, sizes, old_names):
    """A folder in a real layout with few channels, in f16, and what its networks compute in f32."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    parts = {
        "unet": randomise(UNet2DConditionModel(**unet), 1),
        "text_encoder": randomise(CLIPTextModel(CLIPTextConfig(**text)), 2),
        "vae": randomise(AutoencoderKL(**vae), 3),
    }
    out = {}
    parts = {part: network.half().float() for part, network in parts.items()}
    ids = torch.randint(0, text["vocab_size"], (2, 9), generator=torch.Generator().manual_seed(4))
    context = text_goldens(parts["text_encoder"], ids, out)
    unet_goldens(parts["unet"], context, sizes, [[999.0], [1.5, 640.0]], out)
    vae_goldens(parts["vae"], [(1, 4, 6)], out)
    for part, network in parts.items():
        network.half().save_pretrained(folder / part)
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", type(scheduler).__name__],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    if old_names:
        rename(folder)
    save(out, folder / "golden.safetensors")


def rename(folder):
    """Names as the checkpoints of 2022 have them."""
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = {}
    for key, tensor in load_file(path).items():
        for new, old in names.items():
            key = key.replace(new, old)
        tensors[key] = tensor
    save_file(tensors, path)
    path = folder / "text_encoder/model.safetensors"
    tensors = {"text_model." + key.removeprefix("text_model."): tensor for key, tensor in load_file(path).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, path)


def tinies():
    down = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
    up = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
    unet = dict(
        sample_size=64, down_block_types=down, up_block_types=up, block_out_channels=[8, 16, 24, 24], norm_num_groups=4,
        layers_per_block=2, cross_attention_dim=12, attention_head_dim=4,
    )
    text = dict(
        vocab_size=99, hidden_size=12, intermediate_size=24, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=12,
    )
    vae = dict(
        sample_size=512, down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[4, 8, 8, 8], layers_per_block=2, norm_num_groups=2, scaling_factor=0.18215,
    )
    betas = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    tiny("sd15", unet, text, vae, PNDMScheduler(**betas, skip_prk_steps=True), [(1, 8, 8), (2, 8, 16)], True)
    unet |= dict(
        sample_size=96, attention_head_dim=[1, 2, 4, 4], use_linear_projection=True, upcast_attention=True,
        dual_cross_attention=False, num_class_embeds=None,
    )
    text |= dict(hidden_act="gelu", num_hidden_layers=4)
    scheduler = DDIMScheduler(**betas, prediction_type="v_prediction", set_alpha_to_one=False, clip_sample=False)
    tiny("sd21", unet, text, vae | dict(sample_size=768), scheduler, [(1, 8, 8), (2, 8, 16)], False)


if __name__ == "__main__":
    torch.manual_seed(0)
    OUT.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        emoji64()
        tokens()
        tinies()
