"""What submits runs without a person: at times, or when something happens."""
