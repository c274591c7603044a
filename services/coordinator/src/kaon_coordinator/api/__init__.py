"""The public gRPC API: translation, validation and the store; no decision about a run is made here."""
