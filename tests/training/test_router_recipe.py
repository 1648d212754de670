"""The router's recipe runs from the phrases alone, and what it writes is what the gateway serves."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from services.gateway.router import OTHER, Router, RouteRequest
from training.gateway import evaluate, prepare, train
from training.gateway.grammar import Grammar
from training.gateway.noise import roughen
from training.gateway.table import CUE_BOOST, Table, read

SHIPPED = Path(__file__).parents[2] / "models" / "router"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("router")
    prepare.main(["--out", str(folder), "--tiny"])
    train.main(["--corpus", str(folder / "corpus.tsv"), "--out", str(folder), "--tiny"])
    return folder


def test_the_tiny_recipe_makes_a_router_that_learned_most_of_its_phrases(trained):
    router = Router.load(trained)
    rows = [row for row in read(trained / "corpus.tsv") if row.intent != OTHER]
    requests = [RouteRequest(row.text, bool(row.has_context), row.images) for row in rows]
    hits = [
        router.route(request).intent == row.intent
        for request, row in zip(requests, rows, strict=True)
    ]
    assert np.mean(hits) > 0.5


def test_the_served_probabilities_are_those_that_were_trained(trained):
    rows = read(trained / "corpus.tsv")[:40]
    router = Router.load(trained)
    table = Table.of(rows, vocabulary=router.grams)
    x = table.features(router.idf.astype(np.float64))
    linear = x @ np.vstack([router.weights, router.cue_weights / CUE_BOOST])
    units = x @ np.vstack([router.hidden, router.cue_hidden / CUE_BOOST])
    scores = linear + np.maximum(units + router.hidden_bias, 0) @ router.out
    expected = train.softmax((scores + router.bias) / router.temperature)
    for row, right in zip(rows, expected, strict=True):
        request = RouteRequest(row.text, bool(row.has_context), row.images)
        served = router._probabilities(router._features(request))
        np.testing.assert_allclose(served, right, atol=1e-3)


def test_evaluation_counts_unclear_as_right_for_what_is_out_of_scope(tmp_path):
    model = tmp_path / "router"
    shutil.copytree(SHIPPED, model)
    rows = "language\tintent\ttext\nen\tdraw\tdraw a cat\nen\tother\tqzx wvk plj\n"
    (tmp_path / "test.tsv").write_text(rows)
    (tmp_path / "slots.tsv").write_text(
        "language\tintent\ttext\tslot\tvalue\nen\tdraw\tdraw a cat\tsubject\ta cat\n"
    )
    files = ["--test", str(tmp_path / "test.tsv"), "--slots", str(tmp_path / "slots.tsv")]
    evaluate.main(["--model", str(model), *files])
    report = json.loads((model / "report.json").read_text())
    assert report["test"]["by_intent"] == {"draw": 1.0, "other": 1.0}
    assert report["slots"]["subject"]["exact"] == 1.0


def test_no_template_of_dev_is_seen_in_training():
    grammar = Grammar.read(prepare.PHRASES / "en.toml")
    train_part, dev_part = grammar.of_split("train"), grammar.of_split("dev")
    for intent, templates in grammar.intents.items():
        assert set(train_part.intents[intent]) | set(dev_part.intents[intent]) == set(templates)
        assert not set(train_part.intents[intent]) & set(dev_part.intents[intent])


@pytest.mark.parametrize("language", prepare.LANGUAGES)
def test_every_template_can_be_filled_and_roughened(language):
    grammar, rng = Grammar.read(prepare.PHRASES / f"{language}.toml"), random.Random(1)
    for templates in grammar.intents.values():
        assert len(templates) >= 100
        for template in templates:
            text = roughen(grammar.expand(template, rng), language, rng)
            assert text.strip()
            assert "{" not in text
