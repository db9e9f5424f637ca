"""The command lines in the docs: enireconcile and the AWS CLI have the commands and options that they use.

tests/docs/console.py runs the console blocks and the AWS CLI lines of the tutorial. The other ``aws`` lines are
not run, because routes, IAM and buckets need an account; they are checked against the SDK's models.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import boto3
import pytest
from botocore.model import ServiceModel

from enireconcile.cli.app import cli
from tests.docs.console import ROOT
from tests.docs.reference import options_of

FENCE = re.compile(r"^```(?:sh|console|crontab|ini)(?: guest)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CLI_ONLY = {"cli-binary-format", "query", "output", "region", "cidr", "protocol", "port"}
"""Options of the AWS CLI that are not parameters of the API."""


OPERATOR = re.compile(r"[();<>|&]+")


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """The arguments of every call of a program in the shell blocks of a page."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if re.search(rf"(?:^|[ /(=]){program} ", line):
                lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                yield from _calls(list(lexer), program)


def _calls(words: list[str], program: str) -> Iterator[list[str]]:
    for before, (index, word) in zip(["$", *words], enumerate(words), strict=False):
        begins = before == "$" or OPERATOR.fullmatch(before)
        if (word == program and begins) or word.endswith(f"/bin/{program}"):
            yield list(takewhile(lambda each: not OPERATOR.fullmatch(each), words[index + 1 :]))


def options(words: list[str]) -> set[str]:
    """The options among the arguments, without their values."""
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_enireconcile_has_the_options(page: Path) -> None:
    for words in commands(page, "enireconcile"):
        if words[:1] in (["--help"], ["--version"], ["COMMAND"]):
            continue
        known = options_of(cli.commands[words[0]]).keys()
        own = list(takewhile(lambda word: word != "--", words[1:]))
        assert options(own) - known == set(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_aws_cli_has_the_options(page: Path) -> None:
    for service, operation, *words in commands(page, "aws"):
        model = boto3.Session()._session.get_service_model(service.removesuffix("api"))
        assert options(words) <= {f"--{name}" for name in _parameters(model, operation) | CLI_ONLY}, words


def _parameters(model: ServiceModel, operation: str) -> set[str]:
    """The parameters of an operation, in the AWS CLI's spelling. StopIteration: there is no such operation."""
    name = next(each for each in model.operation_names if _kebab(each) == operation)
    shape = model.operation_model(name).input_shape
    return {_kebab(member) for member in shape.members} if shape else set()


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
