"""Build the pipeline's tokenizer: one token per known word, syllables and bytes for the rest."""

import random
import re
from itertools import pairwise

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.imagegen.captions import LANGUAGES, syllables
from training.imagegen.forms import WORD, lemmas, near_words
from training.imagegen.networks import MAX_TOKENS
from training.imagegen.scenes import sample_scene

SEED = 7
SCENES = 80_000  # said to find the words; rare forms turn up late
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
LETTERS = "абвгдеёжзийклмнопрстуфхцчшщъыьэюя" + "áéíñóúü"

Merge = tuple[str, str]


def known_words(scenes: int) -> list[str]:
    """Collect every word that the captions use: those of many scenes, and all forms of each."""
    dice = random.Random(SEED)
    words = {form for forms in lemmas() for form in forms}
    for _ in range(scenes):
        scene = sample_scene(dice)
        for say in LANGUAGES.values():
            words.update(re.findall(WORD, say(scene, dice, dice.random() < 0.6)))
    return sorted(words)


def served_words(scenes: int = SCENES) -> list[str]:
    """Return the known words without those that only resemble something the model draws."""
    near = near_words()
    return [word for word in known_words(scenes) if word not in near]


def build_tokenizer(scenes: int = SCENES) -> CLIPTokenizer:
    """Build a CLIP tokenizer whose prompts are 32 tokens long at most."""
    merges = word_merges(known_words(scenes))
    merges += [merge for merge in spelling_merges() if merge not in set(merges)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    tokens += [first + second for first, second in merges]
    tokens = [*dict.fromkeys(tokens), START, END]
    return CLIPTokenizer(
        vocab={token: place for place, token in enumerate(tokens)},
        merges=merges,
        model_max_length=MAX_TOKENS,
    )


def word_merges(words: list[str]) -> list[Merge]:
    """Learn merges until every word is one token."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=100_000, end_of_word_suffix=WORD_END, show_progress=False
    )
    tokenizer.train_from_iterator(words, trainer)
    merges = re.findall(r'\[\s*"([^"]+)",\s*"([^"]+)"\s*\]', tokenizer.to_str())
    return [(first, second) for first, second in merges]


def spelling_merges() -> list[Merge]:
    """List the merges that keep letters beyond ASCII and syllables in one piece.

    An unknown Russian word would otherwise take two tokens per letter and push the known words
    out of the 32 that the text encoders read.
    """
    merges: list[Merge] = []
    for letter in LETTERS:
        first, second = byte_letters(letter)
        merges += [(first, second), (first, second + WORD_END)]
    for syllable in syllables():
        letters = ["".join(byte_letters(letter)) for letter in syllable]
        for first, second in pairwise(letters):
            merges += [(first, second), (first, second + WORD_END)]
    return merges


def byte_letters(text: str) -> list[str]:
    """Spell a text in the printable stand-ins that byte-level BPE uses for bytes."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return list(level.pre_tokenize_str(text)[0][0])
