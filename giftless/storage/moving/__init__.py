"""``storage: {type: moving}``: two stores, while objects move from one to the other.

Clients see one store.  What is new goes to the store that objects move to; what is not
there yet is read from the other.  ``giftless migrate`` moves the objects.

``store``
    what has one meaning over both stores: sizes, reading, copies, deletions, lists;
``listing``
    one list of what two stores have;
``resumable``
    objects that come bit by bit, and had begun in the old store;
``direct``
    signed URLs, if both stores sign;
``places``
    whether two stores keep objects in one place;
``factory``
    builds both stores, and what they can do together.
"""
