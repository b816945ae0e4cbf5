"""``storage: {type: encrypted}``: objects are sealed before a store inside gets them.

``segments``
    seals and opens bytes, exactly as Tink's streaming AES-GCM-HKDF does;
``sealing``
    a fresh data key for each object, wrapped into the object's head;
``keyfile``
    ``keys: {type: file}``: the keys that wrap data keys;
``blocks``
    seals what comes bit by bit;
``passing``, ``progress``, ``resumable``
    such uploads: their bytes, what a store has of them, and what goes on with them;
``store``
    the store: reads and writes sealed objects, and seals anew what is old;
``factory``
    builds all that.
"""
