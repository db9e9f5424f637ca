"""The types of single values: text, numbers, booleans, names, addresses, and their error messages.

Every type reads a ``Plain`` (written without quotes), a ``str`` (quoted) or the Python value itself. Text is read
exactly as written; numbers and booleans have only one valid spelling. ``value_error`` makes the errors.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from enireconcile import durations
from enireconcile.model import Template
from enireconcile.regions import REGION, REGIONS, wrong_region
from enireconcile.spec.places import Path, shown
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.yamltree import Plain

VALUE_ERROR = "spec"
"""The type of the errors from ``value_error``, to distinguish them from pydantic's own."""
UNKNOWN_KEY = "unknown key"
MISSING_KEY = "is missing"

GROUP_TEXT = r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*"
"""The characters that EC2 allows in names and descriptions of security groups and their rules."""

_WORDS_FOR_TRUE = frozenset({"true", "yes", "on", "y", "1"})
_WORDS_FOR_FALSE = frozenset({"false", "no", "off", "n", "0"})
_RESERVED_PREFIXES = {"aws:": "AWS", "enireconcile:": "enireconcile's own tags"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,9}")


def value_error(message: str, hint: Hint = None, *, at: Path = (), key: bool = False) -> PydanticCustomError:
    """A validation error for the value, or for what is ``at`` a path below it; with ``key`` for the key."""
    return PydanticCustomError(VALUE_ERROR, "{message}", {"message": message, "hint": hint, "at": at, "key": key})


def described(value: object) -> str:
    """The value for a message: ``'x'``, ``a list``, ``a mapping``."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "nothing" if value is None else shown(value)


def text(value: object) -> str:
    """Any scalar, exactly as written."""
    if not isinstance(value, str):
        raise value_error(f"must be text, not {described(value)}", "write a single value")
    return str(value)


def integer(value: object) -> object:
    """A whole number in decimal digits."""
    if isinstance(value, Plain):
        if not _INTEGER.fullmatch(value):
            raise value_error(f"must be a whole number, not {shown(value)}", number_hint(value))
        return int(value)
    if isinstance(value, str):
        message = f"must be a whole number, not {shown(value)} in quotes"
        raise value_error(
            message, f"write {value}" if _INTEGER.fullmatch(value) else "write decimal digits, without quotes"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise value_error(f"must be a whole number, not {described(value)}")


def number_hint(written: str) -> str:
    """What to write instead of a number in a spelling that YAML readers do not agree on."""
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
        return "write decimal digits only; YAML 1.1 would read this as a base-60 number"
    return "write decimal digits only, for example 1"


def boolean(value: object) -> object:
    """``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Plain) and value in ("true", "false"):
        return value == "true"
    if not isinstance(value, str):
        raise value_error(f"must be `true` or `false`, not {described(value)}")
    word = value.lower()
    right = "true" if word in _WORDS_FOR_TRUE else "false" if word in _WORDS_FOR_FALSE else None
    if right is None:
        raise value_error(f"must be `true` or `false`, not {shown(value)}")
    if isinstance(value, Plain):
        raise value_error(f"must be `true` or `false`, not {shown(value)}", f"write `{right}`")
    raise value_error(f"must be `true` or `false`, not {shown(value)} in quotes", f"write {right}, without quotes")


def tuple_of_items(value: object) -> object:
    """A list. For a single item, the hint shows how to write it as a list."""
    if isinstance(value, tuple):
        return value
    raise value_error(f"must be a list, not {described(value)}", _list_hint(value))


def _list_hint(value: object) -> str | None:
    if hint := option_hint(value):
        return hint
    if isinstance(value, str) and value.isprintable() and len(value) <= 60:
        return f"write `[{value}]`"
    if not isinstance(value, Mapping):
        return None
    if not value:
        return "write `[]` for none"
    first, content = next(iter(value.items()))
    if all(isinstance(each, Mapping) for each in value.values()):
        return f"the items of a list have no names: write `- ` instead of {shown(first + ':')}"
    return f"begin each item with `- `: `- {first}: …`" if content is not None and first.isprintable() else None


