"""Folders that are either whole or absent: atomic writes, a manifest written last, checksums, locks.

The manifest is the last file of a folder and names every other one with its size and SHA-256. A folder without
a valid manifest does not exist for any reader.
"""

from bertsmith.store.faults import crash_point
from bertsmith.store.files import (
    explain,
    fingerprint,
    hash_file,
    link_files,
    retry,
    sync_folder,
    write_atomic,
    write_json,
    write_json_lines,
)
from bertsmith.store.folders import writing
from bertsmith.store.locks import locked, refuse_locked, require_space
from bertsmith.store.manifest import MANIFEST, read_details, verify, verify_files

__all__ = [
    "MANIFEST",
    "crash_point",
    "explain",
    "fingerprint",
    "hash_file",
    "link_files",
    "locked",
    "read_details",
    "refuse_locked",
    "require_space",
    "retry",
    "sync_folder",
    "verify",
    "verify_files",
    "write_atomic",
    "write_json",
    "write_json_lines",
    "writing",
]
