"""What a single value may be: text, numbers, booleans, names, addresses, and the words for when it is not.

Every type here reads a ``Plain`` (written without quotes), a ``str`` (quoted) or the Python value itself. A
text is taken exactly as written; a number or a boolean in one spelling only. Errors are made by ``fault``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from enireconcile.spec.places import Path, shown
from enireconcile.spec.suggest import Hint
from enireconcile.spec.yamltree import Plain

FAULT = "spec"
"""The type of our own errors among pydantic's."""

GROUP_TEXT = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*"
"""EC2's characters for names and descriptions of security groups and their rules."""

_WORDS_FOR_TRUE = frozenset({"true", "yes", "on", "y", "1"})
_WORDS_FOR_FALSE = frozenset({"false", "no", "off", "n", "0"})
_RESERVED_PREFIXES = {"aws:": "AWS", "enireconcile:": "enireconcile, to know what it owns"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9}")


def fault(message: str, hint: Hint = None, *, at: Path = (), key: bool = False) -> PydanticCustomError:
    """An error of the value under validation, or of what is ``at`` a path below it (``key``: of its key)."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "hint": hint, "at": at, "key": key})


def kind(value: object) -> str:
    """The value in a sentence: ``'x'``, ``a list``, ``a mapping``."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else shown(value)


def text(value: object) -> str:
    """Any scalar, exactly as written."""
    if not isinstance(value, str):
        raise fault(f"must be text, not {kind(value)}")
    return str(value)


def integer(value: object) -> object:
    """A whole number in decimal digits."""
    if isinstance(value, Plain):
        if not _INTEGER.fullmatch(value):
            raise fault(f"must be a whole number, not {shown(value)}", number_hint(value))
        return int(value)
    if isinstance(value, str):
        message = f"must be a whole number, not {shown(value)} in quotes"
        raise fault(message, f"write {value}" if _INTEGER.fullmatch(value) else "write digits, without quotes")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise fault(f"must be a whole number, not {kind(value)}")


def number_hint(written: str) -> str:
    """What to write instead of something that another reader of YAML may have taken for a number."""
    bare = written.replace("_", "")
    if re.fullmatch(r"0[0-9]{1,9}", bare):
        return f"write {int(bare)}; YAML 1.1 would read a leading 0 as octal"
    if re.fullmatch(r"\+[0-9]{1,10}", bare):
        return f"write {int(bare)}"
    if re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|0[oO][0-7]{1,10}|0[bB][01]{1,32}", bare):
        return f"write {int(bare, 0)}"
    if re.fullmatch(r"[0-9]{1,6}([eE]\+?[0-9]|\.0+)", bare):
        return f"write {int(float(bare))}"
    if re.fullmatch(r"[0-9]{1,10}", bare):
        return f"write {int(bare)}"
    if re.fullmatch(r"-?[0-9]+", bare):
        return "write a smaller number"
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", bare):
        return "write decimal digits only; YAML 1.1 would read this in base sixty"
    return "write decimal digits only, for example 1"


def boolean(value: object) -> object:
    """``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Plain) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, str):
        raise fault(f"must be `true` or `false`, not {kind(value)}")
    word = value.lower()
    right = "true" if word in _WORDS_FOR_TRUE else "false" if word in _WORDS_FOR_FALSE else None
    if right is None:
        raise fault(f"must be `true` or `false`, not {shown(value)}")
    if isinstance(value, Plain):
        raise fault(f"must be `true` or `false`, not {shown(value)}", f"write `{right}`")
    raise fault(f"must be `true` or `false`, not {shown(value)} in quotes", f"write {right}, without quotes")


def tuple_of_items(value: object) -> object:
    """A list; one item alone is told how to become one."""
    if isinstance(value, tuple):
        return value
    hint = f"write `[{value}]`" if isinstance(value, str) and value.isprintable() and len(value) <= 60 else None
    raise fault(f"must be a list, not {kind(value)}", hint)


def mapping_of_items(value: object) -> object:
    """A mapping of names to values."""
    if not isinstance(value, Mapping):
        raise fault(f"must be a mapping, not {kind(value)}", "write `key: value` lines, or `{}` for none")
    return value


def matching(pattern: str, message: str, hint: str | None = None) -> AfterValidator:
    """The text must match the whole pattern; ``message`` completes "must be …"."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise fault(f"must be {message}, not {shown(value)}", hint)
        return value

    return AfterValidator(check)


