"""Backups: made, checked, restored, proven by drills, kept and removed.

Belongs here: what a backup holds, how it lies in a bucket, and every way back from it. Does not belong here: the calls
to a bucket (`reco.storage`), snapshots of recommendations (`reco.snapshot`), or when any of it happens.
"""
