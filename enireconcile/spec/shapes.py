"""Values with several spellings: ports, and selectors of VPCs, subnets, instances, images, groups, prefix lists.

Each has a model, a reader that turns the spelling in the file into the model, and the JSON Schema of the spelling.
The reader returns a model that was built in Python unchanged.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from enireconcile.regions import REGION
from enireconcile.spec.places import shown
from enireconcile.spec.scalars import (
    ANY_SCALAR,
    SEARCH_TAGS_SCHEMA,
    UNKNOWN_KEY,
    SearchTags,
    Text,
    VpcBlock,
    Zone,
    described,
    matching,
    number_hint,
    value_error,
)
from enireconcile.spec.suggest import Nearest

SelectorKind = Literal["default", "id", "cidr", "tags", "default_for_az"]


class Shape(BaseModel):
    """The base of all models: immutable, without type conversion, without unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", ser_json_bytes="base64")


class Ports(Shape):
    """An inclusive range of TCP or UDP ports.

    For icmp and icmpv6, ``first`` and ``last`` are both the ICMP type; ``code`` None means all codes.
    """

    first: int
    last: int
    code: int | None = None


def _tags_text(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(tags.items()))


class Selector(Shape):
    """Selects a VPC or a subnet; exactly one field is set."""

    default: bool = False
    id: Text | None = None
    cidr: VpcBlock | None = None
    tags: SearchTags | None = None
    default_for_az: Zone | None = None

    @property
    def kind(self) -> SelectorKind:
        """The name of the field that is set."""
        if self.id is not None:
            return "id"
        if self.cidr is not None:
            return "cidr"
        if self.tags is not None:
            return "tags"
        return "default" if self.default else "default_for_az"

    @property
    def text(self) -> str:
        """The selector in a message."""
        if self.tags is not None:
            return _tags_text(self.tags)
        return self.id or self.cidr or self.default_for_az or "default"

    @property
    def key(self) -> tuple[object, ...]:
        """The selector in hashable form; equal for equal selectors."""
        tags = tuple(sorted(self.tags.items())) if self.tags is not None else None
        return (self.default, self.id, self.cidr, tags, self.default_for_az)

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [self.default or None, self.id, self.cidr, self.tags, self.default_for_az]
        if sum(item is not None for item in given) != 1:
            raise value_error("needs exactly one of default, id, cidr, tags, default_for_az")
        return self


class InstanceSelector(Shape):
    """Selects an external instance; exactly one field is set."""

    id: Text | None = None
    tags: SearchTags | None = None

    @property
    def text(self) -> str:
        """The selector in a message."""
        return self.id or _tags_text(self.tags or {})

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.id is None) == (self.tags is None):
            raise value_error("needs exactly one of id, tags")
        return self


def _name_of(what: str, example: str) -> AfterValidator:
    return matching(r"[ -~]{1,255}", f"the name of {what} (1 to 255 ASCII characters)", f"for example {example}")


class ForeignSelector(Shape):
    """Selects a security group or a prefix list that is not of this stack; exactly one field is set."""

    tags: SearchTags | None = None
    group_name: Annotated[Text, _name_of("a security group", "default")] | None = None
    prefix_list_name: Annotated[Text, _name_of("a prefix list", "com.amazonaws.us-east-1.s3")] | None = None

    @property
    def text(self) -> str:
        """The selector in a message."""
        if self.tags is not None:
            return _tags_text(self.tags)
        return self.group_name or self.prefix_list_name or ""

    @property
    def key(self) -> tuple[object, ...]:
        """The selector in hashable form; equal for equal selectors."""
        tags = tuple(sorted(self.tags.items())) if self.tags is not None else None
        return (tags, self.group_name, self.prefix_list_name)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(item is not None for item in (self.tags, self.group_name, self.prefix_list_name)) != 1:
            raise value_error("needs exactly one of tags, group_name, prefix_list_name")
        return self


