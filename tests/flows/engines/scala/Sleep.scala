object Sleep {
  def main(args: Array[String]): Unit = {
    Kaon.progress(0.1, "sleeping")
    while (true) Thread.sleep(200)
  }
}
