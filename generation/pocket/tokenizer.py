"""The model's one vocabulary: CLIP's byte-level BPE, learnt from our own captions.

Words of the captions are whole tokens; all bytes are in the vocabulary, so that any other text tokenizes too.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from generation.pocket.captions import caption
from generation.pocket.scenes import sample_scene

CAPTIONS = 6000
# Enough for every word of the captions; nonsense words stay below the frequency and are spelled in pieces.
MAXIMUM_TOKENS = 1600
MINIMUM_FREQUENCY = 8
WORD_END = "</w>"
SPECIAL_TOKENS = ("<|startoftext|>", "<|endoftext|>")


def build_tokenizer(seed: int = 1) -> CLIPTokenizer:
    """Learn the vocabulary; the same seed gives the same vocabulary."""
    rng = random.Random(seed)
    captions = [caption(sample_scene(rng), rng).lower() for _ in range(CAPTIONS)]
    captions += [
        caption(sample_scene(rng, style=style), rng).lower() for style in ("neon", "blueprint") for _ in range(200)
    ]
    clip = CLIPTokenizer()._tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    learner.normalizer, learner.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(
        captions,
        trainers.BpeTrainer(
            vocab_size=MAXIMUM_TOKENS,
            min_frequency=MINIMUM_FREQUENCY,
            special_tokens=[],
            initial_alphabet=alphabet,
            end_of_word_suffix=WORD_END,
            show_progress=False,
        ),
    )
    merges = [(first, second) for first, second in json.loads(learner.to_str())["model"]["merges"]]
    # In CLIP's order: bytes, bytes that end a word, merges, special tokens.
    words = [*alphabet, *(byte + WORD_END for byte in alphabet), *(a + b for a, b in merges), *SPECIAL_TOKENS]
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Save in transformers' layout, with the older `vocab.json` and `merges.txt` that other programs read."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer._tokenizer.to_str())["model"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")


def work_tokenizer(work: Path) -> CLIPTokenizer:
    """The tokenizer of a training, made at its first start and kept: weights belong to one vocabulary."""
    folder = work / "tokenizer"
    if not folder.exists():
        save_tokenizer(build_tokenizer(), folder)
    return CLIPTokenizer.from_pretrained(folder)