ParameterName = Annotated[
    Text,
    matching(
        r"[A-Za-z0-9_./-]{1,1011}(:[A-Za-z0-9_.-]+)?", "the name of an SSM parameter", "for example /team/ami"
    ),
]
ImagePattern = Annotated[
    Text, matching(r"[ -~]{1,128}", "a pattern of image names", 'for example "al2023-ami-2023*"')
]
ImageOwner = Annotated[
    Text,
    matching(
        "amazon|aws-marketplace|aws-backup-vault|self|[0-9]{12}",
        "`aws-marketplace`, `aws-backup-vault`, `amazon`, `self` or an account id of 12 digits",
    ),
    ANY_SCALAR,
]
_ARCHITECTURES = ("x86_64", "arm64", "i386", "x86_64_mac", "arm64_mac")
ImageArchitecture = Annotated[
    Text, matching("|".join(_ARCHITECTURES), "x86_64, arm64, i386, x86_64_mac or arm64_mac")
]


class Image(Shape):
    """Selects an AMI: ``id``, the ``ssm`` parameter that contains the id, or the newest ``name`` of ``owner``.

    ``architecture`` restricts the images of a name; None: those that the instance type supports.
    """

    id: Text | None = None
    ssm: ParameterName | None = None
    name: ImagePattern | None = None
    owner: ImageOwner | None = None
    architecture: ImageArchitecture | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(item is not None for item in (self.id, self.ssm, self.name)) != 1:
            raise value_error("needs exactly one of id, ssm, name")
        if (self.name is None) != (self.owner is None):
            raise value_error("`name` and `owner` go together")
        if self.architecture is not None and self.name is None:
            raise value_error("`architecture` goes with `name` and `owner`")
        return self


def resource_id(prefix: str, value: str) -> bool:
    """Whether the text is an EC2 id with this prefix: 8 (old ids) to 17 hexadecimal digits."""
    return _id_pattern(prefix).fullmatch(value) is not None


@cache
def _id_pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(rf"{prefix}-[0-9a-f]{{8,17}}")


def read_ports(value: object) -> object:
    """Read ``80`` or ``8000-8010``; for ICMP a type, or ``3/4``, type and code."""
    if value is None or isinstance(value, Ports):
        return value
    if not isinstance(value, str):
        hint = "a rule takes one port or one range; write a rule for each" if isinstance(value, tuple) else None
        raise value_error(f"must be a port or a range of ports, not {described(value)}", hint)
    found = re.fullmatch(r"(0|[1-9][0-9]{0,9})(?:-(0|[1-9][0-9]{0,9})|/(0|[1-9][0-9]{0,2}))?", value)
    if not found:
        raise value_error(f"must be a port or a range of ports, not {shown(value)}", _ports_hint(value))
    first, last = int(found[1]), int(found[2] or found[1])
    if max(first, last) > 65535:
        raise value_error(f"must be at most 65535, not {max(first, last)}", 'write 80 or "8000-8010"')
    if first > last:
        raise value_error(f"the range {value} ends before it begins", f"write {last}-{first}")
    return Ports(first=first, last=last, code=int(found[3]) if found[3] else None)


def _ports_hint(value: str) -> str:
    word = value.lower().strip()
    if word in ("all", "any", "*", "-1"):
        return "leave `ports` out for all ports"
    if word in SERVICES:
        return f"write {SERVICES[word][1]}"
    if re.fullmatch(r"[0-9]{1,5}(\s*,\s*[0-9]{1,5})+", word):
        return "a rule takes one port or one range; write a rule for each"
    if found := re.fullmatch(r"([0-9]{1,5})\s*(?::|\.\.|to|–|\s-|-\s)\s*([0-9]{1,5})", word):
        return f"write {found[1]}-{found[2]}"
    if found := re.fullmatch(r"([0-9]{1,5})[-+]", word):
        return f"write {found[1]}, or {found[1]}-65535 for this port and all above"
    if found := re.fullmatch(r"-([0-9]{1,5})", word):
        return f"write 0-{found[1]}"
    if found := re.fullmatch(r"(tcp|udp)/([0-9-]+)|([0-9-]+)/(tcp|udp)", word):
        return f"write `protocol: {found[1] or found[4]}, ports: {found[2] or found[3]}`"
    return number_hint(value) if re.fullmatch(r"[0-9+_][0-9a-fA-FxXoO_:]*", value) else 'write 80 or "8000-8010"'


