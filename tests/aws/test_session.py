"""Sessions: a wrong Region and a wrong configuration end in an error that says where it comes from."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.session import Role, connect
from enireconcile.errors import AwsError, EnireconcileError
from enireconcile.regions import REGIONS
from tests.ec2 import Fail
from tests.ec2.estate import Estate
from tests.fleet.estates import account_id
from tests.virtual import VirtualLoop

NEWER = "(or update boto3, which knows new Regions)"


@pytest.mark.parametrize(
    ("region", "message", "hint"),
    [
        ("us-east-1a", "must be a Region, but 'us-east-1a' is an Availability Zone", "write us-east-1"),
        ("us-esat-1", "must be a Region, not 'us-esat-1'", "did you mean `us-east-1`?"),
        ("us-east-1/", "must be a Region, not 'us-east-1/'", "did you mean `us-east-1`?"),
        ("nowhere", "must be a Region, not 'nowhere'", "for example us-east-1"),
        ("us-east-9", "'us-east-9' is no Region that boto3 knows", f"did you mean `us-east-1`? {NEWER}"),
        ("eu-central-7", "'eu-central-7' is no Region that boto3 knows", f"did you mean `eu-central-1`? {NEWER}"),
        ("us-west-3", "'us-west-3' is no Region that boto3 knows", f"did you mean `us-west-1`? {NEWER}"),
    ],
)
def test_a_region_that_is_none(region: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes from."""
    with pytest.raises(EnireconcileError) as raised:
        connect(region=region, profile=None)
    assert str(raised.value) == f"region (from --region or the spec): {message}\n  hint: {hint}"
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(EnireconcileError) as raised:
        connect(region=None, profile=None)
    assert raised.value.message == f"region (from AWS_REGION, AWS_DEFAULT_REGION or the profile): {message}"


def test_the_environment_comes_before_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for ``${region}`` in a spec, which reads no profile: values and calls have the same Region."""
    config = tmp_path / "config"
    config.write_text("[profile ops]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    found = [connect(region=None, profile="ops").region]
    for name, region in (("AWS_DEFAULT_REGION", "eu-west-1"), ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, region)
        found.append(connect(region=None, profile="ops").region)
    assert found == ["eu-central-1", "eu-west-1", "us-east-1"]


def test_a_region_that_only_botocore_knows() -> None:
    """Without the endpoint of a Region that does not exist being tried for minutes."""
    assert connect(region="us-iso-east-1", profile=None).region == "us-iso-east-1"
    assert "us-iso-east-1" not in REGIONS


@pytest.mark.parametrize(
    ("profile", "message", "hint"),
    [
        (
            "credential_process = /bin/false",
            "cannot create the sts client: Error when retrieving credentials from custom-process",
            "run the credential_process of the profile by itself: it must print credentials as JSON",
        ),
        (
            "role_arn = arn:aws:iam::123456789012:role/x\nsource_profile = gone",
            'cannot create the sts client: The source_profile "gone" referenced in the profile "ops" does not '
            "exist.",
            "correct the profile in ~/.aws/config; `aws configure list` shows what is read",
        ),
    ],
)
def test_a_profile_without_credentials(
    profile: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[profile ops]\n{profile}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(EnireconcileError) as raised:
        connect(region="us-east-1", profile="ops").client("sts")
    assert (raised.value.message, raised.value.hint) == (message, hint)


def test_an_endpoint_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:4566")
    with pytest.raises(EnireconcileError) as raised:
        connect(region="us-east-1", profile=None).client("sts")
    assert raised.value.message == "cannot create the sts client: Invalid endpoint: 127.0.0.1:4566"
    assert raised.value.hint == (
        "check AWS_ENDPOINT_URL, which begins with http:// or https://, and the AWS configuration"
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", None),
        ("https://vpce-0a1b2c-3d4e.ec2.us-east-1.vpce.amazonaws.com", None),
        ("https://ec2.us-east-1.api.aws", None),
        ("http://127.0.0.1:4566/x", "http://127.0.0.1:4566"),
        ("https://me:secret@ec2.example.com", "https://ec2.example.com"),
        ("https://notamazonaws.com", "https://notamazonaws.com"),
    ],
)
def test_an_endpoint_outside_aws_is_known(monkeypatch: pytest.MonkeyPatch, url: str, shown: str | None) -> None:
    """Without the credentials that may be in its URL."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    session = connect(region="us-east-1", profile=None)
    assert session.endpoint is None, "not known without a client"
    session.client("ec2")
    assert session.endpoint == shown
    session.close()


ROLE = Role(f"arn:aws:iam::{account_id(1)}:role/ops", purpose="web")


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("ExpiredToken", "the credentials have expired"),
        ("InvalidClientTokenId", "check the credentials"),
        ("RegionDisabledException", None),
        ("AccessDenied", "the trust policy of the role must allow these credentials"),
    ],
)
def test_a_role_that_is_not_given_is_told_as_assume_role(
    estate: Estate, loop: VirtualLoop, code: str, hint: str | None
) -> None:
    """Whatever the reason: no other call was sent."""
    estate.faults.add(Fail("AssumeRole", code=code, message="words", status=403, times=9))
    error = refusal(loop)
    assert str(error).startswith(f"AssumeRole for {ROLE.arn}: {code}: words (request ")
    assert hint is None or (error.hint or "").startswith(hint)
    assert [call.action for call in estate.calls] == ["AssumeRole"]


@pytest.mark.parametrize("code", ["Throttling", "InternalFailure"])
def test_assume_role_is_repeated(estate: Estate, loop: VirtualLoop, code: str) -> None:
    """If it never gets better, the error names it beside the call that needed the credentials."""
    estate.faults.add(Fail("AssumeRole", code=code, message="words", times=2))
    with closing(channel()) as one:
        loop.run_until_complete(Reader(one).read("DescribeAddresses"))
    estate.faults.add(Fail("AssumeRole", code=code, message="words", times=10_000))
    assert f"DescribeAddresses: {code}: AssumeRole for {ROLE.arn}: words" in str(refusal(loop))


def channel() -> Channel:
    return Channel(connect(region="us-east-1", profile=None, role=ROLE))


def refusal(loop: VirtualLoop) -> AwsError:
    with closing(channel()) as one, pytest.raises(AwsError) as raised:
        loop.run_until_complete(Reader(one).read("DescribeAddresses"))
    return raised.value


@pytest.mark.parametrize(
    ("stack", "host", "name"),
    [
        ("web", "bastion", "enireconcile-web-bastion"),
        ("", "bastion", "enireconcile-bastion"),
        ("s" * 63, "ip-10-0-0-7.internal", f"enireconcile-{'s' * 30}-ip-10-0-0-7.internal"),
        ("web", "h" * 64, f"enireconcile-web-{'h' * 47}"),
        ("s" * 63, "h" * 64, f"enireconcile-{'s' * 25}-{'h' * 25}"),
    ],
)
def test_the_name_of_a_role_session_tells_stack_and_host(
    monkeypatch: pytest.MonkeyPatch, stack: str, host: str, name: str
) -> None:
    """CloudTrail shows it. A long stack does not hide the host."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert Role(ROLE.arn, purpose=stack).session_name == name
    assert len(name) <= 64
