# SPDX-License-Identifier: Apache-2.0
"""Lets ``python -m trouvaille`` be the command line."""

from .cli import main

main()
