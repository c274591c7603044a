"""A registry that asks for TLS and an account."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from kaon_local.registry import Registry, RegistryConfig
from kaon_publisher.errors import RegistryUnavailable
from kaon_publisher.images import MANIFEST_TYPE, Base, Image, assemble, blob_of
from kaon_publisher.pushing import RegistryTarget
from kaon_publisher.registry_access import OPEN, RegistryAccess
from kaon_wire.errors import InvalidValue

from .models import write_model

USER, PASSWORD = "kaon-publisher", "correct horse"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    state = tmp_path_factory.mktemp("registry")
    registry = Registry(RegistryConfig(state=state, account=(USER, PASSWORD)))
    registry.start()
    yield registry
    registry.stop()


@pytest.fixture
def image(tmp_path: Path) -> Image:
    model = write_model(tmp_path / "model")
    # Larger than what the registry has read when it refuses.
    base, scratch = Base(layers=[blob_of(bytes(16 << 20))]), Path(tempfile.mkdtemp(dir=tmp_path))
    return assemble(model=model, app=b"app", base=base, labels={}, scratch=scratch)


@pytest.mark.real
def test_the_publisher_pushes_and_deletes_with_its_account(
    registry: Registry, image: Image, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    access = RegistryAccess.read(
        {
            "KAON_REGISTRY_CA": str(registry.ca),
            "KAON_REGISTRY_USER": USER,
            "KAON_REGISTRY_PASSWORD_FILE": str(tmp_path / "password"),
        }
    )
    target = RegistryTarget("registry.example.org", registry.address, access)
    assert target.push(image, "shop") == f"registry.example.org/shop@{image.digest}"
    place = f"https://{registry.address}/v2/shop/manifests/{image.digest}"
    assert requests.get(place, verify=str(registry.ca), timeout=5).status_code == 401
    found = requests.get(
        place,
        verify=str(registry.ca),
        auth=(USER, PASSWORD),
        headers={"Accept": MANIFEST_TYPE},
        timeout=5,
    )
    assert found.content == image.manifest.data
    target.delete("shop", image.digest)
    target.delete("shop", image.digest)


@pytest.mark.real
@pytest.mark.parametrize("wrong", ["password", "account", "authority", "tls"])
def test_nobody_else_changes_images(registry: Registry, image: Image, wrong: str) -> None:
    ca = str(registry.ca)
    access = {
        "password": RegistryAccess(ca=ca, user=USER, password="guessed"),
        "account": RegistryAccess(ca=ca),
        "authority": RegistryAccess(ca="system", user=USER, password=PASSWORD),
        "tls": OPEN,
    }[wrong]
    # Pushes connect in the same way, but the client's library tries them for half a minute.
    target = RegistryTarget(registry.address, access=access)
    with pytest.raises(RegistryUnavailable):
        target.delete("shop", image.digest)


def test_a_password_never_travels_without_tls(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="KAON_REGISTRY_USER: a password travels over TLS only"):
        RegistryAccess.read({"KAON_REGISTRY_USER": USER})
    with pytest.raises(InvalidValue, match="needs KAON_REGISTRY_PASSWORD_FILE"):
        RegistryAccess.read({"KAON_REGISTRY_USER": USER, "KAON_REGISTRY_CA": "system"})
    with pytest.raises(InvalidValue, match="KAON_REGISTRY_CA: there is no file"):
        RegistryAccess.read({"KAON_REGISTRY_CA": str(tmp_path / "nowhere")})
    assert RegistryAccess.read({}) == OPEN
    assert PASSWORD not in repr(RegistryAccess(ca="system", user=USER, password=PASSWORD))
