"""Passwords as a registry keeps them."""

import ctypes
import secrets


def password_line(user: str, password: str) -> str:
    """Return a line of a file of passwords: bcrypt, which the C library has and the registry takes alone."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    salt = f"$2y$05${secrets.token_hex(11)}".encode()
    return f"{user}:{library.crypt(password.encode(), salt).decode()}\n"
