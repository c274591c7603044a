"""The parts of `validate`: names, parameters, bindings, and what each kind of block must have."""
