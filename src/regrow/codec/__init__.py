"""Values to bytes and back: typed, versioned, and never executed.

Start at `writing.encode` and `reading.decode`; `codes` is the format's table of kinds, `registry` the allow-list of
classes that may be named in data, and `failures` how exceptions survive.
"""

from regrow.codec.blobs import Blobs
from regrow.codec.error_record import ErrorRecord
from regrow.codec.failures import capture, rebuild
from regrow.codec.frames import Frame
from regrow.codec.inputs import Inputs, digest_inputs
from regrow.codec.naming import module_alias
from regrow.codec.reading import decode
from regrow.codec.registry import TypeRegistry, registry
from regrow.codec.writing import encode

__all__ = [
    "Blobs",
    "ErrorRecord",
    "Frame",
    "Inputs",
    "TypeRegistry",
    "capture",
    "decode",
    "digest_inputs",
    "encode",
    "module_alias",
    "rebuild",
    "registry",
]
