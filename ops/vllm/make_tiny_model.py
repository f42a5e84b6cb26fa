#!/usr/bin/env python3
"""Make a small Qwen3 chat model with random weights, to test the server and not the model.

    python3 make_tiny_model.py DIR [--seed 0]

Needs nothing but Python, downloads nothing, and writes the same bytes on every machine. What the
model says is babble by construction. What it is good for: shapes of answers, limits, streams,
grammars, aborts, and faults.
"""

import argparse
import array
import json
import math
import pathlib
import random
import struct
import sys
from collections.abc import Iterator

HIDDEN, INTERMEDIATE, LAYERS = 128, 384, 2
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 32
CONTEXT_TOKENS = 4096

CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# As in Qwen these are single tokens but stay visible in the text: tool-call parsers look for them.
MARKUP_TOKENS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]

CHAT_TEMPLATE = r"""
{%- set has_system = messages[0].role == 'system' %}
{%- set system = messages[0].content if has_system else '' %}
{%- if tools %}
  {%- set listing = '<tools>\n' ~ tools | map('tojson') | join('\n') ~ '\n</tools>' %}
  {%- set form = '<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>' %}
  {%- set rules = 'Functions:\n' ~ listing ~ '\nTo call one, write:\n' ~ form %}
  {%- set system = [system, rules] | select | join('\n\n') %}
{%- endif %}
{%- if system %}
  {{- '<|im_start|>system\n' ~ system ~ '<|im_end|>\n' }}
{%- endif %}
{%- for message in (messages[1:] if has_system else messages) %}
  {%- if message.role == 'tool' %}
    {{- '<|im_start|>user\n<tool_response>\n' ~ message.content ~ '\n</tool_response>' }}
  {%- else %}
    {{- '<|im_start|>' ~ message.role ~ '\n' ~ (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
      {%- set call = {'name': call.function.name, 'arguments': call.function.arguments} %}
      {{- '\n<tool_call>\n' ~ call | tojson ~ '\n</tool_call>' }}
    {%- endfor %}
  {%- endif %}
  {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
  {{- '<|im_start|>assistant\n' }}
{%- endif %}
""".lstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, help="made if it is missing")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    options.folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = make_vocabulary()
    ids = {token: number for number, token in enumerate(vocabulary)}
    write_json(options.folder / "tokenizer.json", tokenizer(ids, merges))
    write_json(options.folder / "tokenizer_config.json", tokenizer_config())
    write_json(options.folder / "config.json", model_config(ids))
    write_json(options.folder / "generation_config.json", end_tokens(ids))
    (options.folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    parameters = write_weights(options.folder / "model.safetensors", len(ids), options.seed)
    print(f"{options.folder}: {parameters} parameters, {len(ids)} tokens")


def write_json(path: pathlib.Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# Tokenizer: every byte, and syllables on top so that babble can be read and prompts stay short. The
# merges are spelled out and not trained: a trained list would follow its library and its text.


def make_vocabulary() -> tuple[list[str], list[tuple[str, str]]]:
    consonants, vowels = "bdfghjklmnprstvz", "aeiou"
    space = byte_symbols()[ord(" ")]
    open_syllables = [(first, vowel) for first in consonants for vowel in vowels]
    closed_syllables = [
        (first + vowel, last) for first, vowel in open_syllables for last in consonants
    ]
    syllables = open_syllables + closed_syllables
    merges = syllables + [(space, left + right) for left, right in syllables]
    joined = [left + right for left, right in merges]
    return [*byte_symbols(), *joined, *CONTROL_TOKENS, *MARKUP_TOKENS], merges


def byte_symbols() -> list[str]:
    """The printable character that byte-level BPE writes for each byte, by byte value."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    substitutes = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(substitutes)) for byte in range(256)]


def tokenizer(ids: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, object]:
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    digits = {"type": "Digits", "individual_digits": True}
    added = [
        {
            "id": ids[token],
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": token in CONTROL_TOKENS,
        }
        for token in CONTROL_TOKENS + MARKUP_TOKENS
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for token, i in ids.items() if i < len(ids) - len(added)},
            "merges": merges,
        },
    }


def tokenizer_config() -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": CONTEXT_TOKENS,
        "clean_up_tokenization_spaces": False,
    }


# Model


def end_tokens(ids: dict[str, int]) -> dict[str, object]:
    ends = [ids["<|im_end|>"], ids["<|endoftext|>"]]
    return {"eos_token_id": ends, "pad_token_id": ids["<|endoftext|>"]}


def model_config(ids: dict[str, int]) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "float32",
        "vocab_size": len(ids),
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "attention_bias": False,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "max_position_embeddings": CONTEXT_TOKENS,
        # Tied to the input, a random model only says its last token again.
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }


def tensors(tokens: int) -> Iterator[tuple[str, list[int], float]]:
    """Name, shape, and gain of each tensor; a gain of 0 stands for a norm, whose weights are 1."""
    yield "model.embed_tokens.weight", [tokens, HIDDEN], 1
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", [HIDDEN], 0
        yield prefix + "self_attn.q_proj.weight", [HEADS * HEAD_DIM, HIDDEN], 1
        yield prefix + "self_attn.k_proj.weight", [KV_HEADS * HEAD_DIM, HIDDEN], 1
        yield prefix + "self_attn.v_proj.weight", [KV_HEADS * HEAD_DIM, HIDDEN], 1
        yield prefix + "self_attn.o_proj.weight", [HIDDEN, HEADS * HEAD_DIM], 1
        yield prefix + "self_attn.q_norm.weight", [HEAD_DIM], 0
        yield prefix + "self_attn.k_norm.weight", [HEAD_DIM], 0
        yield prefix + "post_attention_layernorm.weight", [HIDDEN], 0
        yield prefix + "mlp.gate_proj.weight", [INTERMEDIATE, HIDDEN], 1
        yield prefix + "mlp.up_proj.weight", [INTERMEDIATE, HIDDEN], 1
        yield prefix + "mlp.down_proj.weight", [HIDDEN, INTERMEDIATE], 1
    yield "model.norm.weight", [HIDDEN], 0
    # Far-apart scores: greedy choices must not hang on the last bits of a batched sum.
    yield "lm_head.weight", [tokens, HIDDEN], 4


def write_weights(path: pathlib.Path, tokens: int, seed: int) -> int:
    chance = random.Random(seed)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = bytearray()
    for name, shape, gain in tensors(tokens):
        start = len(body)
        body += weights(chance, shape, gain)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(body)]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + body)
    return len(body) // 4


def weights(chance: random.Random, shape: list[int], gain: float) -> bytes:
    """Uniform values, not normal ones: a logarithm may differ between machines."""
    bound = gain * math.sqrt(3 / shape[-1])
    values = array.array(
        "f",
        (bound * (2 * chance.random() - 1) if gain else 1.0 for _ in range(math.prod(shape))),
    )
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


if __name__ == "__main__":
    main()