def option_hint(value: object) -> str | None:
    """For a list or a mapping that --var gives, which is text. In a file, no text without quotes begins so."""
    if not isinstance(value, Plain) or value[:1] not in ("[", "{"):
        return None
    return f"--var gives text; give {'a list' if value[:1] == '[' else 'a mapping'} in a --var-file"


def mapping_of_items(value: object) -> object:
    """A mapping of names to values."""
    if not isinstance(value, Mapping):
        hint = mapping_hint(value) or "write `key: value` lines, or `{}` for none"
        raise value_error(f"must be a mapping, not {described(value)}", hint)
    return value


def mapping_hint(value: object) -> str | None:
    """How to write as a mapping what was written as a list, or without the space after a colon."""
    if hint := option_hint(value):
        return hint
    if isinstance(value, Plain) and (found := re.match(r"([\w-]{1,60}) ?:?\{", value)):
        return f"write a colon and a space after the name: `{found[1]}: {{…}}`"
    first = value[0] if isinstance(value, tuple) and value else None
    if not isinstance(first, Mapping) or not first:
        return None
    keys = {key.lower(): item for key, item in first.items()}
    if {"key", "value"} <= keys.keys():
        return f"write `{_word(keys['key'])}: {_word(keys['value'])}` instead of a key and a value"
    if "name" in keys:
        name = _word(keys["name"])
        return f"write the name as the key, `{name}:` instead of `- name: {name}`, and the rest indented below it"
    if len(first) == 1:
        return f"remove the `- `: write `{_word(next(iter(first)))}:`"
    return "write each row below its name: `NAME:` instead of `- `, and its keys indented below it"


def _word(value: object) -> str:
    """A word that a hint repeats, as far as it is short and printable."""
    return value if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 60 else "NAME"


