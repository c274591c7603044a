"""The validation of workflow definitions, by their authors and before registration."""
