"""Reads YAML as its author meant it: a key that is given twice, or read as a truth value, is refused.

YAML 1.2 (section 3.2.1.1) says that the keys of a mapping are unique. The library takes the last of two without a
word. It follows YAML 1.1, in which yes, no, on and off are truth values.
"""

from __future__ import annotations

from typing import Any

import yaml

from ai4land_coupler.errors import ConfigError

_TRUTH = "tag:yaml.org,2002:bool"
_MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str, where: object, what: str = "the configuration") -> Any:
    """Read a YAML text.

    Parameters
    ----------
    where:
        The name of the file in messages.
    what:
        What the text is, for messages.

    Raises
    ------
    ConfigError
        The text is no YAML, has a key twice, or has a key that YAML reads as a truth value. The message gives the
        lines.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_keys(node, where, what)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such day as 2015-02-30
        found = "mappings or lists too deep" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{what} is not valid YAML", found=found, where=where) from None


def _check_keys(root: yaml.Node, where: object, what: str) -> None:
    """Check all keys before values are made. Later, ``<<`` would have copied the keys of other mappings."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in reversed(node.value)]
            _check_mapping(node, where, what)


def _check_mapping(node: yaml.MappingNode, where: object, what: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        line = key.start_mark.line + 1
        if key.tag == _TRUTH:
            raise ConfigError(
                f"{what} has the key {key.value}, which YAML reads as a truth value",
                expected="a name",
                found=f"line {line}: {key.value}",
                where=where,
                remedy=f'write it in quotes: "{key.value}"',
            )
        if (key.tag, key.value) in lines:
            raise ConfigError(
                f"{what} has the key {key.value!r} twice in one mapping",
                expected="each key once",
                found=f"line {lines[key.tag, key.value]} and line {line}",
                where=where,
                remedy="delete one of them, or join them: only the last one would count",
            )
        lines[key.tag, key.value] = line
