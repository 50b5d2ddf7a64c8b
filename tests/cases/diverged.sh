#!/bin/bash
# A learning rate far too large: numbers are no longer finite. Wanted: told so, in words, at --resume too, and not stored as a finished run.
. "$(cd "$(dirname "$0")" && pwd)/common.sh"
RUN="$BR run $TINY --collect.episodes 64 --train.learning-rate 1e30 --train.optimiser adamw --out r"
$RUN --game "$GAME" >out 2>err; a=$?
$RUN --game "$GAME" --resume >out 2>err2; b=$?
echo "exit $a $b"; tail -qn 1 err err2 | cut -c1-400; ls r
for f in err err2; do
  grep -q "training diverged.*learning_rate.*checkpoint" $f && ! grep -q Traceback $f || exit 1
done
[ $a = 1 ] && [ $b = 1 ] && [ ! -e r/diagnostics.json ] && [ ! -e r/scores.parquet ] && $PY -c "
import numpy as np, pathlib, safetensors.numpy as s
files = list(pathlib.Path('r/checkpoints').glob('*.safetensors'))
assert all(np.isfinite(x).all() for f in files for x in s.load_file(f).values())"
