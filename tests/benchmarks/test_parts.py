"""What benchmarks are computed from: products in a program's text, powers, charts and pages."""

import json
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import gpu, scale
from benchmarks.chart_file import as_file
from benchmarks.hlo import Product, Program, flops
from benchmarks.products import job_of, products_of

PLAIN = (((1,), (0,)), ((), ()))


def scaled(x, y):
    return jnp.tanh(x @ y)


def loop(x, y):
    def body(x, _):
        return scaled(x, y), None

    return jax.lax.scan(body, x, None, length=7)[0]


@pytest.fixture(scope="module")
def program():
    shapes = jnp.zeros((48, 16)), jnp.zeros((16, 16))
    return Program(jax.jit(loop).lower(*shapes).compile().as_text())


def test_products_in_loops_are_counted_as_often_as_they_run(program):
    product = Product((48, 16), (16, 16), PLAIN)
    assert product.flops == 2 * 48 * 16 * 16
    assert program.products() == {product: 7}
    assert flops(program.products()) == 7 * product.flops


def test_an_operation_knows_its_function_and_its_products(program):
    held = {
        name: program.functions(name)
        for name in program._operations
        if program.products_in(name)
    }
    assert held
    for frames in held.values():
        assert any(frame.endswith("test_parts.py:scaled") for frame in frames)


def test_unit_batches_are_dropped_from_products_before_xla():
    def batched(x, y):
        return jax.vmap(lambda x, y: x @ y)(x, y)

    shapes = np.zeros((1, 3, 4), np.float32), np.zeros((1, 4, 5), np.float32)
    assert products_of(batched, *shapes) == {Product((3, 4), (4, 5), PLAIN): 1}


def test_a_job_computes_each_product_as_often_as_asked():
    product = Product((3, 4), (4, 5), PLAIN)
    assert job_of({product: 5}, repeats=2)() == 2


def test_the_power_of_a_power_is_exact_and_its_interval_grows_with_bends():
    sizes = [2.0, 4.0, 8.0, 16.0]
    straight = scale.fitted(sizes, [x**1.5 for x in sizes])
    assert straight["power"] == pytest.approx(1.5)
    assert straight["half"] == pytest.approx(0, abs=1e-6)
    bent = scale.fitted(sizes, [1 + x**1.5 for x in sizes])
    assert bent["power"] < 1.5 and bent["half"] > 0.01


def test_charts_of_sizes_are_svg_files_that_name_every_unit():
    row = {"sizes": [2, 4, 8], "seconds": [1.0, 2.0, 4.0]}
    found = {"rows": {f"{kind}, batch": row for kind in scale.KINDS}}
    text = scale.charts(found)["scale_batch.svg"]
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert all(kind in "".join(tree.itertext()) for kind in scale.KINDS)
    assert as_file(scale.line_chart([], "")) == ""


def test_the_page_says_that_gpu_rows_are_missing(tmp_path):
    assert "no rows of a GPU yet" in gpu.page(tmp_path)
    row = {"per_second": 2.0, "least": 1.0, "greatest": 3.0, "batch": 1024}
    document = {
        "quick": False,
        "device": "cpu",
        "kind": "cpu",
        "cores": 2,
        "jax": "1",
        "load_at_start": 0.5,
        "rows": {"environment steps, hunt": row},
    }
    (tmp_path / "cpu.json").write_text(json.dumps(document))
    page = gpu.page(tmp_path)
    assert "no rows of a GPU yet" in page and gpu.COMMAND in page
    assert "| environment steps, hunt | 2 (1 to 3, batch 1,024) |" in page
    document |= {"device": "gpu", "rows": {"plans, seeds 16": row}}
    (tmp_path / "gpu.json").write_text(json.dumps(document))
    page = gpu.page(tmp_path)
    assert "missing" not in page
    assert "| environment steps, hunt | - | 2 (1 to 3, batch 1,024) |" in page
