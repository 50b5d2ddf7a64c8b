"""Names of games, players, methods and models that are not the library's own.

Such a name is ``module:attr``, a name given to `register`, or an entry point of an
installed package. `Names` is the table of one kind; `bestreply.utils.trust` says which
names of a file may be imported.
"""

import contextlib
import difflib
import importlib.metadata
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from keyword import iskeyword
from typing import Any, Generic, TypeVar

from bestreply.utils.checks import shown
from bestreply.utils.environment_names import result_of, wrong_environment
from bestreply.utils.importing import import_attribute, note_foreign
from bestreply.utils.spec import Spec, nested, parse_spec, specs_of
from bestreply.utils.trust import ADAPTERS, Trust, module_of

T = TypeVar("T")
GROUPS = {
    kind: f"bestreply.{kind}s"
    for kind in ("game", "player", "method", "planner", "network")
} | {"opponents": "bestreply.opponents", "loss": "bestreply.losses"}
"""Group of the entry points of each kind of name."""
_registered: dict[str, dict[str, Any]] = {kind: {} for kind in GROUPS}
_loaded: dict[str, dict[str, Any]] = {kind: {} for kind in GROUPS}
_own: dict[str, Iterable[str]] = {}
"""The library's own names of each kind whose table is in use."""
_undeclared: set[str] = set()
"""Names of functions without the annotation that names in files need."""


def register(kind: str, name: str, thing: Any) -> None:
    """Give a name in this process to a class, a factory or an object.

    Files may hold the name: it imports nothing.

    Args:
        kind: game, player, method, planner, opponents, network or loss.
        name: the name, an identifier that is not the library's own.
        thing: what `Names.make` makes or returns.

    Raises:
        ValueError: an unknown kind, no identifier, a name of the library, or plain data
            in place of a thing.
    """
    if not isinstance(kind, str) or kind not in GROUPS:
        raise ValueError(
            f"kind={shown(kind)}: expected one of {', '.join(GROUPS)}"
        )
    is_name = isinstance(name, str) and name.isidentifier()
    if not is_name or iskeyword(name) or name in _own.get(kind, ()):
        raise ValueError(
            f"{kind}={shown(name)}: expected an identifier that is not one of the "
            f"library's own names, {', '.join(_own.get(kind, ()))}"
        )
    is_data = type(thing).__module__ in ("builtins", "numpy")
    if is_data and not callable(thing):
        raise ValueError(
            f"{kind}={name!r}: expected a class, a function or an object of your own; "
            f"it is {shown(thing)}"
        )
    _registered[kind][name] = thing
    note_foreign(getattr(thing, "__module__", type(thing).__module__))


def is_registered(kind: str, name: str) -> bool:
    """Return whether `register` or an installed package gave a name.

    Args:
        kind: kind of the name.
        name: the name.
    """
    return name in _registered[kind] or name in entry_points(kind)


