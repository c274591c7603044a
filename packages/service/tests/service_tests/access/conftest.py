"""What the tests of authentication share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oidc_issuer import Issuer, serving_issuer


@pytest.fixture(name="issuer")
def _issuer() -> Iterator[Issuer]:
    with serving_issuer() as issuer:
        yield issuer
