import com.fasterxml.jackson.databind.node.ObjectNode
import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
import java.io.{BufferedReader, FileInputStream, FileOutputStream, InputStreamReader}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Path, Paths}
import scala.jdk.CollectionConverters._

/** What a Scala step knows and says: the step protocol in a few functions. */
object Kaon {
  private val mapper = new ObjectMapper()
  private val largestEvent = 4000

  /** The step's directory. */
  val directory: Path = Paths.get(sys.env("KAON_STEP_DIR"))

  /** Everything that the step is told. */
  val context: JsonNode = mapper.readTree(directory.resolve("context.json").toFile)

  private lazy val commands =
    new BufferedReader(new InputStreamReader(new FileInputStream(directory.resolve("commands").toFile), UTF_8))
  private var seen = Set.empty[Long]

  private lazy val events = new FileOutputStream(directory.resolve("events").toFile)

  /** A value that is bound to the step. */
  def input(name: String): JsonNode =
    Option(context.get("inputs").get(name)).getOrElse(throw new NoSuchElementException(s"the step has no input $name"))

  /** The local copy of an artifact that is bound to the step. */
  def inputPath(name: String): String = path(input(name), name)

  /** The local copies of a list of artifacts, such as the joined results of a foreach. */
  def inputPaths(name: String): Vector[String] = input(name).elements().asScala.map(path(_, name)).toVector

  /** Gives the output `name` a value. */
  def output(name: String, value: JsonNode): Unit =
    Files.write(directory.resolve("outputs").resolve(s"$name.json"), mapper.writeValueAsBytes(value))

  /** Where to write the artifact output `name`, as a file or a directory; `extension` ends the file's name, such as ".csv.gz". */
  def artifactPath(name: String, extension: String = ""): Path =
    directory.resolve("artifacts").resolve(s"$name$extension")

  /** How far the step has come: a fraction from 0 to 1, and in words. */
  def progress(fraction: Double, message: String = ""): Unit = {
    val event = mapper.createObjectNode().put("kind", "progress").put("fraction", fraction)
    send(event.put("message", message.take(1000)))
  }

  /** Reports a number. */
  def metric(name: String, value: Double): Unit = send(reported(name, value))

  /** Reports a number; `step` says how far the step has come, such as its epoch. */
  def metric(name: String, value: Double, step: Long): Unit =
    send(reported(name, value).put("step", step).put("step_given", true))

  private def reported(name: String, value: Double): ObjectNode =
    mapper.createObjectNode().put("kind", "metric").put("name", name.take(200)).put("value", value)

  /** The next message to this step, with "name", "payload" and "seq"; waits until there is one. */
  def nextSignal(): JsonNode = Iterator.continually(mapper.readTree(commands.readLine())).map(whole).find(isNew).get

  // A payload that is too long for a line comes as a file.
  private def whole(message: JsonNode): JsonNode = message match {
    case node: ObjectNode if node.has("file") =>
      node.set[ObjectNode]("payload", mapper.readTree(directory.resolve(node.get("file").asText()).toFile))
    case node => node
  }

  // The same signal may come twice.
  private def isNew(message: JsonNode): Boolean = {
    val wanted = message.get("kind").asText() == "signal" && !seen(message.get("seq").asLong())
    if (wanted) seen += message.get("seq").asLong()
    wanted
  }

  private def path(value: JsonNode, name: String): String = {
    val found = Option(value.get("artifact")).flatMap(artifact => Option(artifact.get("path")))
    found.getOrElse(throw new NoSuchElementException(s"input $name is no artifact with a local copy")).asText()
  }

  // One line in one write, so that lines of several threads are not mixed.
  private def send(event: JsonNode): Unit = synchronized {
    val line = mapper.writeValueAsString(event) + "\n"
    val bytes = line.getBytes(UTF_8)
    if (bytes.length <= largestEvent) {
      events.write(bytes)
      events.flush()
    }
  }
}
