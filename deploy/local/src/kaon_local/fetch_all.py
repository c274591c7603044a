"""Everything that is fetched or made once for a machine."""

from concurrent.futures import ThreadPoolExecutor

from kaon_local import base_image, fetch, hdfs, kafka, spark
from kaon_local.system import can_have_docker


def fetch_all(*, object_store: bool) -> int:
    """Fetches jars and data and makes class archives and the base image, as far as they are missing; returns the exit code.

    Args:
        object_store: builds the S3 server too, which takes minutes.
    """
    work = [
        ("Kafka's jars and class archive", kafka.broker_classes),
        ("HDFS's jars and class archives", hdfs.node_classes),
        ("Spark's class archive", spark.server_classes),
        ("MovieLens 100k", fetch.movielens),
    ]
    if object_store:
        work.append(("the object store", fetch.object_store))
    if can_have_docker():
        work.append(("the base image", base_image.root_file_system))
    with ThreadPoolExecutor(3) as pool:
        futures = [(name, pool.submit(call)) for name, call in work]
        for name, future in futures:
            if not future.done():
                print(f"fetching {name}", flush=True)
            future.result()
    return 0
