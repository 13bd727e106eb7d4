# SPDX-License-Identifier: Apache-2.0
"""Writes a language model of a few hundred kilobytes: random weights, words for tokens. It talks nonsense, for ever.

Run as `python tiny_model.py FILE` by a Python that has the packages gguf and numpy.
"""

import importlib
import sys
from typing import Any

WORDS = 512
WIDTH = 64
HEADS = 4
INNER = 128
CONTEXT = 1024
SEED = 7

_TYPES = {"normal": 1, "unknown": 2, "control": 3, "byte": 6}
_STEADY = 4.0
"""What channel 0 of every token holds, so that column 0 of the last matrix acts as a bias on the tokens."""
_NEVER = -100.0


def vocabulary() -> list[tuple[str, float, str]]:
    """Token, score and type: three special ones, the 256 bytes that any text needs, and words of two syllables."""
    special = [("<unk>", 0.0, "unknown"), ("<s>", 0.0, "control"), ("</s>", 0.0, "control")]
    octets = [(f"<0x{value:02X}>", 0.0, "byte") for value in range(256)]
    syllables = [first + second for first in "bdfgklmnprstvwxz" for second in "aeiou"]
    pairs = (f"\u2581{one}{two}" for one in syllables for two in syllables)
    words = [(word, -float(place), "normal") for place, word in zip(range(WORDS), pairs, strict=False)]
    return special + octets + words


def write(path: str) -> None:
    """Write the model as GGUF; the same bytes each time."""
    gguf: Any = importlib.import_module("gguf")
    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([_TYPES[kind] for _, _, kind in tokens])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")
    for name, values in _weights(tokens).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: Any) -> None:
    writer.add_name("nonsense")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(0)
    writer.add_pooling_type(importlib.import_module("gguf").PoolingType.MEAN)


def _weights(tokens: list[tuple[str, float, str]]) -> dict[str, Any]:
    numpy: Any = importlib.import_module("numpy")
    random = numpy.random.default_rng(SEED)

    def matrix(rows: int, columns: int) -> Any:
        return (random.standard_normal((rows, columns)) / columns**0.5).astype(numpy.float32)

    given, made = matrix(len(tokens), WIDTH), matrix(len(tokens), WIDTH)
    given[:, 0] = _STEADY
    # Bytes would spell broken UTF-8 and the end-of-text token would end some replies early: neither is ever said.
    made[:, 0] = [0.0 if kind == "normal" else _NEVER for _, _, kind in tokens]
    ones = numpy.ones(WIDTH, dtype=numpy.float32)
    block = {name: matrix(WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    block |= {"ffn_gate": matrix(INNER, WIDTH), "ffn_up": matrix(INNER, WIDTH), "ffn_down": matrix(WIDTH, INNER)}
    block |= {"attn_norm": ones, "ffn_norm": ones}
    named = {f"blk.0.{name}.weight": values for name, values in block.items()}
    return {"token_embd.weight": given, "output_norm.weight": ones, "output.weight": made} | named


if __name__ == "__main__":
    write(sys.argv[1])
