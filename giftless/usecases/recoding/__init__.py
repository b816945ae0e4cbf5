"""Store objects anew in another form, or change their heads, while clients push and pull.

``walking``
    goes through a store, pass by pass, until a pass finds nothing to do;
``anew``
    stores an object in the form that it would have now;
``compressing``
    compresses what was stored as it is, where that saves room;
``encrypting``
    seals what is stored as it is;
``rotation``
    wraps data keys with the primary key.

Nothing is remembered between runs: what an object's head says shows what is left to do.  So a
run that was killed is repeated, and looks at every head once more.
"""
