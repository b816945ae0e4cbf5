"""Seal stored objects, or wrap their keys anew, while clients push and pull.

``walking``
    goes through an encrypted store, pass by pass, until a pass finds nothing to do;
``rotation``
    wraps data keys with the primary key;
``encrypting``
    seals what is stored as it is.

Nothing is remembered between runs: what an object's head says shows what is left to do.  So a
run that was killed is repeated, and looks at every head once more.
"""
