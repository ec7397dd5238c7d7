"""Where a training stands in its data, as plain data: the next batch's samples, and the random numbers that make it.

Ultralytics' loader goes through the data for ever: its sampler begins a new pass when one ends, and with processes
beside the training's it is batches ahead of it. So a place is told by where the generator stood when the pass of the
next batch began, and by how many batches of that pass the training has had. What was read in
`ultralytics/data/build.py` of 8.4.190 and `torch/utils/data/dataloader.py` of 2.15.
"""

import itertools
import marshal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from typing_extensions import TypedDict

from AI.model_trainer.ultralytics import random_numbers
from AI.model_trainer.ultralytics.patches import on_one
from AI.model_trainer.ultralytics.random_numbers import RandomNumbers, as_bytes, as_tensor

#: In a batch, from the process that made it to the training.
_KEY = "maker"


class Maker(TypedDict):
    """Whoever makes batches: the training's own process, or one beside it."""

    random_numbers: RandomNumbers
    #: Images that it has in memory for mosaics. Their order decides which ones `random.choices` draws.
    mosaic_images: list[int]


class Place(TypedDict):
    """Where a training stands in its data."""

    #: Where the loader's generator stood when the pass began that the next batch belongs to, and where it stands.
    pass_began: bytes
    generator: bytes
    #: Batches of that pass that were trained.
    batches: int
    #: The processes that make batches, the one with the next batch first; those that have made none yet by their seed.
    workers: list[Maker | int]
    #: The training's own process.
    own: Maker


class TrainLoader:
    """Watches one loader of training batches. The training's thread owns it.

    A batch looks the same with it as without it: it draws no random number, and takes out of a batch what it put in.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        batches = loader.batch_sampler.sampler  # torch's BatchSampler inside the sampler that repeats it
        self._passes = batches.sampler = _Passes(batches.sampler, loader.generator)
        self._batch_size: int = batches.batch_size
        self._batches = 0
        self._workers: deque[Maker | int] = deque()
        self._iterator: Any = None
        self._first: Sequence[Maker | int] = ()
        if loader.num_workers:
            loader.collate_fn = _Collate(loader.collate_fn)
        self._stock_reset = loader.reset
        self._watch(self._mosaics_closed)

    def _watch(self, reset: Callable[[], None]) -> None:
        on_one(self.loader, "ultralytics.data.build:InfiniteDataLoader.reset", reset)

    def _mosaics_closed(self) -> None:
        """Ultralytics begins anew with the samples, and with new processes."""
        self._stock_reset()
        self._passes.forget()
        self._batches, self._first = 0, ()

    def took(self, batch: Any) -> None:
        """The training goes on with this batch."""
        if self.loader.iterator is not self._iterator:
            self._iterator = self.loader.iterator
            self._workers = deque(self._first or self._seeds())
            if self._first:  # the next processes begin as Ultralytics has them
                self.loader.worker_init_fn = self.loader.worker_init_fn.stock
                self._first = ()
        if self._batches == len(self.loader):
            self._passes.begins.popleft()
            self._batches = 0
        self._batches += 1
        if self._workers:
            self._workers.popleft()
            self._workers.append(marshal.loads(batch.pop(_KEY).numpy().tobytes()))  # noqa: S302 (of a process of our own)

    def _seeds(self) -> list[int]:
        return [self._iterator._base_seed + number for number in range(self.loader.num_workers)]

    def place(self) -> Place:
        """Where the training stands, after a batch that it took."""
        return {
            "pass_began": self._passes.begins[0],
            "generator": as_bytes(self.loader.generator.get_state()),
            "batches": self._batches,
            "workers": list(self._workers),
            "own": _read(self.loader.dataset),
        }

    def go_to(self, place: Place, *, closes: bool, closed: bool) -> None:
        """Stand there, before the first batch.

        `closes`: mosaics are closed now, which begins with the samples anew; `closed`: they were before, so that
        Ultralytics' closing them once more is not to begin anything.
        """
        self.loader.generator.set_state(as_tensor(place["generator"]))
        if not closes:
            self._batches = place["batches"]
            taken = min(self._batches * self._batch_size, len(self._passes))
            self._passes.go_to(place["pass_began"], taken)
            if place["workers"]:
                self._first = place["workers"]
                self.loader.worker_init_fn = _Begin(self.loader.worker_init_fn, self._first)
            if closed:
                self._watch(self._close_once_more)
        _put_back(self.loader.dataset, place["own"])

    def _close_once_more(self) -> None:
        self._stock_reset()
        self._watch(self._mosaics_closed)


class _Passes:
    """The samples' order; remembers where its generator stood when each pass began that is not trained to its end."""

    def __init__(self, stock: Any, generator: torch.Generator) -> None:
        self._stock = stock
        self._generator = generator
        self.begins: deque[bytes] = deque()
        self._next: tuple[bytes, int] | None = None

    def go_to(self, began: bytes, taken: int) -> None:
        """Have the next pass be the one that began there, without the samples that were taken."""
        self._next = began, taken

    def forget(self) -> None:
        self.begins.clear()
        self._next = None

    def __len__(self) -> int:
        return len(self._stock)

    def __iter__(self) -> Iterator[int]:
        taken = 0
        if self._next is not None:
            (began, taken), self._next = self._next, None
            self._generator.set_state(as_tensor(began))
        self.begins.append(as_bytes(self._generator.get_state()))
        yield from itertools.islice(iter(self._stock), taken, None)


# In the processes that make batches


class _Collate:
    """Puts beside each batch how its maker stood when it was made."""

    def __init__(self, stock: Callable[[list[Any]], Any]) -> None:
        self._stock = stock

    def __call__(self, samples: list[Any]) -> Any:
        batch = self._stock(samples)
        # A tensor travels in shared memory. As bytes, a few batches would fill the pipe to the training; a process
        # that waits for room in it does not end when the training is killed.
        batch[_KEY] = torch.frombuffer(bytearray(marshal.dumps(dict(_read(_dataset())))), dtype=torch.uint8)
        return batch


class _Begin:
    """Has each process begin where the one stood that it goes on for."""

    def __init__(self, stock: Callable[[int], None], makers: Sequence[Maker | int]) -> None:
        self.stock = stock
        self._makers = makers

    def __call__(self, number: int) -> None:
        maker = self._makers[number]
        if isinstance(maker, int):
            torch.manual_seed(maker)
            self.stock(number)
        else:
            self.stock(number)
            _put_back(_dataset(), maker)


def _dataset() -> Any:
    info: Any = torch.utils.data.get_worker_info()
    return info.dataset


def _read(dataset: Any) -> Maker:
    return {"random_numbers": random_numbers.read(), "mosaic_images": list(getattr(dataset, "buffer", ()))}


def _put_back(dataset: Any, maker: Maker) -> None:
    if getattr(dataset, "cache", None) != "ram":  # else all images are in memory, and the list stays as it is
        _remember(dataset, maker["mosaic_images"])
    random_numbers.put_back(maker["random_numbers"])


def _remember(dataset: Any, images: list[int]) -> None:
    """Have a dataset hold these images for mosaics, in this order."""
    for number in getattr(dataset, "buffer", ()):
        dataset.ims[number] = dataset.im_hw0[number] = dataset.im_hw[number] = None
    if images:
        dataset.buffer.clear()
    for number in images:
        dataset.load_image(number)
