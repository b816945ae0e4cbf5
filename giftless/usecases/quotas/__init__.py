"""What organisations and repositories may have: rules, promises of room, budgets, warnings."""
