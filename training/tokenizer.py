"""A CLIP tokenizer whose words are those of the captions; every other text falls apart into letters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

END = "</w>"
START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"
MORE_THAN_ENOUGH = 100_000  # entries: all merges that the captions yield


def build_tokenizer(texts: Iterable[str], length: int) -> CLIPTokenizer:
    """Byte-level BPE (Radford et al., 2019) with one token for each word of ``texts`` and for each byte.

    ``length`` is the number of tokens of a prompt, its two ends included.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    learner = Tokenizer(models.BPE(end_of_word_suffix=END))
    learner.pre_tokenizer = pre_tokenizers.Whitespace()
    words = sorted({word for text in texts for word in text.lower().split()})  # each once: the result is its own reason
    trainer = trainers.BpeTrainer(
        vocab_size=MORE_THAN_ENOUGH, min_frequency=1, end_of_word_suffix=END, show_progress=False
    )
    learner.train_from_iterator(words, trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*letters, *(letter + END for letter in letters), *("".join(pair) for pair in merges)]
    entries = list(dict.fromkeys([*entries, START_TOKEN, END_TOKEN]))
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """As ``save_pretrained``, and ``vocab.json`` with ``merges.txt``, which older versions of transformers read."""
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False) + "\n", encoding="utf-8")
    merges = "".join(f"{first} {second}\n" for first, second in model["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
