"""The contenders: each module is one way of doing the work, started as a process of its own.

Does not belong here: measuring them. A contender prints one JSON object that says what it found, so that a faster one
can be seen to have done the same work.
"""
