"""CloudTrail as far as LookupEvents: the management events of this account, from the server's own log of calls.

What an event holds is from the CloudTrail user guide ("CloudTrail record contents", "Viewing recent management
events with the AWS CLI"): names begin with a small letter, lists are ``{"items": […]}``, and an event is listed
for the resources that its call or its answer names. An attachment or an association is no such resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .calls import Call
from .errors import EC2Error
from .records import Params, Result

MOST = 50
_RESOURCES = {
    "i": "Instance",
    "eni": "NetworkInterface",
    "eipalloc": "EIP",
    "sg": "SecurityGroup",
    "subnet": "Subnet",
    "vpc": "VPC",
    "ami": "Ami",
    "rtb": "RouteTable",
    "igw": "InternetGateway",
}
_ID = re.compile(rf"\b({'|'.join(_RESOURCES)})-[0-9a-f]{{8,17}}\b")
_SETS = {"Groups": "groupSet", "Resources": "resourcesSet", "Tags": "tagSet", "InstanceIds": "instancesSet"}


def lookup_events(
    calls: Iterable[Call], params: Params, people: Mapping[str, str], account: str, date: Any
) -> Result:
    """The latest events first. ``people`` maps access keys to names of users, ``date`` moments to dates."""
    attributes = params.get("LookupAttributes", [])
    if len(attributes) > 1:
        raise EC2Error("InvalidLookupAttributesException", "You can use only one lookup attribute.")
    if not 1 <= params.get("MaxResults", MOST) <= MOST:
        raise EC2Error("InvalidMaxResultsException", f"MaxResults must be between 1 and {MOST}.")
    found = []
    for number, call in enumerate(calls):
        if call.service != "ec2" or not call.mutates or not (call.acted or call.error_code):
            continue
        event = _event(number, call, people.get(call.access_key, "unknown"), account, date(call.time))
        if all(_fits(event, attribute) for attribute in attributes):
            found.append(event)
    return {"Events": list(reversed(found))[: params.get("MaxResults", MOST)]}


def _fits(event: Mapping[str, Any], attribute: Mapping[str, str]) -> bool:
    key, value = attribute["AttributeKey"], attribute["AttributeValue"]
    if key == "ResourceName":
        return any(resource["ResourceName"] == value for resource in event["Resources"])
    if key in ("EventName", "Username"):
        return bool(event[key] == value)
    raise EC2Error("InvalidLookupAttributesException", f"{key} is not valid here.")


def _event(number: int, call: Call, user: str, account: str, moment: datetime) -> dict[str, Any]:
    parameters, answer = _told(call.params), _told(call.answer or {})
    record = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "IAMUser", "arn": f"arn:aws:iam::{account}:user/{user}", "userName": user},
        "eventTime": moment.isoformat(),
        "eventSource": "ec2.amazonaws.com",
        "eventName": call.action,
        "sourceIPAddress": "192.0.2.1",
        "userAgent": call.user_agent,
        "requestParameters": parameters,
        "responseElements": answer,
        **({"errorCode": call.error_code} if call.error_code else {}),
    }
    text = json.dumps(record, default=str)
    ids = sorted({found[0] for found in _ID.finditer(json.dumps([parameters, answer], default=str))})
    return {
        "EventId": f"00000000-0000-4000-8000-{number:012x}",
        "EventName": call.action,
        "ReadOnly": "false",
        "AccessKeyId": call.access_key,
        "EventTime": moment,
        "EventSource": "ec2.amazonaws.com",
        "Username": user,
        "Resources": [
            {"ResourceType": f"AWS::EC2::{_RESOURCES[each.partition('-')[0]]}", "ResourceName": each}
            for each in ids
        ],
        "CloudTrailEvent": text,
    }


def _told(value: Any) -> Any:
    """A parameter as CloudTrail writes it."""
    if isinstance(value, dict):
        return {_SETS.get(key, key[:1].lower() + key[1:]): _told(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"items": [_told(item) for item in value]}
    return value
