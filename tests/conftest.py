"""Settings and fixtures of all tests: CPU, shapes and types of `bestreply` checked, compiled programs kept.

How to write a test that compiles nothing twice. Nearly all of the suite's time goes into tracing and
compiling; computing is cheap. `pytest -n 0 -p tests.compile_log --compile-log DIR FILE`, then
`python -m tests.compile_log DIR`, lists the programs of a file.

- Outside `jit`, every JAX operation is a program of its own for each shape (about 15 ms). Prepare inputs and
  check results with NumPy: `np.zeros`, `np.stack`, `np.asarray(result)` before indexing or comparing it.
  `jnp.asarray(array)` and `jnp.array(array)` compile too; pass NumPy arrays, or `jax.device_put` them.
- Networks: `tests.shared.build(WorldModel, game, config, goals=2, heads=1, key=0)` initialises under one `jit`
  and keeps the result; a constructor called directly compiles some 50 operations.
- Functions of a game, a player or a model: `tests.shared.compiled(game.step)` is one jitted function for all
  tests of a process. A `jax.jit(lambda ...)` inside a test or a loop is compiled at every call.
- One shape, one set of settings in all tests of a room; add a case to a batch
  (`jax.vmap`) rather than a parametrised test with a program for each case.
- A loop over `jax.random.key(seed)` with small results: one `jax.vmap` over `jax.random.split`.
- Play that several tests read: `tests.shared.played(game, players, episodes, seed)`, kept for the process.
- Code without arrays needs no JAX: keep it out of the imports of such a test file.
"""

import gc
import os
import shutil
from pathlib import Path

import pytest
from jaxtyping import config, install_import_hook

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile far longer than they compute. LLVM's optimisations take a quarter of the time; the preset skips
# passes over whole programs; XLA's fusion emitters lower through MLIR, which costs 10 ms even for one addition;
# by default a program is split into up to 32 parts for as many threads, and there is one core for each worker.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=2",
)
# One cache for all workers and the processes they start; JAX compiles a half-written entry itself. With XLA's
# own caches on, an entry's name would hold the folder's.
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(
        Path(__file__).parents[1] / ".cache" / "tests"
    ),
    "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

# An int is a valid float, as for pyright (PEP 484's numeric tower); beartype alone refuses `stag_reward=10`.
install_import_hook(
    "bestreply",
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

import jax  # noqa: E402  (after its settings)


def pytest_configure(config: pytest.Config) -> None:
    # Another worker may be writing the entry: JAX then compiles the program itself.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:Error (reading|writing) persistent compilation cache entry",
    )


LONGEST = (
    "test_one_step",
    "test_mcts",
    "test_train",
    "test_baselines",
    "test_belief_grid",
    "test_factored_backup",
    "test_grid",
    "test_pitfalls",
    "test_subgoals",
    "test_collect",
)
"""Files that take longest: begun first, so that no worker runs one alone at the end."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def pytest_collection_finish() -> None:
    """Collect garbage rarely: tracing makes millions of objects, and modules and tests stay anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


MAPS, MAX_MAPS = Path("/proc/self/maps"), 45_000


@pytest.fixture(scope="module", autouse=True)
def _forget_programs():
    """Keep a process below the 65,530 memory maps that Linux allows: a compiled program holds three."""
    yield
    if not MAPS.exists() or MAPS.read_bytes().count(b"\n") > MAX_MAPS:
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


@pytest.fixture
def as_installed(monkeypatch):
    """Types are checked in tests alone; here the library's own checks answer."""
    monkeypatch.setattr(config, "jaxtyping_disable", True)
