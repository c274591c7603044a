"""AES of a native library for a broker: its JVM has the first compiler only, which does not know the processor's instructions."""

from collections.abc import Mapping
from pathlib import Path

# Those of the JDK that a broker uses, in their usual order, after the library's.
_PROVIDERS = (
    "com.amazon.corretto.crypto.provider.AmazonCorrettoCryptoProvider",
    *("SUN", "SunRsaSign", "SunEC", "SunJSSE", "SunJCE", "SunSASL", "JdkSASL"),
)
_FILE = "security.properties"
# 1,000 bytes: 2 us. The compiler's own code: 9 us with ChaCha20, 35 us with AES.
_SETTINGS = {"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}


def has_native_ciphers(libs: Path) -> bool:
    """Whether the library is among a broker's jars: it exists for Linux on x86-64 and ARM."""
    return any(libs.glob("AmazonCorrettoCryptoProvider-*.jar"))


def use_native_ciphers(state: Path) -> Mapping[str, str]:
    """Writes what a JVM must be told, and returns the broker's settings."""
    lines = (f"security.provider.{number}={name}" for number, name in enumerate(_PROVIDERS, 1))
    (state / _FILE).write_text("".join(f"{line}\n" for line in lines))
    return _SETTINGS


def jvm_options(state: Path) -> tuple[str, ...]:
    """The JVM's options, where it was told something."""
    file = state / _FILE
    if not file.exists():
        return ()
    # Where the library is unpacked: other places may forbid programs.
    place = f"-Dcom.amazon.corretto.crypto.provider.tmpdir={state}"
    return (f"-Djava.security.properties={file}", place)
