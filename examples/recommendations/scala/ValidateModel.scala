// Are the models stable? Each model has ranked the items twice, once from the users of set A and once from those of set B, who have
// nothing in common. A stable model puts much the same items on top. The agreement of two such lists is their extrapolated
// rank-biased overlap (Webber, Moffat, Zobel: A Similarity Measure for Indefinite Rankings, ACM TOIS 28(4), 2010, eq. 32); the mean
// over the lists of all models has a percentile bootstrap interval (Efron: Bootstrap Methods, Annals of Statistics 7(1), 1979).
// The models are stable when the interval's lower end reaches the threshold.

import com.fasterxml.jackson.databind.node.{ArrayNode, JsonNodeFactory, ObjectNode}
import scala.io.Source
import scala.jdk.CollectionConverters._

object Stability {
  /** Extrapolated rank-biased overlap of two rankings without doubles, looked at down to the shorter one's end. */
  def overlap(a: Seq[String], b: Seq[String], persistence: Double): Double = {
    val depth = math.min(a.length, b.length)
    if (depth == 0) 0.0
    else {
      val (seenA, seenB) = (scala.collection.mutable.Set[String](), scala.collection.mutable.Set[String]())
      var (common, sum) = (0, 0.0)
      for (d <- 1 to depth) {
        val (x, y) = (a(d - 1), b(d - 1))
        if (x == y) common += 1
        else {
          if (seenB(x)) common += 1
          if (seenA(y)) common += 1
        }
        seenA += x
        seenB += y
        sum += common.toDouble / d * math.pow(persistence, d)
      }
      common.toDouble / depth * math.pow(persistence, depth) + (1 - persistence) / persistence * sum
    }
  }

  /** Percentile interval of the mean of `values`, from `samples` resamples. */
  def interval(values: Seq[Double], samples: Int, level: Double, seed: Long): (Double, Double) = {
    val random = new java.util.Random(seed)
    val n = values.length
    val means = Array.fill(samples)(Seq.fill(n)(values(random.nextInt(n))).sum / n).sorted
    val tail = ((1 - level) / 2 * samples).toInt
    (means(tail), means(samples - 1 - tail))
  }

  /** What the regularisation must be multiplied by: the further the lower end is from the threshold, the more. */
  def correction(low: Double, threshold: Double): Double = {
    val ratio = threshold / math.max(low, 0.01)
    math.min(math.max(math.pow(ratio, 3), 1.5), 16.0)
  }
}

object ValidateModel {
  val Depth = 50
  val Persistence = 0.95
  val Samples = 2000
  val Level = 0.95
  val Seed = 20101115L

  /** The items of a model's table in the order of one of its scores, best first; items without that score are left out. */
  def ranking(file: String, score: String): Seq[String] = {
    val source = Source.fromFile(file, "UTF-8")
    try {
      val lines = source.getLines().map(_.split(",", -1).map(_.replace("\"", "")))
      val header = lines.next()
      val (item, column) = (header.indexOf("item"), header.indexOf(score))
      lines
        .map(row => (row(item), row(column)))
        .filter { case (_, value) => value.nonEmpty && value != "NA" && value != "NaN" }
        .map { case (name, value) => (name, value.toDouble) }
        .toVector
        .sortBy { case (name, value) => (-value, name.toInt) }
        .take(Depth)
        .map(_._1)
    } finally source.close()
  }

  def agreement(directory: String): Double = {
    val file = s"$directory/items.csv"
    Stability.overlap(ranking(file, "score_a"), ranking(file, "score_b"), Persistence)
  }

  def main(args: Array[String]): Unit = {
    val threshold = Kaon.input("threshold").asDouble()
    val shrinkage = Kaon.input("shrinkage").asDouble()
    val regions = Kaon.input("regions").elements().asScala.map(_.asText()).toVector
    val models = Kaon.inputPaths("regional_models") :+ Kaon.inputPath("global_model")
    val overlaps = models.map(agreement)
    val mean = overlaps.sum / overlaps.length
    val (low, high) = Stability.interval(overlaps, Samples, Level, Seed)
    val stable = low >= threshold
    println(f"mean rank-biased overlap of ${overlaps.length} models: $mean%.3f (95 %% interval $low%.3f to $high%.3f), " +
      s"threshold $threshold: ${if (stable) "stable" else "not stable"}")

    val json = JsonNodeFactory.instance
    val next = if (stable) shrinkage else shrinkage * Stability.correction(low, threshold)
    val pass: ObjectNode = json.objectNode()
    pass.put("shrinkage", shrinkage).put("threshold", threshold).put("mean", mean).put("low", low).put("high", high)
    pass.put("stable", stable)
    val byModel = pass.putObject("overlaps")
    (regions :+ "global").zip(overlaps).foreach { case (name, value) => byModel.put(name, value) }
    pass.set[ObjectNode]("choices", Kaon.input("choices"))
    val history: ArrayNode = json.arrayNode()
    Kaon.input("history").elements().asScala.foreach(history.add)
    history.add(pass)

    Kaon.metric("rank_biased_overlap", mean)
    Kaon.output("stable", json.booleanNode(stable))
    Kaon.output("next_shrinkage", json.numberNode(next))
    Kaon.output("history", history)
  }
}
