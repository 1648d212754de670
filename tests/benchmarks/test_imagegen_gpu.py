"""The GPU benchmark runs where there is no GPU, with the worker's own options."""

import json
from pathlib import Path

import pytest

from benchmarks import imagegen_gpu
from kit.models import ModelUnavailable

SMALL = ("--small", "--device", "cpu", "--batches", "1")


def test_it_measures_each_batch_with_the_options_of_a_worker(tmp_path: Path):
    out = tmp_path / "figures.json"
    imagegen_gpu.main([*SMALL, "2", "--channels-last", "--out", str(out)])
    found = json.loads(out.read_text())["results"]
    assert found["backend"].endswith("cpu-float32-channels_last")
    assert set(found["batches"]) == {"1", "2"}
    assert all(figures["pictures_per_second"] > 0 for figures in found["batches"].values())


def test_what_the_machine_cannot_do_is_refused_as_a_worker_refuses_it(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match="IMAGEGEN_FP8 needs a GPU"):
        imagegen_gpu.main([*SMALL, "--fp8", "--out", str(tmp_path / "figures.json")])
