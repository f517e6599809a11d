"""YAML as Compose reads it: `yes`, `on` and `22:22` are text, keys stand once, `<<` merges.

Numbers stay text as well, so that an image tag `1.10` is no `1.1`; whoever wants a number reads it from there.
"""

from __future__ import annotations

import re
from typing import Any

from bluegreen.domain.errors import ConfigurationError

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")


def parse_yaml(text: str, source: str) -> Any:
    """The one document in the text: mappings, lists, text, true and false, None. Raises ConfigurationError."""
    import yaml

    try:
        # Its parent is the safe loader.
        return yaml.load(text, Loader=_loader())  # noqa: S506
    except yaml.YAMLError as error:
        problem = _sentence(error)
    except RecursionError:
        problem = "is nested too deeply"
    wrong = ConfigurationError(source, [problem])
    wrong.hint = "See how Compose reads it: docker compose config"
    raise wrong from None


def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """With resolvers of its own; they are looked up by the first character, None stands for all."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            **{first: [("tag:yaml.org,2002:null", _NULL)] for first in ("~", "n", "N", "")},
            **{first: [("tag:yaml.org,2002:bool", _BOOL)] for first in "tTfF"},
            "<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))],
        }

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            word = key.value if isinstance(key, yaml.ScalarNode) else None
            if word is None:
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            if word in seen and word != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"the key {word!r} stands twice", key.start_mark)
            seen.add(word)
        loader.flatten_mapping(node)
        return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}

    def overridden(loader: Any, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return mapping(loader, node)
        sequence = isinstance(node, yaml.SequenceNode)
        return loader.construct_sequence(node, deep=True) if sequence else loader.construct_scalar(node)

    text, none = (lambda loader, node: loader.construct_scalar(node)), (lambda loader, node: None)
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    for tag in ("int", "float", "timestamp"):
        Loader.add_constructor(f"tag:yaml.org,2002:{tag}", text)
    Loader.add_constructor("!reset", none)
    Loader.add_constructor("!override", overridden)
    return Loader


def _sentence(error: Any) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or " ".join(str(error).split())
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{place}not YAML: {what}"
