"""Every form of every word that the captions decline, and what a rare form means."""

import re
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPTokenizer

from training.imagegen import english, russian, russian_words, spanish
from training.imagegen.declension import ADJECTIVES, CASES, Noun, decline
from training.imagegen.start import EMBEDDING

# Words of sceneries that name nothing by themselves.
UNNAMING = {"the", "una", "las", "los", "blue", "green", "azul", "verde", "голубое"}
RARE = 60  # occurrences in the training captions below which a form's own embedding is noise
WORD = r"[^\W\d_]+"


def lemmas() -> list[set[str]]:
    """Return the forms of each noun and adjective, as single words."""
    found = [russian_forms(noun) for noun in russian_nouns()]
    found += [spelt_both_ways(adjective_forms(stem)) for stem in russian_stems()]
    for table in (english.NOUNS, english.NEAR):
        found += [
            words_of([noun, english.plural(noun)]) for nouns in table.values() for noun in nouns
        ]
    for table in (spanish.NOUNS, spanish.NEAR):
        names = [spanish.parsed(noun)[0] for nouns in table.values() for noun in nouns]
        found += [words_of([name, spanish.plural(name)]) for name in names]
    for adjective in {w for ws in spanish_adjectives() for w in ws}:
        genders = (False, True)
        found.append({spanish.agree(adjective, f, plural=p) for f in genders for p in genders})
    return found


def words_of(phrases: Iterable[str]) -> set[str]:
    """Split phrases into words."""
    return {word for phrase in phrases for word in re.findall(WORD, phrase)}


def russian_nouns() -> list[Noun]:
    """List every Russian noun."""
    tables = (russian_words.NOUNS, russian_words.NEAR)
    return [noun for table in tables for nouns in table.values() for noun in nouns]


def russian_forms(noun: Noun) -> set[str]:
    """Return a noun's forms, also with е for ё."""
    return spelt_both_ways({*noun.forms, *noun.plurals})


def spelt_both_ways(words: set[str]) -> set[str]:
    """Add the spelling without ё."""
    return words | {word.replace("ё", "е") for word in words}


def russian_stems() -> set[str]:
    """Return the stems of all Russian adjectives."""
    tables = (*russian.COLOURS.values(), *russian.SIZES.values(), russian.PRAISE)
    return {stem for stems in tables for stem in stems}


def adjective_forms(stem: str) -> set[str]:
    """Return a Russian adjective's forms."""
    return {decline(stem, gender, case) for gender in ADJECTIVES for case in range(CASES)}


def spanish_adjectives() -> list[tuple[str, ...]]:
    """List the tables of Spanish adjectives."""
    return [*spanish.COLOURS.values(), *spanish.SIZES.values(), spanish.PRAISE]


def near_words() -> set[str]:
    """Return the words for things that are not drawn, only what is near to them."""
    found = {word for nouns in english.NEAR.values() for word in nouns}
    found |= {spanish.parsed(noun)[0] for nouns in spanish.NEAR.values() for noun in nouns}
    nouns = [noun for nouns in russian_words.NEAR.values() for noun in nouns]
    near = found.union(*(russian_forms(noun) for noun in nouns))
    near |= {english.plural(word) for word in found} | {spanish.plural(word) for word in found}
    drawn = [noun for nouns in russian_words.NOUNS.values() for noun in nouns]
    return near - {form for noun in drawn for form in russian_forms(noun)}


@torch.no_grad()
def subjects() -> set[str]:
    """Return every form of the words that name what is drawn: shapes, objects and sceneries."""
    found = {word for nouns in english.NOUNS.values() for word in nouns}
    found |= {english.plural(noun) for noun in found}
    names = {spanish.parsed(noun)[0] for nouns in spanish.NOUNS.values() for noun in nouns}
    found |= names | {spanish.plural(name) for name in names}
    for nouns in russian_words.NOUNS.values():
        found |= {form for noun in nouns for form in russian_forms(noun)}
    sceneries = (*english.ALONE.values(), *spanish.ALONE.values())
    found |= {phrase for phrases in sceneries for phrase in phrases}
    found |= {form for pairs in russian.ALONE.values() for pair in pairs for form in pair}
    return {word for word in words_of(found) if len(word) > 2} - UNNAMING - near_words()


@torch.no_grad()
def give_rare_forms_their_meaning(
    encoder: nn.Module, tokenizer: CLIPTokenizer, counts: NDArray[np.int64]
) -> int:
    """Set the embedding of each rare form to the mean of its word's other forms; returns how many.

    `counts` says how often each token number occurs in the training captions.
    """
    name = next(name for name, _ in encoder.named_parameters() if name.endswith(EMBEDDING))
    table = encoder.get_parameter(name)
    changed = 0
    for forms in lemmas():
        numbers = [tokenizer(form)["input_ids"][1] for form in sorted(forms)]
        common = [number for number in numbers if counts[number] >= RARE]
        rare = [number for number in numbers if counts[number] < RARE]
        if common and rare:
            table[rare] = table[common].mean(dim=0)
            changed += len(rare)
    return changed
