"""YAML with keys that a mapping cannot have is refused, in every file that a user writes."""

from importlib import resources
from pathlib import Path

import pytest
import yaml

from ai4land_coupler.config.sections import Config, checked, load_config, read_yaml
from ai4land_coupler.core.yaml_text import parse_yaml
from ai4land_coupler.errors import ConfigError
from ai4land_coupler.experiments.training.config import load_train_config
from ai4land_coupler.host.profiles import get_profile

TWICE = """\
title: one
time: {start: 2015, stop: 2030}
# a comment
time: {start: 2015, stop: 2017}
"""


@pytest.mark.parametrize("read", [read_yaml, load_config, load_train_config, lambda path: get_profile(str(path))])
def test_a_key_given_twice_is_refused_with_both_lines(tmp_path: Path, read) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(TWICE)
    with pytest.raises(ConfigError, match=r"'time' twice(.|\n)*line 2 and line 4(.|\n)*given\.yaml"):
        read(path)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: [{b: 1}, {c: 1, d: 2,\n c: 3}]", "line 1 and line 2"),
        ("a: {b: 1, b: 1}", "line 1 and line 1"),
        ("a: 1\n'a': 2", "line 1 and line 2"),
        ("1: {x: 1}\n1: {x: 1}", "line 1 and line 2"),
    ],
)
def test_keys_twice_at_any_depth(text: str, lines: str) -> None:
    with pytest.raises(ConfigError, match=lines):
        parse_yaml(text, "text")


@pytest.mark.parametrize("word", ["no", "yes", "on", "OFF", "true"])
def test_a_name_that_is_read_as_a_truth_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=rf'line 2: {word}(.|\n)*in quotes: "{word}"'):
        parse_yaml(f"title: x\nhosts: {{a: 1, {word}: {{grid: r36x18}}}}", "run.yaml")
    assert parse_yaml(f'hosts: {{"{word}": 1}}', "run.yaml") == {"hosts": {word: 1}}


@pytest.mark.parametrize("text", ["a: [1", "day: 2015-02-30", "a: &x [*y]", "\t- a", "[" * 2000])
def test_text_that_is_no_yaml(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the card is not valid YAML(.|\n)*where: card\.yaml"):
        parse_yaml(text, "card.yaml", "the card")


def test_good_yaml_is_read_as_the_library_reads_it() -> None:
    texts = [
        "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nagain: {<<: *b, x: 4}\nlist: [*b, *b]",
        "a: &s {k: 1}\nb: &t {<<: *s, k: 2}\nc: {<<: *t, k: 3}\nd: {<<: [*s, *t], m: yes}",
        "",
        "# only a comment",
    ]
    schemas = Path(str(resources.files("ai4land_coupler.schemas")))
    texts += [path.read_text() for path in schemas.rglob("*.yaml")]
    assert len(texts) > 10
    for text in texts:
        assert parse_yaml(text, "text") == yaml.safe_load(text)


def test_a_text_that_yaml_reads_as_another_type_gets_a_remedy() -> None:
    for value in ("no", "2015", "2015-01-01"):
        with pytest.raises(ConfigError, match=r"title: expected a valid string.*in quotes"):
            checked(Config, parse_yaml(f"title: {value}", "run.yaml"), "run.yaml")
