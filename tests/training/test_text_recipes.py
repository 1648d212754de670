"""The text recipes run from raw files to a measured model; what they publish is what was trained."""

import gzip
import json
import random
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from services.qa.calibration import Calibration
from training.classifier import evaluate as classifier_evaluate
from training.classifier import train as classifier_train
from training.exported import open_model
from training.minilm import MiniLM
from training.qa import calibrate as qa_calibrate
from training.qa import evaluate as qa_evaluate
from training.qa import train as qa_train
from training.qa.data import Example
from training.qa.scores import exact, f1
from training.qa.tokenizer import transliterating_tokenizer
from training.qa.windows import encode, training_window, windows
from training.recipe import save

WORDS = {
    "en": [
        "river",
        "stone",
        "bridge",
        "winter",
        "garden",
        "letter",
        "music",
        "soldier",
        "harvest",
        "morning",
        "castle",
        "paper",
    ],
    "es": [
        "río",
        "piedra",
        "puente",
        "invierno",
        "jardín",
        "carta",
        "música",
        "soldado",
        "cosecha",
        "mañana",
        "castillo",
        "papel",
    ],
    "ru": [
        "река",
        "камень",
        "мост",
        "зима",
        "сад",
        "письмо",
        "музыка",
        "солдат",
        "урожай",
        "утро",
        "замок",
        "бумага",
    ],
}


