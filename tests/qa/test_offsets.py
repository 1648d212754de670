"""Over HTTP, whatever is sent: `context[start:end] == text`, and answers are whole and distinct."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import httpx2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Encoding

from services.qa.app import create_app
from services.qa.model import Reader
from services.qa.settings import Settings
from services.qa.spans import whole_words
from tests.qa.test_spans import CONTEXTS
from tests.serving import on_a_port
from tests.text_models import FakeText, Output

# What breaks offsets: signs beyond 16 bits, marks, joiners, directions, what changes length in lower case.
HOSTILE = st.text(
    st.one_of(
        st.sampled_from("İıßŉǰΐﬃ\u0130\u212b\u0345\u1e9e\u0660\u06f1\u2167"),
        st.sampled_from("\u200b\u200c\u200d\u200e\u202e\u2066\ufeff\u00ad\u0000\u0007\x1f\u2028"),
        st.sampled_from("e\u0301\u0302\u0303\u20e3\ufe0f\ufe0e"),
        st.sampled_from("👩👧🏽🇺🇦❤🏴\U000e0067\U000e007f𝒳𐍈𠀀"),
        st.sampled_from("абвйёѐь щъ"),
        st.characters(codec="utf-8"),
    ),
    min_size=1,
    max_size=80,
)


def draws(windows: Sequence[Encoding]) -> Output:
    """Score at random, but always the same for the same window."""
    longest = max(map(len, windows))
    rows = np.zeros((2, len(windows), longest), dtype=np.float32)
    for number, window in enumerate(windows):
        dice = np.random.default_rng(zlib.crc32(repr(window.ids).encode()))
        rows[:, number, : len(window)] = dice.normal(0, 4, (2, len(window)))
    return {"start_logits": rows[0], "end_logits": rows[1]}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    reader = Reader(FakeText(draws, name="draws", max_length=64), overlap=8)
    with (
        on_a_port(create_app(Settings(), reader)) as address,
        httpx2.Client(base_url=address, trust_env=False) as client,
    ):
        yield client


@settings(max_examples=150, deadline=None)
@given(
    context=st.one_of(CONTEXTS, HOSTILE).filter(str.strip),
    question=st.one_of(st.just("Кто это?"), HOSTILE.map(lambda text: text[:12])).filter(str.strip),
    top_k=st.integers(1, 10),
)
def test_every_answer_is_the_context_between_its_offsets(
    client: httpx2.Client, context: str, question: str, top_k: int
):
    asked = {"question": question, "context": context, "top_k": top_k, "allow_no_answer": False}
    answer = client.post("/v1/answer", json=asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()["answers"]
    assert len(found) <= top_k
    for one in found:
        assert context[one["start"] : one["end"]] == one["text"] != ""
        assert whole_words(context, one["start"], one["end"]) == (one["start"], one["end"])
    places = sorted((one["start"], one["end"]) for one in found)
    assert all(left[1] <= right[0] for left, right in pairwise(places))
    body = {"inputs": {"question": question, "context": context}}
    best = client.post("/hf/question-answering", json=body).json()
    assert context[best["start"] : best["end"]] == best["answer"]
