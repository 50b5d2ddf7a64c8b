#!/bin/bash
# The same opponent set named twice (or in several spellings) is counted once.
. "$(cd "$(dirname "$0")" && pwd)/common.sh"
base; cp -r runs/a r
$BR evaluate r --episodes 16 --opponents nearest_stag nearest_stag "nearest_stag " "noisy(nearest_stag, 0.5)" "noisy(player=nearest_stag, eps=.50)" >out 2>err; a=$?; echo "exit $a $(tail -n1 err | cut -c1-200)"
[ $a = 0 ] || exit 1
$PY - <<'PY'
import sys
from collections import Counter

import bestreply as br

table = br.Scores.load("r/scores.parquet").table
columns = (table[name].to_pylist() for name in ("method", "opponents"))
rows = Counter(zip(*columns))
print(rows)
sets = {opponents for _, opponents in rows}
sys.exit(len(sets) != 2 or set(rows.values()) != {16})
PY
