"""Messages and services of containerd's API, from a descriptor set that is shipped as data.

Classes are made of descriptors when they are asked for, in a pool of their own: nothing is generated that wants one
version of protobuf, and no package of another program that has the same definitions gets in the way.

Source: containerd/containerd api/services; google/protobuf/descriptor.proto.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from winlayers.errors import MissingExtra

INSTALL = "to serve containerd, install winlayers[containerd]"

SNAPSHOTS = "containerd.services.snapshots.v1.Snapshots"
DIFF = "containerd.services.diff.v1.Diff"
CONTENT = "containerd.services.content.v1.Content"
LEASES = "containerd.services.leases.v1.Leases"

Message = Any
"""A message; its fields are those of the API."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service.

    Attributes:
        name: without its service.
        path: as it is called over HTTP.
        request: class of what is asked.
        answer: class of what is answered.
        is_request_stream: whether several are asked.
        is_answer_stream: whether several are answered.
    """

    name: str
    path: str
    request: type[Message]
    answer: type[Message]
    is_request_stream: bool
    is_answer_stream: bool


@cache
def message(name: str) -> type[Message]:
    """The class of a message.

    Args:
        name: with its package, as ``containerd.types.Mount``.
    Raises:
        MissingExtra: protobuf is not installed.
    """
    pool, factory = _pool()
    return factory.GetMessageClass(pool.FindMessageTypeByName(name))  # type: ignore[no-any-return]


@cache
def methods(service: str) -> tuple[Method, ...]:
    """The methods of a service, by its name with its package."""
    pool, _ = _pool()
    return tuple(
        Method(
            method.name,
            f"/{service}/{method.name}",
            message(method.input_type.full_name),
            message(method.output_type.full_name),
            method.client_streaming,
            method.server_streaming,
        )
        for method in pool.FindServiceByName(service).methods
    )


@cache
def _pool() -> tuple[Any, Any]:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MissingExtra(f"{INSTALL} ({error})") from error
    described = descriptor_pb2.FileDescriptorSet()
    described.ParseFromString((files(__package__) / "_proto" / "api.binpb").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.Add(file)
    return pool, message_factory
