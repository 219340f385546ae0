# SPDX-License-Identifier: Apache-2.0
"""Learns the vocabulary that comes with the library, the same bits whenever it is learned.

Of the 288 photos of $TROUVAILLE_DATA/grocery_packages, which are of the GroceryStoreDataset of
Marcus Klasson, under the MIT licence: the only labelled photos at hand whose licence allows it.

python benchmarks/learn_vocabulary.py python/trouvaille/words/sift_16384.words
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trouvaille.words import Vocabulary

NUM_WORDS = 16_384

if __name__ == "__main__":
    photos = Path(os.environ["TROUVAILLE_DATA"]) / "grocery_packages"
    learned = Vocabulary.learn(photos, NUM_WORDS, max_features=2000, max_size=1024)
    learned.save(sys.argv[1])
