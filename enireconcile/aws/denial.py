"""What AWS says when a policy does not allow a call: in few words, with a hint, without the encoded message. Pure.

EC2 answers "User: ARN is not authorized to perform: ACTION on resource: ARN because no identity-based policy
allows the ACTION action. Encoded authorization failure message: …", with about 640 characters that only
sts:DecodeAuthorizationMessage can read. Some answers have the encoded message only.
"""

from __future__ import annotations

import re
import shlex

_ENCODED = re.compile(r"\s*Encoded authorization failure message:\s*(\S*).*", re.DOTALL | re.IGNORECASE)
_DENIED = re.compile(
    r"User: (?P<user>\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)"
    r"(?: on resource: (?P<resource>\S+))?(?: (?:because|with an?) (?P<why>.+))?",
    re.DOTALL,
)
_ID = re.compile(r"[\w-]+/([a-z]+-[0-9a-f]{8,17})")
_USERS = {"assumed-role": "role", "user": "user", "federated-user": "federated user"}


def without_encoded(message: str) -> tuple[str, str | None]:
    """A message of AWS without the encoded part, and that part; None if there is none."""
    found = _ENCODED.search(message)
    return (message, None) if found is None else (message[: found.start()], found[1] or None)


def in_words(message: str) -> str:
    """A denial as "role ops may not AttachNetworkInterface on i-1: why"; any other message as it is."""
    found = _DENIED.search(message)
    if found is None:
        return message
    resource = _name((found["resource"] or "*").rstrip("."))
    where = "" if resource == "*" else f" on {resource}"
    why = re.sub(r"the (\S+) action", r"\1", (found["why"] or "").strip().rstrip("."))
    action = found["action"].removeprefix("ec2:")
    return f"{_who(found['user'])} may not {action}{where}" + (f": {why}" if why else "")


def hint(message: str, file: str | None) -> str:
    """What to do about a denial. ``file`` is the spec file of the run."""
    found = _DENIED.search(message)
    action, why = (found["action"], found["why"] or "") if found else ("", "")
    if action.startswith("sts:"):
        return "the caller needs sts:AssumeRole on the role, and the role's trust policy must name the caller"
    flag = " --who" if action.startswith("cloudtrail:") else ""
    command = f"`enireconcile iam-policy{flag}{f' {shlex.quote(file)}' if file else ''}`"
    if why and not why.startswith("no identity-based"):
        return f"change that policy or boundary: it also restricts what {command} would grant"
    return f"{command} prints the IAM policy that the spec needs"


def _who(user: str) -> str:
    """A principal, which AWS names by its ARN, as its kind and name."""
    kind, _, name = user.rpartition(":")[2].partition("/")
    if kind == "root":
        return "the root user"
    if kind not in _USERS or not name:
        return user
    # The ARN of a session ends with the session's name; paths are part of a user's ARN only.
    return f"{_USERS[kind]} {name.partition('/')[0] if kind == 'assumed-role' else name.rpartition('/')[2]}"


def _name(arn: str) -> str:
    """The id of a resource, or else its type and name."""
    name = arn.split(":", 5)[-1]
    found = _ID.fullmatch(name)
    return found[1] if found else name
