"""The wire: requests and answers as botocore's own service models describe them.

Three protocols meet at one port: `ec2` (EC2's dialect of Query), `query` (STS) and `json` (SSM, KMS, CloudTrail).
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from .errors import EC2Error, invalid_value, missing

EC2_VERSION = "2016-11-15"
STS_VERSION = "2011-06-15"
TARGETS = {"AmazonSSM": "ssm", "TrentService": "kms", "com.amazonaws.cloudtrail": "cloudtrail"}
"""The services that speak JSON, by how they name themselves in a header."""

VALIDATED_ENUMS = frozenset(
    {
        "ResourceType",
        "DomainType",
        "ShutdownBehavior",
        "NetworkInterfaceCreationType",
        "InstanceAttributeName",
        "NetworkInterfaceAttribute",
        "VpcAttributeName",
        "AddressAttributeName",
        "InstanceMetadataEndpointState",
        "HttpTokensState",
        "Tenancy",
        "VolumeType",
    }
)
"""The enumerations whose values EC2 checks before anything else; the others are the operation's to judge."""

TAGS_SENT_EMPTY = frozenset({"SecurityGroupRule", "ManagedPrefixList"})
"""The structures that have `Tags` even without a tag. EC2 leaves it out of all others."""


@dataclass(frozen=True)
class Request:
    """One request, understood: which operation of which service, with botocore's own parameter names."""

    service: str
    action: str
    params: dict[str, Any]
    model: OperationModel


@lru_cache(maxsize=1)
def _loader() -> Loader:
    return Loader()


@lru_cache(maxsize=8)
def service_model(service: str) -> ServiceModel:
    return ServiceModel(_loader().load_service_model(service, "service-2"), service)


def service_of(headers: dict[str, str], body: bytes) -> str:
    """Which of the services a request means: those of JSON say so in a header, the others by their version."""
    target = headers.get("x-amz-target", "")
    for prefix, service in TARGETS.items():
        if target.startswith(prefix):
            return service
    return "sts" if f"Version={STS_VERSION}".encode() in body else "ec2"


def parse(service: str, headers: dict[str, str], body: bytes) -> Request:
    """The request in a POST body; raises what EC2 answers to one that it cannot understand."""
    if service in TARGETS.values():
        action = headers["x-amz-target"].rpartition(".")[2]
        return Request(service, action, json.loads(body or b"{}"), _operation(service, action))
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    action = form.pop("Action", "")
    form.pop("Version", None)
    if not action:
        raise EC2Error("MissingAction", "The request is missing an action.")
    model = _operation(service, action)
    tree: dict[str, Any] = {}
    for name, value in form.items():
        node = tree
        *path, leaf = name.split(".")
        for step in path:
            node = node.setdefault(step, {})
            if not isinstance(node, dict):
                raise _unknown(name)
        node[leaf] = value
    params = _structure(model.input_shape, tree, "", service) if model.input_shape else {}
    return Request(service, action, params, model)


def _operation(service: str, action: str) -> OperationModel:
    model = service_model(service)
    if action not in model.operation_names:
        code = "UnknownOperationException" if service in TARGETS.values() else "InvalidAction"
        raise EC2Error(code, f"The action {action} is not valid for this web service.")
    return model.operation_model(action)


def _unknown(name: str) -> EC2Error:
    return EC2Error("UnknownParameter", f"The parameter {name} is not recognized")


def query_name(name: str, shape: Shape, service: str) -> str:
    """A member's name in a request. In the `ec2` protocol: queryName, else its location with a capital."""
    if service != "ec2":
        return str(shape.serialization.get("name", name))
    if "queryName" in shape.serialization:
        return str(shape.serialization["queryName"])
    located = str(shape.serialization.get("name", name))
    return located[0].upper() + located[1:]


def _structure(shape: Shape, tree: Any, path: str, service: str) -> dict[str, Any]:
    assert isinstance(shape, StructureShape)
    if not isinstance(tree, dict):
        raise _unknown(path)
    names = {query_name(name, member, service): name for name, member in shape.members.items()}
    values: dict[str, Any] = {}
    for step, below in tree.items():
        where = f"{path}.{step}" if path else step
        if step not in names:
            raise _unknown(where)
        name = names[step]
        values[name] = _value(shape.members[name], below, where, service)
    for name in shape.required_members:
        if name not in values and not isinstance(shape.members[name], ListShape):
            raise missing(f"{path}.{name}" if path else name)
    return values


