"""Footers of Parquet files that PyArrow's reader of columns does not survive."""

import io
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.utils.parquet import decoded_size, open_parquet


def test_a_flipped_bit_in_a_footer_never_ends_the_process(tmp_path: Path):
    buffer = io.BytesIO()
    rows = [{"a": [1.0, None], "b": 1, "c": "x"}, {"a": [], "b": 2, "c": None}]
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    data = buffer.getvalue()
    size = int.from_bytes(data[-8:-4], "little")
    draw, refused, file = Random(0), 0, tmp_path / "x.parquet"
    places = range(len(data) - 8 - size, len(data) - 8)
    for bit in draw.sample(range(8 * len(places)), 2000):
        place = places[bit // 8]
        flipped = bytes([data[place] ^ 1 << bit % 8])
        file.write_bytes(data[:place] + flipped + data[place + 1 :])
        try:
            with open_parquet(file) as found:
                decoded_size(found, ["a", "b"])
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{file}: expected a Parquet file")
    assert 300 < refused < 2000