def at_most(length: int, what: str) -> AfterValidator:
    """The text has at most ``length`` characters."""

    def check(value: str) -> str:
        if len(value) > length:
            raise fault(f"{what} is {len(value)} characters long; EC2 takes {length}")
        return value

    return AfterValidator(check)


def printable(value: str) -> str:
    """Text on one line: no control characters."""
    if bad := _CONTROL.search(value):
        raise fault(f"contains the control character {shown(bad.group())}", "remove it")
    return value


def _group_text(value: str) -> str:
    if not re.fullmatch(GROUP_TEXT, value):
        wrong = next(char for char in value if not re.fullmatch(GROUP_TEXT, char))
        raise fault(
            f"EC2 does not take the character {shown(wrong)} here",
            "letters, digits, space, ._-:/()#,@[]+=&;{}!$*",
        )
    return value


def _group_name(value: str) -> str:
    if value != value.strip(" "):
        raise fault(f"{shown(value)} begins or ends with a space, which EC2 would cut off", "remove the space")
    if problem := group_name_problem(value):
        raise fault(problem)
    return value


GROUP_NAME_HINT = "EC2's names do not begin with `sg-` and are not `default`"


def group_name_problem(name: str) -> str | None:
    """Why EC2 would refuse a security group's name, or None. EC2 compares names without regard to case."""
    if not name:
        return "must not be empty"
    if name.lower().startswith("sg-"):
        return "a group's name must not begin with `sg-`, as ids do"
    if name.lower() == "default":
        return "the name `default` is reserved for the VPC's own group"
    return None


def _arn_hint(value: str) -> str:
    if ":role/" in value:
        return "this is a role; name the instance profile that holds it"
    return "write the profile's name, or arn:aws:iam::123456789012:instance-profile/NAME"


def _instance_profile(value: str) -> str:
    arn = r"arn:aws[a-z-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]{1,512}"
    if not re.fullmatch(rf"[\w+=,.@-]{{1,128}}|{arn}", value, re.ASCII):
        raise fault(f"must be the name or the ARN of an instance profile, not {shown(value)}", _arn_hint(value))
    return value


def ipv4(value: str) -> str:
    """An IPv4 address in its one spelling."""
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise fault(f"must be an IPv4 address, not {shown(value)}", "for example 172.31.0.10") from None


def ipv6(value: str) -> str:
    """An IPv6 address in its one spelling: compressed, small letters, no scope."""
    try:
        if "%" in value:  # ipaddress takes scopes, which hold anything
            raise ValueError
        return str(ipaddress.IPv6Address(value))
    except ValueError:
        raise fault(f"must be an IPv6 address, not {shown(value)}", "for example 2001:db8::10") from None


def _delegated(version: int, length: int, example: str) -> AfterValidator:
    """A prefix that EC2 delegates to an interface: one length for each family, no host bits."""

    def read(value: str) -> str:
        block = network(value)
        if block is None or block.version != version:
            raise fault(f"must be an IPv{version} prefix, not {shown(value)}", f"for example {example}")
        if block.prefixlen != length:
            raise fault(f"/{block.prefixlen} is not a size of IPv{version} prefixes", f"EC2 makes them /{length}")
        return str(block)

    return AfterValidator(read)


def public_ipv4(value: str) -> str:
    """An IPv4 address that may be somebody's on the internet."""
    address = ipv4(value)
    if any(ipaddress.IPv4Address(address) in block for block in _PRIVATE):
        raise fault(f"{address} is a private address", "an Elastic IP is a public one")
    return address


_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def domain_name(value: str) -> str:
    """A name in the DNS, in normal form: lower case, without the dot of the root. Empty stands for none."""
    name = value.lower().removesuffix(".")
    if value and not (len(name) <= 253 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})+", name)):
        raise fault(f"must be a domain name, not {shown(value)}", 'for example www.example.com, or "" for none')
    return name


