"""Prints the path of the file for ``PIPECAT_SETUP_FILES``."""

import sys
from importlib.util import find_spec

found = find_spec("agentstack_tap.pipecat.setup_file")
sys.stdout.write(f"{found.origin if found else ''}\n")
