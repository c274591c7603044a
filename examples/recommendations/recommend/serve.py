"""The model as it is served: nothing but the standard library.

A request {"user": 42, "n": 5} is answered by {"user", "region", "model", "items": [{"item", "title", "score"}, ...]}.
"""

import heapq
import json


class Model:
    """Recommends items that the user has not rated.

    A user of a region with a model of its own gets that model's best items; one of another region the items nearest to the user's
    factors; a stranger gets what is popular.
    """

    def __init__(self, path):
        with open(f"{path}/model.json", encoding="utf-8") as file:
            self._data = json.load(file)

    def predict(self, request):
        """The `n` (default 10) best items for `user`."""
        number = request.get("n", 10)
        if not isinstance(number, int) or not 1 <= number <= 100:
            raise ValueError("n must be a number from 1 to 100")
        user = str(request["user"])
        known = self._data["users"].get(user)
        if known is None:
            best = [(item, 0.0) for item in self._data["popular"][:number]]
            return self._answer(user, None, "popular", best)
        regional = self._data["regions"].get(known["region"])
        seen = set(known["seen"])
        if regional is not None:
            best = [(item, score) for item, score in regional if item not in seen][:number]
            return self._answer(user, known["region"], "regional", best)
        return self._answer(user, known["region"], "global", self._nearest(user, seen, number))

    def _nearest(self, user, seen, number):
        factors = self._data["user_factors"].get(user)
        if factors is None:
            return [(item, 0.0) for item in self._data["popular"] if item not in seen][:number]
        scores = (
            (sum(a * b for a, b in zip(factors, values, strict=True)), item)
            for item, values in self._data["item_factors"].items()
            if item not in seen
        )
        return [(item, round(score, 4)) for score, item in heapq.nlargest(number, scores)]

    def _answer(self, user, region, model, best):
        titles = self._data["titles"]
        items = [{"item": item, "title": titles.get(item, item), "score": score} for item, score in best]
        return {"user": user, "region": region, "model": model, "items": items}
