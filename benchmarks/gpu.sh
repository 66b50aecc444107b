#!/usr/bin/env bash
# What differs on a GPU, in at most 9 minutes on a bare machine: tests, the demo's training, speed beside SpeechBrain's
# recipe, variants, inference. OUT_DIR gets table.md and a log for each part, as they are finished.
#
#   [DEVICE=cpu] [PYTHON=python3] [WHEELS=folder] benchmarks/gpu.sh OUT_DIR
#
# DEVICE=cpu runs every part with tiny sizes. WHEELS is a folder of wheels for packages that the machine lacks; they
# are used from OUT_DIR/packages, before the machine's own. A wheel that cannot be installed is reported, and the parts
# run with what there is. Exit codes: 0 all parts passed, 1 some failed, 2 there is no GPU that can be used.
set -u
if [ $# -ne 1 ]; then
    echo "usage: [DEVICE=cpu] [PYTHON=python3] [WHEELS=folder] benchmarks/gpu.sh OUT_DIR" >&2
    exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
python=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
    for wheel in "$WHEELS"/*.whl; do
        "$python" -m pip install --quiet --no-index --no-deps --upgrade --target "$out/packages" "$wheel" \
            >>"$out/wheels.log" 2>&1 || echo "not installed: $wheel, see wheels.log" >&2
    done
    export PYTHONPATH="$out/packages${PYTHONPATH:+:$PYTHONPATH}"
fi
if [ "${DEVICE:-cuda}" = cpu ]; then
    export CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1
fi
exec "$python" -m benchmarks.gpu --out_dir "$out" --device "${DEVICE:-cuda}"
