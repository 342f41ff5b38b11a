"""Readers: how a value of each shape is read from a node of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from operator import or_
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

from twisted.python.filepath import FilePath

from piped.config.nodes import Node
from piped.config.paths import make_path
from piped.ground.batons import BatonPath
from piped.ground.code import Code, DottedName, Lambda
from piped.ground.errors import ConfigurationError, Mark, Problem, did_you_mean
from piped.ground.units import Located, Meaning, PipelineName, ResourcePath, Unit
from piped.spec.imports import import_problem
from piped.spec.shapes import (
    Arguments,
    checks_itself,
    fields_of,
    is_list,
    is_mapping,
    is_union,
    item_of,
    parted,
    words_of,
    written_shape,
)
from piped.spec.spec import Spec

if TYPE_CHECKING:
    from piped.spec.checking import Checker

#: What reading gives for a value with a Problem.
WRONG: Final = object()
#: Reads one node: with the owner's name and, if the node is a member of it, the member's name.
Reader = Callable[["Checker", Node, str, "str | None"], Any]


class Misfit(Exception):
    """A plain value does not fit a shape; for each fault its path in the value, and words of the shape's own check."""

    def __init__(self, faults: Sequence[tuple[tuple[Any, ...], str]]) -> None:
        super().__init__(faults)
        self.faults = faults


def reader_of(shape: Any, told: Any = None) -> Reader:
    """How a shape is read; `told` is what messages say has to be written, if not that shape."""
    told = shape if told is None else told
    if checks_itself(shape):
        return _as_it_says(shape)
    inner, said = parted(shape)
    if said and _is_walked(inner):
        bounds = tuple(one for one in said if not isinstance(one, Meaning | Unit))
        return _bounded(reader_of(inner, told), bounds, told)
    if shape in (Any, object) or (is_union(shape) and Any in get_args(shape)):
        return read_anything
    if is_union(shape):
        return _choice(shape, told)
    if fields_of(shape):
        return _fields(shape, told)
    if is_mapping(shape):
        return _mapping(shape, told)
    if is_list(shape):
        return _list(shape, told)
    if shape is BatonPath:
        return _baton_path(told)
    if shape is FilePath:
        return _file(told)
    if isinstance(shape, type) and issubclass(shape, Located):
        return _code(shape, told) if issubclass(shape, Lambda | Code) else _located(shape, told)
    return _leaf(shape, told)


def _is_walked(shape: Any) -> bool:
    """Whether this module reads a shape, rather than pydantic."""
    shape = parted(shape)[0]
    if shape in (Any, object, BatonPath, FilePath) or checks_itself(shape) or is_mapping(shape) or is_list(shape):
        return True
    return any(map(_is_walked, get_args(shape))) if is_union(shape) else _is_located(shape)


def _is_located(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, Located)


def _as_it_says(shape: Any) -> Reader:
    """A class that checks what is written for it."""

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        before = len(checker.problems)
        value = shape.__check__(checker, node)
        return value if len(checker.problems) == before else WRONG

    return read


def _named(owner: str, name: str | None) -> str:
    """How messages call a value."""
    return owner if name is None else f"option {name!r} of {owner}"


def _inside(owner: str, name: str | None) -> str:
    """How messages call the owner of what stands in a value."""
    return owner if name is None else f"{owner}.{name}"


