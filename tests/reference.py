# SPDX-License-Identifier: Apache-2.0
"""What each kernel means, in NumPy: short, slow and obviously right."""
