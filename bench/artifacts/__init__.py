"""Models on disk: built once, named by the hash of their content, checked each time they are used."""

from .keys import step_key
from .store import Built, Site, Store, StoredModel, default_root

__all__ = ["Built", "Site", "Store", "StoredModel", "default_root", "step_key"]
