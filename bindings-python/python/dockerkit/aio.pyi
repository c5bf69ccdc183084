from . import errors as errors
from . import progress as progress
from ._aio import *
from ._models import *
from .errors import DockerkitError as DockerkitError