_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The block that a CIDR text names, None if it is not a CIDR. Raises a fault when host bits are set."""
    if not re.fullmatch(r"[0-9a-fA-F:.]+/(0|[1-9][0-9]{0,2})", value):
        return None
    try:
        block = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None
    if ipaddress.ip_address(value.partition("/")[0]) != block.network_address:
        address = value.partition("/")[0]
        hint = f"write {block} for the block, {address}/{block.max_prefixlen} for the address"
        raise fault(f"{shown(value)} has host bits set", hint)
    return block


def ipv4_block(value: str) -> str:
    """The CIDR of a VPC or a subnet: IPv4, /16 to /28, no host bits."""
    block = network(value)
    if not isinstance(block, ipaddress.IPv4Network):
        raise fault(f"must be an IPv4 CIDR, not {shown(value)}", "for example 10.0.0.0/24")
    if not 16 <= block.prefixlen <= 28:
        raise fault(f"/{block.prefixlen} is not a size of VPCs or subnets", "EC2 makes them from /16 to /28")
    return str(block)


def duration(value: str) -> str:
    """A time in seconds, minutes or hours; in normal form seconds, ``90s``."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})(s|m|h)", value)
    if not found:
        hint = f"write {value}s for seconds" if re.fullmatch("[1-9][0-9]{0,5}", value) else "for example 60s or 2m"
        raise fault(f"must be a duration, not {shown(value)}", hint)
    return f"{int(found[1]) * {'s': 1, 'm': 60, 'h': 3600}[found[2]]}s"


def seconds_in(value: str) -> int:
    """Of a duration in normal form."""
    return int(value.removesuffix("s"))


def _tag_value(value: object) -> str:
    if not isinstance(value, str):
        raise fault(f"a tag's value must be text, not {kind(value)}")
    if len(value) > 256:
        raise fault(f"a tag's value has at most 256 characters; this has {len(value)}")
    return printable(str(value))


def _tag_key(key: str) -> str:
    if not 1 <= len(key) <= 128:
        raise fault(f"a tag's key has 1 to 128 characters; this has {len(key)}", key=True)
    if _CONTROL.search(key):
        raise fault("a tag's key must not contain control characters", key=True)
    return key


def _own_tag_key(key: str) -> str:
    for prefix, owner in _RESERVED_PREFIXES.items():
        if key.lower().startswith(prefix):
            raise fault(f"the tag prefix `{prefix}` is reserved for {owner}", "rename the tag", key=True)
    return key


LOGICAL_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,126}"


def _logical_name(name: str) -> str:
    """Names are parts of dotted addresses, so they hold no dots."""
    if not re.fullmatch(LOGICAL_NAME, name):
        hint = "a letter or digit, then letters, digits, `-` and `_`, for example web-eth1"
        raise fault(f"{shown(name)} cannot be the name of a resource", hint, key=True)
    return name


def _logical_interface_name(name: str) -> str:
    """Associations name interfaces beside ids of other people's."""
    if re.fullmatch("eni-[0-9a-f]{8,17}", name):
        raise fault(f"{shown(name)} cannot be the name of an interface: it is an id", "choose another", key=True)
    return name


def _logical_group_name(name: str) -> str:
    """Rules name groups beside ``self``, ids and prefix lists, so a group is named like none of them."""
    if name == "self" or name.startswith(("sg-", "pl-")):
        message = f"{shown(name)} cannot be the name of a group: a rule could not tell it from a keyword or an id"
        raise fault(message, "choose another name", key=True)
    return name


# JSON Schema sees what an editor's YAML reader makes of a plain scalar; we take it as text whatever that is.
ANY_SCALAR = WithJsonSchema({"type": ["string", "number", "boolean"]})


