"""Tests run with shapes and types checked in all of `bestreply`, on CPU, and keep their compiled programs."""

import os
import shutil
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile far longer than they compute: a quarter of their time goes with LLVM's optimisations.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# One cache for all workers and whatever they start: a half-written entry is one to compile. With XLA's own caches on, an entry's name
# holds the folder's.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(
        Path(__file__).parents[1] / ".cache" / "tests"
    ),
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

# An int is a fine float, as for pyright (PEP 484's numeric tower); beartype alone refuses `stag_reward=10`.
install_import_hook(
    "bestreply",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

import jax  # noqa: E402  (after its settings)


def pytest_configure(config: pytest.Config) -> None:
    # A worker beside this one may be half way through writing an entry: JAX then compiles, and all is well.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Error (reading|writing) persistent compilation cache entry",
    )


LONG = (
    "test_train",
    "test_look_ahead",
    "test_believed",
    "test_baselines",
    "test_grid",
    "test_apart",
    "test_search",
)
"""Files whose few tests take longest: begun first, that no worker is left alone with one at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


MAPS, MANY_MAPS = Path("/proc/self/maps"), 20_000


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Every compiled program holds memory maps, of which a process has 65,530: hundreds of tests are too many for one."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()


QUIET = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update"


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window. A module that asks for it must not train: Playwright's loop and Orbax's cannot run in one thread."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*QUIET.split(), "--disable-sync"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens addresses, each in a page of its own; whatever a page's console says, or its script throws, fails the test, unless it is
    taken off `page.said` before."""
    pages = []

    def open_page(address, width=1280, height=900, scheme="light"):
        page = chromium.new_page(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page.set_default_timeout(20_000)
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.said == []
        page.close()
