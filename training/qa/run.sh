#!/bin/sh
# The whole recipe: sh training/qa/run.sh DATA [OUT]
set -eu
data=$1
out=${2:-models/qa}
export OMP_NUM_THREADS=1
python -m training.qa.train --data "$data" --out "$out"
# The no-answer threshold is fitted on the graph that is served; fp32 shows what INT8 costs.
python -m training.qa.evaluate --data "$data" --model "$out" --variant onnx-int8 --fit
python -m training.qa.evaluate --data "$data" --model "$out" --variant onnx-fp32
# Which passage is chosen stays the same; this says how often such a passage is right.
python -m training.qa.calibrate --data "$data" --model "$out" --fit
