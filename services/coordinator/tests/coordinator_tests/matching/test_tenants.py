"""Weights and quotas from a settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.matching.tenants import tenants_from
from kaon_coordinator.settings import load_tenants, settings_from
from kaon_wire.errors import InvalidValue

DOCUMENT = """
[default]
weight = 0.5

[tenants.ads]
weight = 2
quota = { slots = 100, cpu = 1.5, memory = "64GiB", gpu = 2, custom = { licence = 3 } }

[tenants.ads.pools.gpu]
quota = { gpu = 8 }
"""


def test_a_file_gives_weights_and_quotas_by_tenant_and_pool(tmp_path: Path) -> None:
    (tmp_path / "tenants.toml").write_text(DOCUMENT)

    tenants = settings_from({"KAON_TENANTS": str(tmp_path / "tenants.toml")}).tenants

    assert tenants.of("nobody", "default").weight == 0.5
    assert tenants.of("ads", "default").weight == 2.0
    assert tenants.of("ads", "default").quota == (100, 1500, 64 << 30, 2, (("licence", 3),))
    assert tenants.of("ads", "gpu").quota == (0, 0, 0, 8, ())
    assert tenants.of("ads", "gpu").weight == 2.0


def test_json_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "tenants.json").write_text('{"tenants": {"ads": {"weight": 3}}}')

    assert load_tenants(str(tmp_path / "tenants.json")).of("ads", "any").weight == 3.0


def test_without_a_file_all_are_equal() -> None:
    assert settings_from({}).tenants.of("ads", "default") == settings_from({}).tenants.of(
        "other", "gpu"
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"tenant": {}}, "tenant: not known here"),
        ({"tenants": {"a": 1}}, "tenants.a: 1 is not a table"),
        ({"tenants": {"a": {"wieght": 1}}}, "tenants.a.wieght: not known"),
        ({"tenants": {"a": {"weight": 0}}}, "tenants.a.weight: 0 is not a number above 0"),
        ({"tenants": {"a": {"weight": True}}}, "tenants.a.weight: True"),
        (
            {"tenants": {"a": {"quota": {"slots": 1.5}}}},
            "tenants.a.quota.slots: 1.5 is not a whole number",
        ),
        (
            {"tenants": {"a": {"quota": {"cores": 1}}}},
            "tenants.a.quota.cores: not known; use slots, cpu",
        ),
        (
            {"tenants": {"a": {"quota": {"memory": "64GB"}}}},
            "tenants.a.quota.memory: '64GB' is not a size",
        ),
        (
            {"tenants": {"a": {"quota": {"cpu": -1}}}},
            "tenants.a.quota.cpu: -1 is not a number of cores",
        ),
        (
            {"tenants": {"a": {"pools": {"gpu": {"weight": "2"}}}}},
            "tenants.a.pools.gpu.weight: '2'",
        ),
        ({"default": {"pools": {}}}, "default.pools: only a named tenant"),
    ],
)
def test_a_mistake_is_named_with_its_place(document: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        tenants_from(document)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.toml", "[tenants", "is not TOML"),
        ("t.json", "{", "is not JSON"),
        ("t.json", "[]", "holds no table"),
        ("t.toml", "[tenants.a]\nweight = 0", "t.toml: tenants.a.weight: 0"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_at_the_start(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(InvalidValue, match="KAON_TENANTS") as refused:
        settings_from({"KAON_TENANTS": str(tmp_path / name)})

    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidValue, match="cannot be read"):
        settings_from({"KAON_TENANTS": "/nowhere/tenants.toml"})
