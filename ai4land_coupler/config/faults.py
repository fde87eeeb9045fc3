"""Turns a validation error of pydantic into one of our errors, with a line for each fault."""

from __future__ import annotations

import datetime
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel

from ai4land_coupler.errors import ConfigError, nearest

_LONGEST_INPUT = 60
#: A key with more places than this is not looked for elsewhere.
_MOST_PLACES = 3
#: Sections in sections that are searched for a key.
_DEEPEST = 4


def config_error(
    error: pydantic.ValidationError, where: str, model: type[BaseModel], what: str = "the configuration"
) -> ConfigError:
    """Make an error that explains a failed validation.

    Parameters
    ----------
    error:
        The error of ``model``.
    where:
        The file, or the place in it, that was validated.
    model:
        The model, whose keys are suggested for misspelt ones.
    what:
        What was validated; the message begins with it.

    Returns
    -------
    An error with one line for each fault: the path of the key (``tiles.size``, ``runs[2].seed``), what was expected,
    what was found, and for an unknown key the nearest known one.
    """
    lines = fault_lines(error, model)
    count = "one fault" if len(lines) == 1 else f"{len(lines)} faults"
    return ConfigError(f"{what} has {count}\n" + "\n".join(f"  {line}" for line in lines), where=where)


def fault_lines(error: pydantic.ValidationError, model: type[BaseModel]) -> list[str]:
    """One line for each fault of a failed validation, as in :func:`config_error`."""
    return [_line(fault, model) for fault in error.errors(include_url=False)]


def _line(fault: Any, model: type[BaseModel]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    path, models = _locate(fault["loc"], model, unknown_key=kind == "extra_forbidden")
    if kind == "extra_forbidden":
        known = [key for item in models for key in _keys(item)]
        return f"{path}: unknown key; {_suggestion(str(fault['loc'][-1]), known, model)}"
    if kind == "missing":
        return f"{path}: missing"
    found = _shorten(fault["input"])
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        choices = context.get("expected", context.get("expected_tags", ""))
        names = [name.strip(" '") for part in choices.split(" or ") for name in part.split(",")]
        value = context.get("tag", fault["input"])
        return f"{path}: expected {choices}, found {_shorten(value)}; {nearest(str(value), names)}"
    if kind == "value_error":
        # The text of our own validators says what was expected.
        return f"{path}: {context['error']}; found {found}"
    expected = fault["msg"].removeprefix("Input should be ").split(", unable to parse")[0]
    quote = "; write it in quotes: YAML reads it as another type" if kind == "string_type" and _is_scalar(fault) else ""
    return f"{path}: expected {expected[0].lower() + expected[1:]}, found {found}{quote}"


def _is_scalar(fault: Any) -> bool:
    """Whether the input is what YAML makes of a plain word such as no, 2015 or 2015-01-01."""
    return isinstance(fault["input"], bool | int | float | datetime.date)


def _suggestion(key: str, known: list[str], model: type[BaseModel]) -> str:
    """The places where a key belongs that was written elsewhere (``seed``: ``random.seed``), else the nearest key."""
    places = [place for place in dict.fromkeys(_places(key, model)) if key not in known]
    if not 0 < len(places) <= _MOST_PLACES:
        return nearest(key, known)
    return f"did you mean {' or '.join(repr(place) for place in places)}? Known here: {', '.join(sorted(known))}"


def _places(key: str, model: type[BaseModel], prefix: str = "", depth: int = 0) -> Iterator[str]:
    """Paths of all keys of this name in a model and its sections."""
    for name, field in model.model_fields.items():
        own = field.alias or name
        if own == key:
            yield f"{prefix}{own}"
        annotation, mapped = field.annotation, _mapped(field.annotation)
        if mapped is not None:
            annotation, own = mapped, f"{own}.NAME"
        for section in _models(annotation) if depth < _DEEPEST else ():
            yield from _places(key, section, f"{prefix}{own}.", depth + 1)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_INPUT else text[: _LONGEST_INPUT - 3] + "..."


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _locate(
    loc: tuple[int | str, ...], model: type[BaseModel], *, unknown_key: bool
) -> tuple[str, list[type[BaseModel]]]:
    """The path of a fault as a user writes it, and the models that could have its last key.

    pydantic also names the branch of a union that it tried (``land.luh2.path``, ``step.int``). The user wrote no such
    key, so it is left out.
    """
    path = ""
    annotation: Any = model
    holders: list[type[BaseModel]] = [model]
    for index, part in enumerate(loc):
        holders = list(_models(annotation))
        if isinstance(part, int):
            path += f"[{part}]"
            annotation = _inner(annotation)
            continue
        owners = [m for m in holders if part in _keys(m)]
        if owners:
            annotation = Union[tuple(m.model_fields[_name(m, part)].annotation for m in owners)]  # noqa: UP007
        elif (mapped := _mapped(annotation)) is not None:
            annotation = mapped
        elif not (unknown_key and index == len(loc) - 1):
            annotation = _branch(holders, part, annotation)
            continue
        path += f".{part}" if path else part
    return path or "(top level)", holders


def _name(model: type[BaseModel], key: str) -> str:
    return next(name for name, field in model.model_fields.items() if key in (name, field.alias))


def _branch(holders: list[type[BaseModel]], tag: str, annotation: Any) -> Any:
    """The model of a union that a tag names, by its class name or by a literal of its discriminator."""
    for model in holders:
        literals = (get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal)
        if tag == model.__name__ or any(tag in values for values in literals):
            return model
    return annotation


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, or the annotation itself if it is no union."""
    if get_origin(annotation) in (Union, types.UnionType):
        for item in get_args(annotation):
            yield from _alternatives(item)
    elif hasattr(annotation, "__metadata__"):
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for item in _alternatives(annotation):
        if isinstance(item, type) and issubclass(item, BaseModel):
            yield item


def _inner(annotation: Any) -> Any:
    """The type of the items of a sequence."""
    inner = tuple(arg for item in _alternatives(annotation) for arg in get_args(item) if arg is not Ellipsis)
    return Union[inner] if inner else Any  # noqa: UP007


def _mapped(annotation: Any) -> Any | None:
    """The type of the values of a mapping, or ``None`` if the annotation is no mapping."""
    for item in _alternatives(annotation):
        origin = get_origin(item)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return get_args(item)[1]
    return None
