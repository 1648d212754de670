"""From a request to a picture, through the API, the queue and a worker in one process."""

import hashlib
import io

from PIL import Image

from services.imagegen.settings import Settings
from tests.imagegen.fakes import finished, studio


async def test_a_prompt_becomes_a_picture(settings: Settings) -> None:
    async with studio(settings) as client:
        accepted = await client.post("/v1/images", json={"prompt": "a red circle", "count": 2})
        assert accepted.status_code == 202, accepted.text
        job = await finished(client, accepted.headers["Location"])
        assert job["status"] == "done"
        assert job["progress"] == {"step": 4, "steps": 4}
        for view in job["pictures"]:
            answer = await client.get(view["url"])
            assert answer.headers["content-type"] == "image/png"
            assert hashlib.sha256(answer.content).hexdigest() == view["sha256"]
            picture = Image.open(io.BytesIO(answer.content))
            assert picture.size == (64, 64)
            assert "a red circle" in picture.text["parameters"]  # type: ignore[attr-defined]
            assert f"Seed: {view['seed']}" in picture.text["parameters"]  # type: ignore[attr-defined]
