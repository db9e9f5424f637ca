"""Names of rows from Terraform's addresses, as a person would shorten them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from enireconcile.export.terraform.naming import names_in
from enireconcile.export.terraform.state import Resource


def at(address: str) -> Resource:
    """A resource at an address whose own index, if it has one, is JSON."""
    own, _, index = address.removesuffix("]").rpartition("[") if address.endswith("]") else (address, "", "")
    kind, name = own.split(".")[-2:]
    return Resource(address, kind, name, {}, index=json.loads(index) if index else None)


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["aws_instance.web", "aws_eip.web"], ["web", "web"]),
        (["aws_instance.this"], ["this"]),
        (["aws_eip.spare[0]", "aws_eip.spare[1]"], ["spare-0", "spare-1"]),
        (["aws_eip.spare[0]"], ["spare"]),
        (["aws_eip.spare[1]"], ["spare-1"]),
        (['aws_eip.fw["a"]', 'aws_eip.fw["b.c/d"]'], ["fw-a", "fw-b.c/d"]),
        (['aws_instance.this["web"]'], ["web"]),
        (['module.host["a"].aws_instance.this'], ["host-a"]),
        (["module.web.aws_instance.this[0]"], ["web"]),
        (["module.web[0].aws_instance.box", "module.web[1].aws_instance.box"], ["web-0-box", "web-1-box"]),
        (["module.web[0].aws_instance.main"], ["web"]),
        (["module.a.module.b.aws_eip.main"], ["a-b"]),
        (["module.a.aws_eip.x[0]", "module.b.aws_eip.x[0]", "module.b.aws_eip.x[1]"], ["a-x", "b-x-0", "b-x-1"]),
        (['module.host["say \\"hi\\""].aws_eip.x'], ['host-say "hi"-x']),
    ],
)
def test_names(addresses: Sequence[str], names: Sequence[str]) -> None:
    """Modules, name and index; a lone [0] and names such as `this` say nothing."""
    found = names_in([at(each) for each in addresses])
    assert [found[each] for each in addresses] == names
