"""Other systems' clients work here unchanged: the real Hugging Face client, and exact JSON for the others."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from services.classifier.app import create_app
from services.classifier.model import Classifier, ZeroShot
from services.classifier.settings import Settings
from tests.serving import on_a_port
from tests.text_models import MULTI_LABEL, FakeText, embeds, feels

SCORES = {"sadness": 0.982014, "joy": 0.982014, "neutral": 0.268941}
HAPPY = [
    {"label": "joy", "score": 0.982014},
    {"label": "neutral", "score": 0.268941},
    {"label": "sadness", "score": 0.017986},
]
LOGITS = [4.0, -1.0, -4.0]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    classifier = Classifier(FakeText(feels, MULTI_LABEL, name="someone/feels"))
    app = create_app(Settings(), classifier, ZeroShot(FakeText(embeds, name="embeds")))
    with on_a_port(app) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address, trust_env=False) as client:
        yield client


@pytest.fixture
def hub(address: str) -> InferenceClient:
    return InferenceClient(model=f"{address}/hf/text-classification", token="hf_secret")


def pairs(found: Any) -> list[tuple[str, float]]:
    return [(one.label, one.score) for one in found]


def test_the_hubs_client_gets_every_label_best_first(hub: InferenceClient):
    assert pairs(hub.text_classification("so happy")) == [
        (one["label"], one["score"]) for one in HAPPY
    ]


def test_the_hubs_client_may_ask_for_the_best_and_for_another_function(hub: InferenceClient):
    assert [name for name, _ in pairs(hub.text_classification("so happy", top_k=1))] == ["joy"]
    shares = hub.text_classification("so happy", function_to_apply="softmax")
    assert sum(one.score for one in shares) == pytest.approx(1, abs=1e-5)
    logits = hub.text_classification("so happy", function_to_apply="none")
    assert [one.score for one in logits] == LOGITS


def test_the_hubs_client_shows_why_it_was_refused(hub: InferenceClient):
    with pytest.raises(HfHubHTTPError, match="must not be blank") as refused:
        hub.text_classification("  ")
    assert refused.value.response is not None
    assert refused.value.response.json().keys() == {"error"}


def test_several_texts_get_a_list_each(client: httpx2.Client):
    body = {"inputs": ["so happy", "so sad"], "parameters": {"top_k": 1}, "options": {}}
    answer = client.post("/hf/text-classification", json=body)
    assert [[one["label"] for one in row] for row in answer.json()] == [["joy"], ["sadness"]]


@pytest.mark.parametrize("parameters", [{"top_k": 0}, {"topk": 1}, {"function_to_apply": "relu"}])
def test_a_parameter_that_cannot_be_followed_is_refused(
    client: httpx2.Client, parameters: dict[str, Any]
):
    body = {"inputs": "so happy", "parameters": parameters}
    answer = client.post("/hf/text-classification", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    (name,) = parameters
    assert name in answer.json()["error"]


def test_the_hubs_client_finds_labels_of_its_own(address: str):
    client = InferenceClient(model=f"{address}/hf/zero-shot-classification")
    found = client.zero_shot_classification("cook a meal", ["travel", "cook", "music"])
    assert found[0].label == "cook"
    assert sum(one.score for one in found) == pytest.approx(1, abs=1e-5)
    several = client.zero_shot_classification(
        "cook music",
        ["travel", "cook", "music"],
        multi_label=True,
        hypothesis_template="{}",
    )
    assert {one.label for one in several if one.score > 0.5} == {"cook", "music"}


def test_the_hubs_client_is_told_of_a_wrong_template(address: str):
    client = InferenceClient(model=f"{address}/hf/zero-shot-classification")
    with pytest.raises(HfHubHTTPError, match="template must contain"):
        client.zero_shot_classification("cook", ["travel"], hypothesis_template="about")


def test_the_hubs_client_finds_the_endpoints_health_and_info(address: str):
    client = InferenceClient(provider="hf-inference", model=address)
    assert client.health_check()
    info = client.get_endpoint_info()
    assert info["model_id"] == "someone/feels"
    assert info["model_type"] == {
        "classifier": {
            "id2label": {"0": "sadness", "1": "joy", "2": "neutral"},
            "label2id": {"sadness": 0, "joy": 1, "neutral": 2},
        }
    }
    assert info["max_client_batch_size"] == 64
    assert info["max_input_length"] == 128


TEI: dict[str, tuple[Any, Any]] = {
    "one text": ("so happy", HAPPY),
    "one text in a list": (["so happy"], HAPPY),
    "a pair": (["so", "happy"], HAPPY),
    "a batch": ([["so happy"], ["so happy"]], [HAPPY, HAPPY]),
    "a batch with a pair": ([["so happy"], ["so", "happy"]], [HAPPY, HAPPY]),
    "a batch of one": ([["so happy"]], [HAPPY]),
    "a batch of plain texts": (["so happy", ["so", "happy"]], [HAPPY, HAPPY]),
}


@pytest.mark.parametrize(("inputs", "expected"), TEI.values(), ids=TEI)
def test_tei_clients_get_tei_shapes(client: httpx2.Client, inputs: Any, expected: Any):
    answer = client.post("/predict", json={"inputs": inputs})
    assert (answer.status_code, answer.json()) == (200, expected)


def test_tei_clients_may_ask_for_raw_scores(client: httpx2.Client):
    body = {"inputs": "so happy", "raw_scores": True, "truncate": True}
    answer = client.post("/predict", json=body)
    assert [one["score"] for one in answer.json()] == LOGITS


BAD_TEI: dict[str, tuple[Any, int, str]] = {
    "nothing": ({"inputs": []}, 400, "Empty"),
    "no inputs": ({}, 422, "Validation"),
    "three texts in a row": ({"inputs": [["a", "b", "c"]]}, 422, "Validation"),
    "a blank text": ({"inputs": " "}, 422, "Validation"),
    "too many": ({"inputs": [["a"]] * 65}, 422, "Validation"),
}


@pytest.mark.parametrize(("body", "status", "kind"), BAD_TEI.values(), ids=BAD_TEI)
def test_tei_clients_are_refused_in_teis_words(
    client: httpx2.Client, body: Any, status: int, kind: str
):
    answer = client.post("/predict", json=body)
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "error_type"}
    assert answer.json()["error_type"] == kind


def test_a_pair_whose_first_text_leaves_no_room_is_refused(client: httpx2.Client):
    answer = client.post("/predict", json={"inputs": ["word " * 200, "happy"]})
    assert answer.status_code == 422
    assert "at most 117" in answer.json()["error"]


def test_the_second_text_of_a_pair_is_read_to_its_end(client: httpx2.Client):
    body = {"texts": [["What is it like?", "word " * 600 + "happy"]]}
    (result,) = client.post("/v1/classify", json=body).json()["results"]
    assert result["labels"] == ["joy"]
    assert result["windows"] > 5


def test_oip_describes_the_server_and_the_model(client: httpx2.Client):
    assert client.get("/v2").json().keys() == {"name", "version", "extensions"}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    described = {
        "name": "someone/feels",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "labels", "datatype": "BYTES", "shape": [3]},
        ],
    }
    for path in ("someone/feels", "feels", "feels/versions/1"):
        assert client.get(f"/v2/models/{path}").json() == described
        ready = client.get(f"/v2/models/{path}/ready").json()
        assert ready == {"name": "someone/feels", "ready": True}


TEXT = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["so happy", "so sad"]}
FEELINGS = {
    "name": "scores",
    "shape": [2, 3],
    "datatype": "FP32",
    "data": [0.017986, 0.982014, 0.268941, 0.982014, 0.017986, 0.268941],
}
NAMES = {
    "name": "labels",
    "shape": [3],
    "datatype": "BYTES",
    "data": ["sadness", "joy", "neutral"],
}


def infer(client: httpx2.Client, path: str = "feels", **body: Any) -> Any:
    answer = client.post(f"/v2/models/{path}/infer", json={"inputs": [TEXT], **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_oip_infers_row_by_row_and_echoes_the_id(client: httpx2.Client):
    assert infer(client, id="42") == {
        "model_name": "someone/feels",
        "model_version": "1",
        "id": "42",
        "outputs": [FEELINGS, NAMES],
    }
    assert "id" not in infer(client, "someone/feels/versions/1")


def test_oip_returns_only_the_outputs_that_are_asked_for(client: httpx2.Client):
    assert infer(client, outputs=[{"name": "labels"}])["outputs"] == [NAMES]


def test_oip_takes_nested_data_and_parameters(client: httpx2.Client):
    nested = {**TEXT, "shape": [2, 1], "data": [["so happy"], ["so sad"]]}
    assert infer(client, inputs=[nested])["outputs"][0] == FEELINGS
    raw = infer(client, parameters={"function_to_apply": "none", "binary_data_output": True})
    assert raw["outputs"][0]["data"] == [-4.0, 4.0, -1.0, 4.0, -4.0, -1.0]


def behind(*texts: str) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def infer_binary(client: httpx2.Client, tensor: bytes, size: int) -> httpx2.Response:
    head = {key: value for key, value in TEXT.items() if key != "data"}
    request = {"inputs": [{**head, "parameters": {"binary_data_size": size}}]}
    start = json.dumps(request).encode()
    headers = {"Inference-Header-Content-Length": str(len(start))}
    return client.post("/v2/models/feels/infer", content=start + tensor, headers=headers)


def test_oip_takes_texts_behind_the_json_as_tritons_clients_send_them(client: httpx2.Client):
    tensor = behind("so happy", "so sad")
    answer = infer_binary(client, tensor, len(tensor))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"] == [FEELINGS, NAMES]


def test_oip_reads_json_whose_type_is_not_named(client: httpx2.Client):
    body = json.dumps({"inputs": [TEXT]}).encode()  # as Triton's clients send it
    answer = client.post("/v2/models/feels/infer", content=body)
    assert answer.json()["outputs"] == [FEELINGS, NAMES]


@pytest.mark.parametrize(
    "tensor", [b"\x09\x00\x00\x00so happy", b"\x01\x00", b"\xff" * 8, b"\1\0\0\0\xff"]
)
def test_oip_refuses_texts_that_are_cut_or_no_text(client: httpx2.Client, tensor: bytes):
    answer = infer_binary(client, tensor, len(tensor))
    assert answer.status_code == 400
    assert answer.json() == {"error": "The tensors behind the JSON cannot be read."}


BAD_OIP: dict[str, tuple[str, Any, int]] = {
    "another model": ("other", {"inputs": [TEXT]}, 404),
    "another version": ("feels/versions/7", {"inputs": [TEXT]}, 404),
    "a shape that does not fit": ("feels", {"inputs": [{**TEXT, "shape": [3]}]}, 422),
    "another type": ("feels", {"inputs": [{**TEXT, "datatype": "FP32"}]}, 422),
    "a blank text": ("feels", {"inputs": [{**TEXT, "data": ["so happy", " "]}]}, 422),
    "an unknown output": ("feels", {"inputs": [TEXT], "outputs": [{"name": "x"}]}, 422),
    "two inputs": ("feels", {"inputs": [TEXT, TEXT]}, 422),
}


@pytest.mark.parametrize(("path", "body", "status"), BAD_OIP.values(), ids=BAD_OIP)
def test_oip_refuses_in_its_words(client: httpx2.Client, path: str, body: Any, status: int):
    answer = client.post(f"/v2/models/{path}/infer", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}


def test_the_document_shows_every_dialect_with_an_example(client: httpx2.Client):
    document = client.get("/openapi.json").json()
    shown = [path for path in document["paths"] if path.startswith(("/hf", "/predict", "/v2"))]
    assert len(shown) == 12
    for path in shown:
        for operation in document["paths"][path].values():
            error = operation["responses"]["default"]["content"]
            assert list(error) == ["application/json"]
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                name = schema["$ref"].rpartition("/")[2]
                assert document["components"]["schemas"][name]["example"]