def matching(pattern: str, message: str, hint: str | None = None) -> AfterValidator:
    """A validator: the whole text must match the pattern. ``message`` completes "must be …"."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise value_error(f"must be {message}, not {shown(value)}", hint)
        return value

    return AfterValidator(check)


def at_most(length: int, what: str) -> AfterValidator:
    """A validator: at most ``length`` characters."""

    def check(value: str) -> str:
        if len(value) > length:
            raise value_error(f"{what} is {len(value)} characters long; EC2 accepts at most {length}")
        return value

    return AfterValidator(check)


def printable(value: str) -> str:
    """Text on one line: no control characters."""
    if bad := _CONTROL.search(value):
        raise value_error(f"contains the control character {shown(bad.group())}", "remove it")
    return value


def _group_text(value: str) -> str:
    if not re.fullmatch(GROUP_TEXT, value):
        wrong = next(char for char in value if not re.fullmatch(GROUP_TEXT, char))
        raise value_error(
            f"EC2 does not allow the character {shown(wrong)} here",
            "allowed are letters (a-z, A-Z), digits, spaces and ._-:/()#,@[]+=&;{}!$*",
        )
    return value


def _group_name(value: str) -> str:
    if value != value.strip(" "):
        raise value_error(f"{shown(value)} begins or ends with a space, which EC2 removes", "remove the space")
    if problem := group_name_problem(value):
        raise value_error(problem, "for example web")
    return value


def group_name_problem(name: str) -> str | None:
    """Why EC2 would refuse the name of a security group, None if it would not. EC2 ignores case in these names."""
    if not name:
        return "must not be empty"
    if name.lower().startswith("sg-"):
        return "a group name must not begin with `sg-`, the prefix of ids"
    if name.lower() == "default":
        return "the name `default` is reserved for the default group of the VPC"
    return None


def _region(value: str) -> str:
    if wrong := wrong_region(value):
        raise value_error(*wrong)
    return value


def _account_id(value: str) -> str:
    if re.fullmatch("[0-9]{12}", value):
        return value
    digits = value.replace("-", "").replace(" ", "")
    if re.fullmatch("[0-9]{12}", digits):
        hint = f'write "{digits}"'
    elif re.fullmatch("[0-9]{9,11}", digits):
        hint = f'leading zeros are lost when a tool reads it as a number: write "{digits.zfill(12)}", in quotes'
    elif re.fullmatch(r"[0-9.]+[eE]\+?[0-9]+", value):
        hint = "a tool has read it as a number and rounded it: write the 12 digits in quotes"
    else:
        hint = 'for example "123456789012", without dashes'
    raise value_error(f"must be the 12 digits of an account id, not {shown(value)}", hint)


def _zone(value: str) -> str:
    if not re.fullmatch(f"{REGION}[a-z]", value):
        if re.fullmatch(REGION, value):
            message = f"must be an Availability Zone, but {shown(value)} is a Region"
            raise value_error(message, f"add the letter of the zone, for example {value}a")
        letter = value[-1:].lower()
        zones = [f"{region}{letter}" for region in REGIONS if letter.isalpha()]
        hint = Nearest(value, zones, "for example us-east-1a")
        raise value_error(f"must be the name of an Availability Zone, not {shown(value)}", hint)
    return value


def _arn_hint(value: str) -> str:
    if ":role/" in value:
        return "this is a role; write the name or ARN of the instance profile that contains it"
    return "write the profile's name, or arn:aws:iam::123456789012:instance-profile/NAME"


def _instance_profile(value: str) -> str:
    arn = r"arn:aws[a-z-]*:iam::\d{12}:instance-profile/[\w+=,.@/-]{1,512}"
    if not re.fullmatch(rf"[\w+=,.@-]{{1,128}}|{arn}", value, re.ASCII):
        raise value_error(
            f"must be the name or the ARN of an instance profile, not {shown(value)}", _arn_hint(value)
        )
    return value


def ipv4(value: str) -> str:
    """An IPv4 address in normal form."""
    return _ipv4(value, "172.31.0.10")


def _ipv4(value: str, example: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise value_error(f"must be an IPv4 address, not {shown(value)}", f"for example {example}") from None


def ipv6(value: str) -> str:
    """An IPv6 address in normal form: compressed, lower case. Scope ids are not allowed."""
    try:
        if "%" in value:  # a scope id, which ipaddress accepts with any content
            raise ValueError
        return str(ipaddress.IPv6Address(value))
    except ValueError:
        raise value_error(f"must be an IPv6 address, not {shown(value)}", "for example 2001:db8::10") from None


def _delegated(version: int, length: int, example: str) -> AfterValidator:
    """A validator for prefixes that EC2 delegates to interfaces: one length for each family, no host bits."""

    def read(value: str) -> str:
        block = network(value)
        if block is None or block.version != version:
            raise value_error(f"must be an IPv{version} prefix, not {shown(value)}", f"for example {example}")
        if block.prefixlen != length:
            raise value_error(
                f"/{block.prefixlen} is not a valid length of an IPv{version} prefix",
                f"EC2 assigns only /{length} prefixes",
            )
        return str(block)

    return AfterValidator(read)


def public_ipv4(value: str) -> str:
    """An IPv4 address outside the private ranges."""
    address = _ipv4(value, "203.0.113.7")
    if any(ipaddress.IPv4Address(address) in block for block in _PRIVATE):
        raise value_error(
            f"{address} is a private address", "an Elastic IP is a public address, for example 203.0.113.7"
        )
    return address


_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def domain_name(value: str) -> str:
    """A domain name in normal form: lower case, without the trailing dot. Empty means none."""
    name = value.lower().removesuffix(".")
    if value and not (len(name) <= 253 and re.fullmatch(rf"{_LABEL}(\.{_LABEL})+", name)):
        raise value_error(
            f"must be a domain name, not {shown(value)}", 'for example www.example.com, or "" for none'
        )
    return name


_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The network of a CIDR, None if the text is not a CIDR. Raises a value_error if host bits are set."""
    if not re.fullmatch(r"[0-9a-fA-F:.]+/(0|[1-9][0-9]{0,2})", value):
        return None
    try:
        block = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None
    if ipaddress.ip_address(value.partition("/")[0]) != block.network_address:
        address = value.partition("/")[0]
        hint = f"write {block} for the block, {address}/{block.max_prefixlen} for the address"
        raise value_error(f"{shown(value)} has host bits set", hint)
    return block


