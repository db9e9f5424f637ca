"""What every resource of the strict EC2 rests on: time, ids, visibility, tokens, tags and pages."""

from __future__ import annotations

import heapq
import json
import pickle
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random
from threading import RLock
from typing import Any, TypeVar

from botocore import xform_name

from .errors import EC2Error, bad_combination, invalid_value
from .records import Data, Params, Replay, Resource, Result, Settings, iso_time

R = TypeVar("R", bound=Resource)
F = TypeVar("F", bound=Callable[..., Result])

MAX_TAGS = 50
TOKEN_LENGTH = 64
MAX_LISTINGS = 10_000
"""So many unfinished listings are remembered; older tokens are invalid."""


def operation(method: F) -> F:
    """Marks a method as an operation of the service, callable by its EC2 name."""
    method.__dict__["ec2_operation"] = True
    return method


def is_read(action: str) -> bool:
    return action.startswith(("Describe", "Get", "Lookup", "List", "AssumeRole"))


@dataclass(frozen=True)
class Kind:
    """How EC2 speaks of one kind of resource when an id is unknown or misspelled."""

    tag_type: str
    records: str
    code: str
    message: str
    malformed: tuple[str, str] | None = None
    """Code and message for a misspelled id, where they do not follow from `code`."""


KINDS: dict[str, Kind] = {
    "i": Kind("instance", "instances", "InvalidInstanceID", "The instance ID '{}' does not exist"),
    "eni": Kind(
        "network-interface",
        "interfaces",
        "InvalidNetworkInterfaceID",
        "The networkInterface ID '{}' does not exist",
    ),
    "sg": Kind(
        "security-group",
        "groups",
        "InvalidGroup",
        "The security group '{}' does not exist",
        ("InvalidGroupId.Malformed", "The security group ID '{}' is malformed"),
    ),
    "sgr": Kind(
        "security-group-rule",
        "rules",
        "InvalidSecurityGroupRuleId",
        "The security group rule ID '{}' does not exist",
    ),
    "eipalloc": Kind("elastic-ip", "addresses", "InvalidAllocationID", "The allocation ID '{}' does not exist"),
    "vpc": Kind("vpc", "vpcs", "InvalidVpcID", "The vpc ID '{}' does not exist"),
    "subnet": Kind("subnet", "subnets", "InvalidSubnetID", "The subnet ID '{}' does not exist"),
    "igw": Kind(
        "internet-gateway",
        "gateways",
        "InvalidInternetGatewayID",
        "The internetGateway ID '{}' does not exist",
    ),
    "rtb": Kind("route-table", "route_tables", "InvalidRouteTableID", "The routeTable ID '{}' does not exist"),
    "nat": Kind("natgateway", "nat_gateways", "InvalidNatGatewayID", "The NatGateway ID '{}' does not exist"),
    "acl": Kind("network-acl", "network_acls", "InvalidNetworkAclID", "The networkAcl ID '{}' does not exist"),
    "ami": Kind("image", "images", "InvalidAMIID", "The image id '[{}]' does not exist"),
    "vol": Kind("volume", "volumes", "InvalidVolume", "The volume '{}' does not exist."),
    "sir": Kind(
        "spot-instances-request",
        "spot_requests",
        "InvalidSpotInstanceRequestID",
        "The spot instance request ID '{}' does not exist",
    ),
    "snap": Kind("", "snapshots", "InvalidSnapshot", "The snapshot '{}' does not exist."),
    "h": Kind("", "hosts", "InvalidHostID", "The host ID '{}' does not exist"),
    "cr": Kind(
        "",
        "reservations",
        "InvalidCapacityReservationId",
        "The Capacity Reservation ID '{}' does not exist",
    ),
    "eni-attach": Kind("", "attachments", "InvalidAttachmentID", "The attachment ID '{}' does not exist"),
    "eipassoc": Kind("", "associations", "InvalidAssociationID", "The association ID '{}' does not exist"),
}