def _json(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


Text: TypeAlias = Annotated[str, BeforeValidator(text)]

Integer = Annotated[int, BeforeValidator(integer), _json(type="integer", minimum=0)]
Boolean = Annotated[bool, BeforeValidator(boolean)]
FreeText = Annotated[Text, AfterValidator(printable), ANY_SCALAR]
StackName = Annotated[
    Text,
    matching("[a-z][a-z0-9-]{0,62}", "a lower-case letter, then up to 62 lower-case letters, digits or `-`"),
    _json(type="string", pattern="^[a-z][a-z0-9-]{0,62}$"),
]
Region = Annotated[
    Text,
    matching("[a-z]{2}(-[a-z]+)+-[0-9]", "a region", "for example us-east-1"),
    _json(type="string", pattern="^[a-z]{2}(-[a-z]+)+-[0-9]$", examples=["us-east-1"]),
]
AccountId = Annotated[
    Text,
    matching("[0-9]{12}", "the 12 digits of an account id"),
    _json(anyOf=[{"type": "string", "pattern": "^[0-9]{12}$"}, {"type": "integer", "minimum": 0}]),
]
RoleArn = Annotated[
    Text,
    matching(
        r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}",
        "the ARN of a role",
        "arn:aws:iam::123456789012:role/NAME",
    ),
    _json(type="string", pattern="^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"),
]
_GROUP_TEXT_SCHEMA = _json(type=["string", "number", "boolean"], maxLength=255, pattern=f"^{GROUP_TEXT}$")
GroupName = Annotated[
    Text,
    AfterValidator(_group_name),
    at_most(255, "the name"),
    AfterValidator(_group_text),
    _GROUP_TEXT_SCHEMA,
]
GroupText = Annotated[Text, at_most(255, "the description"), AfterValidator(_group_text), _GROUP_TEXT_SCHEMA]
InstanceType = Annotated[
    Text,
    matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", "an instance type", "for example t3.micro"),
    _json(type="string", pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$", examples=["t3.micro"]),
]
KeyName = Annotated[
    Text, matching(r"[\x20-\x7e]{1,255}", "the name of a key pair (1 to 255 ASCII characters)"), ANY_SCALAR
]
InstanceProfile = Annotated[Text, AfterValidator(_instance_profile)]
Ipv4 = Annotated[Text, AfterValidator(ipv4), _json(type="string", format="ipv4")]
PublicIpv4 = Annotated[Text, AfterValidator(public_ipv4), _json(type="string", format="ipv4")]
DomainName = Annotated[Text, AfterValidator(domain_name), _json(type="string", examples=["www.example.com"])]
Ipv4Pool = Annotated[
    Text,
    matching(
        "amazon|ipv4pool-ec2-[0-9a-f]{8,17}",
        "`amazon` or the id of a public IPv4 pool",
        "for example ipv4pool-ec2-0123456789abcdef0",
    ),
    _json(type="string", pattern="^(amazon|ipv4pool-ec2-[0-9a-f]{8,17})$"),
]
BorderGroup = Annotated[
    Text,
    matching(
        "[a-z]{2}(-[a-z]+)+-[0-9](-[a-z0-9]+)*",
        "a network border group",
        "a Region such as us-east-1, or a group of Local Zones such as us-west-2-lax-1",
    ),
    _json(type="string", pattern="^[a-z]{2}(-[a-z]+)+-[0-9](-[a-z0-9]+)*$"),
]
Duration = Annotated[
    Text,
    AfterValidator(duration),
    _json(type="string", pattern="^[1-9][0-9]{0,5}(s|m|h)$", examples=["60s", "2m"]),
]
Ipv6 = Annotated[Text, AfterValidator(ipv6), _json(type="string", format="ipv6")]
Ipv4Prefix = Annotated[
    Text,
    _delegated(4, 28, "172.31.0.16/28"),
    _json(type="string", pattern=r"^[0-9.]+/28$", examples=["172.31.0.16/28"]),
]
Ipv6Prefix = Annotated[
    Text, _delegated(6, 80, "2001:db8:0:0:1::/80"), _json(type="string", pattern=r"^[0-9a-fA-F:.]+/80$")
]
VpcBlock = Annotated[Text, AfterValidator(ipv4_block), _json(type="string", pattern=r"^[0-9.]+/(1[6-9]|2[0-8])$")]
Zone = Annotated[
    Text,
    matching("[a-z]{2}(-[a-z]+)+-[0-9][a-z]", "the name of an Availability Zone", "for example us-east-1a"),
]
LogicalName = Annotated[str, AfterValidator(_logical_name), _json(type="string", pattern=f"^{LOGICAL_NAME}$")]
LogicalInterfaceName = Annotated[LogicalName, AfterValidator(_logical_interface_name)]
LogicalGroupName = Annotated[LogicalName, AfterValidator(_logical_group_name)]

_TAG_VALUE_SCHEMA = {"type": ["string", "number", "boolean"], "maxLength": 256}
_TagKey: TypeAlias = Annotated[str, AfterValidator(_tag_key)]
_TagValue: TypeAlias = Annotated[str, BeforeValidator(_tag_value)]

SearchTags = Annotated[Mapping[_TagKey, _TagValue], BeforeValidator(mapping_of_items)]
"""Tags that a VPC or a subnet has. They may be somebody else's, reserved prefixes and all."""
SEARCH_TAGS_SCHEMA = {"type": "object", "minProperties": 1, "additionalProperties": _TAG_VALUE_SCHEMA}

Tags = Annotated[
    Mapping[Annotated[_TagKey, AfterValidator(_own_tag_key)], _TagValue],
    BeforeValidator(mapping_of_items),
    _json(
        type="object",
        propertyNames={"minLength": 1, "maxLength": 128, "pattern": "^(?!aws:|enireconcile:)"},
        additionalProperties=_TAG_VALUE_SCHEMA,
    ),
]
"""Tags to set."""
