"""The HTTP service: routes, what they answer when something is broken, and which snapshot they answer from.

Does not belong here: how an answer is made (`reco.snapshot`), and starting or stopping Redis (`reco.local`).
"""
