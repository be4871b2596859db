"""YAML as people write cases: a key stands once, and a date is text."""

from __future__ import annotations

from typing import Any

import yaml

from coupler.interface.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML readers silently take the last.

    A date stays text: it is one of the case's calendar, not of Python's.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [k for i, k in enumerate(keys) if k in keys[:i] and k != "<<"]
        if twice:
            line = node.start_mark.line + 1
            raise ConfigError.of(
                "a key that stands twice",
                twice[0],
                found=f"both in the mapping that begins in line {line}",
                remedy="remove one of them",
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:
    """What is in `text`.

    Raises:
        yaml.YAMLError, ValueError: when it is not YAML.
        ConfigError: for a key that stands twice.
    """
    return yaml.load(text, _Loader)