def ipv4_block(value: str) -> str:
    """The CIDR of a VPC or a subnet: IPv4, /16 to /28, no host bits."""
    block = network(value)
    if not isinstance(block, ipaddress.IPv4Network):
        raise value_error(f"must be an IPv4 CIDR, not {shown(value)}", "for example 10.0.0.0/24")
    if not 16 <= block.prefixlen <= 28:
        raise value_error(f"/{block.prefixlen} is not a valid size of a VPC or subnet", "EC2 allows /16 to /28")
    return str(block)


def duration(value: str) -> str:
    """A duration of whole seconds, with its unit; the normal form is in seconds, ``90s``."""
    seconds = durations.seconds(value)
    if not seconds or seconds != int(seconds):
        clock = re.fullmatch("([0-9]{1,3}):([0-5][0-9])", value)
        hint = f"write {value}s for seconds" if re.fullmatch("[1-9][0-9]{0,5}", value) else "for example 60s or 2m"
        if clock and (seconds := int(clock[1]) * 60 + int(clock[2])):
            hint = f"write {seconds}s"
        raise value_error(f"must be a duration, not {shown(value)}", hint)
    if seconds > durations.LONGEST:
        raise value_error(f"{shown(value)} is longer than ten years")
    return f"{int(seconds)}s"


def seconds_in(value: str) -> int:
    """The seconds of a duration in normal form."""
    return int(value.removesuffix("s"))


def _tag_value(value: object) -> str:
    if not isinstance(value, str):
        raise value_error(f"a tag value must be text, not {described(value)}", "write a single value")
    if len(value) > 256:
        raise value_error(f"a tag value may have at most 256 characters; this one has {len(value)}")
    return printable(str(value))


def _own_tag_value(value: object) -> str | Template:
    return value if isinstance(value, Template) else _tag_value(value)


def _tag_key(key: str) -> str:
    if not 1 <= len(key) <= 128:
        raise value_error(f"a tag key must have 1 to 128 characters; this one has {len(key)}", key=True)
    if _CONTROL.search(key):
        raise value_error("a tag key must not contain control characters", key=True)
    return key


def _own_tag_key(key: str) -> str:
    for prefix, owner in _RESERVED_PREFIXES.items():
        if key.lower().startswith(prefix):
            raise value_error(f"the tag prefix `{prefix}` is reserved for {owner}", "rename the tag", key=True)
    return key


LOGICAL_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,126}"
_LOGICAL_NAME = re.compile(LOGICAL_NAME)
_LONGEST_NAME = 127


def _logical_name(name: str) -> str:
    """Logical names are parts of dotted addresses, so they cannot contain dots."""
    if len(name) > _LONGEST_NAME:
        message = f"{shown(name)} cannot be the name of a resource: it is {len(name)} characters long"
        raise value_error(message, f"use at most {_LONGEST_NAME}", key=True)
    if not _LOGICAL_NAME.fullmatch(name):
        hint = "use letters, digits, `-` and `_`, beginning with a letter or digit, for example web-eth1"
        raise value_error(f"{shown(name)} cannot be the name of a resource", hint, key=True)
    return name


def _logical_interface_name(name: str) -> str:
    """An association takes either a logical name or an id, so a name must not look like an id."""
    if re.fullmatch("eni-[0-9a-f]{8,17}", name):
        raise value_error(
            f"{shown(name)} cannot be the name of an interface: it looks like an id",
            "choose another name",
            key=True,
        )
    return name


def _logical_group_name(name: str) -> str:
    """A rule takes a group name, ``self`` or an id, so a name must not look like the others."""
    if name == "self" or name.startswith(("sg-", "pl-")):
        message = f"{shown(name)} cannot be the name of a group: in a rule it would be a keyword or an id"
        raise value_error(message, "choose another name", key=True)
    return name


# An editor's YAML reader may turn a plain scalar into a number or a boolean before the JSON Schema sees it.
ANY_SCALAR = WithJsonSchema({"type": ["string", "number", "boolean"]})


