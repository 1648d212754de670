"""The error bodies of the dialects that services speak, ready for `build_app(error_shapes=...)`.

    build_app(..., error_shapes={"/hf": huggingface, "/predict": tei, "/v2": oip})

Status and headers are the same in every dialect: 429 carries `Retry-After` and `retry-after-ms`.
An error's `code` is the dialect's own name for it where it has one, such as `model_not_found`.
"""

from typing import Any

from kit.errors import Problem


def problem(problem: Problem) -> dict[str, Any]:
    """Keep RFC 9457's own body; for a path below one of another dialect."""
    return problem


def huggingface(problem: Problem) -> dict[str, Any]:
    """Answer as the Inference API does; its client shows the body's text in its exception."""
    return {"error": problem["detail"]}


def oip(problem: Problem) -> dict[str, Any]:
    """Answer as the Open Inference Protocol v2 has it, under "Inference Response JSON Error"."""
    return {"error": problem["detail"]}


TEI_TYPES = {"Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"}
TEI_TYPE_OF_STATUS = {429: "Overloaded", 503: "Unhealthy"}


def tei(problem: Problem) -> dict[str, Any]:
    """Answer as text-embeddings-inference does; its types are spelt as its server writes them."""
    status, code = problem["status"], problem.get("code")
    usual = TEI_TYPE_OF_STATUS.get(status, "Validation" if status < 500 else "Backend")
    return {"error": problem["detail"], "error_type": code if code in TEI_TYPES else usual}


OPENAI_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def openai(problem: Problem) -> dict[str, Any]:
    """Answer as OpenAI's API does; `param` names the first field that is wrong."""
    status = problem["status"]
    wrong = [line["field"] for line in problem.get("errors", ()) if line.get("in") == "body"]
    error = {
        "message": problem["detail"],
        "type": _openai_type(status),
        "param": next((field for field in wrong if field != "body"), None),
        "code": problem.get("code") or OPENAI_CODES.get(status),
    }
    return {"error": error}


def _openai_type(status: int) -> str:
    if status == 429:
        return "requests"  # the kind of limit that was met
    return "invalid_request_error" if status < 500 else "server_error"
