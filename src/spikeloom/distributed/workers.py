"""Ways to generate the parts of an order: in this process, in several processes, or by the tasks of a Ray cluster.

Each way is a function. Its arguments are an order and the missing parts: the path of each part -> the numbers of its
trials. The function yields the path of a part when the part is finished. If a worker is killed, only its part is lost,
and this part is generated again.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures.process import BrokenProcessPool

import torch

from spikeloom.cluster import connect
from spikeloom.distributed.order import Order, draw_part
from spikeloom.errors import SpikeloomError, TrainingError
from spikeloom.processes import context
from spikeloom.training.memory import keep_freed_memory

Workers = Callable[[Order, Mapping[str, range]], Generator[str, None, None]]
"""Function that generates parts of an order (path -> rows), and yields the path of each finished part."""

ATTEMPTS = 3
"""Number of times in a row that workers may be killed without finishing a part, before sampling stops."""


def this_process(order: Order, parts: Mapping[str, range]) -> Generator[str, None, None]:
    """Generate the parts one after the other in this process; see the module."""
    for path, rows in parts.items():
        draw_part(order, rows, path)
        yield path


def processes(number: int) -> Workers:
    """Return the function that generates parts in several processes, which share the cores of this machine evenly.

    Args:
        number: Number of processes. The variable OMP_NUM_THREADS sets the number of threads of each.
    """

    def generate(order: Order, parts: Mapping[str, range]) -> Generator[str, None, None]:
        """Compute the parts, yield the path of each finished one, and start the pool again if a process dies."""
        waiting = dict(parts)
        failures = 0
        while waiting:
            n_waiting = len(waiting)
            try:
                for path in _pool(number, order, waiting):
                    del waiting[path]
                    yield path
            except BrokenProcessPool:
                # failures in a row: if the pool has finished a part, the count begins again
                failures = failures + 1 if len(waiting) == n_waiting else 1
                if failures == ATTEMPTS:
                    raise _killed() from None

    return generate


def ray_tasks(address: str | None, *, number: int | None = None) -> Workers:
    """Return the function that generates parts in tasks of a Ray cluster.

    All machines of the cluster must be able to read the run folder and to write to the output folder. A task uses one
    core, and also one GPU if the cluster has GPUs.

    Args:
        address: Address of the cluster. `None` is explained in `cluster.connect`.
        number: Number of tasks at the same time on this machine, if Ray is started here.
    """

    def generate(order: Order, parts: Mapping[str, range]) -> Generator[str, None, None]:
        """Compute the parts as tasks of the cluster, and yield the path of each finished one."""
        ray = connect(address, n_cpus=number)
        try:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
            task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=ATTEMPTS)(_task)
            shared = ray.put(order)
            waiting = {task.remote(shared, rows, path): path for path, rows in parts.items()}
            while waiting:
                (done,), _ = ray.wait(list(waiting), num_returns=1)  # waits until one task is done
                ray.get(done)  # raises the error of the task, if it failed
                yield waiting.pop(done)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, SpikeloomError):
                raise error.cause from error
            raise
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise _killed() from error
        finally:
            ray.shutdown()

    return generate


def _pool(number: int, order: Order, parts: Mapping[str, range]) -> Generator[str, None, None]:
    """Generate parts in `number` processes. Raise a BrokenProcessPool if a process is killed.

    Args:
        number: Number of processes.
        order: The sample.
        parts: Path of each part -> the numbers of its trials.
    """
    other_processes = set(multiprocessing.active_children())
    threads = max(1, (os.cpu_count() or 1) // number)
    pool = concurrent.futures.ProcessPoolExecutor(
        number, context(Order.__module__), initializer=_prepare_worker, initargs=(threads,)
    )
    jobs = {pool.submit(draw_part, order, rows, path): path for path, rows in parts.items()}
    try:
        for job in concurrent.futures.as_completed(jobs):
            job.result()  # raises the error of the job, if it failed
            yield jobs[job]
    except BaseException:  # also after Ctrl-C: do not wait for unfinished parts
        for worker in set(multiprocessing.active_children()) - other_processes:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _task(order: Order, rows: range, path: str) -> str:
    """Generate one part in a worker of Ray; see `draw_part`."""
    keep_freed_memory()
    return draw_part(order, rows, path)


def _prepare_worker(threads: int) -> None:
    """Prepare a worker process: set the allocator and the number of threads, ignore Ctrl-C, and end with the parent."""
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent ends, for example by `kill -9`."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _killed() -> TrainingError:
    """Return the error for workers that were killed again and again."""
    return TrainingError(
        "A worker must be able to finish a part.",
        f"Workers were killed {ATTEMPTS} times in a row, probably because the memory was full.",
        "Use fewer --workers or a smaller --max-batch, and repeat the command: finished parts are kept.",
    )
