"""The phrases that the router learns from are many and varied."""

import re
from pathlib import Path

import pytest

from training.gateway.grammar import CHOICE, OPTIONAL, Grammar

PHRASES = Path(__file__).parents[2] / "training" / "gateway" / "phrases"
INTENTS = ("draw", "blend", "classify", "answer", "ask", "write", "chat", "other")


def wordings(template: str) -> set[str]:
    """Return what a template can say, its word lists left as they are."""
    if found := OPTIONAL.search(template):
        before, after = template[: found.start()], template[found.end() :]
        return wordings(before + found[1] + after) | wordings(before + after)
    if found := CHOICE.search(template):
        before, after = template[: found.start()], template[found.end() :]
        return set().union(*(wordings(before + some + after) for some in found[1].split("|")))
    return {" ".join(template.split())}


@pytest.mark.parametrize("language", ["en", "es", "ru"])
@pytest.mark.parametrize("intent", INTENTS)
def test_every_intent_is_said_in_at_least_300_ways_and_100_templates(language, intent):
    templates = Grammar.read(PHRASES / f"{language}.toml").intents[intent]
    assert len(set(templates)) >= 100
    assert len(set().union(*map(wordings, templates))) >= 300


@pytest.mark.parametrize("language", ["en", "es", "ru"])
def test_no_template_keeps_a_mark_of_the_grammar(language):
    grammar = Grammar.read(PHRASES / f"{language}.toml")
    for templates in grammar.intents.values():
        for template in templates:
            for said in wordings(template):
                assert set(re.findall(r"\{(\w+)\}", said)) <= set(grammar.lists)