class State:
    """Records, clock and the rules that hold for every call."""

    def __init__(self, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.lock = RLock()
        self.rng = Random(self.settings.seed)
        self.data = Data()
        self._as_of: float | None = None
        self._birth = clock()
        self._epoch = time.time() if self.settings.epoch is None else self.settings.epoch
        self._listings: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._horizon: float | None = None
        self._history: list[tuple[float, bytes]] = []
        self._ticks = 0
        self.sessions: dict[str, str] = {}
        """Access keys that AssumeRole gave out, to the ARN of their session."""

    # -- calls ---------------------------------------------------------------------------------------

    def call(self, action: str, /, **params: Any) -> Result:
        """One operation by its EC2 name, without any wire."""
        return self.perform(action, params)

    def supports(self, action: str) -> bool:
        method = getattr(self, xform_name(action), None)
        return bool(getattr(method, "ec2_operation", False))

    def perform(self, action: str, params: Params, as_of: float | None = None) -> Result:
        """One operation, alone in the world while it lasts. `as_of` makes a read answer from the past."""
        if not self.supports(action):
            raise EC2Error("InvalidAction", f"The action {action} is not valid for this web service.")
        method: Callable[[Params], Result] = getattr(self, xform_name(action))
        with self.lock:
            self.settle()
            if params.get("DryRun"):
                raise EC2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
            if is_read(action):
                if as_of is None or not self._history:
                    return method(params)
                with self._past(as_of):
                    return method(params)
            try:
                return method(params)
            finally:
                self._remember()

    # -- time ----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock() if self._as_of is None else self._as_of

    def date(self, moment: float) -> datetime:
        """A moment of the world's clock as EC2 writes it: whole seconds, UTC."""
        return iso_time(self._epoch + moment - self._birth)

    def later(self, delay: float, what: str, resource_id: str) -> None:
        """Plans `on_<what>` for a resource; what is due happens before the next call looks."""
        self._ticks += 1
        heapq.heappush(self.data.due, (self.now + delay, self._ticks, what, resource_id))

    def settle(self) -> None:
        """Lets everything happen whose time has come, in order, and each thing at its own time."""
        with self.lock:
            present, now = self._as_of, self.now
            try:
                while self.data.due and self.data.due[0][0] <= now:
                    when, _, what, resource_id = heapq.heappop(self.data.due)
                    self._as_of = when
                    getattr(self, f"on_{what}")(resource_id, when)
            finally:
                self._as_of = present

    # -- the past ------------------------------------------------------------------------------------

    def keep_history(self, seconds: float) -> None:
        """Keeps a copy of every state that was true within the last `seconds`, for stale reads."""
        with self.lock:
            self._horizon = max(seconds, self._horizon or 0.0)
            self._remember()

    def _remember(self) -> None:
        if self._horizon is None:
            return
        now = self.clock()
        self._history.append((now, pickle.dumps(self.data)))
        while len(self._history) > 1 and self._history[1][0] <= now - self._horizon:
            self._history.pop(0)

    @contextmanager
    def _past(self, moment: float) -> Any:
        oldest, first = self._history[0]
        snapshot = next((copy for then, copy in reversed(self._history) if then <= moment), first)
        moment = max(moment, oldest)
        present = self.data
        self.data = pickle.loads(snapshot)  # noqa: S301 - our own bytes, made a moment ago
        self._as_of = moment
        try:
            self.settle()
            yield
        finally:
            self.data = present
            self._as_of = None

    # -- ids and visibility --------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-{self.rng.getrandbits(68):017x}"

    def born(self, record: R) -> R:
        """A new record, with the times that it carries.

        EC2 docs, eventual consistency: an id that was just returned may be unknown to the next call.
        """
        record.created = self.now
        record.visible_at = self.now + self.settings.visibility_delay
        return record

    def visible(self, record: Resource) -> bool:
        return record.visible_at <= self.now

    def seen(self, records: dict[str, R]) -> list[R]:
        """The records of a kind that a describe may show, in no order that could be relied on."""
        shown = [record for record in records.values() if self.visible(record)]
        self.rng.shuffle(shown)
        return shown

    def lookup(self, prefix: str, records: dict[str, R], resource_id: str) -> R:
        """The record with this id, or the NotFound or Malformed of its kind."""
        kind = KINDS[prefix]
        self.check_id(prefix, resource_id)
        record = records.get(resource_id)
        if record is None or not self.visible(record):
            raise EC2Error(f"{kind.code}.NotFound", kind.message.format(resource_id))
        return record

    @staticmethod
    def check_id(prefix: str, resource_id: str) -> None:
        """Raises the Malformed of its kind for an id that no resource can have."""
        kind = KINDS[prefix]
        if not re.fullmatch(rf"{prefix}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", resource_id):
            code, message = kind.malformed or (f"{kind.code}.Malformed", 'Invalid id: "{}"')
            raise EC2Error(code, message.format(resource_id))

    def listed(self, prefix: str, records: dict[str, R], ids: Sequence[str] | None) -> list[R]:
        """EC2 docs: a list of ids is an assertion; one unknown id fails the whole call."""
        if not ids:
            return self.seen(records)
        found = [self.lookup(prefix, records, each) for each in dict.fromkeys(ids)]
        self.rng.shuffle(found)
        return found

    def shuffled(self, items: Iterable[Any]) -> list[Any]:
        """EC2 docs: the order of nested lists is not guaranteed either."""
        answer = list(items)
        self.rng.shuffle(answer)
        return answer

    # -- pages ---------------------------------------------------------------------------------------

    def page(
        self, action: str, p: Params, records: list[R], ids: Sequence[str] | None, low: int = 5, high: int = 1000
    ) -> tuple[list[R], str | None]:
        """EC2 docs: a page may be short or even empty while its token promises more."""
        limit: int | None = p.get("MaxResults")
        if limit is not None and ids:
            raise bad_combination("The parameter MaxResults cannot be used with a list of ids")
        if limit is not None and limit < low:
            raise invalid_value(
                f"Value ( {limit} ) for parameter maxResults is invalid. Expecting a value greater than {low}."
            )
        if limit is not None and limit > high:
            raise invalid_value(
                f"Value ( {limit} ) for parameter maxResults is invalid. "
                f"Expecting a value less than or equal to {high}."
            )
        by_id = {record.id: record for record in records}
        waiting = tuple(by_id)
        if token := p.get("NextToken"):
            listed_by, waiting = self._listings.get(token, ("", ()))
            if listed_by != action:
                raise EC2Error("InvalidNextToken", f"The token '{token}' is invalid")
        if limit is None:
            return [by_id[each] for each in waiting if each in by_id], None
        size = min(limit, self.settings.page_cap or limit)
        if self.settings.ragged_pages:
            size = self.rng.randint(0, size)
        shown, rest = waiting[:size], waiting[size:]
        if not rest:
            return [by_id[each] for each in shown if each in by_id], None
        following = f"{self.rng.getrandbits(128):032x}"
        self._listings[following] = (action, rest)
        while len(self._listings) > MAX_LISTINGS:
            del self._listings[next(iter(self._listings))]
        return [by_id[each] for each in shown if each in by_id], following

    @staticmethod
    def answer(key: str, items: list[Any], token: str | None) -> Result:
        return {key: items, "NextToken": token}

    # -- tokens --------------------------------------------------------------------------------------

    def replay(self, action: str, p: Params, zone: str | None = None) -> Replay | None:
        """What this token made before, if it did.

        EC2 docs: same token and same parameters, same answer; other parameters fail.
        """
        token = p.get("ClientToken")
        if not token:
            return None
        if len(token) > TOKEN_LENGTH or not token.isascii():
            raise invalid_value(f"Value ({token}) for parameter clientToken is invalid.")
        known = self.data.replays.get((action, token, zone))
        if known is None:
            return None
        if known.fingerprint != _fingerprint(p):
            raise EC2Error(
                "IdempotentParameterMismatch",
                f"The token '{token}' was used before with different parameters.",
            )
        return known

    def keep_token(
        self, action: str, p: Params, ids: list[str], zone: str | None = None, answer: Result | None = None
    ) -> None:
        if token := p.get("ClientToken"):
            self.data.replays[(action, token, zone)] = Replay(_fingerprint(p), ids, answer or {})

    # -- tags ----------------------------------------------------------------------------------------

    def tags_at_birth(self, p: Params, *allowed: str) -> dict[str, dict[str, str]]:
        """The tags of TagSpecifications by resource type, once they are all acceptable."""
        by_type: dict[str, dict[str, str]] = {each: {} for each in allowed}
        asked: set[str] = set()
        for spec in p.get("TagSpecifications", []):
            kind = spec.get("ResourceType", "")
            if kind not in allowed:
                raise invalid_value(f"'{kind}' is not a valid taggable resource type for this operation.")
            if kind in asked:
                raise invalid_value(f"Resource type '{kind}' is specified more than once.")
            asked.add(kind)
            tags = spec.get("Tags", [])
            by_type[kind] = self.check_tags(tags)
        return by_type

    def check_tags(self, tags: list[dict[str, str]], already: dict[str, str] | None = None) -> dict[str, str]:
        """EC2 docs: 50 tags, keys of 1 to 127, values of up to 255 characters, `aws:` is reserved."""
        wanted: dict[str, str] = {}
        for tag in tags:
            key, value = tag.get("Key", ""), tag.get("Value", "")
            if key in wanted:
                raise invalid_value(f"Duplicate tag key '{key}' specified.")
            if not key or len(key) > 128:
                raise EC2Error("InvalidTagKey.Malformed", f"The tag key '{key}' is not valid.")
            if key.lower().startswith("aws:"):
                raise invalid_value(
                    f"Tag keys starting with 'aws:' are reserved for internal use: '{key}' is not allowed"
                )
            if len(value) > 256:
                raise invalid_value("Tag value exceeds the maximum length of 256 characters")
            wanted[key] = value
        if len({*(already or {}), *wanted}) > MAX_TAGS:
            raise EC2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
        return wanted

    def tag_list(self, tags: dict[str, str]) -> list[dict[str, str]]:
        return self.shuffled({"Key": key, "Value": value} for key, value in tags.items())


def _fingerprint(p: Params) -> str:
    """The parameters that a token is bound to; the token itself and the zone are not among them."""
    bound = {key: value for key, value in p.items() if key not in ("ClientToken", "DryRun")}
    if isinstance(bound.get("Placement"), dict):
        bound["Placement"] = {k: v for k, v in bound["Placement"].items() if k != "AvailabilityZone"}
    return json.dumps(bound, sort_keys=True, default=str)
