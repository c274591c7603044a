"""The model as it is served: nothing but the standard library.

A request {"user": 42, "n": 5} is answered by {"user", "region", "model", "items": [{"item", "title", "score"}, ...]}.
"""

import heapq
import json


class Model:
    """Recommends items that the user has not rated.

    A user of a region with a model of its own gets what that one predicts to be rated best; one of another region what the global
    one does; a stranger gets what is popular.
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
            best = self._best(_regional_scores(regional, user), seen, number)
            return self._answer(user, known["region"], "regional", best)
        return self._answer(user, known["region"], "global", self._global(user, seen, number))

    def _global(self, user, seen, number):
        factors = self._data["user_factors"].get(user)
        if factors is None:
            return [(item, 0.0) for item in self._data["popular"] if item not in seen][:number]
        scores = (
            (_product(factors, values), item) for item, values in self._data["item_factors"].items()
        )
        return self._best(scores, seen, number)

    def _best(self, scores, seen, number):
        unseen = (each for each in scores if each[1] not in seen)
        return [(item, round(score, 4)) for score, item in heapq.nlargest(number, unseen)]

    def _answer(self, user, region, model, best):
        titles = self._data["titles"]
        items = [
            {"item": item, "title": titles.get(item, item), "score": score} for item, score in best
        ]
        return {"user": user, "region": region, "model": model, "items": items}


def _regional_scores(model, user):
    """The rating of each item as the regional model predicts it for `user`; one it does not know is taken as average."""
    weights = model["weights"]
    bias, *factors = model["users"].get(user, [0.0, 0.0, 0.0])
    for item, (item_bias, *item_factors) in model["items"].items():
        base = weights["mean"] + bias + item_bias
        direction = _product(factors, item_factors)
        yield weights["intercept"] + weights["base"] * base + weights["direction"] * direction, item


def _product(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))