@cache
def entry_points(kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    """Return the entry points of installed packages, by name; nothing is imported.

    Args:
        kind: kind of the names.
    """
    points = importlib.metadata.entry_points(group=GROUPS[kind])
    return {p.name: p for p in points if p.name.isidentifier()}


def _load(kind: str, name: str) -> Any:
    """Return what a registered name or an entry point stands for; None: there is none."""
    if name in _registered[kind]:
        return _registered[kind][name]
    if name not in _loaded[kind] and name in entry_points(kind):
        point = entry_points(kind)[name]
        note_foreign(point.module)
        _loaded[kind][name] = point.load()
    return _loaded[kind].get(name)


# -- naming an object ------------------------------------------------------------


def spec_of(kind: str, thing: Any) -> Spec:
    """Return the name and the settings of an object, as files hold them.

    Args:
        kind: kind of the object.
        thing: an object with `name` and `settings`, such as a game.

    Returns:
        The library's name or a registered one, else ``module:Class`` where the class
        can be imported, else the object's plain `name`. An object of a plain name is
        registered for this process; another process must be given it.
    """
    path = import_path(type(thing))
    points = entry_points(kind).items()
    names = [
        n for n, value in _registered[kind].items() if value is type(thing)
    ]
    names += [name for name, point in points if point.value == path]
    names += [name for name, place in _places(kind) if place == path]
    if type(thing).__module__.partition(".")[0] == "bestreply":
        path = thing.name
    spec = Spec([*names, path or thing.name][0], (), dict(thing.settings))
    if not names and path is None:
        _registered[kind][str(spec)] = thing
        note_foreign(type(thing).__module__)
    return spec


def _places(kind: str) -> Iterable[tuple[str, Any]]:
    own = _own.get(kind, ())
    return own.items() if isinstance(own, Mapping) else ()


def import_path(kind: Any) -> str | None:
    """Return ``module:attr`` of a class or a function.

    Args:
        kind: the class or function.

    Returns:
        The name; None if an import does not lead to it.
    """
    if not hasattr(kind, "__qualname__"):
        return None
    module, name = kind.__module__, kind.__qualname__
    if module == "__main__" or not name.isidentifier():
        return None
    found = getattr(sys.modules.get(module), name, None)
    return f"{module}:{name}" if found is kind else None


# -- tables ----------------------------------------------------------------------


class Names(Generic[T]):
    """The names of one kind beside the library's own, and how to make what they name."""

    def __init__(
        self,
        kind: str,
        base: type[T],
        own: Iterable[str],
        *,
        wanted: str = "",
        more: str = "",
        function: bool = False,
        hint: Callable[[Spec, Any], str] | None = None,
    ) -> None:
        """Make the table of a kind.

        Args:
            kind: a key of `GROUPS`.
            base: the class of what is named.
            own: the library's own names.
            wanted: how errors call the base; by default by its name.
            more: names of another form, and where all are listed, for errors.
            function: a name stands for a function that returns `base`.
            hint: returns what an error adds on a spec that names, or makes, something
                else; perhaps "".
        """
        self.kind, self.base, self.own = kind, base, own
        self.more, self.function, self.hint = more, function, hint
        self.wanted = wanted or base.__name__
        _own[kind] = own

    def summaries(self) -> dict[str, str]:
        """Return a line on each registered name and entry point.

        A package that cannot be imported costs a warning.
        """
        from bestreply.utils.console import warn

        lines = {}
        for name in (*_registered[self.kind], *entry_points(self.kind)):
            if not name.isidentifier() or name in self.own:
                continue
            try:
                thing = _load(self.kind, name)
            except (Exception, SystemExit) as error:
                point = entry_points(self.kind)[name]
                reason = f"{type(error).__name__}: {error}"
                warn(f"{self.kind} {name}: {point.value} fails: {reason}")
                continue
            lines[name] = summary(thing) or f"{self.kind} without a description"
        return lines

    def load(self, name: str) -> Any:
        """Return the class, function or object that a typed name stands for.

        Args:
            name: a registered name, an entry point or ``module:attr``.

        Raises:
            ValueError: there is no such name.
        """
        thing = _load(self.kind, name)
        if thing is not None:
            return thing
        prefix = name.partition(":")[0]
        if ":" in name and prefix not in ADAPTERS:
            return import_attribute(self.kind, name)
        close = difflib.get_close_matches(name, list(self.own), 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        others = [*_registered[self.kind], *entry_points(self.kind)]
        known = ", ".join(dict.fromkeys([*self.own, *others]))
        raise ValueError(
            f"{self.kind}={name!r:.200}: expected one of {known}{hint}, or "
            f"module:attr of your own{self.more}"
        )

    def make(self, spec: str | Spec, **context: Any) -> T:
        """Return what a typed spec names.

        Args:
            spec: the name and its settings.
            context: values for parameters of these names, where a class or factory
                has them and the spec does not set them.

        Returns:
            An instance of the table's class. Of a kind of functions: the function.

        Raises:
            ValueError: an unknown name, settings that it does not take, or an
                object of another kind. An exception inside a class or a factory of
                others is not caught.
        """
        spec = parse_spec(spec) if isinstance(spec, str) else spec
        whole = _registered[self.kind].get(str(spec))
        thing = self.load(spec.name) if whole is None else whole
        has_settings = whole is None and (spec.args or spec.settings)
        if isinstance(thing, self.base) and not has_settings:
            return thing
        if self.function and callable(thing) and not isinstance(thing, type):
            if not has_settings:
                self._warn_undeclared(spec, thing)
                return typing.cast(T, thing)
            raise self._refusal(spec, "a function takes no settings")
        # Functions of Python itself make nothing of the library's; `os.system` runs a text.
        if not callable(thing) or inspect.isbuiltin(thing):
            raise self._refusal(spec, f"it is {_described(thing)}", thing)
        if isinstance(thing, type) and not self._fits(thing):
            raise self._refusal(spec, f"it is {_described(thing)}", thing)
        made = _call(self.kind, spec, thing, context)
        if not (callable(made) if self.function else self._is_one(made)):
            raise self._refusal(spec, f"it returns {_described(made)}", made)
        self._warn_undeclared(spec, thing)
        return made

    def _warn_undeclared(self, spec: Spec, thing: Any) -> None:
        """Say, once for each name, that a file cannot name this function."""
        from bestreply.utils.console import warn

        prefix, colon, _ = spec.name.partition(":")
        if not colon or prefix in ADAPTERS or isinstance(thing, type):
            return
        if self.kind == "game":  # files name the class of the game instead
            return
        if self._returns_one(thing) or spec.name in _undeclared:
            return
        _undeclared.add(spec.name)
        warn(
            f"{self.kind}={spec.name}: the function is not annotated "
            f"'-> {self.wanted}'. Datasets and runs that name it cannot be "
            "opened with it; annotate it before you write any"
        )

    def vet(self, spec: Spec, trust: Trust) -> None:
        """Check every name in a spec of a file before anything is imported or made.

        Args:
            spec: the spec.
            trust: the file, and the modules that it may import.

        Raises:
            ValueError: a module is not allowed, or an allowed name is no class,
                annotated factory or object of the right kind, defined in an allowed
                module.
        """
        if trust.typed:
            return
        parts = list(nested(spec))
        for part in parts:
            trust.check(self.kind, part.name)
        for part in parts:
            prefix, colon, rest = part.name.partition(":")
            if not colon:
                continue
            if prefix not in ADAPTERS:
                self._check_declared(part, trust)
            elif rest.startswith("bestreply"):
                self._check_exported(part, rest, trust)
            elif ":" in rest and module_of(part.name) is not None:
                reason = wrong_environment(rest, trust)
                if reason is not None:
                    raise self._refusal(part, reason)

    def _check_declared(self, spec: Spec, trust: Trust) -> None:
        thing = import_attribute(self.kind, spec.name)
        source = thing
        if isinstance(thing, self.base):
            source = type(thing)
            if _is_of_library(source):  # such as `bestreply.player(function)`
                return
        elif isinstance(thing, type):
            if not self._fits(thing):
                raise self._refusal(spec, f"it is {_described(thing)}")
        elif not self._returns_one(thing):
            raise self._refusal(
                spec,
                f"it is {_described(thing)}; a factory that a file names must be "
                f"annotated '-> {self.wanted}'",
            )
        module = str(getattr(source, "__module__", ""))
        if "." in spec.name.partition(":")[2] or not trust.allows(module):
            raise self._refusal(spec, f"it is defined in {module!r}")

    def _check_exported(self, spec: Spec, name: str, trust: Trust) -> None:
        """Check a game of the library that comes back as an environment."""
        game = spec.settings.get("game")
        if name != "bestreply:parallel_env" or not isinstance(game, str):
            raise self._refusal(spec, "a file names it without a game")
        self.vet(parse_spec(game), trust)

    def _fits(self, kind: type) -> bool:
        return self.function or issubclass(kind, self.base)

    def _is_one(self, made: Any) -> bool:
        return isinstance(made, self.base)

    def _returns_one(self, thing: Any) -> bool:
        result = result_of(thing)
        result = typing.get_origin(result) or result
        return isinstance(result, type) and issubclass(result, self.base)

    def _refusal(
        self, spec: Spec, reason: str, thing: Any = None
    ) -> ValueError:
        wanted = f"a subclass of {self.wanted} or a factory of one"
        if self.function:
            wanted = f"a function that returns {self.wanted}"
        if self.hint and thing is not None:
            reason += self.hint(spec, thing)
        return ValueError(
            f"{self.kind}={str(spec)!r:.200}: expected {wanted}; {reason}"
        )


def vet_all(
    tables: Mapping[str, Names[Any]],
    texts: Iterable[tuple[str, str]],
    trust: Trust,
) -> None:
    """Check the names of a file.

    Args:
        tables: the table of each kind.
        texts: (kind, specs with commas between) of each text in the file.
        trust: the file, and the modules that it may import.

    Raises:
        ValueError: as `Names.vet`.
    """
    found = [
        (tables[kind], spec) for kind, text in texts for spec in _specs(text)
    ]
    for table, spec in found:  # nothing is imported before all are checked
        for part in nested(spec):
            trust.check(table.kind, part.name)
    for table, spec in found:
        table.vet(spec, trust)


def _specs(text: str) -> Iterator[Spec]:
    """Yield the specs of a text; none where it is no spec, which is refused on use."""
    with contextlib.suppress(ValueError):
        yield from specs_of(text)
    with contextlib.suppress(ValueError):
        yield parse_spec(text)


def summary(thing: Any) -> str:
    """Return one line on a class, a function or an object: its `summary`, or its docstring.

    Args:
        thing: the object.
    """
    text = getattr(thing, "summary", None)
    if not isinstance(text, str):
        text = inspect.getdoc(thing) or ""
    return text.strip().partition("\n")[0]


def _is_of_library(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "bestreply"


def _described(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None)
    kind = type(thing).__name__
    if isinstance(thing, type):
        kind = "class"
    return f"the {kind} {name}" if name else f"an object of type {kind}"


def _missing(thing: Any) -> list[str]:
    """Return the abstract methods and fields that a class does not define."""
    if not isinstance(thing, type):
        return []
    names = (
        *getattr(thing, "__abstractmethods__", ()),
        *getattr(thing, "__abstractvars__", ()),  # of `eqx.AbstractVar`
    )
    return sorted(names)


def _call(kind: str, spec: Spec, thing: Any, context: dict[str, Any]) -> Any:
    """Call a class or factory with the settings of a spec and the context it asks for."""
    if missing := _missing(thing):
        raise ValueError(
            f"{kind}={str(spec)!r:.200}: expected a class that defines "
            f"{', '.join(missing)}"
        )
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):  # code without a signature
        return thing(*spec.args, **spec.settings)
    parameters = signature.parameters
    given = {
        name: value
        for name, value in context.items()
        if name in parameters and name not in spec.settings
    }
    rest = [p for p in parameters.values() if p.name not in given]
    try:
        bound = signature.replace(parameters=rest).bind(
            *spec.args, **spec.settings
        )
    except TypeError as error:
        known = ", ".join(p.name for p in rest) or "none"
        raise ValueError(
            f"{kind}={str(spec)!r:.200}: {error}: expected settings of "
            f"{spec.name}: {known}"
        ) from None
    values = {**given, **bound.arguments}
    ordered = {name: values[name] for name in parameters if name in values}
    call = inspect.BoundArguments(signature, ordered)  # pyright: ignore[reportArgumentType]
    return thing(*call.args, **call.kwargs)
