"""AES of a native library for a broker: its JVM has the first compiler only, which does not know the processor's instructions."""

import platform
from collections.abc import Mapping
from pathlib import Path

# Those of the JDK that a broker uses, in their usual order, after the library's.
_PROVIDERS = (
    "com.amazon.corretto.crypto.provider.AmazonCorrettoCryptoProvider",
    *("SUN", "SunRsaSign", "SunEC", "SunJSSE", "SunJCE", "SunSASL", "JdkSASL"),
)
_FILE = "security.properties"
_LIBRARY = "libamazonCorrettoCryptoProvider"
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


def fallback(libs: Path, maps: Path) -> str:
    """What a closed broker encrypts with in place of the library, and what that costs; empty where it has loaded the library.

    Args:
        libs: the broker's jars.
        maps: the kernel's list of what the broker's process has loaded, once it answers.
    """
    if not has_native_ciphers(libs):
        return (
            f"no native library for AES among {libs} (it exists for Linux on x86-64 and ARM, this is {platform.system()} on "
            f"{platform.machine()}): the broker encrypts with ChaCha20 of its JVM, which takes about ten times as long"
        )
    if _LIBRARY not in maps.read_text():
        return (
            f"the broker has not loaded the native library for AES that is among {libs}: it encrypts with AES of its JVM, "
            "which takes about twenty times as long"
        )
    return ""


def jvm_options(state: Path) -> tuple[str, ...]:
    """The JVM's options, where it was told something."""
    file = state / _FILE
    if not file.exists():
        return ()
    # Where the library is unpacked: other places may forbid programs.
    place = f"-Dcom.amazon.corretto.crypto.provider.tmpdir={state}"
    return (f"-Djava.security.properties={file}", place)