SERVICES = {
    "http": ("tcp", "80"),
    "https": ("tcp", "443"),
    "ssh": ("tcp", "22"),
    "sftp": ("tcp", "22"),
    "smtp": ("tcp", "25"),
    "imaps": ("tcp", "993"),
    "rdp": ("tcp", "3389"),
    "mysql": ("tcp", "3306"),
    "postgresql": ("tcp", "5432"),
    "ldaps": ("tcp", "636"),
    "nfs": ("tcp", "2049"),
    "ntp": ("udp", "123"),
    "dns": ("udp", "53"),
}
"""Services that people write for a protocol or a port, for hints: IANA's protocol and port."""


def _selector_hint(value: str, keys: Sequence[str], hint: str) -> str:
    """How to write what was meant: a zone, a CIDR, a name; ``hint`` for all else."""
    if "default_for_az" in keys and re.fullmatch(f"{REGION}[a-z]", value):
        return f"write {{default_for_az: {value}}}"
    if re.fullmatch(r"[0-9.]+/[0-9]+", value):
        return f"write {{cidr: {value}}}"
    if re.fullmatch(r"[A-Za-z][\w-]{0,60}", value) and not re.match("default$|subnet-[0-9]|vpc-[0-9]", value):
        return f"write {{tags: {{Name: {value}}}}} for a Name tag, else {hint.removeprefix('write ')}"
    return hint


def _selector_reader(
    what: str, kinds: tuple[SelectorKind, ...], prefix: str, hint: str
) -> Callable[[object], object]:
    """A reader of VPC or subnet selectors that allows only some ``kinds``."""
    keys = [name for name in kinds if name not in ("default", "id")]

    def read(value: object) -> object:
        if isinstance(value, Selector):
            if value.kind not in kinds:
                raise value_error(f"a {what} cannot be selected by {value.kind}", hint)
            return value
        if isinstance(value, str):
            if value == "default" and "default" in kinds:
                return {"default": True}
            if not resource_id(prefix, value):
                raise value_error(f"{shown(value)} is not a {what} id", _selector_hint(value, keys, hint))
            return {"id": value}
        if not isinstance(value, Mapping):
            raise value_error(f"must be a {what} selector, not {described(value)}", hint)
        if set(value) in ({"name"}, {"Name"}):
            (key,) = value
            raise value_error(UNKNOWN_KEY, "write {tags: {Name: …}}: a name is a tag", at=(key,), key=True)
        _check_single(value, keys, what, hint)
        return value

    return read


def _read_instance(value: object) -> object:
    if isinstance(value, InstanceSelector):
        return value
    if isinstance(value, str):
        if not resource_id("i", value):
            raise value_error(f"{shown(value)} is not an instance id", _INSTANCE_HINT)
        return {"id": value}
    if not isinstance(value, Mapping):
        raise value_error(f"must be an instance selector, not {described(value)}", _INSTANCE_HINT)
    _check_keys(value, ["tags"])
    if "tags" not in value:
        raise value_error("needs `tags`", _INSTANCE_HINT)
    if not value["tags"]:
        raise value_error(
            "must not be empty: it would match every instance", "list at least one tag", at=("tags",)
        )
    return value


def _foreign_reader(what: str, keys: tuple[str, ...], hint: str) -> Callable[[object], object]:
    """A reader of selectors of foreign groups and prefix lists that allows only some ``keys``."""

    def read(value: object) -> object:
        given = value.model_fields_set if isinstance(value, ForeignSelector) else value
        if not isinstance(given, (Mapping, AbstractSet)):
            raise value_error(f"must be {what}, not {described(value)}", hint)
        for key in given:
            if key in ForeignSelector.model_fields and key not in keys:
                raise value_error("is allowed only in rules", hint, at=(key,), key=True)
        if isinstance(value, Mapping):
            _check_single(value, keys, "security group", hint)
        return value

    return read


