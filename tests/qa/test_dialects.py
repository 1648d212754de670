"""The real Hugging Face client works here unchanged, on a real server."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from services.qa.app import create_app
from services.qa.model import Reader
from services.qa.settings import Settings
from tests.serving import on_a_port
from tests.text_models import FakeText, reads

CONTEXT = "👩‍👩‍👧 cafe\u0301: мост открыли в 1894, школу в 1901 году."
NO_NUMBER = "Nothing of interest happened that day."


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with on_a_port(create_app(Settings(), Reader(FakeText(reads, name="reads")))) as address:
        yield address


@pytest.fixture
def hub(address: str) -> InferenceClient:
    return InferenceClient(model=f"{address}/hf/question-answering", token="hf_secret")


def ask(hub: InferenceClient, context: str = CONTEXT, **parameters: Any) -> Any:
    return hub.question_answering(question="Когда?", context=context, **parameters)


def test_the_hubs_client_gets_one_answer_as_an_object_with_its_place(hub: InferenceClient):
    found = ask(hub)
    assert found.answer == "1901"
    assert CONTEXT[found.start : found.end] == found.answer
    assert 0 < found.score < 1


def test_the_hubs_client_gets_several_answers_as_a_list(hub: InferenceClient):
    found = ask(hub, top_k=2)
    assert [one.answer for one in found] == ["1901", "1894"]
    assert all(CONTEXT[one.start : one.end] == one.answer for one in found)


def test_no_answer_is_empty_when_it_may_be_and_a_guess_when_not(hub: InferenceClient):
    nothing = ask(hub, NO_NUMBER, handle_impossible_answer=True)
    assert (nothing.answer, nothing.start, nothing.end) == ("", 0, 0)
    assert nothing.score > 0.9
    assert ask(hub, NO_NUMBER).answer


def test_an_answer_may_be_kept_short(hub: InferenceClient):
    # Random spans of fakes are long; with one token, only the widening to whole words is left.
    assert len(ask(hub, NO_NUMBER, max_answer_len=1).answer.split()) == 1
    assert len(ask(hub, "1 2 3", max_answer_len=1).answer) == 1


def test_what_is_the_services_own_matter_is_let_pass(hub: InferenceClient):
    found = ask(hub, doc_stride=64, max_seq_len=256, max_question_len=32, align_to_words=True)
    assert found.answer == "1901"


def test_the_hubs_client_shows_why_it_was_refused(hub: InferenceClient):
    with pytest.raises(HfHubHTTPError, match="answers are whole words"):
        ask(hub, align_to_words=False)
    with pytest.raises(HfHubHTTPError, match="must not be blank") as refused:
        ask(hub, "  ")
    assert refused.value.response is not None
    assert refused.value.response.json().keys() == {"error"}


def test_a_parameter_that_is_not_known_is_refused(address: str):
    inputs = {"question": "When?", "context": CONTEXT}
    body = {"inputs": inputs, "parameters": {"topk": 2}}
    answer = httpx2.post(f"{address}/hf/question-answering", json=body, trust_env=False)
    assert answer.status_code == 422
    assert "topk" in answer.json()["error"]


def test_the_document_shows_the_dialect_with_an_example(address: str):
    document = httpx2.get(f"{address}/openapi.json", trust_env=False).json()
    operation = document["paths"]["/hf/question-answering"]["post"]
    assert document["components"]["schemas"]["AnswerRequest"]["example"]["inputs"]["question"]
    assert operation["responses"]["200"]["content"]["application/json"]["example"]["answer"]
    assert list(operation["responses"]["default"]["content"]) == ["application/json"]
