"""The machine and its surroundings: files, storage, HTTP, processes, cores and memory. Knows nothing of eras or models.

Begin with :mod:`numerai_ray.system.files` (how anything is written) and :mod:`numerai_ray.system.storage` (where).
Nothing here reads a config, a dataset or a ledger.
"""

__all__ = [
    "cluster",
    "files",
    "http",
    "json_text",
    "machine",
    "process",
    "resources",
    "services",
    "storage",
    "timeline",
    "transfer",
]
