"""The public gRPC API: translation, validation and storage. It makes no decision about a run."""
