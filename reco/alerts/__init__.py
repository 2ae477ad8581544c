"""Where a failure or an absence is told.

Belongs here: the form of an alert and the channels it goes to. Does not belong here: noticing that something is wrong,
which is the business of the pipeline, nor its mark in the audit trail (`reco.audit`).
"""
