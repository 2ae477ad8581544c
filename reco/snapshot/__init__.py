"""Published recommendations in Redis: draft, gate, publish, read and roll back.

Belongs here: the layout of the keys and everything that reads or writes them. Does not belong here: how the model is
computed (`reco.model`), connections (`reco.storage.redis`) or HTTP. Import from the modules: this file stays light.
"""
