"""`python -m kaon_local.issuer FILE`: serve an issuer as a TOML file describes it."""

import sys
import tomllib
from pathlib import Path

from kaon_wire.loading import loading

with loading():
    import uvicorn

    from kaon_local.issuer.grants import Grants, Person
    from kaon_local.issuer.pages import issuer
    from kaon_local.ports import HOST


def main() -> None:
    """Entry point."""
    settings = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    people = [Person(name=name, claims=said) for name, said in settings["people"].items()]
    app = issuer(Grants(url=settings["url"], audience=settings["audience"]), people)
    uvicorn.run(
        app,
        host=settings.get("host", HOST),
        port=settings["port"],
        ssl_certfile=settings.get("certificate"),
        ssl_keyfile=settings.get("key"),
        log_level="warning",
    )


if __name__ == "__main__":
    main()
