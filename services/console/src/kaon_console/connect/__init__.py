"""The Connect protocol, as far as a server that passes bytes on needs it: https://connectrpc.com/docs/protocol."""
