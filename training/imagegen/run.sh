#!/bin/sh
# The whole recipe, about one CPU-hour: ./training/imagegen/run.sh DATA [MODEL]
# Nothing is downloaded: every picture is drawn and every caption is said by the code here.
set -eu
data=$1
model=${2:-models/tiny-sdxl}
export OMP_NUM_THREADS=1
# glibc would hand the large buffers of every step back to the kernel and fault them in again.
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296
export MALLOC_TOP_PAD_=268435456

python -m training.imagegen.vae --out "$data"
python -m training.imagegen.vae --out "$data" --refine --steps 2000
python -m training.imagegen.prepare --out "$data"
rm -f "$data/rendezvous"
python -m training.imagegen.train --data "$data" --world 2 --rank 1 &
python -m training.imagegen.train --data "$data" --world 2 --rank 0
wait
python -m training.imagegen.export --data "$data" --out "$model"
python -m training.imagegen.evaluate --model "$model" --data "$data"
python -m training.imagegen.contact_sheet --model "$model"
