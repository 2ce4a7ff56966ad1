"""Reading YAML: typed, frozen, checked at the edge. An unknown key is an error with its path."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from features.errors import ConfigError

Days = Annotated[int, Field(strict=True, ge=1, le=36_500)]
Wait = Annotated[int, Field(strict=True, ge=0, le=3_650)]
Scalar = bool | int | float | str
SECRET = "secret"  # the type of an error whose value is never repeated
Language = Literal["en", "ja"]
M = TypeVar("M", bound="Strict")


class Strict(BaseModel):
    """Base of every section: frozen, and an unknown key is refused with the keys there are.

    ``others``: keys of the same file that another room reads. ``hidden``: fields that a YAML does not give.
    """

    others: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, section: Any) -> Any:
        if not isinstance(section, Mapping):
            return section
        allowed = [name for name in cls.model_fields if name not in cls.hidden]
        for key in section:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                known = ", ".join(allowed)
                raise PydanticCustomError("unknown_key", "{key}", {"key": str(key), "hint": hint, "known": known})
        return section

    @field_validator("data", mode="before", check_fields=False)
    @classmethod
    def _one_table_alone(cls, section: Any) -> Any:
        """A section ``data`` that names one ``table`` is a ready-made feature table, not tables of events."""
        if not (isinstance(section, Mapping) and "table" in section):
            return section
        from features.ready.config import Table  # is a section itself, and so cannot be known before this file

        return Table.model_validate(section)


class _Yaml(yaml.SafeLoader):
    """Safe YAML: a key given twice is an error, and only true and false are booleans (`on` and `no` are words)."""

    yaml_implicit_resolvers: ClassVar[dict] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$", re.IGNORECASE), list("tTfF"))


def read(path: Path) -> dict:
    """The mapping in a YAML file. Raises ConfigError when it cannot be read."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Yaml)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; a few levels are enough") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a valid YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds {type(content).__name__}; a mapping of keys is needed")
    return content


def load(path: Path, model: type[M], overrides: Sequence[str] = ()) -> M:
    """Read and check one YAML file; its ``data: FILE`` is read too, relative to it.

    ``overrides`` are ``path=value`` with a YAML value: ``windows.days=[7,28]``. Raises ConfigError.
    """
    path = Path(path)
    content = read(path)
    data_file = path
    if "data" in model.model_fields and isinstance(content.get("data"), str):
        data_file = path.parent / content["data"]
        content["data"] = read(data_file)
    _include(content, "settings", path.parent)
    for override in overrides:
        _set(content, override)
    _include(content, "settings", Path())
    elsewhere = set(model.others) - set(model.model_fields)
    content = {key: value for key, value in content.items() if key not in elsewhere}
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_say(path, data_file, detail) for detail in error.errors())) from None


def _include(content: dict, key: str, folder: Path) -> None:
    """Where a section is the path of a file, the section of that name in it."""
    if not isinstance(content.get(key), str):
        return
    path = folder / content[key]
    found = read(path)
    if key not in found:
        raise ConfigError(f"{path}: holds no `{key}`; its keys are {', '.join(found)}")
    content[key] = found[key]


def _set(content: dict, override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write path=value, as in --set windows.days=[7,28]")
    *parents, last = key.strip().split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {parent} holds a value, not a section")
    try:
        content[last] = yaml.load(value, _Yaml)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from None


def _say(path: Path, data_file: Path, detail: ErrorDetails) -> str:
    tagged = detail["loc"][:1] == ("outcome",)  # the second part is the kind, which is no key
    where = [str(part) for i, part in enumerate(detail["loc"]) if not (i == 1 and tagged)]
    file = path.name
    if where[:1] == ["data"] and data_file != path:
        where, file = where[1:], data_file.name
    context = detail.get("ctx", {})
    if detail["type"] == "unknown_key":
        where.append(context["key"])
        return f"{file}: {'.'.join(where)}: unknown key{context['hint']}; known keys: {context['known']}"
    if detail["type"] == "missing":
        return f"{file}: {'.'.join(where)}: this key is missing; add it"
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if isinstance(detail["input"], Scalar) and detail["type"] != SECRET:
        message += f"; found {detail['input']!r}"
    return f"{file}: {'.'.join(where)}: {message}" if where else f"{file}: {message}"
