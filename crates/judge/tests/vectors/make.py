"""Makes multinomial.json: python3 -m venv v && v/bin/pip install savvi==0.3.1 matplotlib pandas py-markdown-table && v/bin/python make.py"""
import json
import numpy as np
from savvi.multinomial import Multinomial

rng = np.random.default_rng(1)
vectors = []
for shares, true, k in [
    ([0.8, 0.2], [0.8, 0.2], 100),
    ([0.8, 0.2], [0.7082, 0.2918], 100),
    ([0.9, 0.1], [0.6, 0.4], 10),
    ([0.5, 0.5], [0.4, 0.6], 2),
    ([0.5, 0.3, 0.2], [0.3, 0.3, 0.4], 10),
]:
    model = Multinomial(0.05, np.array(shares), k=k)
    counts, odds = [], []
    for size in [1, 1, 2, 5, 10, 20, 50, 100]:
        step = rng.multinomial(size, true)
        model.update(step)
        counts.append([int(n) for n in step])
        odds.append(float(model.odds))
    vectors.append({"shares": shares, "k": k, "counts": counts, "odds": odds})
with open("multinomial.json", "w") as out:
    json.dump(vectors, out, indent=1)
    out.write("\n")
