from . import aio as aio
from . import errors as errors
from . import progress as progress
from ._models import *
from ._sync import *
from .errors import DockerkitError as DockerkitError

__version__: str