def _read_image(value: object) -> object:
    if isinstance(value, Image):
        return value
    if isinstance(value, str):
        if not resource_id("ami", value):
            raise value_error(f"{shown(value)} is not an AMI id", _IMAGE_HINT)
        return {"id": value}
    if not isinstance(value, Mapping):
        raise value_error(f"must be an image selector, not {described(value)}", _IMAGE_HINT)
    _check_keys(value, ["ssm", "name", "owner", "architecture"])
    if "ssm" in value and "name" not in value:
        for key in ("owner", "architecture"):
            if key in value:
                hint = "remove it, or write `name` and `owner` instead of `ssm`"
                raise value_error("goes only with `name`", hint, at=(key,), key=True)
    if set(value) not in ({"ssm"}, {"name", "owner"}, {"name", "owner", "architecture"}):
        alone = "name" in value and "ssm" not in value
        message = (
            "`name` needs `owner`, because any AWS account can publish an image with this name"
            if alone
            else _IMAGE_KEYS
        )
        raise value_error(message, _IMAGE_HINT)
    return value


def _check_keys(value: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in value:
        if key not in keys:
            raise value_error(UNKNOWN_KEY, Nearest(key, keys), at=(key,), key=True)


def _check_single(value: Mapping[str, Any], keys: Sequence[str], what: str, hint: str) -> None:
    """A selector of ``what`` has exactly one of the keys, and tags are not empty."""
    _check_keys(value, keys)
    if len(value) != 1:
        raise value_error(f"needs exactly one of {', '.join(keys)}", hint)
    if value.get("tags") == {}:
        raise value_error(f"must not be empty: it would match every {what}", "list at least one tag", at=("tags",))


def _one_of(*choices: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"oneOf": list(choices)})


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _id_schema(prefix: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{prefix}-[0-9a-f]{{8,17}}$"}


_VPC_HINT = "write default, vpc-0123456789abcdef0, {cidr: 10.0.0.0/16} or {tags: {Name: lab}}"
_SUBNET_HINT = (
    "write subnet-0123456789abcdef0, {tags: {Name: lab-a}}, {cidr: 10.0.0.0/24} or {default_for_az: us-east-1a}"
)
_INSTANCE_HINT = "write i-0123456789abcdef0 or {tags: {Name: fw-a}}"
_IMAGE_HINT = 'write ami-0123456789abcdef0, {ssm: /parameter/name} or {name: "al2023-ami-2023*", owner: amazon}'
_IMAGE_KEYS = "needs either `ssm`, or `name` and `owner`"

_TAGS_SCHEMA = _object(tags=SEARCH_TAGS_SCHEMA)
_CIDR_SCHEMA = _object(cidr={"type": "string", "pattern": r"^[0-9.]+/(1[6-9]|2[0-8])$"})
_VPC_SCHEMAS = ({"const": "default"}, _id_schema("vpc"), _CIDR_SCHEMA, _TAGS_SCHEMA)
_SUBNET_SCHEMAS = (
    _id_schema("subnet"),
    _TAGS_SCHEMA,
    _CIDR_SCHEMA,
    _object(default_for_az={"type": "string", "pattern": "^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$"}),
)

PortsField = Annotated[
    Ports,
    BeforeValidator(read_ports),
    _one_of(
        {"type": "integer", "minimum": 0, "maximum": 65535},
        {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5}|/[0-9]{1,3})?$"},
    ),
]
VpcField = Annotated[
    Selector,
    BeforeValidator(_selector_reader("VPC", ("default", "id", "cidr", "tags"), "vpc", _VPC_HINT)),
    _one_of(*_VPC_SCHEMAS),
]
SubnetField = Annotated[
    Selector,
    BeforeValidator(_selector_reader("subnet", ("id", "tags", "cidr", "default_for_az"), "subnet", _SUBNET_HINT)),
    _one_of(*_SUBNET_SCHEMAS),
]
InstanceField = Annotated[
    InstanceSelector, BeforeValidator(_read_instance), _one_of(_id_schema("i"), _TAGS_SCHEMA)
]
ImageField = Annotated[
    Image,
    BeforeValidator(_read_image),
    _one_of(
        _id_schema("ami"),
        _object(ssm={"type": "string"}),
        {
            **_object(
                name={"type": "string"},
                owner={
                    "anyOf": [
                        {
                            "type": "string",
                            "pattern": "^(amazon|aws-marketplace|aws-backup-vault|self|[0-9]{12})$",
                        },
                        {"type": "integer", "minimum": 0},
                    ]
                },
                architecture={"enum": list(_ARCHITECTURES)},
            ),
            "required": ["name", "owner"],
        },
    ),
]


