"""The global model: alternating least squares in Spark, with HDFS as its scratch space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaon.step import Artifact, StepContext

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame, SparkSession

RANK = 8
ITERATIONS = 5
SEED = 17


def train_global(
    spark: SparkSession, context: StepContext, ratings: Artifact, shrinkage: float
) -> dict[str, Any]:
    """Trains on everything that is not held out, predicts what is, and analyses how items fare in the two sets of users.

    The regularisation of the factors grows with `shrinkage`, as that of the regional models does.
    """
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import functions as f

    table = _in_scratch(spark, context, ratings)
    known, held_out = table.where(~f.col("holdout")), table.where("holdout")
    context.progress(0.2, "training")
    als = ALS(
        userCol="user",
        itemCol="item",
        ratingCol="rating",
        rank=RANK,
        maxIter=ITERATIONS,
        regParam=0.05 + 0.01 * min(shrinkage, 20.0),
        seed=SEED,
        coldStartStrategy="drop",
    )
    model = als.fit(known)
    context.progress(0.6, "predicting what was held out")
    predictions = f"{context.scratch}/predictions"
    model.transform(held_out).select("user", "region", "rating", "prediction").write.parquet(
        predictions
    )
    context.progress(0.8, "exporting")
    _export(context, model, item_scores(known, shrinkage))
    return {"predictions": predictions}


def validate_global(spark: SparkSession, predictions: Artifact) -> dict[str, Any]:
    """Error on the held-out ratings: in all, and for each region."""
    from pyspark.sql import functions as f

    errors = spark.read.parquet(predictions.uri).withColumn(
        "square", (f.col("rating") - f.col("prediction")) ** 2
    )
    rows = (
        errors.groupBy("region")
        .agg(f.avg("square").alias("mean"), f.count("square").alias("count"))
        .collect()
    )
    total = sum(row["count"] for row in rows)
    rmse = (sum(row["mean"] * row["count"] for row in rows) / total) ** 0.5
    print(f"global model: RMSE {rmse:.4f} on {total} held-out ratings")
    return {"rmse": rmse, "by_region": {row["region"]: row["mean"] ** 0.5 for row in rows}}


def _in_scratch(spark: SparkSession, context: StepContext, ratings: Artifact) -> DataFrame:
    """The ratings, copied to the step's own space on HDFS, where every executor reads them from."""
    place = f"{context.scratch}/ratings"
    spark.read.parquet(ratings.uri).write.mode("overwrite").partitionBy("part").parquet(place)
    return spark.read.parquet(place).cache()


def item_scores(known: DataFrame, shrinkage: float) -> pd.DataFrame:
    """For each item its mean deviation from its raters' means, drawn towards 0 by `shrinkage` ratings: on set A and on set B."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    by_user = Window.partitionBy("user")
    deviation = f.col("rating") - f.avg("rating").over(by_user)
    scores = (
        known.withColumn("deviation", deviation)
        .groupBy("item", "part")
        .agg((f.sum("deviation") / (f.count("deviation") + shrinkage)).alias("score"))
    )
    return scores.groupBy("item").pivot("part", ["A", "B"]).agg(f.first("score")).toPandas()


def _export(context: StepContext, model: Any, scores: pd.DataFrame) -> None:
    directory = context.artifact_path("model")
    directory.mkdir()
    items = _flat(model.itemFactors.toPandas(), "item").merge(scores, on="item", how="left")
    items = items.rename(columns={"A": "score_a", "B": "score_b"}).sort_values("item")
    items.to_csv(directory / "items.csv", index=False)
    _flat(model.userFactors.toPandas(), "user").sort_values("user").to_csv(
        directory / "users.csv", index=False
    )


def _flat(factors: pd.DataFrame, name: str) -> pd.DataFrame:
    import pandas as pd

    columns = [f"f{number}" for number in range(1, RANK + 1)]
    flat = pd.DataFrame(factors["features"].tolist(), columns=pd.Index(columns))
    flat.insert(0, name, factors["id"])
    return flat
