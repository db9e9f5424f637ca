"""As much of ``aws ec2`` as the docs use, so that their lines run where the AWS CLI is not installed.

``--filters``, ``--query`` and ``--output text`` work as in the AWS CLI; calls go to AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import boto3
import jmespath

_SHORTHAND = {"protocol": "IpProtocol", "cidr": "CidrIp"}
"""Options of the AWS CLI that the API calls otherwise."""


def main(arguments: list[str]) -> None:
    """Make the call and print what the query asks for, one line a row."""
    service, operation, *words = arguments
    options = _options(words)
    query = options.pop("query", ["@"])[0]
    assert options.pop("output", ["text"]) == ["text"]
    client = boto3.client(service)  # type: ignore[call-overload]
    answer = getattr(client, operation.replace("-", "_"))(**_parameters(options))
    for line in _text(jmespath.search(query, answer)):
        print(line)  # noqa: T201 - this is the program's answer


def _options(words: list[str]) -> dict[str, list[str]]:
    """Option, without its dashes, to its values."""
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            values = found.setdefault(word.removeprefix("--"), [])
        else:
            values.append(word)
    return found


def _parameters(options: dict[str, list[str]]) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for option, values in options.items():
        if option == "filters":
            pairs = (re.fullmatch(r"Name=([^,]+),Values=(.+)", value) for value in values)
            parameters["Filters"] = [{"Name": pair[1], "Values": pair[2].split(",")} for pair in pairs if pair]
        elif option == "port":
            parameters |= {"FromPort": int(values[0]), "ToPort": int(values[0])}
        else:
            name = _SHORTHAND.get(option) or "".join(part.capitalize() for part in option.split("-"))
            parameters[name] = values[0]
    return parameters


def _text(result: Any) -> list[str]:
    """A scalar as it is, a list as a line, and a list of lists as lines, as ``--output text`` shows them."""
    if not isinstance(result, list):
        return [str(result)] if isinstance(result, str) else []
    rows = result if all(isinstance(row, list) for row in result) else [result]
    return ["\t".join(map(str, row)) for row in rows]


if __name__ == "__main__":
    main(sys.argv[1:])