def read_anything(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
    before = len(checker.problems)
    value = node.plain(checker.filled)
    return value if len(checker.problems) == before else WRONG


def _leaf(shape: Any, told: Any) -> Reader:
    """What the checker fits as a whole."""

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        value = read_anything(checker, node, owner, name)
        if value is WRONG:
            return WRONG
        if type(value) is BatonPath:
            return checker.refuse(_named(owner, name), words_of(told), node)
        try:
            return checker.fitted(shape, value)
        except Misfit as misfit:
            fix = _closest(value, shape)
            return _refused(checker, misfit, _named(owner, name), words_of(told), node, fix)

    return read


def _closest(value: Any, shape: Any) -> str:
    """Which of some fixed texts may have been meant; what there is, is told anyway."""
    texts = [one for one in get_args(shape) if type(one) is str] if get_origin(shape) is Literal else []
    advice = did_you_mean(value, texts) if type(value) is str else ""
    return advice if advice.startswith("did you mean") else ""


def _bounded(read_inner: Reader, bounds: tuple[Any, ...], told: Any) -> Reader:
    """What another reader gives, if it keeps within bounds that were put around its shape."""
    if not bounds:
        return read_inner
    shape = Annotated[(Any, *bounds)]

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        value = read_inner(checker, node, owner, name)
        if value is WRONG:
            return WRONG
        try:
            return checker.fitted(shape, value)
        except Misfit as misfit:
            return _refused(checker, misfit, _named(owner, name), words_of(told), node)

    return read


def _refused(checker: Checker, misfit: Misfit, subject: str, must_be: str, node: Node, fix: str = "") -> Any:
    for path, own_words in misfit.faults:
        checker.refuse(subject, f"{must_be} ({own_words})" if own_words else must_be, node.at(path) or node, fix)
    return WRONG


def _choice(shape: Any, told: Any) -> Reader:
    """The first of several shapes that fits; what pydantic knows is tried together, so that it finds the closest."""
    members = get_args(shape)
    takes_null = NoneType in members
    leaves = tuple(member for member in members if member is not NoneType and not _is_walked(member))
    shapes = [member for member in members if member is not NoneType and _is_walked(member)]
    readers = [(one, reader_of(one, None if is_mapping(one) or is_list(one) else told)) for one in shapes]
    if leaves:
        together = reduce(or_, leaves)
        readers.append((together, _leaf(together, told)))

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        if node.value is None and takes_null:
            return None
        problems, references = len(checker.problems), len(checker.references)
        told_by: list[list[Problem]] = []
        for one, reader in readers:
            value = reader(checker, node, owner, name)
            if value is not WRONG:
                return value
            if _is_of_kind(one, node):
                told_by.append(checker.problems[problems:])
            del checker.problems[problems:], checker.references[references:]
        if len(told_by) == 1:  # only this one can have been meant
            checker.problems += told_by[0]
            return WRONG
        return checker.refuse(_named(owner, name), words_of(told), node)

    return read


def _is_of_kind(shape: Any, node: Node) -> bool:
    shape = parted(shape)[0]
    if is_union(shape):
        return any(_is_of_kind(member, node) for member in get_args(shape))
    if type(node.value) is dict:
        told = written_shape(shape)
        if told is not None:
            return isinstance(told, dict) or _is_of_kind(told, node)
        return is_mapping(shape) or (_is_located(shape) and issubclass(shape, ResourcePath))
    if type(node.value) is list:
        return is_list(shape)
    return not is_mapping(shape) and not is_list(shape) and shape is not BatonPath


def _fields(shape: Any, told: Any) -> Reader:
    """A mapping of the parameters of a class: the class is made, or for `Arguments` what it would be made of."""
    cls, not_options = fields_of(shape) or (object, ())
    makes = Arguments if get_origin(shape) is Arguments else cls

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        if type(node.value) is not dict and node.value is not None:
            return checker.refuse(_named(owner, name), words_of(told), node)
        inside = _inside(owner, name)
        arguments = checker.options(_spec_without(cls, not_options), node, owner=inside, where=node.named_at)
        if arguments is None:
            return WRONG
        try:
            return makes(**arguments)
        except ConfigurationError as error:
            checker.problems += error.problems or [Problem(f"{inside}: {error.msg}", node.named_at, error.hint)]
        except ValueError as error:  # what the class itself says about values that do not go together
            checker.problems.append(Problem(f"{inside}: {error}", node.named_at))
        return WRONG

    return read


@cache
def _spec_without(cls: type, names: tuple[str, ...]) -> Spec:
    spec = Spec.of(cls)
    return spec.without(*names) if names else spec


def _mapping(shape: Any, told: Any) -> Reader:
    key_shape, value_shape = get_args(shape) or (str, Any)
    read_key = None if key_shape in (str, Any) else reader_of(key_shape)
    read_member = reader_of(value_shape)

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        if node.value is None:
            return {}
        if type(node.value) is not dict:
            return checker.refuse(_named(owner, name), words_of(told), node)
        inside = _inside(owner, name)
        made, is_right = {}, True
        for key, member in node.value.items():
            taken = read_key(checker, Node(key, member.named_at), f"a name in {inside}", None) if read_key else key
            value = read_member(checker, member, inside, key)
            is_right = is_right and value is not WRONG and taken is not WRONG
            if is_right:
                made[taken] = value
        return made if is_right else WRONG

    return read


def _list(shape: Any, told: Any) -> Reader:
    origin = get_origin(shape) or shape
    makes = origin if origin in (tuple, set, frozenset) else list
    arguments = get_args(shape)
    is_row = origin is tuple and arguments and Ellipsis not in arguments
    readers = [reader_of(one) for one in arguments] if is_row else []
    read_item = reader_of(item_of(shape))

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        items = [] if node.value is None else node.value
        if type(items) is not list or (is_row and len(items) != len(readers)):
            must_be = f"a list of {len(readers)}" if is_row and type(items) is list else words_of(told)
            return checker.refuse(_named(owner, name), must_be, node)
        item = f"an item of {_named(owner, name)}"
        pairs = zip(readers, items, strict=True) if is_row else ((read_item, one) for one in items)
        values = [reader(checker, one, item, None) for reader, one in pairs]
        return WRONG if any(value is WRONG for value in values) else makes(values)

    return read


def _baton_path(told: Any) -> Reader:
    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        value = checker.filled(node)
        if type(value) is BatonPath or value is WRONG:
            return value
        return checker.refuse(_named(owner, name), words_of(told), node)

    return read


def _file(told: Any) -> Reader:
    """A file: a text is one as well as `!filepath`; `~` and `$VAR` are expanded in it."""

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        value = checker.filled(node)
        if isinstance(value, FilePath) or value is WRONG:
            return value
        if type(value) is not str or not value:
            return checker.refuse(_named(owner, name), words_of(told), node)
        return make_path("!filepath", value, checker.environ)

    return read


def _code(kind: type[Lambda | Code], told: Any) -> Reader:
    fix = "write it as 'arguments: expression'" if kind is Lambda else ""

    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        if type(node.value) is not str or not node.value.strip():
            return checker.refuse(_named(owner, name), words_of(told), node, fix)
        text = kind(node.value, _text_where(node))
        try:
            text.compile()
        except SyntaxError as error:
            where = Mark(node.where.file, error.lineno or node.where.line, error.offset or node.where.column)
            checker.problems.append(Problem(f"{_named(owner, name)} is no Python: {error.msg}", where, fix))
            return WRONG
        return text

    return read


def _text_where(node: Node) -> Mark:
    """Where the text itself begins: behind the quote, if there is one."""
    where = node.text_where or node.where
    return where if node.is_unquoted or where != node.where else Mark(where.file, where.line, where.column + 1)


def _located(kind: type[Located], told: Any) -> Reader:
    def read(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        if type(node.value) is dict and issubclass(kind, ResourcePath) and not kind.prefix:
            return _dependency(checker, node, owner, name)
        value = checker.filled(node)
        if value is WRONG:
            return WRONG
        if type(value) is not str or not value:
            return checker.refuse(_named(owner, name), words_of(told), node)
        text = kind(value, node.where)
        if isinstance(text, ResourcePath | PipelineName):
            checker.references.append(text)
        elif isinstance(text, DottedName):
            try:
                text.load()
            except Exception as error:  # somebody's module may raise anything while it is imported
                checker.problems.append(import_problem(text, error, node.where, _named(owner, name)))
                return WRONG
        return text

    def _dependency(checker: Checker, node: Node, owner: str, name: str | None) -> Any:
        """The long form of a dependency: `{provider: <path>, …}`."""
        provider = node.value.get("provider")
        if provider is None:
            fix = "add it: the path of the resource"
            checker.problems.append(Problem(f"{_named(owner, name)} needs the option 'provider'", node.named_at, fix))
            return WRONG
        path = read(checker, provider, _inside(owner, name), "provider")
        more = read_anything(checker, node, owner, name)
        return WRONG if path is WRONG or more is WRONG else {**more, "provider": path}

    return read
