"""What every implementation of an interface promises: one mixin per interface.

A test case takes a mixin and says how its implementation is made.
"""
