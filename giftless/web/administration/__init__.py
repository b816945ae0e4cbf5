"""The API by which owners and operators look at what is stored, remove, restore and rename."""
