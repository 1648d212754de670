"""What INT8 changes is counted decision by decision."""

import numpy as np
import pytest

from benchmarks.int8 import compare

EXACT = np.array([[0.9, 0.4, 0.1], [0.6, 0.2, 0.3]], dtype=np.float32)
SMALL = np.array([[0.8, 0.55, 0.1], [0.6, 0.2, 0.35]], dtype=np.float32)


def test_decisions_and_texts_that_differ_are_counted():
    found = compare(EXACT, SMALL, np.array([0.5, 0.3, 0.32], dtype=np.float32))
    assert found["at_0.5"]["decisions"] == pytest.approx(1 / 6, abs=1e-4)
    assert found["at_0.5"]["texts"] == 0.5
    assert found["calibrated"]["decisions"] == pytest.approx(1 / 6, abs=1e-4)
    assert found["best_label"] == 0
    assert found["greatest_difference"] == pytest.approx(0.15, abs=1e-4)
    assert found["mean_difference"] == pytest.approx(0.3 / 6, abs=1e-4)


def test_a_model_without_thresholds_has_no_calibrated_decisions():
    assert "calibrated" not in compare(EXACT, SMALL, None)