@pytest.fixture(scope="session")
def emotion_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("goemotions")
    (folder / "labels.txt").write_text("joy\nfear\nneutral")
    draw = random.Random(1)
    for split in ("train", "dev", "test"):
        rows = [f"{' '.join(draw.choices(WORDS['en'], k=6))}\t{n % 3}\tid{n}" for n in range(64)]
        (folder / f"goemotions_{split}.tsv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    return folder


@pytest.fixture(scope="session")
def question_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    (folder / "qa").mkdir()
    (folder / "xquad").mkdir()
    for name in (*qa_train.MIX, "en_tydiqa_goldp_dev"):
        rows = [question(name, n) for n in range(96 if name.startswith("ru") else 16)]
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / "qa" / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    for lang in WORDS:
        asked = [question(lang, n) for n in range(8)]
        paragraphs = [{"context": row["context"], "qas": [row]} for row in asked]
        articles = [{"title": "A", "paragraphs": paragraphs[:4]}]
        squad = {"data": [*articles, {"title": "B", "paragraphs": paragraphs[4:]}]}
        (folder / "xquad" / f"xquad.{lang}.json").write_text(json.dumps(squad))
    return folder


def question(name: str, number: int) -> dict[str, Any]:
    lang = name[:2]
    year, words = str(1500 + number), WORDS[lang] * 2
    context = f"{' '.join(words[number % 12 :][:9])} {number} {year} {' '.join(words[:9])}."
    answer = {"text": year, "answer_start": context.index(year)}
    made = {"id": f"{name}{number}", "lang": lang, "source": name, "title": f"{number % 4}"}
    return {**made, "context": context, "question": f"{words[number % 12]}?", "answers": [answer]}


def test_the_emotion_recipe_runs_from_files_to_a_measured_int8_graph(emotion_data, tmp_path):
    classifier_train.main(["--data", str(emotion_data), "--out", str(tmp_path), "--tiny"])
    classifier_evaluate.main(
        ["--data", str(emotion_data), "--model", str(tmp_path), "--tiny", "--fit"]
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["onnx-int8"]["test"]["rows"] == 64
    assert 0 <= report["onnx-int8"]["test"]["calibrated"]["macro_f1"] <= 1
    assert list(json.loads((tmp_path / "thresholds.json").read_text())) == [
        "joy",
        "fear",
        "neutral",
    ]
    assert json.loads((tmp_path / "config.json").read_text())["id2label"]["1"] == "fear"


def test_the_question_recipe_runs_from_files_to_a_measured_int8_graph(question_data, tmp_path):
    qa_train.main(["--data", str(question_data), "--out", str(tmp_path), "--tiny"])
    qa_evaluate.main(["--data", str(question_data), "--model", str(tmp_path), "--tiny", "--fit"])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["onnx-int8"]["xquad_ru"]["rows"] == 8
    assert 0 <= report["onnx-int8"]["xquad_ru"]["auroc"] <= 1
    assert isinstance(
        json.loads((tmp_path / "config.json").read_text())["no_answer_threshold"], float
    )
    qa_calibrate.main(["--data", str(question_data), "--model", str(tmp_path), "--tiny", "--fit"])
    fitted = json.loads((tmp_path / "config.json").read_text())["score_calibration"]
    assert {len(values) for values in fitted.values()} == {2}
    report = json.loads((tmp_path / "report.json").read_text())
    assert 0 <= report["calibration"]["ru"]["xquad_other_half"]["ece_of_scores"] <= 1
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.encode("год", add_special_tokens=False).tokens == ["god"]


@pytest.mark.parametrize(("head", "size", "pooling"), [("classify", 5, "mean"), ("span", 2, None)])
def test_the_exported_graph_gives_the_logits_of_the_trained_model(head, size, pooling, tmp_path):
    torch.manual_seed(3)
    model = MiniLM(size, pooling)
    for name, parameter in model.trained().items():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter, std=0.02)
    save(model, tmp_path, head, 64, transliterate=False)
    (tmp_path / "config.json").write_text("{}")
    ids = torch.randint(1000, 20000, (3, 17))
    types = (torch.arange(17) > 8).long().expand(3, 17)
    mask = torch.arange(17) < torch.tensor([[17], [11], [4]])
    with torch.no_grad():
        variants = [
            open_model(tmp_path, variant, size, pooling)(ids, types.contiguous(), mask)
            for variant in ("torch-fp32", "onnx-fp32")
        ]
    real = mask if pooling is None else slice(None)
    torch.testing.assert_close(variants[0][real], variants[1][real], atol=2e-3, rtol=1e-3)


TOKENIZER = transliterating_tokenizer()
russian = st.text("абвгдежзийклмнопрстуфхцчшщъыьэюяёАБЩЮЯЁ", min_size=1, max_size=12)


@given(st.lists(russian, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_transliterated_tokens_still_point_into_the_russian_text(words):
    text = " ".join(words)
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    assert all(token.isascii() for token in tokens.tokens)
    assert all(0 <= first < last <= len(text) for first, last in tokens.offsets)
    assert all(" " not in text[first:last] for first, last in tokens.offsets)
    # Every word is covered by its tokens from its first sounding letter on; of a single consonant
    # with its soft sign only the sign is left, and serving widens it to the whole word.
    starts = {first for first, _ in tokens.offsets}
    sounding = [match.start() for match in re.finditer(r"\b(?!\wь\b)[^ъь ]", text)]
    assert starts.issuperset(sounding)


def test_a_soft_sign_at_the_end_belongs_to_the_answer():
    text = "Им было шесть лет, пришёл день и Нью-Йорк."
    example = Example("ru", "", "", text, "Сколько?", (("шесть", 8), ("день", 26), ("Нью", 33)))
    (row,) = encode(TOKENIZER, [example])
    found = [text[row.offsets[first][0] : row.offsets[last][1]] for first, last in row.spans]
    assert found == ["шесть", "день", "Нью"]


@given(st.integers(0, 300), st.integers(16, 80), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_a_training_window_holds_the_whole_answer(position, length, seed):
    context = " ".join(f"word{n}" if n != position else "answer" for n in range(301))
    example = Example("en", "", "", context, "which?", (("answer", context.index("answer")),))
    (row,) = encode(TOKENIZER, [example])
    cut = training_window(row, length, random.Random(seed))
    first, last = cut.target
    assert len(cut.ids) <= length
    assert TOKENIZER.decode(cut.ids[first : last + 1]) == "answer"


def test_windows_cover_the_whole_context():
    context = " ".join(str(n) for n in range(400))
    (row,) = encode(TOKENIZER, [Example("en", "", "", context, "which?", ())])
    covered = {
        n for w in windows(row, 64, 16) for n in range(w.start, w.start + len(w.ids) - w.first - 1)
    }
    assert covered == set(range(len(row.context)))


def test_articles_case_and_punctuation_do_not_count():
    assert exact("The Cat!", ["cat"], "en") == 1
    assert exact("Los gatos", ["gatos"], "es") == 1
    assert exact("The cat", ["cat"], "es") == 0
    assert f1("red cat", ["a cat", "blue dog"], "en") == pytest.approx(2 / 3)


def test_scores_that_hold_what_they_promise_have_no_calibration_error():
    scores = np.array([0.75] * 4 + [0.25] * 4)
    right = np.array([1, 1, 1, 0, 0, 0, 1, 0], dtype=float)
    assert qa_calibrate.calibration_error(scores, right) == pytest.approx(0)
    assert qa_calibrate.calibration_error(scores, 1 - right) == pytest.approx(0.5)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_of_one_kind_do_not_fit_certainty(right):
    judged = qa_calibrate.Judged(np.linspace(0.1, 0.9, 8), np.full(8, right))
    calibration = Calibration({"en": qa_calibrate.fit(judged)})
    assert 0.05 < calibration.score(0.5, "en") < 0.95
