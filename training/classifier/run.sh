#!/bin/sh
# The whole recipe: sh training/classifier/run.sh DATA [OUT]
set -eu
data=$1
out=${2:-models/emotions}
export OMP_NUM_THREADS=1
python -m training.classifier.train --data "$data" --out "$out"
# Thresholds are fitted on the graph that is served; fp32 shows what INT8 costs.
python -m training.classifier.evaluate --data "$data" --model "$out" --variant onnx-int8 --fit
python -m training.classifier.evaluate --data "$data" --model "$out" --variant onnx-fp32
