#!/bin/sh
# The whole recipe: sh training/gateway/run.sh DATA [OUT]
set -eu
data=$1
out=${2:-models/router}
export OMP_NUM_THREADS=1
python -m training.gateway.prepare --data "$data" --out build/router
python -m training.gateway.train --corpus build/router/corpus.tsv --out "$out"
python -m training.gateway.evaluate --model "$out"
python -m training.gateway.few_shot --model "$out" --data "$data"
python -m training.gateway.anger --data "$data" --model "$out"
python -m training.gateway.card --model "$out"