def _value(shape: Shape, tree: Any, path: str, service: str) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, tree, path, service)
    if isinstance(shape, ListShape):
        if service != "ec2" and isinstance(tree, dict):
            tree = tree.get("member", tree)
        if not isinstance(tree, dict) or not all(step.isdigit() for step in tree):
            raise _unknown(path)
        ordered = sorted(tree.items(), key=lambda pair: int(pair[0]))
        return [_value(shape.member, below, f"{path}.{index}", service) for index, below in ordered]
    if not isinstance(tree, str):
        raise _unknown(path)
    return _scalar(shape, tree, path)


def _scalar(shape: Shape, value: str, path: str) -> Any:
    kind = shape.type_name
    if kind == "boolean":
        if value.lower() not in ("true", "false"):
            raise invalid_value(f"Invalid value '{value}' for {path}. It must be true or false")
        return value.lower() == "true"
    if kind in ("integer", "long"):
        try:
            return int(value)
        except ValueError as error:
            raise invalid_value(f"Invalid value '{value}' for {path}. It must be a number") from error
    if kind in ("float", "double"):
        return float(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise invalid_value(f"Invalid BASE64 encoding of {path}") from error
    if shape.name in VALIDATED_ENUMS and value not in getattr(shape, "enum", [value]):
        raise invalid_value(f"Value ({value}) for parameter {path} is invalid.")
    return value


# -- answers -----------------------------------------------------------------------------------------


def render(request: Request, result: dict[str, Any], request_id: str) -> tuple[str, bytes]:
    """The content type and the body of a good answer."""
    if request.service in TARGETS.values():
        return "application/x-amz-json-1.1", json.dumps(result, default=_json_time).encode()
    shape = request.model.output_shape
    namespace = request.model.service_model.metadata["xmlNamespace"]
    inner = "".join(_members(shape, result, top=True)) if isinstance(shape, StructureShape) else ""
    name = f"{request.action}Response"
    if request.service == "sts":
        body = (
            f"<{request.action}Result>{inner}</{request.action}Result>"
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        )
    else:
        body = f"<requestId>{request_id}</requestId>{inner}"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{namespace}">{body}</{name}>'
    return "text/xml;charset=UTF-8", text.encode()


def render_error(service: str, error: EC2Error, request_id: str) -> tuple[str, bytes]:
    """The content type and the body of an error answer, in the form of each service."""
    if service in TARGETS.values():
        body = json.dumps({"__type": error.code, "message": error.message})
        return "application/x-amz-json-1.1", body.encode()
    code, message = escape(error.code), escape(error.message)
    if service == "sts":
        text = (
            f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/{STS_VERSION}/"><Error><Type>Sender</Type>'
            f"<Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    else:
        text = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>"
        )
    return "text/xml;charset=UTF-8", f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _json_time(value: Any) -> float:
    assert isinstance(value, datetime)
    return value.timestamp()


def _members(shape: StructureShape, values: dict[str, Any], *, top: bool = False) -> list[str]:
    """A structure's members as XML. EC2 sends the element of an empty list, too, except for most `Tags`."""
    parts: list[str] = []
    for name, value in values.items():
        if value is None or (not top and _left_out(shape, name, value)):
            continue
        member = shape.members[name]
        parts.append(_element(str(member.serialization.get("name", name)), member, value))
    return parts


def _left_out(shape: StructureShape, name: str, value: Any) -> bool:
    return value == {} or (value == [] and name == "Tags" and shape.name not in TAGS_SENT_EMPTY)


def _element(name: str, shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        content = "".join(_members(shape, value))
    elif isinstance(shape, ListShape):
        item = str(shape.member.serialization.get("name", "member"))
        content = "".join(_element(item, shape.member, each) for each in value)
    elif isinstance(shape, MapShape):
        raise TypeError(f"{name}: no answer of these services holds a map")
    else:
        content = escape(_text(shape, value))
    return f"<{name}>{content}</{name}>"


def _text(shape: Shape, value: Any) -> str:
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
