"""Steps that work on whole batons: merge something into them, take things away, keep them for a look."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from piped import ConfigurationError, Path, Processor, get_path, remove_path, set_path
from piped.pipelines.processor import Baton
from piped.processors.values import fresh

_MISSING: Final = object()
#: Classes of values that are copied by sharing them.
_ATOMS: Final = (type(None), bool, int, float, complex, str, bytes)


@dataclass(frozen=True, slots=True)
class MergeArgs:
    """How two mappings are merged.

    Args:
        inline: change the baton itself; if off, a changed copy takes its place.
        replace: the new value takes the place of one that is there, whatever the two are.
        replace_primitives: it does so unless both are mappings.
        merge_nested_dictionaries: merge mappings inside the mappings too; if off, the two stand in a list.
    """

    inline: bool = True
    replace: bool = False
    replace_primitives: bool = False
    merge_nested_dictionaries: bool = True


BY_DEFAULT: Final = MergeArgs()


def merged(first: MutableMapping[Any, Any], second: Mapping[Any, Any], how: MergeArgs) -> MutableMapping[Any, Any]:
    """The first mapping with all of the second in it; of the second only copies are taken.

    Where both have a name, mappings are merged and lists joined; anything else is put in a list with what is there,
    unless `how` says otherwise.

    Example:
        >>> merged({"a": 1, "b": [1], "c": {"d": "x"}}, {"a": 2, "b": 2, "c": {"d": ["y"]}}, BY_DEFAULT)
        {'a': [1, 2], 'b': [1, 2], 'c': {'d': ['x', 'y']}}
    """
    target = first if how.inline else copy.copy(first)
    for name, value in second.items():
        target[name] = _combined(target[name], value, how) if name in target else fresh(value)
    return target


def _combined(there: Any, new: Any, how: MergeArgs) -> Any:
    are_mappings = isinstance(there, MutableMapping) and isinstance(new, Mapping)
    if how.replace or (how.replace_primitives and not are_mappings):
        return fresh(new)
    if are_mappings and how.merge_nested_dictionaries:
        return merged(there, new, how)
    return [*_listed(there), *_listed(fresh(new))]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class MergeWithDict(Processor):
    """Merge a mapping into the baton.

    Where the baton has something of that name already, mappings are merged, lists are joined, and other values are
    put in a list with what is there.

    Args:
        dict: what to merge in; each baton gets copies of its own.
        merge_args: how to merge, if not like that.

    Example:
        - set-value: {path: tags, value: [new]}
        - merge-with-dict:
            dict:
                tags: urgent
                owner: {name: Ada}
    """

    name = "merge-with-dict"

    def __init__(self, dict: dict[str, Any] | None = None, merge_args: MergeArgs = BY_DEFAULT) -> None:
        super().__init__()
        self._merged_in, self._how = dict or {}, merge_args

    def process(self, baton: Baton) -> Baton:
        return merged(_mapping(self, baton), self._merged_in, self._how)


class CleanBaton(Processor):
    """Take away parts of the baton: those that are named, or all but those.

    Args:
        keep: the paths of all that stays.
        remove: the paths of what is taken away, also from what stays.

    Example:
        - set-value: {path: user, value: {name: Ada, password: secret}}
        - clean-baton:
            remove: [user.password]
    """

    name = "clean-baton"

    def __init__(self, keep: list[Path] | None = None, remove: list[Path] | None = None) -> None:
        super().__init__()
        if not keep and not remove:
            raise ConfigurationError("there is neither keep nor remove", hint="list the paths to keep, or to remove")
        self._keep, self._remove = keep or [], remove or []
        if "" in self._keep or "" in self._remove:
            raise ConfigurationError("the whole baton can be neither kept nor removed", hint="name paths in it")

    def process(self, baton: Baton) -> Baton:
        for path in self._remove:
            remove_path(baton, path)
        if self._keep:
            mapping = _mapping(self, baton)
            found = [(path, get_path(baton, path, _MISSING)) for path in self._keep]
            mapping.clear()
            for path, value in found:
                if value is not _MISSING:
                    set_path(baton, path, value)
        return baton


def _mapping(step: Processor, baton: Baton) -> MutableMapping[Any, Any]:
    if not isinstance(baton, MutableMapping):
        raise TypeError(f"{step.name} needs a baton that is a mapping, and this is {type(baton).__name__}")
    return baton


class CollectBatons(Processor):
    """Keep every baton that goes by in a list, for a test or a debugger to look at.

    The list is the attribute `list` of the step: `stage.get("pipeline.greet")[0].list` is that of the first step of a
    pipeline on a `piped.testing.Stage`. Nothing is ever taken out of it, so a service has no use for this step.

    Args:
        list: the list to use; for steps that are made in Python.
        deepcopy: keep deep copies, which show the batons as they were here. A baton lists the paths of what must not
            be copied at `_volatile`; a description takes its place in the copy.
        describer: makes that description; for steps that are made in Python. Left out, it is `repr`.

    Example:
        - set-value: {path: _volatile, value: [request]}
        - collect-batons: {deepcopy: true}
    """

    name = "collect-batons"

    def __init__(
        self,
        list: list[Baton] | None = None,
        deepcopy: bool = False,
        describer: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__()
        self.list = [] if list is None else list
        self._deepcopy, self._describe = deepcopy, describer or repr

    def process(self, baton: Baton) -> Baton:
        self.list.append(snapshot(baton, self._describe) if self._deepcopy else baton)
        return baton


def snapshot(baton: Baton, describe: Callable[[Any], Any] = repr) -> Baton:
    """A deep copy of a baton, in which descriptions stand for what lies at the paths that `_volatile` lists.

    Example:
        >>> snapshot({"_volatile": ["lock"], "n": [1], "lock": object}, lambda value: "a lock")
        {'_volatile': ['lock'], 'n': [1], 'lock': 'a lock'}
    """
    found = [(path, get_path(baton, path, _MISSING)) for path in _volatile_paths(baton)]
    described = [(path, value, describe(value)) for path, value in found if value is not _MISSING]
    try:
        # The memo holds the copies of what was met, by identity. Nothing in it may be what many names share, as None.
        made = copy.deepcopy(baton, {id(value): text for _, value, text in described if type(value) not in _ATOMS})
    except Exception as error:
        error.add_note("what cannot be copied has its path in the baton's list `_volatile`")
        raise
    for path, value, text in described:
        if get_path(made, path, _MISSING) is value:
            set_path(made, path, text)
    return made


def _volatile_paths(baton: Baton) -> Iterable[str]:
    paths = get_path(baton, "_volatile", ())
    return [paths] if isinstance(paths, str) else paths
