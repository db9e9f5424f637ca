"""The cut model of EC2 sends and reads what botocore's own does, and a cache in doubt is not used."""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import botocore.credentials
import botocore.tokens
import botocore.utils
import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.regions import EndpointResolver

from enireconcile.aws.models import OPERATIONS, SERVICES, Models, cache_file, cut


@pytest.fixture(scope="module")
def whole() -> Any:
    return Loader().load_service_model("ec2", "service-2")


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "enireconcile" / "ec2.json"


class Counted(Models):
    """Counts how often botocore's own file is read."""

    reads = 0

    def _made(self, key: str | None) -> dict[str, Any]:
        type(self).reads += 1
        return super()._made(key)


@pytest.fixture
def models(cache: Path) -> type[Counted]:  # noqa: ARG001 (it is where they look)
    class Fresh(Counted):
        reads = 0

    return Fresh


def load(models: type[Counted]) -> dict[str, Any]:
    loaded: dict[str, Any] = models().load_service_model("ec2", "service-2")
    return loaded


def test_each_operation_is_as_botocore_has_it(whole: Any) -> None:
    ours, theirs = ServiceModel(cut(whole, OPERATIONS), "ec2"), ServiceModel(whole, "ec2")
    assert set(ours.operation_names) == OPERATIONS
    for name in sorted(OPERATIONS):
        assert _seen(ours.operation_model(name)) == _seen(theirs.operation_model(name)), name
    assert ours.metadata == theirs.metadata


def _seen(operation: OperationModel) -> Any:
    known: dict[str, Any] = {}
    for shape in (operation.input_shape, operation.output_shape, *operation.error_shapes):
        _walk(shape, known)
    facts = (operation.name, operation.http, operation.endpoint, operation.auth_type, operation.idempotent_members)
    return facts, [shape and shape.name for shape in (operation.input_shape, operation.output_shape)], known


def _walk(shape: Shape | None, known: dict[str, Any]) -> None:
    if shape is None or shape.name in known:
        return
    inner: dict[str, Shape] = {}
    if isinstance(shape, StructureShape):
        inner = dict(shape.members)
    elif isinstance(shape, ListShape):
        inner = {"member": shape.member}
    elif isinstance(shape, MapShape):
        inner = {"key": shape.key, "value": shape.value}
    known[shape.name] = (
        shape.type_name,
        dict(shape.metadata),
        {name: (each.name, each.serialization) for name, each in inner.items()},
    )
    for each in inner.values():
        _walk(each, known)


def test_a_second_process_reads_the_cache(models: type[Counted], cache: Path) -> None:
    first = load(models)
    assert (models.reads, cache.stat().st_mode & 0o777, cache.parent.stat().st_mode & 0o777) == (1, 0o600, 0o700)
    assert load(models) == first
    assert models.reads == 1


def _spoil_text(cache: Path) -> None:
    cache.write_text(cache.read_text()[:-20])


def _spoil_key(cache: Path) -> None:
    cache.write_text(json.dumps({**json.loads(cache.read_text()), "key": "another botocore"}))


def _spoil_shape(cache: Path) -> None:
    cache.write_text("[]")


def _let_others_write(cache: Path) -> None:
    cache.chmod(0o622)


def _link(cache: Path) -> None:
    cache.rename(cache.with_name("elsewhere"))
    cache.symlink_to("elsewhere")


def _put_a_fifo(cache: Path) -> None:
    cache.unlink()
    os.mkfifo(cache, 0o600)


@pytest.mark.parametrize(
    "spoil",
    [_spoil_text, _spoil_key, _spoil_shape, _let_others_write, _link, _put_a_fifo],
    ids=lambda each: each.__name__,
)
def test_a_cache_in_doubt_is_made_anew(models: type[Counted], cache: Path, spoil: Any) -> None:
    first = load(models)
    spoil(cache)
    assert load(models) == first
    assert models.reads == 2
    assert load(models) == first
    assert models.reads == 2


def test_a_folder_that_cannot_be_written_costs_only_time(
    models: type[Counted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert load(models).keys() >= {"operations", "shapes"}
    assert models.reads == 1


def test_another_source_file_is_another_model(models: type[Counted], tmp_path: Path, whole: Any) -> None:
    """A model in ~/.aws/models or AWS_DATA_PATH comes before botocore's."""
    load(models)
    folder = tmp_path / "models" / "ec2" / "2016-11-15"
    folder.mkdir(parents=True)
    changed = {**whole, "metadata": {**whole["metadata"], "serviceFullName": "EC2 of tomorrow"}}
    (folder / "service-2.json").write_text(json.dumps(changed))
    loader = models([str(tmp_path / "models")])
    assert loader.load_service_model("ec2", "service-2")["metadata"]["serviceFullName"] == "EC2 of tomorrow"
    assert models.reads == 2


def test_other_services_and_versions_are_botocores(models: type[Counted]) -> None:
    loader = models()
    assert loader.load_service_model("sts", "service-2")["operations"].keys() >= {
        "GetCallerIdentity",
        "AssumeRole",
    }
    assert len(loader.load_service_model("ec2", "service-2", "2016-11-15")["operations"]) > 600
    assert models.reads == 0


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache_file() is None


def test_the_endpoints_of_what_is_called_are_botocores(models: type[Counted]) -> None:
    ours, path = models().load_data_with_path("endpoints")
    theirs, where = Loader().load_data_with_path("endpoints")
    assert path == where
    assert [each["partition"] for each in ours["partitions"]] == [
        each["partition"] for each in theirs["partitions"]
    ]
    cut, whole = EndpointResolver(ours), EndpointResolver(theirs)
    for partition in whole.get_available_partitions():
        regions = whole.get_available_endpoints("ec2", partition)
        assert cut.get_available_endpoints("ec2", partition) == regions
        for service in SERVICES:
            for region in regions[:3]:
                assert cut.construct_endpoint(service, region) == whole.construct_endpoint(service, region)


def test_the_services_that_botocore_calls_for_credentials_are_known() -> None:
    sources = "".join(
        inspect.getsource(module) for module in (botocore.credentials, botocore.tokens, botocore.utils)
    )
    created = set(re.findall(r"""client(?:_creator)?\(\s*['"]([a-z-]+)['"]""", sources))
    assert {"sts", "sso", "signin"} <= created <= SERVICES
    assert "sso-oidc" in SERVICES
