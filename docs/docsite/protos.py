"""The reference of the protos, from their descriptors and the comments in their source."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf import descriptor_pb2 as p

from docsite.text import plain, table

# Comments by the path of numbers that leads to an element of a file.
Comments: TypeAlias = Mapping[tuple[int, ...], str]
_TYPES = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in p.FieldDescriptorProto.Type.items()
}
# Of paths: fields of FileDescriptorProto, DescriptorProto, ServiceDescriptorProto and EnumDescriptorProto.
_PACKAGE, _MESSAGE, _ENUM, _SERVICE = 2, 4, 5, 6
_FIELD, _NESTED, _INNER_ENUM, _ONEOF = 2, 3, 4, 8


def load(source: Path, scratch: Path) -> list[p.FileDescriptorProto]:
    """The descriptors of all files under a directory, with their comments.

    Raises:
        subprocess.CalledProcessError: protoc refuses one; it has told why.
    """
    names = sorted(str(path.relative_to(source)) for path in source.rglob("*.proto"))
    target = scratch / "protos.binpb"
    options = (f"-I{source}", "--include_source_info", f"--descriptor_set_out={target}")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *names], check=True)
    return list(p.FileDescriptorSet.FromString(target.read_bytes()).file)


def pages(files: Sequence[p.FileDescriptorProto]) -> dict[str, str]:
    """A page for each package, by its name."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for file in files:
        grouped[file.package].append(_file(file))
    return {package: f"# {package}\n\n" + "\n".join(texts) for package, texts in grouped.items()}


def _file(file: p.FileDescriptorProto) -> str:
    comments = {
        tuple(at.path): _flowing(at.leading_comments) for at in file.source_code_info.location
    }
    parts = [f"{plain(comments.get((_PACKAGE,), ''))}\n", f"From `proto/{file.name}`.\n"]
    for number, service in enumerate(file.service):
        parts += _service(service, comments, (_SERVICE, number), file.package)
    for number, message in enumerate(file.message_type):
        parts += _message(message, comments, (_MESSAGE, number), file.package)
    for number, enum in enumerate(file.enum_type):
        parts += _enum(enum, comments, (_ENUM, number), file.package)
    return "\n".join(parts)


def _service(
    service: p.ServiceDescriptorProto, comments: Comments, path: tuple[int, ...], package: str
) -> Iterator[str]:
    yield _heading(service.name, package)
    yield plain(comments.get(path, "")) + "\n"
    rows = [
        (
            f"`{method.name}`",
            ("stream of " if method.client_streaming else "") + _link(method.input_type),
            ("stream of " if method.server_streaming else "") + _link(method.output_type),
            plain(comments.get((*path, 2, number), "")),
        )
        for number, method in enumerate(service.method)
    ]
    yield table(("RPC", "Request", "Response", "Meaning"), rows)


def _message(
    message: p.DescriptorProto, comments: Comments, path: tuple[int, ...], scope: str
) -> Iterator[str]:
    name = f"{scope}.{message.name}"
    entries = {
        f".{name}.{nested.name}": nested
        for nested in message.nested_type
        if nested.options.map_entry
    }
    yield _heading(message.name, scope)
    yield plain(comments.get(path, "")) + "\n"
    rows = []
    for number, field in enumerate(message.field):
        text = plain(comments.get((*path, _FIELD, number), ""))
        if field.HasField("oneof_index") and not field.proto3_optional:
            text = f"One of `{message.oneof_decl[field.oneof_index].name}`. {text}"
        rows.append((f"`{field.name}`", str(field.number), _type(field, entries), text))
    yield table(("Field", "Number", "Type", "Meaning"), rows)
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _message(nested, comments, (*path, _NESTED, number), name)
    for number, enum in enumerate(message.enum_type):
        yield from _enum(enum, comments, (*path, _INNER_ENUM, number), name)


def _enum(
    enum: p.EnumDescriptorProto, comments: Comments, path: tuple[int, ...], scope: str
) -> Iterator[str]:
    yield _heading(enum.name, scope)
    yield plain(comments.get(path, "")) + "\n"
    rows = [
        (f"`{value.name}`", str(value.number), plain(comments.get((*path, 2, number), "")))
        for number, value in enumerate(enum.value)
    ]
    yield table(("Value", "Number", "Meaning"), rows)


def _heading(name: str, scope: str) -> str:
    return f"({_target(f'{scope}.{name}')})=\n## {name}\n"


def _type(field: p.FieldDescriptorProto, entries: Mapping[str, p.DescriptorProto]) -> str:
    if field.type_name in entries:
        key, value = entries[field.type_name].field
        return f"map of {_TYPES[key.type]} to {_single(value)}"
    repeated = field.label == p.FieldDescriptorProto.LABEL_REPEATED
    return ("repeated " if repeated else "optional " if field.proto3_optional else "") + _single(
        field
    )


def _single(field: p.FieldDescriptorProto) -> str:
    return _link(field.type_name) if field.type_name else _TYPES[field.type]


def _link(name: str) -> str:
    """A message or enum, with a link when it is one of this repository's."""
    full = name.removeprefix(".")
    short = full.rsplit(".", 1)[-1]
    return f"[{short}](#{_target(full)})" if full.startswith("kaonapi.") else f"`{full}`"


def _target(full: str) -> str:
    return "proto-" + full.replace(".", "-").lower()


def _flowing(comment: str) -> str:
    return " ".join(comment.split())
