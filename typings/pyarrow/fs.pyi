"""What of pyarrow's file systems is used."""

from typing import Any

class FileSystem: ...

class FSSpecHandler:
    def __init__(self, fs: Any) -> None: ...

class PyFileSystem(FileSystem):
    def __init__(self, handler: FSSpecHandler) -> None: ...
