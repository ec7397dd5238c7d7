"""The one register of what the library changes in Ultralytics and torchvision, and of what it uses that is not public.

`patches` does the changing, for what stands in `PATCHES`. `tests/test_patches.py`, a part of `make check`, has a canary
for each entry: it fails when the target is gone, and when it is there but nobody looks it up any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: Versions of Ultralytics that the canaries and the tests of `safe` have passed with; the newest is the pinned one.
TESTED = ("8.4.190",)

#: How long a change lasts: for the process; while a training or a call needs it; as long as the one object lives.
Scope = Literal["for good", "for a while", "one object"]


@dataclass(frozen=True)
class Patch:
    """One name that is given another value."""

    #: `module:name`, or `module:Class.name`.
    target: str
    reason: str
    scope: Scope
    #: Functions that find the new value, as they look the name up when they run.
    users: tuple[str, ...]
    #: False where `users` set the name on their objects, and the class has none.
    exists: bool = True


@dataclass(frozen=True)
class Private:
    """Something that is used, not changed, and that its owners may change without a word."""

    target: str
    reason: str
    #: Names that the target's own code must have, for what is said of it to be true.
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Copied:
    """A function whose behaviour is written again, or relied on step by step; `digest` tells when it is another."""

    target: str
    reason: str
    digest: str


_CACHES = (
    "ultralytics.data.dataset:YOLODataset._load_or_scan_cache",
    "ultralytics.data.dataset:ClassificationDataset.verify_images",
)

PATCHES: Mapping[str, Patch] = {
    patch.target: patch
    for patch in (
        # What would run code out of a file (`safe_load`)
        Patch(
            "ultralytics.nn.tasks:SAFE_LOAD",
            "weights are read without pickle's calls, model files are built without eval",
            "for a while",
            ("ultralytics.nn.tasks:torch_safe_load", "ultralytics.nn.tasks:_SafeLoad.restricted"),
        ),
        Patch(
            "ultralytics.utils.torch_utils:torch_load",
            "the optimizer is stripped from the last weights without pickle's calls",
            "for a while",
            ("ultralytics.utils.torch_utils:strip_optimizer",),
        ),
        Patch(
            "ultralytics.models.yolo.world.train:torch_load",
            "text embeddings that lie beside the images are read without pickle's calls",
            "for a while",
            ("ultralytics.models.yolo.world.train:WorldTrainer.generate_text_embeddings",),
        ),
        Patch(
            "ultralytics.models.yolo.yoloe.train:torch_load",
            "text embeddings that lie beside the images are read without pickle's calls",
            "for a while",
            ("ultralytics.models.yolo.yoloe.train:YOLOETrainerFromScratch.generate_text_embeddings",),
        ),
        Patch(
            "torchvision.models._api:load_state_dict_from_url",
            "the layer TorchVision gets no weights from the net",
            "for a while",
            ("torchvision.models._api:WeightsEnum.get_state_dict",),
        ),
        *(
            Patch(
                f"ultralytics.{user.partition(':')[0]}:check_det_dataset",
                "a dataset's `download:` is not run, neither as a command nor as Python",
                "for a while",
                (f"ultralytics.{user}",),
            )
            for user in (
                "engine.trainer:BaseTrainer.get_dataset",
                "engine.validator:BaseValidator.__call__",
                "models.yolo.world.train_world:WorldTrainerFromScratch.get_dataset",
                "models.yolo.world.val:WorldValidator.__call__",
                "models.yolo.yoloe.val:YOLOEDetectValidator.get_model",
            )
        ),
        # Where files are kept (`label_cache`, `amp_check`, `downloads`)
        Patch(
            "ultralytics.data.dataset:load_dataset_cache_file",
            "label caches are no pickles, and not beside the labels",
            "for good",
            _CACHES,
        ),
        Patch(
            "ultralytics.data.dataset:save_dataset_cache_file",
            "label caches are no pickles, and not beside the labels",
            "for good",
            ("ultralytics.data.dataset:YOLODataset.cache_labels", _CACHES[1]),
        ),
        Patch(
            "ultralytics.data.base:BaseDataset.npy_files",
            "images that are kept as arrays are not beside the images",
            "for good",
            ("ultralytics.data.base:BaseDataset.__init__", "ultralytics.data.base:BaseDataset.load_image"),
            exists=False,
        ),
        Patch(
            "ultralytics.engine.trainer:check_amp",
            "the check of mixed precision finds its weights in the weights folder; the last training decides",
            "for good",
            ("ultralytics.engine.trainer:BaseTrainer._setup_train",),
        ),
        Patch(
            "ultralytics.utils:WEIGHTS_DIR",
            "the check of mixed precision finds its weights in the weights folder",
            "for a while",
            ("ultralytics.utils.checks:check_amp",),
        ),
        Patch(
            "ultralytics.utils.downloads:safe_download",
            "with `offline` the check of mixed precision downloads nothing",
            "for a while",
            ("ultralytics.utils.downloads:attempt_download_asset",),
        ),
        Patch(
            "ultralytics.utils.downloads:TQDM",
            "downloads tell how far they are",
            "for a while",
            ("ultralytics.utils.downloads:safe_download",),
        ),
        # What is seen of a dataset (`dataset_scan`, `dataset_check`)
        Patch(
            "ultralytics.data.dataset:YOLODataset._load_or_scan_cache",
            "images that are dropped are known",
            "for good",
            ("ultralytics.data.dataset:YOLODataset.get_labels",),
        ),
        Patch(
            "ultralytics.data.dataset:ClassificationDataset.verify_images",
            "images that are dropped are known",
            "for good",
            ("ultralytics.data.dataset:ClassificationDataset.__init__",),
        ),
        Patch(
            "ultralytics.data.utils:check_image",
            "a file that is no image is described in words",
            "for good",
            ("ultralytics.data.utils:verify_image", "ultralytics.data.utils:verify_image_label"),
        ),
        Patch(
            "ultralytics.data.utils:_replace_image",
            "a dataset that is only looked through keeps its images",
            "for a while",
            ("ultralytics.data.utils:check_image",),
        ),
        # One training's own trainer and validator (`detail_events`, `dataset_report`)
        Patch(
            "ultralytics.engine.trainer:BaseTrainer.on_plot",
            "a picture is told when its file is closed",
            "one object",
            ("ultralytics.engine.trainer:BaseTrainer.plot_metrics",),
        ),
        Patch(
            "ultralytics.engine.validator:BaseValidator.on_plot",
            "a picture is told when its file is closed",
            "one object",
            ("ultralytics.models.yolo.detect.val:DetectionValidator.plot_predictions",),
        ),
        Patch(
            "ultralytics.engine.trainer:BaseTrainer.build_dataset",
            "each dataset that a training reads is counted",
            "one object",
            (
                "ultralytics.models.yolo.detect.train:DetectionTrainer.get_dataloader",
                "ultralytics.models.yolo.classify.train:ClassificationTrainer.get_dataloader",
            ),
        ),
        # What an exact resume hears of (`exact_run`, `train_loader`)
        *(
            Patch(
                f"ultralytics.engine.trainer:BaseTrainer.{name}",
                "each batch, and each of the optimizer's steps, is counted",
                "one object",
                ("ultralytics.engine.trainer:BaseTrainer._do_train",),
            )
            for name in ("optimizer_step", "preprocess_batch")
        ),
        Patch(
            "ultralytics.data.build:InfiniteDataLoader.reset",
            "with mosaics closed the order of samples begins anew",
            "one object",
            ("ultralytics.engine.trainer:BaseTrainer._do_train",),
        ),
    )
}

PRIVATE: tuple[Private, ...] = (
    Private(
        "ultralytics.nn.tasks:_SafeLoad.loading", "registers the classes that a checkpoint may be made of", ("_build",)
    ),
    Private("ultralytics.cfg:_handle_deprecation", "gives arguments today's names"),
    Private("ultralytics.cfg:CFG_FRACTION_KEYS", "arguments from 0 to 1"),
    Private("ultralytics.cfg:CFG_INT_MIN", "the least value of whole numbers"),
    Private(
        "ultralytics.utils:threaded",
        "draws mosaics in threads that Python names after their function, which `plot_files` waits for by that name",
        ("Thread", "start"),
    ),
    Private(
        "ultralytics.utils.downloads:attempt_download_asset", "the release in its signature is where weights come from"
    ),
    Private(
        "ultralytics.engine.trainer:BaseTrainer._do_train",
        "`stopping` and `resuming` set fields that it reads between batches and at its end",
        ("stop", "epochs", "start_epoch", "fitness", "final_eval", "plot_metrics", "save_model"),
    ),
    Private(
        "ultralytics.engine.trainer:BaseTrainer.save_model",
        "best.pt was written just now where the fitness is the best one (`hooks.Saved`)",
        ("best_fitness", "fitness", "best", "last"),
    ),
    Private(
        "ultralytics.engine.trainer:BaseTrainer.resume_training",
        "`exact_state` puts back what this leaves out, after it",
        ("_load_checkpoint_state", "start_epoch", "criterion"),
    ),
    Private(
        "ultralytics.engine.trainer:BaseTrainer._close_dataloader_mosaic",
        "`train_loader` knows when the order of samples begins anew",
        ("mosaic",),
    ),
    Private(
        "ultralytics.data.build:_RepeatSampler.__iter__", "`train_loader` puts itself into its sampler", ("sampler",)
    ),
    Private(
        "ultralytics.data.build:InfiniteDataLoader.__iter__",
        "`train_loader` knows by it when new processes make batches",
        ("iterator", "_get_iterator"),
    ),
    Private("ultralytics.data.build:seed_worker", "gives a process that makes batches its random numbers", ("seed",)),
    Private(
        "ultralytics.data.base:BaseDataset.load_image",
        "`train_loader` has the images in memory that mosaics are made of",
        ("buffer", "ims", "im_hw0", "im_hw", "max_buffer_length"),
    ),
    Private(
        "torch.utils.data.dataloader:_BaseDataLoaderIter.__init__",
        "each process that makes batches is seeded with its number beyond this",
        ("_base_seed", "generator"),
    ),
    Private("ultralytics.utils.plotting:plot_images", "draws the previews"),
    Private("ultralytics.nn.tasks:DetectionModel.end2end", "whether a head needs no NMS; a preview sets it, and back"),
    Private(
        "ultralytics.engine.validator:BaseValidator.__call__",
        "a preview validates in the same precision, with the same head",
        ("quantize", "nms", "end2end", "init_metrics", "preprocess", "postprocess", "training"),
    ),
    Private(
        "ultralytics.utils:SettingsManager.__init__", "`config_dir` writes its file before it is imported", ("version",)
    ),
    Private("ultralytics.engine.validator:BaseValidator.init_metrics", "tells a preview's validator the classes"),
)

COPIED: tuple[Copied, ...] = (
    Copied(
        "ultralytics.engine.trainer:BaseTrainer._do_train",
        "`resuming` ends a run as its last lines do; `hooks` relies on the order in which it calls back",
        "87a635e3bfc4fd3f",
    ),
    Copied(
        "ultralytics.engine.model:Model.train",
        "`resuming.take_over` gives a model its weights as its last lines do",
        "478371e11f2ad0ac",
    ),
    Copied(
        "ultralytics.engine.trainer:BaseTrainer.save_model", "`hooks` knows when best.pt is written", "47f61ede98e6f12b"
    ),
    Copied(
        "ultralytics.engine.trainer:BaseTrainer._load_checkpoint_state",
        "`exact_state` puts back the same things, in full",
        "1c4472505c34ed5e",
    ),
    Copied("ultralytics.nn.tasks:torch_safe_load", "`safe_load` relies on it for weights", "44f3a6d7f6a11903"),
)
