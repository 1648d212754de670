"""LitServe with its batching: https://lightning.ai/docs/litserve/features/batching."""

import os
from typing import Any

import litserve as ls
from scoring import Model, Scores

BATCH = int(os.environ["BATCH"])


class Api(ls.LitAPI):
    """Decodes, batches, predicts, encodes."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        del device
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> str:
        """Take the text out of the body."""
        return request["text"]

    def predict(self, x: Any) -> Any:
        """Score one text, or a list of them where batching is on."""
        return self.model([x])[0] if BATCH == 1 else self.model(x)

    def encode_response(self, output: Scores) -> Scores:
        """Answer with the scores as they are."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=BATCH, batch_timeout=0.005 if BATCH > 1 else 0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
        generate_client_file=False,
    )
