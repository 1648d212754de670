"""The Open Inference Protocol v2 (KServe, Triton, MLServer): texts as a BYTES tensor, scores as FP32."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kit.app import VERSION
from kit.errors import NotFound, NotReady
from services.classifier import routes
from services.classifier.dialects.tensors import TensorRoute
from services.classifier.routes import ClassifierDep, LogitsDep
from services.classifier.schemas import ClassifyRequest, Function, Texts

router = APIRouter(prefix="/v2", tags=["oip"], route_class=TensorRoute)

ERROR: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error, as the protocol has it.",
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"error": {"type": "string"}}},
                "example": {"error": "There is no model 'x'; this server has emotions."},
            }
        },
    }
}


def _flat(data: Any) -> Any:
    """Return nested rows as one list, row by row."""
    return list(_leaves(data)) if isinstance(data, list) else data


def _leaves(rows: Iterable[Any]) -> Iterator[Any]:
    for row in rows:
        if isinstance(row, list):
            yield from _leaves(row)
        else:
            yield row


class TextTensor(BaseModel):
    """Texts, one after another; the shape is their number, or their number by 1."""

    name: Literal["text"]
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=2)]
    datatype: Literal["BYTES"]
    data: Annotated[Texts, BeforeValidator(_flat)]
    parameters: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_its_shape(self) -> Self:
        if self.shape not in ([len(self.data)], [len(self.data), 1]):
            raise ValueError(f"shape {self.shape} does not fit {len(self.data)} texts")
        return self


class Wanted(BaseModel):
    """An output to return."""

    name: Literal["scores", "labels"]
    parameters: dict[str, Any] | None = None


class InferParameters(BaseModel):
    """Parameters of the request; those of other servers are let pass, they do not change the answer."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    function_to_apply: Function | None = None
    """What makes scores of the model's logits; unset: what the model was trained with."""


class InferRequest(BaseModel):
    """Texts to label with the model's own labels."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "id": "42",
                "inputs": [
                    {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["Thank you!"]}
                ],
                "outputs": [{"name": "scores"}],
            }
        },
    )

    id: str | None = None
    parameters: InferParameters = InferParameters()
    inputs: Annotated[list[TextTensor], Field(min_length=1, max_length=1)]
    outputs: Annotated[list[Wanted], Field(min_length=1)] | None = None
    """`scores` (texts, labels) and `labels` (labels); both when unset."""


class OutputTensor(BaseModel):
    """An answer's tensor, its data row by row."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float] | list[str]


class InferAnswer(BaseModel):
    """The tensors that were asked for."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """What a tensor looks like; -1 is any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and returns."""

    name: str
    versions: list[str]
    platform: str = "onnx_onnxv1"
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


async def _named(classifier: ClassifierDep, model: str, version: str | None = None) -> None:
    """Refuse a model or version that is not here; the last part of a long name will do."""
    own = classifier.model
    if model not in (own.name, own.name.rpartition("/")[2]):
        raise NotFound(f"There is no model {model!r}; this server has {own.name}.")
    if version not in (None, own.revision):
        raise NotFound(f"There is no version {version!r} of it; this server has {own.revision}.")


@router.get("", summary="Server metadata", responses=ERROR)
async def server() -> dict[str, Any]:
    """Name the server."""
    return {"name": "switchboard-classifier", "version": VERSION, "extensions": []}


@router.get("/health/live", summary="Is the server alive?", responses=ERROR)
async def live() -> dict[str, bool]:
    """Answer while the process does."""
    return {"live": True}


@router.get("/health/ready", summary="Is the server ready?", responses=ERROR)
async def ready(request: Request) -> dict[str, bool]:
    """Answer 200 when `/readyz` does, else 503."""
    if failures := await request.app.state.health.failures():
        raise NotReady("; ".join(f"{name}: {reason}" for name, reason in failures.items()))
    return {"ready": True}


# A hub model's name holds a slash, hence `:path`. Decorators work upwards: of two paths the lower
# one, with the version, is looked at first.
@router.get(
    "/models/{model:path}/ready",
    dependencies=[Depends(_named)],
    summary="Is the model ready?",
    responses=ERROR,
)
@router.get(
    "/models/{model:path}/versions/{version}/ready",
    dependencies=[Depends(_named)],
    summary="Is this version ready?",
    responses=ERROR,
)
async def model_ready(request: Request, classifier: ClassifierDep) -> dict[str, Any]:
    """Answer 200 when the model answers, else 503."""
    await ready(request)
    return {"name": classifier.model.name, "ready": True}


@router.get(
    "/models/{model:path}",
    dependencies=[Depends(_named)],
    summary="Model metadata",
    responses=ERROR,
)
@router.get(
    "/models/{model:path}/versions/{version}",
    dependencies=[Depends(_named)],
    summary="Metadata of this version",
    responses=ERROR,
)
async def metadata(classifier: ClassifierDep) -> ModelMetadata:
    """Describe the tensors that the model takes and returns."""
    count = len(classifier.labels)
    return ModelMetadata(
        name=classifier.model.name,
        versions=[classifier.model.revision],
        inputs=[TensorMetadata(name="text", datatype="BYTES", shape=[-1])],
        outputs=[
            TensorMetadata(name="scores", datatype="FP32", shape=[-1, count]),
            TensorMetadata(name="labels", datatype="BYTES", shape=[count]),
        ],
    )


@router.post(
    "/models/{model:path}/infer",
    dependencies=[Depends(_named)],
    summary="Label texts",
    response_model_exclude_none=True,
    responses=ERROR,
)
@router.post(
    "/models/{model:path}/versions/{version}/infer",
    dependencies=[Depends(_named)],
    summary="Label texts with this version",
    response_model_exclude_none=True,
    responses=ERROR,
)
async def infer(body: InferRequest, classifier: ClassifierDep, logits: LogitsDep) -> InferAnswer:
    """Score every label for every text, in the order of `labels`."""
    asked = ClassifyRequest(
        texts=body.inputs[0].data, function_to_apply=body.parameters.function_to_apply
    )
    answer = await routes.classify(asked, classifier, logits)
    labels = classifier.labels
    rows = [{score.label: score.score for score in result.scores} for result in answer.results]
    made = {
        "scores": OutputTensor(
            name="scores",
            shape=[len(rows), len(labels)],
            datatype="FP32",
            data=[row[label] for row in rows for label in labels],
        ),
        "labels": OutputTensor(name="labels", shape=[len(labels)], datatype="BYTES", data=labels),
    }
    wanted = [output.name for output in body.outputs] if body.outputs else list(made)
    return InferAnswer(
        model_name=classifier.model.name,
        model_version=classifier.model.revision,
        id=body.id,
        outputs=[made[name] for name in wanted],
    )