class RouteTableSelector(Shape):
    """Selects a route table: by itself, as the one of a subnet, or as the main one of a VPC. One field is set."""

    id: Text | None = None
    tags: SearchTags | None = None
    subnet: SubnetField | None = None
    main_of: VpcField | None = None

    @property
    def text(self) -> str:
        """The selector in a message."""
        if self.subnet is not None:
            return f"subnet {self.subnet.text}"
        if self.main_of is not None:
            return f"main_of {self.main_of.text}"
        return self.id or ", ".join(f"{key}={value}" for key, value in sorted((self.tags or {}).items()))

    @property
    def key(self) -> tuple[object, ...]:
        """The selector in hashable form; equal for equal selectors."""
        tags = tuple(sorted(self.tags.items())) if self.tags is not None else None
        return (self.id, tags, *(each and each.key for each in (self.subnet, self.main_of)))

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(item is not None for item in (self.id, self.tags, self.subnet, self.main_of)) != 1:
            raise value_error("needs exactly one of id, tags, subnet, main_of")
        return self


def _read_route_table(value: object) -> object:
    if isinstance(value, RouteTableSelector):
        return value
    if isinstance(value, str):
        if not resource_id("rtb", value):
            raise value_error(f"{shown(value)} is not a route table id", _ROUTE_TABLE_HINT)
        return {"id": value}
    if not isinstance(value, Mapping):
        raise value_error(f"must be a route table selector, not {described(value)}", _ROUTE_TABLE_HINT)
    _check_single(value, _ROUTE_TABLE_KEYS, "route table", _ROUTE_TABLE_HINT)
    return value


_ROUTE_TABLE_KEYS = ("tags", "subnet", "main_of")
_ROUTE_TABLE_HINT = (
    "write rtb-0123456789abcdef0, {tags: {Name: private-a}}, {subnet: {tags: {Name: lab-a}}} or {main_of: default}"
)
RouteTableField = Annotated[
    RouteTableSelector,
    BeforeValidator(_read_route_table),
    _one_of(
        _id_schema("rtb"),
        _TAGS_SCHEMA,
        _object(subnet={"oneOf": [*_SUBNET_SCHEMAS]}),
        _object(main_of={"oneOf": [*_VPC_SCHEMAS]}),
    ),
]

_NAME_SCHEMA = {"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": 255}
_GROUP_SCHEMAS = (_TAGS_SCHEMA, _object(group_name=_NAME_SCHEMA))
_GROUP_HINT = "write {tags: {Name: ops}}, {group_name: ops}, an id, or the name of a group in this spec"
_DESTINATION_HINT = "write a CIDR like 0.0.0.0/0, pl-0123456789abcdef0 or {prefix_list_name: …}"
_PEER_HINT = (
    "write {tags: {Name: ops}}, {group_name: ops}, {prefix_list_name: com.amazonaws.us-east-1.s3}, a CIDR, an id, "
    "or the name of a group in this spec"
)

ForeignGroupField = Annotated[
    ForeignSelector,
    BeforeValidator(_foreign_reader("a security group", ("tags", "group_name"), _GROUP_HINT)),
    _one_of(*_GROUP_SCHEMAS),
]
ForeignPeerField = Annotated[
    ForeignSelector,
    BeforeValidator(
        _foreign_reader("a source or destination", ("tags", "group_name", "prefix_list_name"), _PEER_HINT)
    ),
    _one_of(*_GROUP_SCHEMAS, _object(prefix_list_name=_NAME_SCHEMA)),
]
ForeignListField = Annotated[
    ForeignSelector,
    BeforeValidator(_foreign_reader("a destination", ("prefix_list_name",), _DESTINATION_HINT)),
    _one_of(_object(prefix_list_name=_NAME_SCHEMA)),
]
