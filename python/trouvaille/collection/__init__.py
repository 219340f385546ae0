# SPDX-License-Identifier: Apache-2.0
"""The persistent collection: storage, pipeline and query."""
