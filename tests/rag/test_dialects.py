"""Other systems' clients embed and rerank here unchanged: OpenAI's and Hugging Face's own, TEI's by its JSON."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from pydantic import SecretStr

from services.rag.app import create_app
from services.rag.settings import Settings
from tests.rag.support import DIMENSIONS, HashEmbedder, fake_qa
from tests.serving import on_a_port
from tests.support import Network

TEXTS = ["cats hunt mice", "dogs bark", "cats sleep"]


def own(texts: list[str]) -> np.ndarray[Any, Any]:
    return np.stack(HashEmbedder().embed(texts))


@pytest.fixture(scope="module")
def address(database_url: str) -> Iterator[str]:
    settings = Settings(database_url=SecretStr(database_url), qa_url="http://qa")
    with on_a_port(create_app(settings, HashEmbedder(), Network({"qa": fake_qa({})}))) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address, trust_env=False) as client:
        yield client


@pytest.fixture
def sdk(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


def hub(address: str, path: str) -> InferenceClient:
    return InferenceClient(model=f"{address}/hf/{path}", token="hf_secret")


def test_openais_client_gets_its_vectors_as_base64_and_as_numbers(sdk: openai.OpenAI):
    usual = sdk.embeddings.create(model="any", input=TEXTS)
    numbers = sdk.embeddings.create(model="any", input=TEXTS, encoding_format="float")
    assert np.allclose([one.embedding for one in usual.data], own(TEXTS), atol=1e-6)
    assert np.allclose([one.embedding for one in numbers.data], own(TEXTS), atol=1e-6)
    assert [one.index for one in usual.data] == [0, 1, 2]
    assert usual.model == "hash@1"
    assert usual.usage.prompt_tokens == usual.usage.total_tokens > 0


def test_openais_client_asks_for_base64_unless_told_otherwise(client: httpx2.Client):
    body = {"input": "cats", "encoding_format": "base64"}
    raw = client.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    assert np.allclose(np.frombuffer(base64.b64decode(raw), "<f4"), own(["cats"])[0])


def test_fewer_dimensions_are_the_first_ones_at_unit_length(sdk: openai.OpenAI):
    found = sdk.embeddings.create(model="any", input="cats hunt", dimensions=8)
    vector = np.array(found.data[0].embedding)
    first = own(["cats hunt"])[0][:8]
    assert np.allclose(vector, first / np.linalg.norm(first), atol=1e-6)
    with pytest.raises(openai.UnprocessableEntityError, match=f"have {DIMENSIONS}"):
        sdk.embeddings.create(model="any", input="cats", dimensions=DIMENSIONS + 1)


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_in_openais_words(sdk: openai.OpenAI, ids: Any):
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        sdk.embeddings.create(model="any", input=ids)
    assert refused.value.param == "input"
    assert "another tokenizer" in refused.value.message


BAD_EMBEDDINGS = [
    {},
    {"input": ""},
    {"input": " "},
    {"input": []},
    {"input": ["a", ""]},
    {"input": ["a"] * 1025},
    {"input": [["a"]]},
    {"input": "a", "dimensions": 0},
    {"input": "a", "encoding_format": "hex"},
]


@pytest.mark.parametrize("body", BAD_EMBEDDINGS)
def test_a_bad_request_for_embeddings_is_refused(client: httpx2.Client, body: dict[str, Any]):
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 422
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_the_hubs_client_extracts_features(address: str):
    features = hub(address, "feature-extraction").feature_extraction("cats hunt mice")
    assert np.allclose(features, own(["cats hunt mice"]), atol=1e-6)


def test_the_hubs_client_may_say_how(address: str):
    found = hub(address, "feature-extraction").feature_extraction(
        "cats hunt mice", normalize=True, truncate=True, dimensions=8
    )
    assert found.shape == (1, 8)
    with pytest.raises(HfHubHTTPError, match="prompt"):
        hub(address, "feature-extraction").feature_extraction("cats", prompt_name="query")


def test_the_hubs_client_compares_sentences(address: str):
    scores = hub(address, "sentence-similarity").sentence_similarity(
        TEXTS[0], other_sentences=[TEXTS[1], TEXTS[2]]
    )
    vectors = own(TEXTS)
    assert np.allclose(scores, vectors[1:] @ vectors[0], atol=1e-6)


def test_a_bad_request_of_the_hubs_client_says_why(address: str):
    with pytest.raises(HfHubHTTPError, match="blank"):
        hub(address, "sentence-similarity").sentence_similarity("a", other_sentences=[" "])


def test_tei_embeds_one_text_or_several(client: httpx2.Client):
    one = client.post("/embed", json={"inputs": TEXTS[0]}).json()
    several = client.post(
        "/embed", json={"inputs": TEXTS, "truncate": True, "truncation_direction": "Right"}
    ).json()
    assert np.allclose(one, own(TEXTS[:1]), atol=1e-6)
    assert np.allclose(several, own(TEXTS), atol=1e-6)


def test_tei_reranks_by_meaning_while_no_cross_encoder_is_set(client: httpx2.Client):
    body = {"query": "cats", "texts": [TEXTS[1], TEXTS[0]], "return_text": True}
    ranks = client.post("/rerank", json=body).json()
    assert [rank["index"] for rank in ranks] == [1, 0]
    assert ranks[0]["text"] == TEXTS[0]
    assert ranks[0]["score"] > ranks[1]["score"]
    plain = client.post("/rerank", json={"query": "cats", "texts": ["dogs"]}).json()
    assert set(plain[0]) == {"index", "score"}


def test_tei_compares_sentences(client: httpx2.Client):
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    found = client.post("/similarity", json={"inputs": inputs, "parameters": {"truncate": True}})
    vectors = own(TEXTS)
    assert np.allclose(found.json(), vectors[1:] @ vectors[0], atol=1e-6)


BAD_TEI = [
    ("/embed", {"inputs": []}, 400, "Empty"),
    ("/rerank", {"query": "a", "texts": []}, 400, "Empty"),
    ("/embed", {"inputs": [1, 2]}, 422, "Tokenizer"),
    ("/embed", {"inputs": "a", "normalize": False}, 422, "Validation"),
    ("/embed", {"inputs": "a", "prompt_name": "query"}, 422, "Validation"),
    ("/embed", {"inputs": ""}, 422, "Validation"),
    ("/rerank", {"query": "a", "texts": ["b"], "raw_scores": True}, 422, "Validation"),
    ("/similarity", {"inputs": {"source_sentence": "a"}}, 422, "Validation"),
]


@pytest.mark.parametrize(("path", "body", "status", "kind"), BAD_TEI)
def test_teis_refusals_have_its_shape(
    client: httpx2.Client, path: str, body: dict[str, Any], status: int, kind: str
):
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error_type"] == kind


def test_an_embedder_that_fails_is_no_internal_error_of_its_caller(client: httpx2.Client):
    answer = client.post("/embed", json={"inputs": "poison"})
    assert answer.status_code >= 500
    assert "ValueError" not in answer.text


def test_teis_clients_find_the_health_where_they_look(client: httpx2.Client):
    assert client.get("/health").status_code == 200
