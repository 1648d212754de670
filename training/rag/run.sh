#!/bin/sh
# The whole recipe: sh training/rag/run.sh DATA WORK [OUT]
set -eu
data=$1
work=$2
out=${3:-models/rag-ranker}
export OMP_NUM_THREADS=1
python -m training.rag.prepare --data "$data" --work "$work"
python -m training.rag.train --work "$work" --out "$out"
python -m training.rag.evaluate --data "$data" --work "$work" --ranker "$out"
