#!/bin/sh
# The whole recipe, about three CPU-hours: ./training/imagegen/run.sh DATA [MODEL [EARLIER]]
# Nothing is downloaded: every picture is drawn and every caption is said by the code here.
# With EARLIER, a pipeline of the same sizes, the weights start there; so did the shipped ones.
set -eu
data=$1
model=${2:-models/tiny-sdxl}
start=${3:+--start $3}
steps=10000
middle=3200
export OMP_NUM_THREADS=1
# glibc would hand the large buffers of every step back to the kernel and fault them in again.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296
export MALLOC_TOP_PAD_=268435456

train() {
    rm -f "$data/rendezvous"
    # shellcheck disable=SC2086 - $start is two words or none
    python -m training.imagegen.train --data "$data" --world 2 --rank 1 $start "$@" &
    # shellcheck disable=SC2086
    python -m training.imagegen.train --data "$data" --world 2 --rank 0 $start "$@"
    wait
}

# shellcheck disable=SC2086
python -m training.imagegen.vae --out "$data" $start
# The first part never sees the held-out pairs, and is measured on them.
python -m training.imagegen.prepare --out "$data" --scenes 60000 --seed 22 --hold-out
train --steps $steps --until $middle
python -m training.imagegen.export --data "$data" --out "$data/middle"
python -m training.imagegen.evaluate --model "$data/middle" --sets held_out kin --out "$data/held_out.json"
python -m training.imagegen.prepare --out "$data" --seed 31
train --steps $steps
python -m training.imagegen.vae --out "$data" --refine --steps 4000
# The last part begins again at a quarter of the rates, with what came out hardest.
python -m training.imagegen.export --data "$data" --out "$data/all"
python -m training.imagegen.prepare --out "$data" --scenes 60000 --seed 47 --hard
mv "$data/checkpoint.pt" "$data/checkpoint-all.pt" && mv "$data/train.json" "$data/train-all.json"
start="--start $data/all"
train --share 0.25 --steps 1800
mv "$data/train.json" "$data/hard.json" && mv "$data/train-all.json" "$data/train.json"
python -m training.imagegen.export --data "$data" --out "$model"
python -m training.imagegen.evaluate --model "$model" --data "$data"
python -m training.imagegen.contact_sheet --model "$model"
