"""The pages for operators: the dashboard, usage, the trash, and the locks.

``pages`` leads requests to what answers them, ``guard`` decides whose requests may change
something, ``asking`` asks workers, ``rendering`` fills in the templates.  Imported when the
first page is asked for: the parent is small otherwise.
"""