def _json(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


Text: TypeAlias = Annotated[str, BeforeValidator(text)]

Integer = Annotated[int, BeforeValidator(integer), _json(type="integer", minimum=0)]
Boolean = Annotated[bool, BeforeValidator(boolean)]
FreeText = Annotated[Text, AfterValidator(printable), ANY_SCALAR]
StackName = Annotated[
    Text,
    matching(
        "[a-z][a-z0-9-]{0,62}",
        "1 to 63 lower-case letters, digits or `-`, beginning with a letter",
        "for example two-enis",
    ),
    _json(type="string", pattern="^[a-z][a-z0-9-]{0,62}$"),
]
Region = Annotated[
    Text,
    AfterValidator(_region),
    _json(type="string", pattern=f"^{REGION}$", examples=["us-east-1"]),
]
AccountId = Annotated[
    Text,
    AfterValidator(_account_id),
    _json(anyOf=[{"type": "string", "pattern": "^[0-9]{12}$"}, {"type": "integer", "minimum": 0}]),
]
ROLE_ARN = r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}"
RoleArn = Annotated[
    Text,
    matching(
        ROLE_ARN,
        "the ARN of an IAM role",
        "for example arn:aws:iam::123456789012:role/NAME",
    ),
    _json(type="string", pattern="^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"),
]
ExternalId = Annotated[
    Text,
    matching(r"[A-Za-z0-9+=,.@:/_-]{2,1224}", "an external id: 2 to 1224 letters, digits or any of +=,.@:/_-"),
    _json(type="string", pattern="^[A-Za-z0-9+=,.@:/_-]{2,1224}$"),
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
    Text,
    matching(r"[\x20-\x7e]{1,255}", "the name of a key pair (1 to 255 ASCII characters)", "for example ops"),
    ANY_SCALAR,
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
        f"{REGION}(-[a-z0-9]+)*",
        "a network border group",
        "a Region such as us-east-1, or a group of Local Zones such as us-west-2-lax-1",
    ),
    _json(type="string", pattern=f"^{REGION}(-[a-z0-9]+)*$"),
]
Duration = Annotated[
    Text,
    AfterValidator(duration),
    _json(type="string", pattern=r"^(?=.*[1-9])\d{1,12}(\.\d{1,6})?(ms|s|m|h)$", examples=["60s", "2m"]),
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
Zone = Annotated[Text, AfterValidator(_zone)]
LogicalName = Annotated[str, AfterValidator(_logical_name), _json(type="string", pattern=f"^{LOGICAL_NAME}$")]
LogicalInterfaceName = Annotated[LogicalName, AfterValidator(_logical_interface_name)]
LogicalGroupName = Annotated[LogicalName, AfterValidator(_logical_group_name)]

_TAG_VALUE_SCHEMA = {"type": ["string", "number", "boolean"], "maxLength": 256}
_TagKey: TypeAlias = Annotated[str, AfterValidator(_tag_key)]
_TagValue: TypeAlias = Annotated[str, BeforeValidator(_tag_value)]
_OwnTagValue: TypeAlias = Annotated[str | Template, BeforeValidator(_own_tag_value)]

SearchTags = Annotated[Mapping[_TagKey, _TagValue], BeforeValidator(mapping_of_items)]
"""Tags in selectors. They may be set by AWS or other tools, so reserved prefixes are allowed."""
SEARCH_TAGS_SCHEMA = {"type": "object", "minProperties": 1, "additionalProperties": _TAG_VALUE_SCHEMA}

Tags = Annotated[
    Mapping[Annotated[_TagKey, AfterValidator(_own_tag_key)], _OwnTagValue],
    BeforeValidator(mapping_of_items),
    _json(
        type="object",
        propertyNames={"minLength": 1, "maxLength": 128, "pattern": "^(?!aws:|enireconcile:)"},
        additionalProperties=_TAG_VALUE_SCHEMA,
    ),
]
"""Tags that enireconcile sets; their values may refer to resources."""
