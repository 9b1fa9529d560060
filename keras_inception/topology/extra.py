"""What the topology needs beside the rest of the package."""

import contextlib


@contextlib.contextmanager
def of_the_extra(package: str):
    """Around the import of a package that the extra `topology` installs.

    Raises:
        ImportError: it is not installed; the message says what to install.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"expected {package} for the topology: pip install 'keras-inception[topology]'") from error
